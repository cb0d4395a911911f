"""Consent and holds as the integration service speaks of them; who withdraws consent is seen once more."""

from services.integration.domain.course import then_see_once_more
from services.integration.domain.state import Integration
from shared.events import integration
from shared.events.base import EventData
from shared.pathway.context import Context
from shared.pathway.stop import StopEvents, WithdrawConsent

STOPS = StopEvents(
    service="integration",
    withdrawn=integration.ConsentWithdrawn,
    placed=integration.SafetyHoldPlaced,
    lifted=integration.SafetyHoldLifted,
    noted=integration.StopNoted,
)


def note_stop(state: Integration, event: EventData, context: Context) -> list[EventData]:
    """React to another service's announcement: take note, once, if it says anything new."""
    return then_see_once_more(state, STOPS.note(state, event, context), context)


def withdraw_consent(state: Integration, command: WithdrawConsent, context: Context) -> list[EventData]:
    """Record a withdrawal; always accepted unless it lies in the future or is known already."""
    return then_see_once_more(state, STOPS.withdraw(state, command, context), context)
