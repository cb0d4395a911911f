"""How the processes of the other builds are served and watched: as kapcare's own are."""

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any

import uvicorn
from pymongo import AsyncMongoClient
from starlette.applications import Starlette

from shared.service.garbage import rarely_collect_garbage
from shared.settings import Settings


def serve(app: Starlette, settings: Settings) -> None:
    """Serve until SIGTERM, with the options of kapcare's services."""
    rarely_collect_garbage()
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
        access_log=False,
        log_level="warning",
        server_header=False,
    )


def connect(settings: Settings) -> AsyncMongoClient[dict[str, Any]]:
    """Return a client whose writes are durable on a majority, journaled."""
    return AsyncMongoClient(settings.mongo_url, w="majority", journal=True, readConcernLevel="majority", tz_aware=True)


def start(work: Coroutine[Any, Any, None], running: list[asyncio.Task[None]]) -> None:
    """Start a background task; its end is the end of the process."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            os.kill(os.getpid(), signal.SIGTERM)

    task = asyncio.create_task(work)
    task.add_done_callback(ended)
    running.append(task)


async def cancel(running: list[asyncio.Task[None]]) -> None:
    """Cancel background tasks, and report what one died of."""
    for task in running:
        task.cancel()
    for result in await asyncio.gather(*running, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
