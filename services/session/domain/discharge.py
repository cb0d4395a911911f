"""Discharge: the patient leaves when it is safe, or the record says under whose word and in which state they left."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import reduce
from typing import Final

from pydantic import AwareDatetime

from services.session.domain.effects import dissociation, sedation
from services.session.domain.entry import entered
from services.session.domain.monitor import then_watch
from services.session.domain.objection import Objection, refused
from services.session.domain.open_course import then_open
from services.session.domain.pressure import written
from services.session.domain.session import Session, above, whole_minutes
from services.session.domain.state import Course, evolve
from services.session.domain.transfer import then_transfer
from shared.events.base import EventData, Slug, Text
from shared.events.clinical import BloodPressure
from shared.events.session import CourseCompleted, Escalated, SessionCompleted
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.policy import PolicyValues
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request

RULE: Final = "R-23"
OVERRIDING_ROLE: Final = "prescriber"
"""Who may let a patient go although the gate does not hold."""


class DischargePatient(Request):
    """How the patient left. `assessed_by` is the opaque id of who found them ready, null if nobody did; `escort` of who took them home.

    `pressure_acceptable`: the assessor accepts a last pressure above the patient's limit. `missing_pressure_reason`: why the pressure
    before the dose, or about 40 minutes after it, was not taken. `aftercare_contact`: opaque id of whom the patient may call.
    `override_reason`: a prescriber lets the patient go although the gate does not hold. `left_against_advice`, `transported`: the
    patient has left, or emergency services took them.
    """

    session: int
    discharged_at: AwareDatetime
    assessed_by: Text | None = None
    at_baseline: bool
    escort_present: bool
    escort: Text | None = None
    no_driving_instruction: bool
    aftercare_contact: Text | None = None
    pressure_acceptable: bool = False
    missing_pressure_reason: Text | None = None
    ready_at: AwareDatetime | None = None
    left_against_advice: bool = False
    transported: bool = False
    override_reason: Text | None = None


def discharge_patient(course: Course, command: DischargePatient, context: Context, replaces: str | None = None) -> list[EventData]:
    """Complete the session, and the course with its last dose.

    Where the gate (R-22, R-23, R-24, R-35) does not hold, that is recorded and the patient stays, unless a prescriber overrides with a
    reason. That the patient left against advice, was taken by emergency services, or left before the entry could be made is a fact.
    Raises Refusal for an impossible time, a session that is closed, or one without a dose, which is cancelled instead.
    """
    session = course.require(command.session)
    _require_possible(session, command, context)
    gone = command.left_against_advice or command.transported
    objections = [*_gate(course, session, command, context.policy.on(course.route_of(session)))]
    emergency = [*_open_emergency(course, session)]
    overridden = command.override_reason is not None and OVERRIDING_ROLE in context.actor.roles and not emergency
    objections = [*emergency, *objections]
    entry = entered(command.discharged_at, context, replaces)
    past = entry["rest_expected_by"] is not None or replaces is not None
    if objections and not (overridden or gone or past):
        return refused("discharge", objections, context, asked=command)
    left: tuple[Slug, ...] = (
        *(("left-against-advice",) if command.left_against_advice else ()),
        *(("transported",) if command.transported else ()),
    )
    unmeasured = [*_unmeasured(session, command)]
    deviations: tuple[Slug, ...] = (*left, *(objection.slug for objection in objections), *unmeasured)
    completed = SessionCompleted(
        session=session.number,
        discharged_at=command.discharged_at,
        assessed_by=command.assessed_by or context.actor.id,
        minutes_since_dose=None if session.last_dose_at is None else whole_minutes(session.last_dose_at, command.discharged_at),
        at_baseline=command.at_baseline,
        escort_present=command.escort_present,
        escort=command.escort,
        no_driving_instruction=command.no_driving_instruction,
        aftercare_contact=command.aftercare_contact,
        override_reason=command.override_reason if objections and overridden else None,
        deviations=deviations,
        pressure_acceptable=command.pressure_acceptable,
        missing_pressure_reason=command.missing_pressure_reason if unmeasured else None,
        transported=command.transported,
        ready_at=command.ready_at,
        **entry,
    )
    events: list[EventData] = [completed]
    if gone or (objections and not overridden):
        events.append(Escalated(session=session.number, emergency=False, rule=RULE, because=deviations, at=context.now))
    return then_watch(course, then_end(course, events, context), context)


def then_end(course: Course, events: list[EventData], context: Context) -> list[EventData]:
    """Return the events, and what the end of a stay sets free: an approval that waited, the end of the course, a transfer."""
    opened = then_open(course, events, context)
    ended = opened if len(opened) > len(events) else then_complete(course, events, context)
    return then_transfer(course, ended)


def then_complete(course: Course, events: list[EventData], context: Context) -> list[EventData]:
    """Return the events, and the end of the course if every planned dose was given and the last stay ended."""
    after = reduce(evolve, events, course)
    if after.completed or after.running or after.plan is None or after.doses_left > 0:
        return events
    dosed = sum(bool(session.doses) for session in after.sessions)
    return [*events, CourseCompleted(sessions=dosed, completed_at=context.now)]


def _require_possible(session: Session, command: DischargePatient, context: Context) -> None:
    require_happened("discharged_at", command.discharged_at, context.now, rule=RULE)
    if session.phase == "completed":
        raise Refusal("already-discharged", "The patient was already discharged from this session.", rule=RULE)
    last_dose_at = session.last_dose_at
    if last_dose_at is None:
        if not command.left_against_advice and not command.transported:
            raise Refusal("not-dosed", "No dose was recorded in this session; cancel it instead.", rule=RULE)
        return
    if command.discharged_at < last_dose_at:
        raise Refusal("out-of-range", "discharged_at lies before the last dose.", rule=RULE)
    if command.ready_at is not None and not last_dose_at <= command.ready_at <= command.discharged_at:
        raise Refusal("out-of-range", "ready_at lies between the last dose and the discharge.", rule=RULE)


def _open_emergency(course: Course, session: Session) -> Iterator[Objection]:
    """R-22: nobody is discharged out of an emergency; what was done is recorded first, or that emergency services took the patient."""
    if any(emergency.session == session.number for emergency in course.open_emergencies):
        yield Objection("R-22", "emergency-open", "An emergency of this session is open: record how it ended first.")


def _gate(course: Course, session: Session, command: DischargePatient, policy: PolicyValues) -> Iterator[Objection]:
    """R-23: long enough, pressures taken and safe, at baseline, escort, assessor (SP1, RM1); R-24: instructions; R-35: effects over."""
    last_dose_at = session.last_dose_at
    if last_dose_at is not None:
        yield from _stay(course, session, command, last_dose_at, policy)
        yield from _pressures(session, command, last_dose_at, course.limits(policy).hold_above, policy)
    if not command.at_baseline:
        yield Objection(RULE, "not-at-baseline", "The patient is not yet oriented and at baseline.")
    if not command.escort_present:
        yield Objection(RULE, "no-escort", "The escort is not there.")
    if command.assessed_by is None:
        yield Objection(RULE, "not-assessed", "Nobody is named who assessed the patient as ready to leave.")
    if not command.no_driving_instruction:
        detail = "The patient was not told to drive or use machinery only the next day, after a restful sleep."
        yield Objection("R-24", "no-driving-instruction", detail)
    if command.aftercare_contact is None:
        yield Objection("R-24", "no-aftercare-contact", "The patient was not told whom to call afterwards.")
    if sedation(session).unresolved:
        yield Objection("R-35", "sedation-not-resolved", "Sedation was recorded, and no later entry says that it resolved.")
    if dissociation(session).unresolved:
        yield Objection("R-35", "dissociation-not-resolved", "Dissociation was recorded, and no later entry says that it resolved.")


def _stay(course: Course, session: Session, command: DischargePatient, last_dose_at: datetime, policy: PolicyValues) -> Iterator[Objection]:
    """R-23: the stay lasts as long as the plan says; after esketamine never shorter than the policy's [120] minutes (Spravato label)."""
    minimum = course.limits(policy).minimum_stay_minutes
    if course.route_of(session) == "intranasal_esketamine":
        minimum = max(minimum, policy.minimum_stay_minutes)
    if command.discharged_at - last_dose_at < timedelta(minutes=minimum):
        stayed = {"minutes": str(whole_minutes(last_dose_at, command.discharged_at)), "minimum": str(minimum)}
        yield Objection(RULE, "stay-too-short", "The patient has not stayed long enough since the last dose.", stayed)


