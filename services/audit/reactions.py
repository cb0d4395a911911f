"""One reaction to every event of every topic: keep its bytes."""

from collections.abc import Mapping, Sequence

from services.audit.ledger import Ledger
from shared.transport.arrival import Arrival


class KeepEveryEvent:
    """The consumer's handler of this service; nothing fails permanently, since nothing is opened."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def handle(self, arrivals: Sequence[Arrival]) -> Mapping[str, str]:
        """Append the events in the order they came."""
        await self._ledger.append(arrivals)
        return {}
