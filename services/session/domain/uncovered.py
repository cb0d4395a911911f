"""A stop that was in force when a dose was given, and of which this service heard only afterwards: said as soon as it is known.

The bound on the age of a view (`view_at_most_seconds_old`) leaves a dose that much room to cross a stop; none goes unseen.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from services.session.domain.state import Course
from shared.events import base
from shared.events.base import EventData
from shared.events.session import SessionDosed
from shared.events.stay import DoseFoundUncovered, LateStop
from shared.pathway.context import Context

SAID_WITH_THE_DOSE: Final[dict[LateStop, frozenset[str]]] = {
    "hold_placed": frozenset({"stopped", "safety-hold"}),
    "consent_withdrawn": frozenset({"stopped", "consent-withdrawn"}),
    "approval_declined": frozenset({"not-approved"}),
    "approval_revoked": frozenset({"not-approved"}),
    "approval_expired": frozenset({"not-approved", "plan-expired"}),
}
"""The deviations of a dose that was recorded when its stop was known; `stopped` in the words of an earlier release."""


def found_by(course: Course, event: EventData, context: Context) -> list[EventData]:
    """Return each dose that a hold or a withdrawal finds uncovered (R-10, R-20)."""
    match event:
        case base.SafetyHoldPlaced():
            return _said(course, "hold_placed", event.placed_at, context, event.hold)
        case base.ConsentWithdrawn():
            return _said(course, "consent_withdrawn", event.withdrawn_at, context)
        case _:
            return []


def found_by_end(course: Course, because: LateStop, ended_at: datetime, context: Context) -> list[EventData]:
    """Return each dose that the end of an approval finds uncovered (R-14, R-15)."""
    return _said(course, because, ended_at, context)


def _said(course: Course, because: LateStop, stopped_at: datetime, context: Context, hold: str | None = None) -> list[EventData]:
    known = {(found.session, found.given_at, found.because, found.hold, found.stopped_at) for found in course.uncovered}
    return [
        DoseFoundUncovered(
            session=dose.session, given_at=dose.given_at, because=because, hold=hold, stopped_at=stopped_at, heard_at=context.now
        )
        for dose in _doses_since(course, stopped_at)
        if not SAID_WITH_THE_DOSE[because] & set(dose.deviations)
        and not (because == "consent_withdrawn" and _consented_between(course, stopped_at, dose))
        and (dose.session, dose.given_at, because, hold, stopped_at) not in known
    ]


def _doses_since(course: Course, moment: datetime) -> Iterator[SessionDosed]:
    return (dose for session in course.sessions for dose in session.doses if dose.given_at >= moment)


def _consented_between(course: Course, withdrawn_at: datetime, dose: SessionDosed) -> bool:
    """Whether the patient consented again after the withdrawal and before the dose."""
    given_at = course.stops.consent_given_at
    return given_at is not None and withdrawn_at < given_at <= dose.given_at
