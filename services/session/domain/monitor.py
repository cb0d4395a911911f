"""Vitals: record them, escalate what they show, and say when the pressure after a dose is missing."""

from datetime import datetime, timedelta
from functools import reduce
from typing import Annotated

from pydantic import AwareDatetime, Field

from services.session.domain.alerts import with_alerts
from services.session.domain.state import Course, evolve
from services.session.domain.stated_pressure import StatedPressure
from shared.events.base import EventData, Slug
from shared.events.clinical import BloodPressure
from shared.events.session import Escalated, SecondPressure, VitalOverdue, VitalsRecorded
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.policy import PolicyValues
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class RecordVitals(Request):
    """One entry of the timeline: rates per minute, saturation in percent, sedation MOAA/S 5 (awake) to 0 (unresponsive)."""

    session: int
    taken_at: AwareDatetime
    blood_pressure: StatedPressure | None = None
    heart_rate: Annotated[int, Field(ge=0, le=300)] | None = None
    respiratory_rate: Annotated[int, Field(ge=0, le=80)] | None = None
    oxygen_saturation: Annotated[int, Field(ge=0, le=100)] | None = None
    sedation: Annotated[int, Field(ge=0, le=5)] | None = None


def record_vitals(course: Course, command: RecordVitals, context: Context) -> list[EventData]:
    """Record vitals, and what they escalate (R-22, R-35); no stop refuses them.

    Raises Refusal for an unknown session, an impossible time, or an entry without any value.
    """
    session = course.require(command.session)
    require_happened("taken_at", command.taken_at, context.now)
    recorded = VitalsRecorded(
        session=command.session,
        taken_at=command.taken_at,
        blood_pressure=None if command.blood_pressure is None else command.blood_pressure.to_event(),
        heart_rate=command.heart_rate,
        respiratory_rate=command.respiratory_rate,
        oxygen_saturation=command.oxygen_saturation,
        sedation=command.sedation,
        policy_version=context.policy.version,
    )
    if not command.model_dump(exclude={"session", "taken_at"}, exclude_none=True):
        raise Refusal("malformed", "At least one value is needed.")
    return with_alerts([recorded, *_escalations(recorded, context.policy.on(course.route_of(session)))], context)


def pressure_escalation(session: int, pressure: BloodPressure, at: datetime, policy: PolicyValues) -> list[EventData]:
    """Return what a pressure alone escalates (R-22)."""
    return (
        [Escalated(session=session, emergency=False, rule="R-22", because=("blood-pressure",), at=at)] if _severe(pressure, policy) else []
    )


def second_pressure(given_at: datetime, after_minutes: int, policy: PolicyValues) -> SecondPressure:
    """Return when the blood pressure after a dose is due and missing (R-21; about 40 minutes, Spravato label 2019)."""
    due_at = given_at + timedelta(minutes=after_minutes)
    tolerance = timedelta(minutes=policy.second_pressure_tolerance_minutes)
    latest = due_at + tolerance
    escalate_at = latest + timedelta(minutes=policy.second_pressure_escalate_minutes)
    return SecondPressure(due_at=due_at, earliest=due_at - tolerance, latest=latest, escalate_at=escalate_at)


def say_overdue(course: Course, _deadline: str, context: Context) -> list[EventData]:
    """Say which blood pressures after a dose are missing by now, and escalate those missed twice (R-21)."""
    said: list[EventData] = []
    while missing := _first_missing(course, context.now):
        said += missing
        course = reduce(evolve, missing, course)
    return with_alerts(said, context)


def _first_missing(course: Course, now: datetime) -> list[EventData]:
    for session in course.sessions:
        for dose in session.doses:
            window = dose.second_pressure
            at = None if window is None else session.pressure_deadline(window)
            if window is None or at is None or at > now:
                continue
            escalated = any(overdue.due_at == window.due_at for overdue in session.overdue)
            overdue = VitalOverdue(session=session.number, due_at=window.due_at, escalated=escalated)
            if not escalated:
                return [overdue]
            missed: tuple[Slug, ...] = ("second-pressure-missing",)
            return [overdue, Escalated(session=session.number, emergency=False, rule="R-21", because=missed, at=now)]
    return []


def _escalations(vitals: VitalsRecorded, policy: PolicyValues) -> list[EventData]:
    """R-22: severe pressure, low saturation or slow breathing calls a clinician; R-35: no response is an emergency."""
    because: list[Slug] = []
    if vitals.blood_pressure is not None and _severe(vitals.blood_pressure, policy):
        because.append("blood-pressure")
    if vitals.oxygen_saturation is not None and vitals.oxygen_saturation < policy.oxygen_saturation_below:
        because.append("oxygen-saturation")
    if vitals.respiratory_rate is not None and vitals.respiratory_rate < policy.respiratory_rate_below:
        because.append("respiratory-rate")
    escalations: list[EventData] = []
    if vitals.sedation == 0:
        escalations.append(Escalated(session=vitals.session, emergency=True, rule="R-35", because=("unresponsive",), at=vitals.taken_at))
    if because:
        escalations.append(Escalated(session=vitals.session, emergency=False, rule="R-22", because=tuple(because), at=vitals.taken_at))
    return escalations


def _severe(pressure: BloodPressure, policy: PolicyValues) -> bool:
    return pressure.systolic > policy.escalate_systolic_above or pressure.diastolic > policy.escalate_diastolic_above
