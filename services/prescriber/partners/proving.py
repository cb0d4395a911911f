"""Who sent a message: what costs least is asked first, and who fails too often is asked for patience before anything else.

The order is: how often this sender failed of late, the three headers, the encoding, the body up to its limit, the signature.
A sender is an address (of IPv6 its network of 64 bits, which one host may own) at the path of one partner, so nobody who
floods that path slows the partner itself or anyone at another. What is proven takes nothing from the limit.
"""

import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from starlette.requests import Request as HttpRequest

from services.prescriber.domain.partners.message import SignedMessage
from services.prescriber.domain.partners.state import Organisation
from services.prescriber.partners.directory import Directory
from shared.http.body import read_capped
from shared.http.callers import address_of
from shared.http.failure_limit import FailureLimit
from shared.http.problems import Problem
from shared.service.runtime import Runtime
from shared.webhooks.signing import PrivateKey, PublicKey, Unverified, read_claim, verify

BODY_LIMIT_BYTES: Final = 40_960
"""What always fits an event as base64, so that everything that is proven can be kept; Standard Webhooks asks for under 20 kB."""

_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")

Sender = tuple[bytes, str]
"""(packed address or network, slug of a partner)."""


class Prover:
    """Proves messages by the keys of the directory, whether the partner left or not: a late answer is a fact."""

    def __init__(self, runtime: Runtime, directory: Directory) -> None:
        self._runtime = runtime
        self._directory = directory
        self._limit = FailureLimit(runtime.settings.webhook_failures_at_once, runtime.settings.webhook_failures_per_second)
        self._nobody = PrivateKey.generate().public
        """Verifies nothing: stands in for unknown partners, and those without a key, so that they take as long as others."""

    async def prove(self, partner: str, request: HttpRequest) -> tuple[SignedMessage, Organisation]:
        """Return the message of a request, and who sent it.

        Raises Problem 400, 401, 408, 413, 415 or 429, the same whether the partner is known or not.
        """
        sender = _sender_of(partner, request)
        now = self._runtime.system_clock()
        self._require_patience(sender)
        with self._counting(sender):
            read_claim(request.headers.raw, now)
            _require_plain(request)
            body = await read_capped(request, BODY_LIMIT_BYTES)
        # Others of this sender may have failed while the body came in.
        self._require_patience(sender)
        with self._counting(sender):
            verified = verify(request.headers.raw, body, _keys_of(self._directory.find(partner)) or [self._nobody], now)
            # The directory may be a moment behind: a key that was revoked proves nothing any more.
            entry: Organisation | None = (await self._runtime.load(f"partner-{partner}")).state.entry
            if entry is None or verified.key not in _keys_of(entry):
                raise Unverified("signature-wrong")
        signature = request.headers["webhook-signature"]
        message = SignedMessage(partner, verified.id, verified.timestamp, signature, str(verified.key), body)
        self._runtime.metrics.proven(partner, message.key_id)
        return message, entry

    def _require_patience(self, sender: Sender) -> None:
        seconds = self._limit.seconds_to_wait(sender, time.monotonic())
        if seconds > 0:
            self._runtime.metrics.refused("too-many-failures")
            wait = {"Retry-After": str(math.ceil(seconds))}
            raise Problem(429, "too-many-failures", "Too many messages from here were not proven; send again later.", headers=wait)

    @contextmanager
    def _counting(self, sender: Sender) -> Iterator[None]:
        try:
            yield
        except Unverified as error:
            self._failed(sender, f"webhook-{error.reason}")
            raise Problem(401, "webhook-refused", "The message is not proven to come from this partner.", reason=error.reason) from None
        except Problem as problem:
            self._failed(sender, problem.slug)
            raise

    def _failed(self, sender: Sender, why: str) -> None:
        self._limit.failed(sender, time.monotonic())
        self._runtime.metrics.refused(why)
        self._runtime.log.warning("a webhook was refused", because=why, known_partner=self._directory.find(sender[1]) is not None)


def _keys_of(entry: Organisation | None) -> list[PublicKey]:
    return [] if entry is None else [PublicKey.parse(key) for key in entry.decision_keys]


def _sender_of(partner: str, request: HttpRequest) -> Sender:
    # What cannot be a slug is one sender's failures together, or their count would grow with what is made up.
    slug = partner if _SLUG.fullmatch(partner) else ""
    return address_of(request), slug


def _require_plain(request: HttpRequest) -> None:
    """The signed bytes are the bytes sent: nothing is unpacked here, so nothing packed is taken."""
    if any(value.strip().lower() not in {"", "identity"} for value in request.headers.getlist("content-encoding")):
        raise Problem(415, "content-encoding", "Send the body as it was signed, without a content encoding.")
