"""A strict webhook server.

It is written from the Standard Webhooks specification with the standard library alone, and shares no code with the kit.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections import defaultdict
from typing import Any

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SECRET = b"the secret of a webhook endpoint"
ENTRY = re.compile(r"(v[0-9]+[a-z]?),([A-Za-z0-9+/]+=*)")


class Refusal(Exception):
    """The message is not proven."""


class Server:
    """Takes what is proven and refuses the rest."""

    scheme = "v1"
    most_signatures = 16
    oldest, newest = 300, 300
    finds: frozenset[str] = frozenset()
    """The checks that must fail."""

    def __init__(self, public_key: bytes = b"") -> None:
        self.public_key = public_key
        self.bodies: dict[str, bytes] = {}
        self.in_flight = 0
        self.on_connection: dict[object, int] = defaultdict(int)
        self.of_case: dict[str, int] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.in_flight += 1
        self.on_connection[request.transport] += 1
        try:
            status = await self.status(request, body)
        except Refusal:
            status = 401
        except Exception:
            status = 500
        finally:
            self.in_flight -= 1
        return web.Response(status=status)

    async def status(self, request: web.Request, body: bytes) -> int:
        webhook_id = self.verified(list(request.raw_headers), body)
        return self.take(webhook_id, json.loads(body), body)

    def verified(self, raw: list[tuple[bytes, bytes]], body: bytes) -> str:
        webhook_id, timestamp, signature = self.headers(raw)
        now = time.time()
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", webhook_id) or not now - self.oldest <= self.seconds(timestamp) <= now + self.newest:
            raise Refusal
        entries = self.entries(signature)
        for content in self.contents(webhook_id, timestamp, body):
            if any(self.matches(scheme, given, content) for scheme, given in entries):
                return webhook_id
        raise Refusal

    def headers(self, raw: list[tuple[bytes, bytes]]) -> list[str]:
        found = []
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
            values = [value.decode("latin-1") for key, value in raw if key.decode("latin-1").lower() == name]
            if len(values) != 1:
                raise Refusal
            found += values
        return found

    def seconds(self, timestamp: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", timestamp, re.ASCII):
            raise Refusal
        return int(timestamp)

    def entries(self, header: str) -> list[tuple[str, bytes]]:
        entries = [ENTRY.fullmatch(entry) for entry in header.split(" ")]
        if len(entries) > self.most_signatures:
            raise Refusal
        return [(entry[1], self.decoded(entry[2])) if entry else self.unreadable() for entry in entries]

    def unreadable(self) -> tuple[str, bytes]:
        raise Refusal

    def decoded(self, text: str) -> bytes:
        try:
            found = base64.b64decode(text, validate=True)
        except binascii.Error:
            raise Refusal from None
        if base64.b64encode(found).decode() != text:
            raise Refusal
        return found

    def contents(self, webhook_id: str, timestamp: str, body: bytes) -> list[bytes]:
        return [f"{webhook_id}.{timestamp}.".encode() + body]

    def matches(self, scheme: str, given: bytes, content: bytes) -> bool:
        return scheme == self.scheme and hmac.compare_digest(self.expected(content), given)

    def expected(self, content: bytes) -> bytes:
        return hmac.digest(SECRET, content, hashlib.sha256)

    def take(self, webhook_id: str, message: dict[str, Any], body: bytes) -> int:
        return 204 if self.bodies.setdefault(webhook_id, body) == body else 409


class StrictV1a(Server):
    scheme = "v1a"

    def matches(self, scheme: str, given: bytes, content: bytes) -> bool:
        if scheme != "v1a":
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(given, content)
        except InvalidSignature:
            return False
        return True


class ClosesEachConnection(Server):
    """No flaw: it costs the network a connection for each message."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        response = await super().answer(request)
        response.force_close()
        return response


class DoesNotDedupe(Server):
    """No flaw that can be seen: it may notice the second body."""

    def take(self, webhook_id: str, message: dict[str, Any], body: bytes) -> int:
        return 200
