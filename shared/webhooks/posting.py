"""Post a signed webhook: to public addresses only, no redirect followed, no more of an answer read than it must.

Everything here runs on system time. An attempt has 15 s in all and 5 s to connect.
"""

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Final

import aiohttp

from shared.webhooks.destinations import is_allowed, what_is_wrong_with
from shared.webhooks.signing import SigningKey, sign

ATTEMPT: Final = aiohttp.ClientTimeout(total=15, connect=5)
ANSWER_LIMIT_BYTES: Final = 65_536


def make_socket_factory(*, allow_loopback: bool) -> Callable[[Any], socket.socket]:
    """Return the maker of sockets that judges each resolved address at connect time, after any trick with names."""

    def make_socket(resolved: Any) -> socket.socket:
        family, kind, protocol, _, address = resolved
        if not is_allowed(ip_address(address[0]), allow_loopback=allow_loopback):
            raise OSError("the address is not one we call")
        return socket.socket(family, kind, protocol)

    return make_socket


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one attempt."""

    outcome: int | str
    """The status; or in a word why there was none."""
    retry_after: str | None
    took_seconds: float

    @property
    def taken(self) -> bool:
        """Whether the receiver took it."""
        return isinstance(self.outcome, int) and 200 <= self.outcome < 300


class Poster:
    """Posts webhooks over connections of its own, so many at once; an asynchronous context manager."""

    def __init__(self, *, at_once: int, allow_loopback: bool) -> None:
        self._at_once = at_once
        self._allow_loopback = allow_loopback

    async def __aenter__(self) -> "Poster":
        """Open the session; nothing connects before the first post."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._at_once, socket_factory=make_socket_factory(allow_loopback=self._allow_loopback)),
            timeout=ATTEMPT,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": "kapcare", "Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close its connections."""
        await self._session.close()

    async def post(self, url: str, keys: Sequence[SigningKey], webhook_id: str, at: datetime, body: bytes) -> "Answer":
        """Make one attempt, signed with each key."""
        began = time.monotonic()
        outcome, retry_after = await self._post(url, keys, webhook_id, at, body)
        return Answer(outcome, retry_after, time.monotonic() - began)

    async def _post(self, url: str, keys: Sequence[SigningKey], webhook_id: str, at: datetime, body: bytes) -> tuple[int | str, str | None]:
        if what_is_wrong_with(url, allow_loopback=self._allow_loopback) is not None:
            return "destination-not-allowed", None
        headers = {**sign(webhook_id, at, body, keys), "Content-Type": "application/json"}
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                await _read_past(response)
                return response.status, response.headers.get("Retry-After")
        except TimeoutError:
            return "timeout", None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return type(error).__name__, None


async def _read_past(response: aiohttp.ClientResponse) -> None:
    """Read a short answer so that its connection can serve again; a long one costs its sender the connection."""
    read = 0
    async for chunk in response.content.iter_any():
        read += len(chunk)
        if read > ANSWER_LIMIT_BYTES:
            response.close()
            return
