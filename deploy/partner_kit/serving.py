"""Serve an application on loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

SHUTDOWN_SECONDS = 0.5


@asynccontextmanager
async def serving(app: web.Application, port: int) -> AsyncIterator[str]:
    """Serve on a loopback port, 0 for any; yields the URL. A handler whose caller hangs up is cancelled."""
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        host, actual = runner.addresses[0][:2]
        yield f"http://{host}:{actual}"
    finally:
        await runner.cleanup()
