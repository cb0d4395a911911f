"""One reaction to every event of every topic: keep its bytes."""

from collections.abc import Sequence

from services.audit.ledger import Ledger
from shared.transport.arrival import Arrival, Handled
from shared.transport.positions import Effects


class KeepEveryEvent:
    """The consumer's handler of this service; nothing fails permanently, since nothing is opened."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.effects = Effects(ledger.entries, source="source", sequence="sequence", event="headers.ce_id")

    async def handle(self, arrivals: Sequence[Arrival]) -> Handled:
        """Append the events in the order they came."""
        await self._ledger.append(arrivals)
        return Handled({}, {arrival.key for arrival in arrivals})
