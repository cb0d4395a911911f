"""What became of attempts, written by one task: what ended while the last write was under way is the next one."""

import asyncio
from collections.abc import Callable

from services.prescriber.partners.deliveries import Deliveries, Result
from shared.webhooks.dispatch import Delivery


class Results:
    """Results that are to be recorded; `recorded` is told of each delivery whose result is durable."""

    def __init__(self, deliveries: Deliveries, recorded: Callable[[Delivery, Result], None]) -> None:
        self._deliveries = deliveries
        self._recorded = recorded
        self._noted: list[tuple[Delivery, Result]] = []
        self._changed = asyncio.Event()
        self._ending = False

    def note(self, delivery: Delivery, result: Result) -> None:
        """Have a result recorded."""
        self._noted.append((delivery, result))
        self._changed.set()

    async def keep(self) -> None:
        """Record what is noted, until asked to end; raises as `Deliveries.record` does."""
        while self._noted or not self._ending:
            await self._changed.wait()
            self._changed.clear()
            noted, self._noted = self._noted, []
            if noted:
                await self._deliveries.record(noted)
            for delivery, result in noted:
                self._recorded(delivery, result)

    def end(self) -> None:
        """Let `keep` end as soon as all is recorded."""
        self._ending = True
        self._changed.set()
