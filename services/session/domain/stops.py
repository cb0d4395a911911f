"""Consent and holds as this service speaks of them; whatever ends a stop also opens a course that waited."""

from services.session.domain.monitor import then_watch
from services.session.domain.open_course import then_open
from services.session.domain.state import Course
from services.session.domain.uncovered import found_by
from shared.events import session
from shared.events.base import EventData
from shared.pathway.context import Context
from shared.pathway.stop import LiftHold, StopEvents, WithdrawConsent

STOPS = StopEvents(
    service="session",
    withdrawn=session.ConsentWithdrawn,
    placed=session.SafetyHoldPlaced,
    lifted=session.SafetyHoldLifted,
    noted=session.StopNoted,
)


def note_stop(course: Course, event: EventData, context: Context) -> list[EventData]:
    """React to another service's word on consent or a hold."""
    return then_open(course, [*STOPS.note(course, event, context), *found_by(course, event, context)], context)


def withdraw_consent(course: Course, command: WithdrawConsent, context: Context) -> list[EventData]:
    """Record a withdrawal; one from before a dose that is known here finds that dose uncovered."""
    events = STOPS.withdraw(course, command, context)
    return then_watch(course, [*events, *(found for event in events for found in found_by(course, event, context))], context)


def lift_hold(course: Course, command: LiftHold, context: Context) -> list[EventData]:
    """Lift a hold with a reason."""
    return then_watch(course, then_open(course, STOPS.lift(course, command, context), context), context)
