"""Post a signed webhook: to public addresses only, no redirect followed, no more of an answer read than it must.

Everything here runs on system time. An attempt has 15 s in all and 5 s to connect; an answer may have 16 KiB of headers
and 64 KiB of body. Nothing of the body is kept.
"""

import re
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal, NamedTuple

import aiohttp
from aiohttp import BytesPayload, StreamReader
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage

from shared.webhooks.destinations import what_is_wrong_with
from shared.webhooks.resolving import AddressRefused, CheckedResolver, LookUp, SystemLookUp, check_address
from shared.webhooks.signing import SigningKey, sign

ATTEMPT: Final = aiohttp.ClientTimeout(total=15, connect=5)
HEADERS_LIMIT_BYTES: Final = 16_384
BODY_LIMIT_BYTES: Final = 65_536

_ANSWER_LIMIT_BYTES: Final = HEADERS_LIMIT_BYTES + BODY_LIMIT_BYTES
_SLICE_BYTES: Final = 16_384
"""How much is parsed before the limit is looked at again; up to 256 KiB may arrive at a time."""
_RETRY_AFTER: Final = re.compile(r"[ -~]{1,64}")

Failure = Literal[
    "destination-not-allowed",
    "address-not-allowed",
    "name-not-found",
    "connect-failed",
    "certificate-refused",
    "tls-failed",
    "timeout",
    "connection-lost",
    "answer-malformed",
    "answer-too-large",
]
"""Why an attempt has no status: `destination` is the form of the URL, `address` what its name resolved to."""


class Answer(NamedTuple):
    """What became of one attempt."""

    outcome: int | str
    """The HTTP status, or a `Failure`."""
    retry_after: str | None
    """The header as it was sent, if it is at most 64 printable ASCII characters."""
    took_seconds: float

    @property
    def taken(self) -> bool:
        """Whether the receiver took the message (2xx)."""
        return isinstance(self.outcome, int) and _is_taken(self.outcome)


class AnswerTooLarge(aiohttp.ClientError):
    """An answer beyond what is read."""


class Poster:
    """Posts webhooks over connections of its own, so many at once; an asynchronous context manager.

    `attempt`, `look_up`, `tls` and `open_socket` are what production uses unless a test puts others in their place: the
    timeouts of an attempt, how names become addresses, which certificates are trusted, and what makes a socket once its
    address is judged.
    """

    def __init__(
        self,
        *,
        at_once: int,
        allow_loopback: bool,
        attempt: aiohttp.ClientTimeout = ATTEMPT,
        look_up: LookUp | None = None,
        tls: ssl.SSLContext | None = None,
        open_socket: Callable[[int, int, int], socket.socket] = socket.socket,
    ) -> None:
        self._at_once = at_once
        self._allow_loopback = allow_loopback
        self._attempt = attempt
        self._look_up = look_up or SystemLookUp()
        self._tls = tls
        self._open_socket = open_socket

    async def __aenter__(self) -> "Poster":
        """Open the session; nothing connects before the first post."""
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                limit=self._at_once,
                resolver=CheckedResolver(self._look_up, allow_loopback=self._allow_loopback),
                socket_factory=make_socket_factory(allow_loopback=self._allow_loopback, open_socket=self._open_socket),
                ssl=self._tls or True,
            ),
            timeout=self._attempt,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": "kapcare", "Accept-Encoding": "identity"},
            # One limit holds for all headers together; those of the client, for each, are out of its way.
            max_line_size=_ANSWER_LIMIT_BYTES,
            max_field_size=_ANSWER_LIMIT_BYTES,
            max_headers=_ANSWER_LIMIT_BYTES,
        )
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close its connections."""
        await self._session.close()

    async def post(self, url: str, keys: Sequence[SigningKey], webhook_id: str, at: datetime, body: bytes) -> Answer:
        """Make one attempt, signed with each key."""
        if what_is_wrong_with(url, allow_loopback=self._allow_loopback) is not None:
            return Answer("destination-not-allowed", None, 0.0)
        began = time.monotonic()
        outcome: int | Failure
        retry_after = None
        headers, content = sign(webhook_id, at, body, keys), BytesPayload(body, content_type="application/json")
        try:
            async with self._session.post(url, data=content, headers=headers, allow_redirects=False) as response:
                outcome = response.status
                if "Retry-After" in response.headers:
                    retry_after = _retry_after(response)
                await _read_past(response)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            outcome = _why(error)
        return Answer(outcome, retry_after, time.monotonic() - began)


def make_socket_factory(
    *, allow_loopback: bool, open_socket: Callable[[int, int, int], socket.socket] = socket.socket
) -> Callable[[Any], socket.socket]:
    """Return the maker of sockets that judges each resolved address at connect time, after any trick with names."""

    def make_socket(resolved: Any) -> socket.socket:
        family, kind, protocol, _, address = resolved
        check_address(address[0], allow_loopback=allow_loopback)
        return open_socket(family, kind, protocol)

    return make_socket


class _Connector(aiohttp.TCPConnector):
    """Connections whose answers are cut off at the limit."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        kind: type[ResponseHandler] = _CappedAnswer
        self._factory = partial(kind, loop=self._loop)


