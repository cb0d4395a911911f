"""What of a course is shown to those who care for the patient. No rules."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from services.session.domain.effects import Effect, dissociation, sedation
from services.session.domain.entries import Recorded, correction_of, recorded
from services.session.domain.rems_form import rems_form
from services.session.domain.session import Session
from services.session.domain.state import Course
from shared.events import session as events
from shared.events.base import EventData
from shared.events.stay import EntryKind
from shared.pathway.alert import show

HAPPENED: dict[EntryKind, str] = {
    "preparation": "completed_at",
    "checks": "checked_at",
    "dose": "given_at",
    "vitals": "taken_at",
    "adverse_event": "happened_at",
    "discharge": "discharged_at",
    "chaperone_check": "checked_at",
    "emergency_response": "responded_at",
    "rems_form": "submitted_at",
}
"""The field of each entry that says when it happened."""

BEFORE_OTHERS: Final[Sequence[type[EventData]]] = (
    events.SessionScheduled,
    events.SetAndSettingRecorded,
    events.PreDoseChecked,
    events.PressureDecided,
    events.DosingAuthorised,
    events.SessionDosed,
    events.AdministrationEnded,
)
"""How lines of one minute follow each other; any other comes after these."""


def show_course(course: Course) -> dict[str, Any]:
    """Show the course, with the timeline of each session."""
    return {
        "status": course.status,
        "plan": course.plan,
        "limits": None if course.approval is None else course.approval.plan.limits,
        "doses_left": course.doses_left,
        "preparation": course.preparation,
        "enrolment": course.enrolment,
        "lots": sorted(course.lots),
        "consent": {"in_force": course.stops.consented, "version": course.stops.consent_version},
        "holds": sorted(course.stops.holds),
        "open_emergencies": [{"session": each.session, "because": each.because, "at": each.at} for each in course.open_emergencies],
        "alerts": show(course.alerts),
        "sessions": [_show_session(course, session) for session in course.sessions],
        "outside_sessions": _lines(_entries(course, None)),
        "due": course.deadlines,
    }


def show_rems_forms(course: Course) -> dict[str, Any]:
    """Show the REMS form of each esketamine session as the record has it, and what is still missing."""
    found = [form for session in course.sessions if (form := rems_form(course, session)) is not None]
    return {"forms": [{**{field.name: getattr(form, field.name) for field in fields(form)}, "missing": form.missing} for form in found]}


def _show_session(course: Course, session: Session) -> dict[str, Any]:
    return {
        "session": session.number,
        "phase": session.phase,
        "group": session.group,
        "sedation": _show_effect(sedation(session)),
        "dissociation": _show_effect(dissociation(session)),
        "timeline": _lines([*_entries(course, session.number), *_words(course, session)]),
    }


def _show_effect(effect: Effect) -> dict[str, Any]:
    return {"looked_for": effect.looked_for, "onset": effect.onset, "resolution": effect.resolution}


def _entries(course: Course, number: int | None) -> Iterator[tuple[datetime, EventData, dict[str, Any]]]:
    """Yield what was recorded of a session, or outside any; marked entries too."""
    for kind, session, entry in recorded(course):
        if session == number:
            yield getattr(entry, HAPPENED[kind]), entry, _remarks(course, session, entry)


def _remarks(course: Course, session: int | None, entry: Recorded) -> dict[str, Any]:
    """Say of an entry that it was made late, and how it was marked."""
    corrected = correction_of(course, session, entry.entry)
    struck = {} if corrected is None else {"corrected": {"kind": corrected.kind, "reason": corrected.reason, "at": corrected.at}}
    return {**({"late": True} if entry.late else {}), **struck}


def _words(course: Course, session: Session) -> Iterator[tuple[datetime, EventData, dict[str, Any]]]:
    """Yield what the service itself said of a session."""
    if session.scheduled is not None:
        yield session.scheduled.starts_at, session.scheduled, {}
    yield from ((said.recorded_at, said, {}) for said in session.surroundings)
    yield from ((decided.decided_at, decided, {}) for decided in session.pressure_decisions)
    yield from ((authorised.authorised_at, authorised, {}) for authorised in session.authorisations)
    yield from ((ended.ended_at, ended, {}) for ended in session.administrations_ended)
    yield from ((overdue.due_at, overdue, {}) for overdue in session.overdue)
    yield from ((overdue.due_at, overdue, {}) for overdue in session.repeats_overdue)
    yield from ((overdue.due_at, overdue, {}) for overdue in session.chaperone_overdue)
    yield from ((found.heard_at, found, {}) for found in course.uncovered if found.session == session.number)
    for escalated in course.escalations:
        if escalated.session == session.number:
            yield escalated.at, escalated, {}


def _lines(entries: Iterable[tuple[datetime, EventData, dict[str, Any]]]) -> list[dict[str, Any]]:
    ordered = sorted(entries, key=lambda entry: (entry[0], _rank(entry[1])))
    return [
        {"at": at, "event": type(event).__name__, **event.model_dump(mode="json", exclude_none=True), **remarks}
        for at, event, remarks in ordered
    ]


def _rank(event: EventData) -> int:
    kind = type(event)
    return BEFORE_OTHERS.index(kind) if kind in BEFORE_OTHERS else len(BEFORE_OTHERS)
