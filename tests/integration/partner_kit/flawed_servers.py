"""Webhook servers that each have one flaw: what a check must find, and nothing else."""

import asyncio
import base64
import hashlib
import hmac
import json
from typing import Any

from aiohttp import web

from tests.integration.partner_kit.servers import Refusal, Server, StrictV1a

KNOWN = frozenset(
    f"kapcare.{name}"
    for name in (
        "review.assigned", "review.reassigned", "review.recalled", "review.stopped", "review.resumed", "review.outdated",
        "approval.revoked", "approval.expired", "outcome.deteriorated", "endpoint.disabled", "test", "heartbeat",
    )
)  # fmt: skip


class NeverAnswers(Server):
    finds = frozenset({"in-time"})

    async def status(self, request: web.Request, body: bytes) -> int:
        await asyncio.sleep(60)
        return 204


class HasAnotherSecret(Server):
    finds = frozenset({"good-message"})

    def expected(self, content: bytes) -> bytes:
        return hmac.digest(b"another", content, hashlib.sha256)


class Redirects(Server):
    finds = frozenset({"good-message"})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.on_connection[request.path] += 1
        return web.Response(status=307, headers={"Location": "/elsewhere"})


class ComparesOnlyWhatIsGiven(Server):
    finds = frozenset({"wrong-signature"})

    def unreadable(self) -> tuple[str, bytes]:
        return "v1", b"no base64"

    def entries(self, header: str) -> list[tuple[str, bytes]]:
        return [("v1", b"")] if header == "v1," else super().entries(header)

    def matches(self, scheme: str, given: bytes, content: bytes) -> bool:
        return scheme == "v1" and all(one == other for one, other in zip(given, self.expected(content), strict=False))


class VerifiesWhatItParsed(Server):
    finds = frozenset({"altered-body"})

    def contents(self, webhook_id: str, timestamp: str, body: bytes) -> list[bytes]:
        try:
            written = json.dumps(json.loads(body), separators=(",", ":")).encode()
        except (ValueError, RecursionError):
            return []
        return super().contents(webhook_id, timestamp, written) + super().contents(webhook_id, timestamp, body)


class CutsTheId(Server):
    finds = frozenset({"altered-id"})

    def contents(self, webhook_id: str, timestamp: str, body: bytes) -> list[bytes]:
        return super().contents(webhook_id[:36], timestamp, body)


class RoundsTheTime(Server):
    finds = frozenset({"altered-timestamp"})

    def contents(self, webhook_id: str, timestamp: str, body: bytes) -> list[bytes]:
        around = [str(int(timestamp) + change) for change in (-1, 0, 1)]
        return [content for near in around for content in super(RoundsTheTime, self).contents(webhook_id, near, body)]


class TakesOldMessages(Server):
    finds = frozenset({"too-old"})
    oldest = 10**9


class TakesMessagesOfTheFuture(Server):
    finds = frozenset({"too-new"})
    newest = 10**9


class _Crashes(Server):
    without = b""

    def headers(self, raw: list[tuple[bytes, bytes]]) -> list[str]:
        if self.without not in [name.lower() for name, _ in raw]:
            raise KeyError
        return super().headers(raw)


class CrashesWithoutId(_Crashes):
    finds = frozenset({"missing-id"})
    without = b"webhook-id"


class CrashesWithoutTimestamp(_Crashes):
    finds = frozenset({"missing-timestamp"})
    without = b"webhook-timestamp"


class TakesUnsignedMessages(Server):
    finds = frozenset({"missing-signature"})

    def verified(self, raw: list[tuple[bytes, bytes]], body: bytes) -> str:
        if b"webhook-signature" in [name.lower() for name, value in raw if value]:
            return super().verified(raw, body)
        return dict(raw)[b"webhook-id"].decode()


class TakesTheFirstHeader(Server):
    finds = frozenset({"repeated-header"})

    def headers(self, raw: list[tuple[bytes, bytes]]) -> list[str]:
        first: dict[bytes, bytes] = {}
        for name, value in raw:
            first.setdefault(name.lower(), value)
        return super().headers(list(first.items()))


class TakesTheLastHeader(Server):
    finds = frozenset({"repeated-header"})

    def headers(self, raw: list[tuple[bytes, bytes]]) -> list[str]:
        return super().headers(list({name.lower(): value for name, value in raw}.items()))


class PassesOverTheScheme(Server):
    finds = frozenset({"other-scheme"})

    def matches(self, scheme: str, given: bytes, content: bytes) -> bool:
        return super().matches("v1", given, content)


class TakesThePublicKeyAsASecret(StrictV1a):
    finds = frozenset({"other-scheme"})

    def matches(self, scheme: str, given: bytes, content: bytes) -> bool:
        return super().matches(scheme, given, content) or given == hmac.digest(self.public_key, content, hashlib.sha256)


