"""The network's end of the line to a partner's server: sends requests exactly as they were made, and follows no redirect."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import groupby
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict

from deploy.partner_kit.checks import How
from deploy.partner_kit.judging import Answer
from deploy.partner_kit.messages import Outgoing

ANSWER_SECONDS: Final = 15.0
"""How long the network waits for an answer."""
AT_ONCE: Final = 16
"""Connections that the network opens to one partner at a time."""
ANSWER_LIMIT_BYTES: Final = 65_536
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def what_is_wrong_with_address(url: str, *, insecure: bool) -> str | None:
    """Return in a few words why nothing is sent to a URL; None if it may be tried."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "not a URL"
    if parts.scheme not in {"http", "https"} or not host:
        return "not an http or https URL"
    if "@" in parts.netloc or parts.fragment:
        return "no user information and no fragment"
    if parts.scheme == "http" and host not in LOOPBACK and not insecure:
        return "https only, except on this machine; --insecure sends to it all the same"
    return None


class Line:
    """Sends to one URL."""

    def __init__(self, url: str, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._url = url
        self._answer_seconds = answer_seconds

    async def send(self, messages: Sequence[Outgoing], how: How = "one by one") -> list[Answer]:
        """Send messages and return their answers, in the order of the messages."""
        async with self._session(how) as session:
            if how != "at once":
                return [await self._post(session, message) for message in messages]
            found: dict[int, Answer] = {}

            async def send_lane(lane: Sequence[Outgoing]) -> None:
                for message in lane:
                    found[id(message)] = await self._post(session, message)

            by_lane = sorted(messages, key=lambda message: message.lane)
            async with asyncio.TaskGroup() as group:
                for _, lane in groupby(by_lane, key=lambda message: message.lane):
                    group.create_task(send_lane(list(lane)))
            return [found[id(message)] for message in messages]

    @asynccontextmanager
    async def _session(self, how: How) -> AsyncIterator[aiohttp.ClientSession]:
        kept = how == "on one connection"
        watched = aiohttp.TraceConfig()
        watched.on_connection_reuseconn.append(_note_reuse)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1) if kept else aiohttp.TCPConnector(limit=AT_ONCE, force_close=True),
            timeout=aiohttp.ClientTimeout(total=self._answer_seconds, connect=min(5.0, self._answer_seconds)),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            trace_configs=[watched],
            headers={"User-Agent": "kapcare", "Accept-Encoding": "identity"},
        ) as session:
            yield session

    async def _post(self, session: aiohttp.ClientSession, message: Outgoing) -> Answer:
        headers = CIMultiDict([*message.headers, ("Content-Type", "application/json")])
        seen = SimpleNamespace(reused=False)
        began = time.monotonic()

        def answer(status: int | None, failure: str = "", date: str | None = None) -> Answer:
            return Answer(message.label, status, time.monotonic() - began, failure, seen.reused, _ahead(date))

        try:
            async with session.post(
                self._url, data=message.body, headers=headers, allow_redirects=False, trace_request_ctx=seen
            ) as response:
                await _read_past(response)
                return answer(response.status, date=response.headers.get("Date"))
        except TimeoutError:
            return answer(None, f"no answer within {self._answer_seconds:g} s")
        except aiohttp.ClientConnectorError:
            return answer(None, "no connection")
        except (aiohttp.ClientError, OSError):
            return answer(None, "the connection broke before there was an answer")


async def _read_past(response: aiohttp.ClientResponse) -> None:
    """Read the answer to its end, unless it is so long that the network would hang up."""
    read = 0
    async for chunk in response.content.iter_any():
        read += len(chunk)
        if read > ANSWER_LIMIT_BYTES:
            response.close()
            return


async def _note_reuse(_session: aiohttp.ClientSession, context: Any, _: aiohttp.TraceConnectionReuseconnParams) -> None:
    context.trace_request_ctx.reused = True


def _ahead(date: str | None) -> float | None:
    """How far the server's clock is ahead, by its `Date` header; None where there is none that can be read."""
    if date is None:
        return None
    try:
        return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return None
