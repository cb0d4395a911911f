"""One reaction to every event of every topic: keep its bytes."""

from collections.abc import Sequence

from services.audit.ledger import Ledger
from shared.transport.arrival import Arrival, Handled
from shared.transport.positions import Effects


class KeepEveryEvent:
    """The consumer's handler of this service; nothing is opened, so only what does not fit an entry fails for good."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.effects = Effects(ledger.entries, source="source", sequence="sequence", event="event")

    async def handle(self, arrivals: Sequence[Arrival]) -> Handled:
        """Append the events in the order they came."""
        failures = await self._ledger.append(arrivals)
        stopped = {arrival.lane for arrival in arrivals if arrival.key in failures}
        return Handled(failures, {arrival.key for arrival in arrivals if arrival.lane not in stopped})
