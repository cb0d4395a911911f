"""Background tasks that are owned: one that ends before it was asked to makes the service unready and ends the process."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

from shared.telemetry.logs import Logger


class Tasks:
    """The background tasks of one service process."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self.failed: str | None = None
        """The name of the task that ended unasked."""

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Start and own a task."""

        async def owned() -> None:
            await work()

        task = asyncio.create_task(owned(), name=name)
        task.add_done_callback(self._ended)
        self._tasks[name] = task

    async def stop(self, finish_within_seconds: float) -> None:
        """Give the tasks, which were asked to stop, a bounded time to finish; then cancel what still runs."""
        self._stopping = True
        if not self._tasks:
            return
        _, running = await asyncio.wait(self._tasks.values(), timeout=finish_within_seconds)
        for task in running:
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if self._stopping:
            return
        self.failed = task.get_name()
        self._log.error("a background task ended; the service ends", task=task.get_name(), exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)
