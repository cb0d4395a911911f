"""Consent and holds as this service speaks of them; whatever ends a stop also sets a waiting review free."""

from services.prescriber.domain.partners.state import Partners
from services.prescriber.domain.review import release
from services.prescriber.domain.state import Case
from shared.events import prescriber
from shared.events.base import EventData
from shared.pathway.context import Context
from shared.pathway.stop import LiftHold, StopEvents
from shared.service.definition import Decide, Reaction

STOPS = StopEvents(
    service="prescriber",
    withdrawn=prescriber.ConsentWithdrawn,
    placed=prescriber.SafetyHoldPlaced,
    lifted=prescriber.SafetyHoldLifted,
    noted=prescriber.StopNoted,
)


def noting(partners: Partners) -> Reaction:
    """Return the reaction to another service's word on consent or a hold."""

    def note(case: Case, event: EventData, context: Context) -> list[EventData]:
        return release(case, STOPS.note(case, event, context), partners, context)

    return note


def lifting(partners: Partners) -> Decide:
    """Return the decision that lifts a hold with a reason."""

    def lift(case: Case, command: LiftHold, context: Context) -> list[EventData]:
        return release(case, STOPS.lift(case, command, context), partners, context)

    return lift
