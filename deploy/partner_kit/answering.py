"""How a partner's server answers a webhook: at once, or in one of the ways that the network must bear."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

SLOW_SECONDS: Final = 13.0
"""The network waits 15 s for an answer."""
HANGING_SECONDS: Final = 120.0
DRIP_SECONDS: Final = 1.0
RETRY_AFTER_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt of the network to deliver a webhook."""

    request: web.Request
    attempt: int
    """How often this webhook-id came, this time included."""
    take: Callable[[], Awaitable[web.Response]]
    """Verifies the message, keeps it, and says so."""


Answering = Callable[[Call], Awaitable[web.StreamResponse]]


async def at_once(call: Call) -> web.StreamResponse:
    """Take it."""
    return await call.take()


async def slowly(call: Call) -> web.StreamResponse:
    """Take it shortly before the network gives up waiting."""
    await asyncio.sleep(SLOW_SECONDS)
    return await call.take()


async def never(_call: Call) -> web.StreamResponse:
    """Say nothing for longer than anybody waits."""
    await asyncio.sleep(HANGING_SECONDS)
    return web.Response(status=500)


async def failing(_call: Call) -> web.StreamResponse:
    """Fail."""
    return web.Response(status=500)


async def every_other_time(call: Call) -> web.StreamResponse:
    """Fail at the first attempt of each message and take the second."""
    return web.Response(status=500) if call.attempt % 2 else await call.take()


async def gone(_call: Call) -> web.StreamResponse:
    """Say that there is no such endpoint any more."""
    return web.Response(status=410)


async def throttling(call: Call) -> web.StreamResponse:
    """Ask for a pause before each message."""
    if call.attempt > 1:
        return await call.take()
    return web.Response(status=429, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


async def elsewhere(call: Call) -> web.StreamResponse:
    """Send the network to another address."""
    return web.Response(status=307, headers={"Location": str(call.request.url.with_path("/elsewhere"))})


async def byte_by_byte(call: Call) -> web.StreamResponse:
    """Begin a good answer, and never end it."""
    response = web.StreamResponse()
    await response.prepare(call.request)
    for _ in range(int(HANGING_SECONDS / DRIP_SECONDS)):
        await response.write(b".")
        await asyncio.sleep(DRIP_SECONDS)
    return response