class FailsOnGarbage(Server):
    """As one fares who catches nothing but `WebhookVerificationError` of `standardwebhooks` 1.1.0."""

    finds = frozenset({"malformed"})

    def entries(self, header: str) -> list[tuple[str, bytes]]:
        for entry in header.split(" ") if header else ():
            _scheme, _signature = entry.split(",")
        return super().entries(header)


class HasNoLimitOfSignatures(Server):
    finds = frozenset({"too-many-signatures"})
    most_signatures = 10**6


class DecodesLoosely(Server):
    finds = frozenset({"loose-base64"})

    def entries(self, header: str) -> list[tuple[str, bytes]]:
        entries = [entry.partition(",") for entry in header.split(" ")]
        if len(entries) > self.most_signatures or any(text.count(",") or not text.strip("?") for _, _, text in entries):
            raise Refusal
        return [(scheme, base64.b64decode(text + "==")) for scheme, _, text in entries]


class FailsOnASecondBody(Server):
    finds = frozenset({"one-id-two-bodies"})

    def take(self, webhook_id: str, message: dict[str, Any], body: bytes) -> int:
        return 500 if self.bodies.setdefault(webhook_id, body) != body else 204


class RefusesUnknownSchemes(Server):
    finds = frozenset({"unknown-signatures-first"})

    def entries(self, header: str) -> list[tuple[str, bytes]]:
        entries = super().entries(header)
        if any(scheme != "v1" for scheme, _ in entries):
            raise Refusal
        return entries


class LooksAtOneSignatureOfAScheme(Server):
    finds = frozenset({"rotation"})

    def entries(self, header: str) -> list[tuple[str, bytes]]:
        return list(dict(reversed(super().entries(header))).items())


class RefusesRetries(Server):
    finds = frozenset({"retry"})

    def take(self, webhook_id: str, message: dict[str, Any], body: bytes) -> int:
        known = webhook_id in self.bodies
        self.bodies[webhook_id] = body
        return 409 if known else 204


class RefusesATypeItHasNoUseFor(Server):
    finds = frozenset({"known-types"})

    def take(self, webhook_id: str, message: dict[str, Any], body: bytes) -> int:
        return 400 if message["type"] == "kapcare.outcome.deteriorated" else super().take(webhook_id, message, body)


class RefusesUnknownTypes(Server):
    finds = frozenset({"unknown-type"})

    def take(self, webhook_id: str, message: dict[str, Any], body: bytes) -> int:
        return super().take(webhook_id, message, body) if message["type"] in KNOWN else 400


class NeedsASequence(Server):
    finds = frozenset({"heartbeat"})

    def take(self, webhook_id: str, message: dict[str, Any], body: bytes) -> int:
        return super().take(webhook_id, message, body) if message["sequence"] else 400


class NeedsACaseInATest(Server):
    finds = frozenset({"test-message"})

    def take(self, webhook_id: str, message: dict[str, Any], body: bytes) -> int:
        return 422 if message["type"] == "kapcare.test" and "case" not in message["data"] else super().take(webhook_id, message, body)


class RefusesUnknownFields(Server):
    finds = frozenset({"unknown-fields"})

    def take(self, webhook_id: str, message: dict[str, Any], body: bytes) -> int:
        return 422 if message.keys() - {"type", "timestamp", "sequence", "data"} else super().take(webhook_id, message, body)


class TakesLittle(Server):
    finds = frozenset({"large-body"})

    async def status(self, request: web.Request, body: bytes) -> int:
        return 413 if len(body) > 16_384 else await super().status(request, body)


class TakesFourAtATime(Server):
    finds = frozenset({"burst"})

    async def status(self, request: web.Request, body: bytes) -> int:
        if self.in_flight > 4:
            return 503
        await asyncio.sleep(0.005)
        return await super().status(request, body)


class FailsOnAKeptConnection(Server):
    finds = frozenset({"kept-connection"})

    async def status(self, request: web.Request, body: bytes) -> int:
        return 500 if self.on_connection[request.transport] > 1 else await super().status(request, body)


class RefusesAnEarlierSequence(Server):
    finds = frozenset({"out-of-order"})

    def take(self, webhook_id: str, message: dict[str, Any], body: bytes) -> int:
        case = message["data"].get("case")
        if case is not None and message["sequence"] < self.of_case.get(case, 0):
            return 409
        self.of_case[case] = message.get("sequence", 0)
        return super().take(webhook_id, message, body)


class VerifiesNothing(Server):
    """Not one flaw but all of one kind."""

    def verified(self, raw: list[tuple[bytes, bytes]], body: bytes) -> str:
        return super().headers(raw)[0]


def _flawed(base: type[Server]) -> list[type[Server]]:
    return [found for each in base.__subclasses__() for found in ([each] if each.finds else []) + _flawed(each)]


FLAWED = _flawed(Server)
