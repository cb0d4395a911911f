"""What is waited for once a dose was given: when its absence must next be said, and whether it stands overdue. Pure.

A watch is read off the entries that count, so what is recorded late, corrected or taken back settles it or opens it again by itself.
After the discharge nothing more falls due in the room.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

from services.session.domain.entry import not_before
from services.session.domain.session import Session, above
from shared.events import session as events
from shared.events import stay
from shared.events.base import EventData, Slug
from shared.events.clinical import BloodPressure

FORM_SETTINGS_WITHOUT: Final = ("inpatient",)
"""Settings of which no REMS form is owed (spravatorems.com, inpatient page)."""


@dataclass(frozen=True, slots=True)
class Watch:
    """One thing waited for; `name` says which, also of the alerts about it."""

    name: Slug
    at: datetime | None
    """When its absence must next be said; None if that needs no further word."""
    overdue: EventData | None
    """The last word that it is missing, as long as it is."""
    say: Callable[[], EventData]
    """Makes the event that says so."""
    session: int | None = None
    escalates: tuple[str, Slug] | None = None
    """The rule and the reason where saying it calls a clinician beside."""


def watches_of(session: Session, limit: BloodPressure | None) -> Iterator[Watch]:
    """Yield what is waited for in a session; `limit` is the patient's, as far as a prescriber sent one."""
    yield from _held_pressure(session, limit)
    if session.doses:
        yield from _second_pressures(session)
        yield from _repeat_pressure(session)
        yield from _chaperone_check(session)
        yield from _form(session)


def end_of_emergency(emergency: events.Escalated) -> Watch:
    """Return the wait for the recorded end of an emergency (R-22, R-35)."""
    return Watch(emergency_name(emergency.session, emergency.at), None, emergency, lambda: emergency, emergency.session)


def second_pressure_name(session: int, due_at: datetime) -> Slug:
    """Return the name of the watch for the pressure after a dose."""
    return _name("second_pressure", session, due_at)


def repeat_pressure_name(session: int, due_at: datetime) -> Slug:
    """Return the name of the watch for a pressure that is to be taken again."""
    return _name("repeat_pressure", session, due_at)


def chaperone_check_name(session: int, due_at: datetime) -> Slug:
    """Return the name of the watch for a chaperone's next check."""
    return _name("chaperone_check", session, due_at)


def held_pressure_name(session: int, measured_at: datetime) -> Slug:
    """Return the name of the watch for a prescriber's word on a pressure that holds a dose."""
    return _name("held_pressure", session, measured_at)


def emergency_name(session: int | None, at: datetime) -> Slug:
    """Return the name of the watch for the end of an emergency."""
    return f"emergency_{'outside' if session is None else session}_{_stamp(at)}"


def form_name(session: int) -> Slug:
    """Return the name of the watch for a session's REMS form."""
    return f"rems_form_{session}"


def gap_name(since: datetime) -> Slug:
    """Return the name of the watch for the weeks since the last dose or approval."""
    return f"reclearance_{_stamp(since)}"


def approval_name(request: int) -> Slug:
    """Return the name of the watch for the end of an approval."""
    return f"approval_expiry_{request}"


def _held_pressure(session: Session, limit: BloodPressure | None) -> Iterator[Watch]:
    """R-19: a prescriber was asked about a pressure; their word settles it, and so does a newer pressure, or that the session is over."""
    asked = max((each for each in session.prescriber_asked if each.rule == "R-19"), key=lambda each: each.at, default=None)
    if asked is None or session.phase != "scheduled" or session.latest_checks is None or session.latest_checks.checked_at != asked.at:
        return
    decided = any(decision.measured_at >= asked.at for decision in session.pressure_decisions)
    lower = limit is not None and any(taken.at > asked.at and not above(taken.pressure, limit) for taken in session.pressures())
    if not decided and not lower:
        yield Watch(held_pressure_name(session.number, asked.at), None, asked, lambda: asked, session.number)


