"""Consent and holds as the integration service speaks of them."""

from shared.events import integration
from shared.pathway.stop import StopEvents

STOPS = StopEvents(
    service="integration",
    withdrawn=integration.ConsentWithdrawn,
    placed=integration.SafetyHoldPlaced,
    lifted=integration.SafetyHoldLifted,
    noted=integration.StopNoted,
)
