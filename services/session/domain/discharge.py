"""Discharge: the patient leaves when it is safe, or the record says under whose word and in which state they left."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import reduce
from typing import Final

from pydantic import AwareDatetime

from services.session.domain.alerts import with_alerts
from services.session.domain.objection import Objection, refused
from services.session.domain.open_course import then_open
from services.session.domain.session import Session
from services.session.domain.state import Course, evolve
from services.session.domain.transfer import then_transfer
from shared.events.base import EventData, Slug, Text
from shared.events.session import CourseCompleted, Escalated, SessionCompleted
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.policy import PolicyValues
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request

AWAKE: Final = 5
"""MOAA/S of a patient who responds readily to their name (SP1)."""
OVERRIDING_ROLE: Final = "prescriber"
"""Who may let a patient go although the gate does not hold."""


class DischargePatient(Request):
    """How the patient left. `assessed_by` is the opaque id of who found them ready, null if nobody did.

    `pressure_acceptable`: the assessor accepts a last pressure above the patient's limit. `override_reason`: a
    prescriber lets the patient go although the gate does not hold. `left_against_advice`: the patient has left.
    """

    session: int
    discharged_at: AwareDatetime
    assessed_by: Text | None = None
    at_baseline: bool
    escort_present: bool
    no_driving_instruction: bool
    pressure_acceptable: bool = False
    left_against_advice: bool = False
    override_reason: Text | None = None


def discharge_patient(course: Course, command: DischargePatient, context: Context) -> list[EventData]:
    """Complete the session, and the course with its last dose.

    Where the gate (R-23, R-24, R-35) does not hold, that is recorded and the patient stays, unless a prescriber
    overrides with a reason or the patient left against advice, which is a fact. Raises Refusal for an impossible time,
    a session that is closed, or one without a dose, which is cancelled instead.
    """
    session = course.require(command.session)
    require_happened("discharged_at", command.discharged_at, context.now)
    if session.phase == "completed":
        raise Refusal("already-discharged", "The patient was already discharged from this session.")
    last_dose_at = session.last_dose_at
    if last_dose_at is None and not command.left_against_advice:
        raise Refusal("not-dosed", "No dose was recorded in this session; cancel it instead.")
    if last_dose_at is not None and command.discharged_at < last_dose_at:
        raise Refusal("out-of-range", "discharged_at lies before the last dose.")
    objections = [*_gate(course, session, command, context.policy.on(course.route_of(session)))]
    overridden = command.override_reason is not None and OVERRIDING_ROLE in context.actor.roles
    if objections and not overridden and not command.left_against_advice:
        return refused("discharge", objections, context, asked=command)
    return _complete(course, session, command, objections, context)


def then_complete(course: Course, events: list[EventData], context: Context) -> list[EventData]:
    """Return the events, and the end of the course if every planned dose was given and the last stay ended."""
    after = reduce(evolve, events, course)
    if after.completed or after.running or after.plan is None or after.doses_left > 0:
        return events
    dosed = sum(bool(session.doses) for session in after.sessions)
    return [*events, CourseCompleted(sessions=dosed, completed_at=context.now)]


def _complete(
    course: Course, session: Session, command: DischargePatient, objections: list[Objection], context: Context
) -> list[EventData]:
    deviations: tuple[Slug, ...] = tuple(objection.slug for objection in objections)
    if command.left_against_advice:
        deviations = ("left-against-advice", *deviations)
    completed = SessionCompleted(
        session=session.number,
        discharged_at=command.discharged_at,
        assessed_by=command.assessed_by or context.actor.id,
        minutes_since_dose=None if session.last_dose_at is None else _minutes(session.last_dose_at, command.discharged_at),
        at_baseline=command.at_baseline,
        escort_present=command.escort_present,
        no_driving_instruction=command.no_driving_instruction,
        override_reason=command.override_reason if objections else None,
        deviations=deviations,
        pressure_acceptable=command.pressure_acceptable,
        policy_version=context.policy.version,
    )
    events: list[EventData] = [completed]
    if command.left_against_advice:
        events.append(Escalated(session=session.number, emergency=False, rule="R-23", because=deviations, at=context.now))
    opened = then_open(course, events, context)
    ended = opened if len(opened) > len(events) else then_complete(course, events, context)
    return with_alerts(then_transfer(course, ended), context)


def _gate(course: Course, session: Session, command: DischargePatient, policy: PolicyValues) -> Iterator[Objection]:
    """R-23: long enough after the last dose, pressure safe, at baseline, escort, assessor (SP1, RM1); R-24; R-35."""
    limits = course.limits(policy)
    last_dose_at = session.last_dose_at
    if last_dose_at is not None:
        if command.discharged_at - last_dose_at < timedelta(minutes=limits.minimum_stay_minutes):
            stayed = {"minutes": str(_minutes(last_dose_at, command.discharged_at)), "minimum": str(limits.minimum_stay_minutes)}
            yield Objection("R-23", "stay-too-short", "The patient has not stayed long enough since the last dose.", stayed)
        pressures = [pressure for at, pressure in session.pressures() if last_dose_at < at <= command.discharged_at]
        above = bool(pressures) and (
            pressures[-1].systolic > limits.hold_above.systolic or pressures[-1].diastolic > limits.hold_above.diastolic
        )
        if not pressures:
            yield Objection("R-23", "no-pressure-since-dose", "No blood pressure was recorded since the last dose.")
        elif above and not command.pressure_acceptable:
            last = {"pressure": f"{pressures[-1].systolic}/{pressures[-1].diastolic}"}
            yield Objection("R-23", "pressure-above-limit", "The last blood pressure is above this patient's limit.", last)
    if not command.at_baseline:
        yield Objection("R-23", "not-at-baseline", "The patient is not yet oriented and at baseline.")
    if not command.escort_present:
        yield Objection("R-23", "no-escort", "The escort is not there.")
    if command.assessed_by is None:
        yield Objection("R-23", "not-assessed", "Nobody is named who assessed the patient as ready to leave.")
    if not command.no_driving_instruction:
        detail = "The patient was not told to drive or use machinery only the next day, after a restful sleep."
        yield Objection("R-24", "no-driving-instruction", detail)
    if _still_sedated(session):
        yield Objection("R-35", "sedation-not-resolved", "Sedation was recorded, and no later entry says that it resolved.")


def _still_sedated(session: Session) -> bool:
    """Whether the last MOAA/S recorded is below 5, which is awake."""
    recorded = [(vitals.taken_at, vitals.sedation) for vitals in session.vitals if vitals.sedation is not None]
    return bool(recorded) and sorted(recorded, key=lambda entry: entry[0])[-1][1] < AWAKE


def _minutes(start: datetime, end: datetime) -> int:
    return int((end - start).total_seconds() // 60)
