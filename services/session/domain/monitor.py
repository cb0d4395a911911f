"""Vitals: record them, escalate what they show, and say what of the watch over a patient is missing."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import partial, reduce
from typing import Annotated, Final

from pydantic import AwareDatetime, Field

from services.session.domain.alerts import ALERT, ALERTS
from services.session.domain.entry import entered, not_before
from services.session.domain.session import Session, above
from services.session.domain.state import Course, evolve
from services.session.domain.stated_pressure import StatedPressure, in_range
from services.session.domain.watch import Watch
from shared.events import base
from shared.events.base import EventData, Slug
from shared.events.clinical import BloodPressure
from shared.events.session import VitalsRecorded
from shared.events.stay import Escalated, SecondPressure
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.policy import PolicyValues
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request

RULE: Final = "R-22"


class RecordVitals(Request):
    """One entry of the timeline: rates per minute, saturation in percent, sedation MOAA/S 5 (awake) to 0 (unresponsive).

    `dissociation` is what the observer saw; left out where a CADSS total (0 to 92) tells it.
    """

    session: int
    taken_at: AwareDatetime
    blood_pressure: StatedPressure | None = None
    heart_rate: int | float | None = None
    respiratory_rate: int | float | None = None
    oxygen_saturation: int | float | None = None
    sedation: Annotated[int, Field(ge=0, le=5)] | None = None
    dissociation: bool | None = None
    cadss: Annotated[int, Field(ge=0, le=92)] | None = None


def record_vitals(course: Course, command: RecordVitals, context: Context, replaces: str | None = None) -> list[EventData]:
    """Record vitals, and what they escalate (R-22, R-35); no stop refuses them.

    Raises Refusal for an unknown session, an impossible time, a value that no patient has, or an entry without any value.
    """
    session = course.require(command.session)
    require_of_the_stay("taken_at", command.taken_at, session, context, rule=RULE)
    if not command.model_dump(exclude={"session", "taken_at"}, exclude_none=True):
        raise Refusal("malformed", "At least one value is needed.", rule=RULE)
    policy = context.policy.on(course.route_of(session))
    pressure = None if command.blood_pressure is None else command.blood_pressure.to_event(RULE)
    entry = entered(command.taken_at, context, replaces)
    recorded = VitalsRecorded(
        session=command.session,
        taken_at=command.taken_at,
        blood_pressure=pressure,
        heart_rate=_measured("heart rate", command.heart_rate, (0, 300), "beats a minute"),
        respiratory_rate=_measured("respiratory rate", command.respiratory_rate, (0, 80), "breaths a minute"),
        oxygen_saturation=_saturation(command.oxygen_saturation),
        sedation=command.sedation,
        dissociation=_dissociated(command, policy),
        cadss=command.cadss,
        repeat_by=_repeat_by(course, session, command.taken_at, pressure, entry["rest_expected_by"], policy),
        **entry,
    )
    return then_watch(course, [recorded, *_escalations(recorded, policy)], context)


def require_of_the_stay(name: str, moment: datetime, session: Session, context: Context, *, rule: str) -> None:
    """Raise Refusal unless the moment lies in the past, and on no earlier day at the clinic than the first dose."""
    require_happened(name, moment, context.now, rule=rule)
    first_dose_at = session.first_dose_at
    if first_dose_at is not None and context.day_of(moment) < context.day_of(first_dose_at):
        raise Refusal("out-of-range", f"{name} lies before the day of the dose.", rule=rule)


def pressure_escalation(
    session: int, pressure: BloodPressure, at: datetime, policy: PolicyValues, *, late: bool = False
) -> list[EventData]:
    """Return what a pressure alone escalates (R-22)."""
    if not _severe(pressure, policy):
        return []
    return [Escalated(session=session, emergency=False, rule="R-22", because=("blood-pressure",), at=at, late=late)]


def second_pressure(given_at: datetime, after_minutes: int, policy: PolicyValues) -> SecondPressure:
    """Return when the blood pressure after a dose is due and missing (R-21; about 40 minutes, Spravato label 2019)."""
    due_at = given_at + timedelta(minutes=after_minutes)
    tolerance = timedelta(minutes=policy.second_pressure_tolerance_minutes)
    latest = due_at + tolerance
    escalate_at = latest + timedelta(minutes=policy.second_pressure_escalate_minutes)
    return SecondPressure(due_at=due_at, earliest=due_at - tolerance, latest=latest, escalate_at=escalate_at)


def say_overdue(course: Course, _deadline: str, context: Context) -> list[EventData]:
    """Say what is missing by now, and escalate what was missed twice (R-15, R-21, R-22, R-25, R-26, R-27)."""
    return then_watch(course, missing(course, context.now), context)


def then_watch(course: Course, events: Sequence[EventData], context: Context, *, earlier: Sequence[EventData] = ()) -> list[EventData]:
    """Return a decision's events with the alerts they raise, and settle each alert whose matter came or was never owed.

    What stood settled, was said to be missing once and is missing again, is said again: its alert is gone. `earlier` are events
    of the same decision that have raised their alerts.
    """
    after = reduce(evolve, [*earlier, *events], course)
    overdue = {watch.name: watch.overdue for watch in after.watches if watch.overdue is not None}
    # Nearly always nothing is, and then nothing can be again.
    said = {*course.overdue, *(_about(event) for event in (*earlier, *events))} if overdue else set()
    again = [word for name, word in overdue.items() if name not in said]
    alerted = ALERT.with_alerts(ALERTS, [*events, *again], context)
    calling = (event for event in map(partial(_told, awaited=overdue), alerted) if event is not None)
    return [*earlier, *calling, *ALERT.resolve(after.alerts, overdue, context)]


def missing(course: Course, now: datetime) -> list[EventData]:
    """Return the words that are due by now on what is missing."""
    said: list[EventData] = []
    while (watch := next((watch for watch in course.watches if watch.at is not None and watch.at <= now), None)) is not None:
        words = _words(watch, now)
        said += words
        course = reduce(evolve, words, course)
    return said


def _words(watch: Watch, now: datetime) -> list[EventData]:
    said = watch.say()
    if watch.escalates is None:
        return [said]
    rule, because = watch.escalates
    return [said, Escalated(session=watch.session, emergency=False, rule=rule, because=(because,), at=now, watch=watch.name)]


def _about(event: EventData) -> str | None:
    alarm = ALERTS.get(type(event))
    return None if alarm is None or alarm.about is None else alarm.about(event)


def _told(event: EventData, *, awaited: Collection[str]) -> EventData | None:
    """Return the event; None for an alert that has nothing to call for: what came late is said, and calls nobody any more.

    An emergency that is told when another one's end was recorded already still calls, until someone takes it on.
    """
    if not isinstance(event, base.AlertRaised) or event.about is None or event.about in awaited:
        return event
    return event.model_copy(update={"about": None}) if event.emergency else None


def _escalations(vitals: VitalsRecorded, policy: PolicyValues) -> list[EventData]:
    """R-22: severe pressure, low saturation or slow breathing calls a clinician; R-35: no response is an emergency."""
    because: list[Slug] = []
    if vitals.blood_pressure is not None and _severe(vitals.blood_pressure, policy):
        because.append("blood-pressure")
    if vitals.oxygen_saturation is not None and vitals.oxygen_saturation < policy.oxygen_saturation_below:
        because.append("oxygen-saturation")
    if vitals.respiratory_rate is not None and vitals.respiratory_rate < policy.respiratory_rate_below:
        because.append("respiratory-rate")
    number, at, late = vitals.session, vitals.taken_at, vitals.late
    escalations: list[EventData] = []
    if vitals.sedation == 0:
        escalations.append(Escalated(session=number, emergency=True, rule="R-35", because=("unresponsive",), at=at, late=late))
    if because:
        escalations.append(Escalated(session=number, emergency=False, rule="R-22", because=tuple(because), at=at, late=late))
    return escalations


def _repeat_by(
    course: Course,
    session: Session,
    taken_at: datetime,
    pressure: BloodPressure | None,
    rest_expected_by: datetime | None,
    policy: PolicyValues,
) -> datetime | None:
    """R-22: after a dose a pressure above the patient's limit is taken again within [15] minutes, a severe one within [5]."""
    first_dose_at = session.first_dose_at
    if pressure is None or first_dose_at is None or taken_at < first_dose_at or not above(pressure, course.limits(policy).hold_above):
        return None
    minutes = policy.repeat_pressure_severe_minutes if _severe(pressure, policy) else policy.repeat_pressure_minutes
    return not_before(taken_at + timedelta(minutes=minutes), rest_expected_by)


def _severe(pressure: BloodPressure, policy: PolicyValues) -> bool:
    return pressure.systolic > policy.escalate_systolic_above or pressure.diastolic > policy.escalate_diastolic_above


def _dissociated(command: RecordVitals, policy: PolicyValues) -> bool | None:
    """R-35: what the observer saw; else a CADSS total above [4] says so."""
    if command.dissociation is not None or command.cadss is None:
        return command.dissociation
    return command.cadss > policy.dissociation_cadss_above


def _measured(name: str, value: float | None, bounds: tuple[int, int], unit: str) -> int | None:
    return None if value is None else in_range(name, value, bounds, unit, RULE)


def _saturation(value: float | None) -> int | None:
    """A saturation of 0.97, or of 1, is a fraction and no percentage."""
    if value is not None and 0 < value <= 1:
        raise Refusal("wrong-unit", "The oxygen saturation is stated in percent.", rule=RULE)
    return _measured("oxygen saturation", value, (0, 100), "percent")