def _pressures(
    session: Session, command: DischargePatient, last_dose_at: datetime, limit: BloodPressure, policy: PolicyValues
) -> Iterator[Objection]:
    """R-23: by every route the three pressures of the REMS form (RM1): before, about 40 minutes after, and shortly before leaving."""
    taken = [reading for reading in session.pressures() if last_dose_at < reading.at <= command.discharged_at]
    within = timedelta(minutes=policy.discharge_pressure_within_minutes)
    if not taken:
        yield Objection(RULE, "no-pressure-since-dose", "No blood pressure was recorded since the last dose.")
        return
    last = taken[-1]
    if command.discharged_at - last.at > within:
        facts = {"taken_at": last.at.isoformat(), "minutes": str(policy.discharge_pressure_within_minutes)}
        yield Objection(RULE, "no-pressure-before-leaving", "The last blood pressure was not taken shortly before leaving.", facts)
    if above(last.pressure, limit) and not command.pressure_acceptable:
        pressure = {"pressure": written(last.pressure)}
        yield Objection(RULE, "pressure-above-limit", "The last blood pressure is above this patient's limit.", pressure)
    if command.missing_pressure_reason is None:
        for slug in _missing_pressures(session, command.discharged_at):
            yield Objection(RULE, slug, "A blood pressure before or about 40 minutes after the dose is missing: state why.")


def _unmeasured(session: Session, command: DischargePatient) -> Iterator[Slug]:
    """A pressure that nobody can take any more is a deviation with a stated reason, and keeps no patient from going home."""
    return iter(()) if command.missing_pressure_reason is None else _missing_pressures(session, command.discharged_at)


def _missing_pressures(session: Session, discharged_at: datetime) -> Iterator[Slug]:
    pressures = [reading.at for reading in session.pressures()]
    first_dose_at = session.first_dose_at
    if first_dose_at is not None and not any(at <= first_dose_at for at in pressures):
        yield "no-pressure-before-dose"
    windows = [dose.second_pressure for dose in session.doses if dose.second_pressure is not None]
    if any(window.latest <= discharged_at and not any(window.earliest <= at <= window.latest for at in pressures) for window in windows):
        yield "second-pressure-missing"