def _second_pressures(session: Session) -> Iterator[Watch]:
    """R-21: a pressure inside the window settles it, a later one spares the escalation; one after the window resolves the alert."""
    taken = [reading.at for reading in session.pressures()]
    for dose in session.doses:
        window = dose.second_pressure
        if window is None:
            continue
        said = [overdue for overdue in session.overdue if overdue.due_at == window.due_at]
        escalating = bool(said)
        late = any(at > window.latest for at in taken)
        at = window.escalate_at if escalating else window.latest
        in_time = any(window.earliest <= taken_at <= window.latest for taken_at in taken)
        settled = in_time or any(overdue.escalated for overdue in said) or (escalating and late) or _left_before(session, at)
        overdue = said[-1] if said and not in_time and not late else None
        if settled and overdue is None:
            continue
        yield Watch(
            second_pressure_name(session.number, window.due_at),
            None if settled else not_before(at, dose.rest_expected_by),
            overdue,
            partial(events.VitalOverdue, session=session.number, due_at=window.due_at, escalated=escalating),
            session.number,
            ("R-21", "second-pressure-missing") if escalating else None,
        )


def _repeat_pressure(session: Session) -> Iterator[Watch]:
    """R-22: while the last pressure is above the patient's limit, another is due; the next one settles it."""
    pressures = session.pressures()
    taken = [vitals for vitals in session.vitals if vitals.blood_pressure is not None]
    last = max(reversed(taken), key=lambda vitals: vitals.taken_at, default=None)
    if last is None or last.repeat_by is None or session.completed is not None or last.taken_at < pressures[-1].at:
        return
    said = next((overdue for overdue in session.repeats_overdue if overdue.due_at == last.repeat_by), None)
    say = partial(stay.RepeatPressureOverdue, session=session.number, due_at=last.repeat_by)
    yield Watch(repeat_pressure_name(session.number, last.repeat_by), last.repeat_by if said is None else None, said, say)


def _chaperone_check(session: Session) -> Iterator[Watch]:
    """R-25: in a remote session the patient is seen in time after each dose and each check, until the discharge."""
    if session.completed is not None:
        return
    seen = [(check.checked_at, check.next_check) for check in session.chaperone_checks if check.visible]
    dosed = [(dose.given_at, dose.chaperone_check) for dose in session.doses]
    expected = [(at, next_check) for at, next_check in (*dosed, *seen) if next_check is not None]
    if not expected or not any(check is not None for _, check in dosed):
        return
    _, following = max(expected, key=lambda entry: entry[0])
    said = [overdue for overdue in session.chaperone_overdue if overdue.due_at == following.due_at]
    escalating = bool(said)
    at = following.escalate_at if escalating else following.due_at
    yield Watch(
        chaperone_check_name(session.number, following.due_at),
        None if any(overdue.escalated for overdue in said) else at,
        said[-1] if said else None,
        partial(stay.ChaperoneCheckOverdue, session=session.number, due_at=following.due_at, escalated=escalating),
        session.number,
        ("R-25", "chaperone-check-missing") if escalating else None,
    )


def _form(session: Session) -> Iterator[Watch]:
    """R-26: the REMS form is warned of, and said when overdue; its submission settles both."""
    clock = form_clock(session)
    if clock is None or session.form is not None:
        return
    warned = next((due for due in session.forms_due if due.due_on == clock.due_on), None)
    over = next((overdue for overdue in session.forms_overdue if overdue.due_on == clock.due_on), None)
    kind = stay.RemsFormDue if warned is None else stay.RemsFormOverdue
    at = clock.warn_at if warned is None else clock.overdue_at
    entered_by = max((dose.rest_expected_by for dose in session.doses if dose.rest_expected_by is not None), default=None)
    say = partial(kind, session=session.number, due_on=clock.due_on)
    yield Watch(form_name(session.number), not_before(at, entered_by) if over is None else None, over or warned, say)


def form_clock(session: Session) -> stay.RemsClock | None:
    """Return when the REMS form of a session is due, counted from its first dose of esketamine; None where none is owed."""
    if session.scheduled is not None and session.scheduled.setting in FORM_SETTINGS_WITHOUT:
        return None
    clocks = [(dose.given_at, dose.rems_form) for dose in session.doses if dose.rems_form is not None]
    return min(clocks, key=lambda entry: entry[0])[1] if clocks else None


def _name(what: str, session: int, due_at: datetime) -> Slug:
    return f"{what}_{session}_{_stamp(due_at)}"


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dt%H%M%S}"


def _left_before(session: Session, at: datetime) -> bool:
    return session.completed is not None and session.completed.discharged_at < at