class _CappedAnswer(ResponseHandler):
    """Counts what comes in after a request, framing and all, also once the connection is idle again."""

    _received = 0
    _limit = HEADERS_LIMIT_BYTES

    def set_response_params(self, **how: Any) -> None:
        self._received = 0
        self._limit = HEADERS_LIMIT_BYTES
        super().set_response_params(**how)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        if data[0].code >= 200:  # the headers are through, and not those of an interim answer
            self._limit = _ANSWER_LIMIT_BYTES
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        if len(data) <= _SLICE_BYTES:
            self._take(data)
            return
        for start in range(0, len(data), _SLICE_BYTES):
            self._take(data[start : start + _SLICE_BYTES])
            if not self.is_connected():
                return

    def _take(self, data: bytes) -> None:
        super().data_received(data)
        self._received += len(data)
        if self._received > self._limit:
            self._cut_off()

    def _cut_off(self) -> None:
        error = AnswerTooLarge()
        payload = self._payload
        if self.transport is not None:
            self.transport.abort()
        self.set_exception(error)
        if payload is not None:
            payload.set_exception(error)


async def _read_past(response: aiohttp.ClientResponse) -> None:
    """Read the answer of a receiver that took the message, so that its connection can serve again; of no other one."""
    if sum(len(name) + len(value) + 4 for name, value in response.raw_headers) > HEADERS_LIMIT_BYTES:
        raise AnswerTooLarge
    if not _is_taken(response.status):
        response.close()
        return
    if response.content.at_eof():
        return
    read = 0
    async for chunk in response.content.iter_any():
        read += len(chunk)
        if read > BODY_LIMIT_BYTES:
            raise AnswerTooLarge


def _is_taken(status: int) -> bool:
    return 200 <= status < 300


def _retry_after(response: aiohttp.ClientResponse) -> str | None:
    asked = response.headers.get("Retry-After", "")
    return asked if _RETRY_AFTER.fullmatch(asked) else None


def _why(error: Exception) -> Failure:
    match error:
        case TimeoutError():
            return "timeout"
        case AnswerTooLarge():
            return "answer-too-large"
        case aiohttp.ClientConnectorCertificateError():
            return "certificate-refused"
        case aiohttp.ClientSSLError():
            return "tls-failed"
        case aiohttp.ClientConnectorError(os_error=AddressRefused()):
            return "address-not-allowed"
        case aiohttp.ClientConnectorDNSError():
            return "name-not-found"
        case aiohttp.ClientConnectorError():
            return "connect-failed"
        case aiohttp.InvalidURL() | ValueError():
            return "destination-not-allowed"
        case aiohttp.ClientResponseError():
            return "answer-malformed"
        case _:
            return "connection-lost"
