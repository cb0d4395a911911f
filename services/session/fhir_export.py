"""The session service's part of a case in FHIR R4: the course as a plan, each session as appointment and encounter, and the room. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from services.session.domain.session import Session
from services.session.domain.state import Approval, Course
from services.session.fhir_room import encounter_key, room
from shared.fhir.codes import ENCOUNTER_CLASS, local
from shared.fhir.elements import Element, coding, concept, moment, period, said
from shared.fhir.record import Record, Resource

ENCOUNTER: Final = {"scheduled": "planned", "dosed": "in-progress", "completed": "finished", "cancelled": "cancelled"}
APPOINTMENT: Final = {"scheduled": "booked", "dosed": "fulfilled", "completed": "fulfilled", "cancelled": "cancelled"}
ACTIVITY: Final = {"scheduled": "scheduled", "dosed": "in-progress", "completed": "completed", "cancelled": "cancelled"}
"""By the phase of a session."""


def export(case: str, clinic: str, patient: str, state: Course) -> list[Resource]:
    """Return the resources of the course as it stands."""
    record = Record(case, clinic, patient)
    return [
        record.person(),
        record.organisation("clinic", clinic),
        *_course(record, state),
        *(resource for session in state.sessions for resource in _session(record, state, session)),
        *room(record, state),
    ]


def _course(record: Record, state: Course) -> Iterator[Resource]:
    """The course under the approval that opened it last: preparation, then each session."""
    approval = state.approval
    if approval is None:
        return
    yield record.resource(
        "CarePlan",
        "course",
        status=_status(state),
        intent="plan",
        category=[concept(local("course"), "Course of ketamine-assisted psychotherapy")],
        subject=record.subject,
        period=period(state.opened_at, approval.plan.expires_at),
        author=record.organisation_reference("clinic", record.clinic),
        activity=[_preparation(state), *(_activity(record, session) for session in state.sessions)],
    )


def _status(state: Course) -> str:
    """A stop puts on hold a course that goes on; one whose approval ended or was taken back is revoked."""
    if state.completed:
        return "completed"
    if state.plan is None:
        return "revoked"
    return "active" if state.stops.why_stopped() is None else "on-hold"


def _preparation(state: Course) -> Element:
    held = state.preparation
    done = None if held is None else period(held.completed_at, held.completed_at)
    status = "not-started" if held is None else "completed"
    return {"detail": said(code=concept(local("preparation"), "Preparation"), status=status, scheduledPeriod=done)}


def _activity(record: Record, session: Session) -> Element:
    detail = said(code=_dosing(), status=ACTIVITY[session.phase], scheduledPeriod=period(_starts_at(session), None))
    return {"outcomeReference": [record.reference("Encounter", encounter_key(session.number))], "detail": detail}


def _session(record: Record, state: Course, session: Session) -> Iterator[Resource]:
    appointment = _appointment(record, state.approval, session)
    if appointment is not None:
        yield appointment
    setting = "clinic" if session.scheduled is None else session.scheduled.setting
    yield record.resource(
        "Encounter",
        encounter_key(session.number),
        status=ENCOUNTER[session.phase],
        type=[_dosing()],
        subject=record.subject,
        appointment=None if appointment is None else [record.reference("Appointment", encounter_key(session.number))],
        period=period(_began_at(session), None if session.completed is None else session.completed.discharged_at),
        serviceProvider=record.organisation_reference("clinic", record.clinic),
        **{"class": coding(ENCOUNTER_CLASS[setting])},
    )


def _appointment(record: Record, approval: Approval | None, session: Session) -> Resource | None:
    """R4 demands an end where there is a start; known is how long the patient stays after a dose at the least (R-23)."""
    if session.scheduled is None or approval is None:
        return None
    start = session.scheduled.starts_at
    return record.resource(
        "Appointment",
        encounter_key(session.number),
        status=APPOINTMENT[session.phase],
        serviceType=[_dosing()],
        start=moment(start),
        end=moment(start + timedelta(minutes=approval.plan.limits.minimum_stay_minutes)),
        participant=[{"actor": record.subject, "status": "accepted"}],
    )


def _dosing() -> Element:
    return concept(local("dosing-session"), "Dosing session")


def _starts_at(session: Session) -> datetime | None:
    return _began_at(session) if session.scheduled is None else session.scheduled.starts_at


def _began_at(session: Session) -> datetime | None:
    """The first thing that was done in it."""
    return min([*(checks.checked_at for checks in session.checks), *(dose.given_at for dose in session.doses)], default=None)
