"""Background tasks that are owned: one that ends before it was asked to makes the service unready and ends the process."""

import asyncio
import os
import signal

from shared.service.runtime import Background
from shared.telemetry.logs import Logger


class Tasks:
    """The background tasks of one service process."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._tasks: dict[asyncio.Task[None], Background] = {}
        self._stopping = False
        self.failed: str | None = None
        """The name of the task that ended unasked."""

    def start(self, name: str, background: Background) -> None:
        """Start and own a task."""

        async def owned() -> None:
            await background.run()

        task = asyncio.create_task(owned(), name=name)
        self._tasks[task] = background
        task.add_done_callback(self._ended)

    async def stop(self, finish_within_seconds: float) -> None:
        """Ask every task to finish, within a bounded time; what cannot be asked, or is not done then, is cancelled."""
        self._stopping = True
        for task, background in self._tasks.items():
            if background.stop is None:
                task.cancel()
            else:
                await background.stop()
        if self._tasks:
            _, running = await asyncio.wait(self._tasks, timeout=finish_within_seconds)
            while running:  # the database driver may swallow a cancellation
                for task in running:
                    task.cancel()
                _, running = await asyncio.wait(running, timeout=0.5)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if self._stopping:
            return
        self.failed = task.get_name()
        self._log.error("a background task ended; the service ends", task=task.get_name(), exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)
