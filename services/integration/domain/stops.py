"""The event types with which integration speaks of consent and holds."""

from shared.events import integration
from shared.pathway.stop import StopEvents

STOP = StopEvents(
    service="integration",
    withdrawn=integration.ConsentWithdrawn,
    placed=integration.SafetyHoldPlaced,
    lifted=integration.SafetyHoldLifted,
    noted=integration.StopNoted,
)
