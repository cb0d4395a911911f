"""Routes: which request leads to which decision, and what of a course is shown. No rules."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from services.session.domain.adverse_event import RecordAdverseEvent, record_adverse_event
from services.session.domain.alerts import ALERT
from services.session.domain.authorise import HEARD, AuthoriseDose, authorise_dose
from services.session.domain.check import RecordChecks, record_checks
from services.session.domain.discharge import DischargePatient, discharge_patient
from services.session.domain.dose import RecordDose, record_dose
from services.session.domain.monitor import RecordVitals, record_vitals
from services.session.domain.prepare import RecordPreparation, record_preparation
from services.session.domain.schedule import CancelSession, ScheduleSession, cancel_session, schedule_session
from services.session.domain.state import Course, Session
from services.session.domain.stops import STOPS, lift_hold, withdraw_consent
from shared.access.decide import Permission
from shared.events.base import EventData
from shared.pathway.alert import AcknowledgeAlert, show
from shared.pathway.stop import LiftHold, PlaceHold, WithdrawConsent
from shared.service.definition import Command, View

CASE = "/cases/{case}"

COMMANDS = (
    Command(f"{CASE}/preparation", RecordPreparation, record_preparation, Permission.PREPARE, "Record the preparation"),
    Command(f"{CASE}/sessions", ScheduleSession, schedule_session, Permission.PREPARE, "Schedule the next dosing session"),
    Command(f"{CASE}/sessions/cancel", CancelSession, cancel_session, Permission.PREPARE, "Cancel a scheduled session"),
    Command(f"{CASE}/checks", RecordChecks, record_checks, Permission.RECORD_CARE, "Record the checks before a dose"),
    Command(
        f"{CASE}/authorisation",
        AuthoriseDose,
        authorise_dose,
        Permission.AUTHORISE_DOSE,
        "Authorise a dose",
        waits_for_inbox=True,
        views_of=HEARD,
    ),
    Command(f"{CASE}/doses", RecordDose, record_dose, Permission.RECORD_CARE, "Record a dose that was given"),
    Command(f"{CASE}/vitals", RecordVitals, record_vitals, Permission.RECORD_CARE, "Record vitals"),
    Command(f"{CASE}/adverse-events", RecordAdverseEvent, record_adverse_event, Permission.RECORD_CARE, "Record an adverse event"),
    Command(f"{CASE}/discharge", DischargePatient, discharge_patient, Permission.RECORD_CARE, "Discharge the patient"),
    Command(f"{CASE}/consent-withdrawal", WithdrawConsent, withdraw_consent, Permission.STOP, "Record that the patient withdrew consent"),
    Command(f"{CASE}/holds", PlaceHold, STOPS.place, Permission.STOP, "Place a safety hold"),
    Command(f"{CASE}/holds/lift", LiftHold, lift_hold, Permission.LIFT_HOLD, "Lift a safety hold with a reason"),
    Command(f"{CASE}/alerts/acknowledge", AcknowledgeAlert, ALERT.acknowledge, Permission.ACKNOWLEDGE, "Take an alert on"),
)


def show_course(course: Course) -> dict[str, Any]:
    """Show the course to those who care for the patient."""
    return {
        "status": course.status,
        "plan": course.plan,
        "doses_left": course.doses_left,
        "preparation": course.preparation,
        "consent": {"in_force": course.stops.consented, "version": course.stops.consent_version},
        "holds": sorted(course.stops.holds),
        "alerts": show(course.alerts),
        "sessions": [_show_session(course, session) for session in course.sessions],
        "outside_sessions": _lines((event.happened_at, event) for event in course.adverse_events if event.session is None),
        "due": course.deadlines,
    }


def _show_session(course: Course, session: Session) -> dict[str, Any]:
    return {"session": session.number, "phase": session.phase, "timeline": _lines(_entries(course, session))}


def _entries(course: Course, session: Session) -> Iterator[tuple[datetime, EventData]]:
    if session.scheduled is not None:
        yield session.scheduled.starts_at, session.scheduled
    yield from ((checks.checked_at, checks) for checks in session.checks)
    yield from ((authorised.authorised_at, authorised) for authorised in session.authorisations)
    yield from ((dose.given_at, dose) for dose in session.doses)
    yield from ((vitals.taken_at, vitals) for vitals in session.vitals)
    yield from ((overdue.due_at, overdue) for overdue in session.overdue)
    yield from ((event.happened_at, event) for event in course.adverse_events if event.session == session.number)
    yield from ((found.heard_at, found) for found in course.uncovered if found.session == session.number)
    yield from ((escalated.at, escalated) for escalated in course.escalations if escalated.session == session.number)
    if session.completed is not None:
        yield session.completed.discharged_at, session.completed


def _lines(entries: Any) -> list[dict[str, Any]]:
    ordered = sorted(entries, key=lambda entry: entry[0])
    return [{"at": at, "event": type(event).__name__, **event.model_dump(mode="json", exclude_none=True)} for at, event in ordered]


VIEWS = (View(CASE, Permission.READ_CASE, show_course, "Show the course, with the timeline of each session"),)
