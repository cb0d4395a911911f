"""What became of attempts, written by one task: what ended while the last write was under way is the next one."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from pymongo.errors import PyMongoError

from services.prescriber.partners.deliveries import Deliveries, Result
from shared.transport.ending import asked_to_end
from shared.webhooks.dispatch import Delivery

AT_ONCE: Final = 500
"""Results of one write."""
REST_SECONDS: Final = 2.0
"""How long whoever sends next waits for what is left: a store that is away does not take it."""


class Results:
    """Results that are to be recorded; `recorded` is told of each delivery whose result is durable."""

    def __init__(self, deliveries: Deliveries, recorded: Callable[[Delivery, Result], None]) -> None:
        self._deliveries = deliveries
        self._recorded = recorded
        self._noted: list[tuple[Delivery, Result]] = []
        """What is not known to be durable."""
        self._changed = asyncio.Event()
        self._ending = False

    def note(self, delivery: Delivery, result: Result) -> None:
        """Have a result recorded."""
        self._noted.append((delivery, result))
        self._changed.set()

    async def keep(self) -> None:
        """Record what is noted, until asked to end; raises as `Deliveries.record` does."""
        while (self._noted or not self._ending) and not asked_to_end():
            await self._changed.wait()
            self._changed.clear()
            while self._noted:
                await self._record_some()

    def end(self) -> None:
        """Let `keep` end as soon as all is recorded."""
        self._ending = True
        self._changed.set()

    async def rest(self) -> None:
        """After `keep` was ended by something else: try once to record what is left, which would be sent again otherwise."""
        with suppress(PyMongoError, TimeoutError):
            async with asyncio.timeout(REST_SECONDS):
                while self._noted:
                    await self._record_some()

    async def _record_some(self) -> None:
        some = self._noted[:AT_ONCE]
        await self._deliveries.record(some)
        del self._noted[: len(some)]
        for delivery, result in some:
            self._recorded(delivery, result)
