"""What each decision of the session room was made on, in words for a reader. Pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from services.session.domain.pressure import written
from services.session.domain.session import Session
from services.session.domain.state import Course
from shared.events.session import SessionDosed

Facts = Iterator[tuple[str, str]]
"""Name and value, in the order they are stated."""


def of_request(asked: Mapping[str, Any]) -> Facts:
    """Yield what was asked or stated."""
    for name, value in asked.items():
        if value not in (None, ()):
            yield name.replace("_", " "), _said(value)


def of_course(course: Course, _session: Session | None) -> Facts:
    """Yield what a new session is decided on."""
    yield "consent or hold", course.stops.why_stopped() or "nothing stops"
    plan = course.plan
    if plan is None:
        yield "plan", "none in force"
    else:
        yield "plan", f"{plan.route}, {plan.dose_mg_low} to {plan.dose_mg_high} mg, at most {plan.mg_per_kg_high} mg/kg, {plan.intent}"
        yield "plan expires", _time(plan.expires_at)
        yield "doses left", str(course.doses_left)
    if course.approval is not None and course.approval.decided_at is not None:
        yield "approval decided", _time(course.approval.decided_at)
    last_dose_at = course.last_dose_at()
    yield "last dose", "none" if last_dose_at is None else _time(last_dose_at)


def of_dose(course: Course, session: Session | None) -> Facts:
    """Yield what a dose is decided on beside its milligrams."""
    yield from of_course(course, session)
    yield "preparation", "none" if course.preparation is None else _time(course.preparation.completed_at)
    if course.integration_held_at is not None:
        yield "last integration session", _time(course.integration_held_at)
    if session is None:
        return
    if session.doses:
        yield "given in this session", f"{sum(dose.dose_mg for dose in session.doses)} mg"
    checks = session.latest_checks
    if checks is None:
        yield "checks", "none"
        return
    yield "weight", f"{checks.weight_kg} kg on {_time(checks.weighed_at)}"
    stated = checks.model_dump(mode="json", include={"checked_at", "consent_reaffirmed", "consent_version", "escort_named", "fasting"})
    yield from of_request(stated)
    yield "monitor", "none" if checks.monitor is None else "named"
    yield from _last_pressure(course, session)


def of_stay(course: Course, session: Session | None) -> Facts:
    """Yield what a discharge is decided on beside how the patient is found."""
    if session is None:
        return
    last_dose_at = session.last_dose_at
    yield "last dose", "none" if last_dose_at is None else _time(last_dose_at)
    if course.approval is not None:
        yield "minimum stay of this patient", f"{course.approval.plan.limits.minimum_stay_minutes} min"
    yield from _last_pressure(course, session)
    sedation = [(vitals.taken_at, vitals.sedation) for vitals in session.vitals if vitals.sedation is not None]
    if sedation:
        at, value = max(sedation, key=lambda entry: entry[0])
        yield "last sedation", f"MOAA/S {value} at {_time(at)}"


def of_route(course: Course, session: Session | None) -> Facts:
    """Yield the route by which the policy counts."""
    yield "route", course.route_of(session) or "unknown"


def of_missing(course: Course, dosed: SessionDosed) -> Facts:
    """Yield what the absence of a pressure after a dose is decided on."""
    session = course.find(dosed.session)
    yield "session", str(dosed.session)
    yield "route", dosed.route
    yield "dose", _time(dosed.given_at)
    readings = [] if session is None else [reading for reading in session.pressures() if reading.at > dosed.given_at]
    yield from ((f"pressure at {_time(reading.at)}", written(reading.pressure)) for reading in readings)
    if not readings:
        yield "pressure since", "none"


def _last_pressure(course: Course, session: Session) -> Facts:
    readings = session.pressures()
    if readings:
        yield "last pressure", f"{written(readings[-1].pressure)} at {_time(readings[-1].at)}"
    if course.approval is not None:
        yield "limit of this patient", written(course.approval.plan.limits.hold_above)


def _said(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case {"systolic": systolic, "diastolic": diastolic}:
            return f"{systolic}/{diastolic}"
        case list():
            return ", ".join(_said(each) for each in value)
        case _:
            return str(value)


def _time(moment: datetime) -> str:
    return f"{moment.isoformat(timespec='minutes')}"
