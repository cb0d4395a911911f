"""R-19: what the last blood pressure allows before a dose, and the prescriber's decision on one that holds it."""

from collections.abc import Iterator
from datetime import datetime

from pydantic import AwareDatetime

from services.session.domain.dose_in_question import DoseInQuestion
from services.session.domain.objection import Objection, refused
from services.session.domain.session import Reading, Session
from services.session.domain.state import Course
from shared.events.base import EventData, Text
from shared.events.clinical import BloodPressure
from shared.events.dosing import PressureDecision
from shared.events.session import PressureDecided
from shared.pathway.context import Context
from shared.pathway.policy import PolicyValues
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class DecideOnPressure(Request):
    """A prescriber's word on the last pressure: go on until a moment, wait and measure again, or no dose today."""

    session: int
    decision: PressureDecision
    until: AwareDatetime | None = None
    """For `proceed`, and only for it: from when on it counts no more."""
    reason: Text


def decide_on_pressure(course: Course, command: DecideOnPressure, context: Context) -> list[EventData]:
    """Record a prescriber's decision on a pressure that holds a dose; it covers that pressure, and none that is higher (R-19).

    Going on above a trial's limits is refused and recorded where the policy takes them. Raises Refusal for a session
    that is closed, where nothing is held, and for a `proceed` without a moment in the future at which it ends.
    """
    session = course.require(command.session)
    if session.phase in {"completed", "cancelled"}:
        raise Refusal("session-closed", "This session is closed.")
    if (command.until is not None) != (command.decision == "proceed"):
        raise Refusal("malformed", "until is stated with proceed, and only with it.", rule="R-19")
    if command.until is not None and command.until <= context.now:
        raise Refusal("out-of-range", "until lies in the past.", rule="R-19")
    policy = context.policy.on(course.route_of(session))
    last = last_reading(session, context.now)
    if last is None or not (above(last.pressure, course.limits(policy).hold_above) or _no_dose_today(session, context.now, context)):
        raise Refusal("nothing-held", "No blood pressure of this session holds a dose.", rule="R-19")
    if command.decision == "proceed" and _above_trial_limits(last.pressure, policy):
        return refused("decide-on-pressure", [_trial_objection(last.pressure, policy)], context, asked=command)
    return [
        PressureDecided(
            session=session.number,
            decision=command.decision,
            pressure=last.pressure,
            measured_at=last.at,
            until=command.until,
            reason=command.reason,
            decided_by=context.actor.id,
            organisation=context.actor.organisation,
            decided_at=context.now,
            policy_version=context.policy.version,
        )
    ]


def pressure_objections(course: Course, dose: DoseInQuestion, policy: PolicyValues, context: Context) -> Iterator[Objection]:
    """R-19: either number above the patient's limit holds (SP1), unless a prescriber decided on a pressure as high; a trial's limits."""
    if _no_dose_today(dose.session, dose.at, context):
        yield Objection("R-19", "no-dose-today", "A prescriber decided that no dose is given today.")
    last = last_reading(dose.session, dose.at)
    limit = course.limits(policy).hold_above
    if last is None:
        return
    if _above_trial_limits(last.pressure, policy):
        yield _trial_objection(last.pressure, policy)
    elif above(last.pressure, limit) and not _covered(dose.session, last.pressure, dose.at):
        facts = {"pressure": written(last.pressure), "hold_above": written(limit)}
        yield Objection("R-19", "pressure-above-limit", "The last blood pressure is above this patient's limit.", facts)


def last_reading(session: Session, moment: datetime) -> Reading | None:
    """Return the last pressure until a moment; of several taken at once, the higher of each number."""
    taken = [reading for reading in session.pressures() if reading.at <= moment]
    last = [reading.pressure for reading in taken if reading.at == taken[-1].at]
    if not last:
        return None
    highest = BloodPressure(systolic=max(each.systolic for each in last), diastolic=max(each.diastolic for each in last))
    return Reading(taken[-1].at, highest)


def above(pressure: BloodPressure, limit: BloodPressure) -> bool:
    """Whether either number is above the limit's."""
    return pressure.systolic > limit.systolic or pressure.diastolic > limit.diastolic


def written(pressure: BloodPressure) -> str:
    """Return a pressure as people write it, in mmHg."""
    return f"{pressure.systolic}/{pressure.diastolic}"


def _last_decision(session: Session, moment: datetime) -> PressureDecided | None:
    return next((decided for decided in reversed(session.pressure_decisions) if decided.decided_at <= moment), None)


def _covered(session: Session, pressure: BloodPressure, moment: datetime) -> bool:
    decided = _last_decision(session, moment)
    if decided is None or decided.decision != "proceed" or decided.until is None:
        return False
    return moment < decided.until and not above(pressure, decided.pressure)


def _no_dose_today(session: Session, moment: datetime, context: Context) -> bool:
    decided = _last_decision(session, moment)
    if decided is None or decided.decision != "no_dose_today":
        return False
    return context.day_of(decided.decided_at) == context.day_of(moment)


def _above_trial_limits(pressure: BloodPressure, policy: PolicyValues) -> bool:
    if not policy.no_dose_above_trial_limits:
        return False
    return pressure.systolic > policy.trial_systolic_above or pressure.diastolic > policy.trial_diastolic_above


def _trial_objection(pressure: BloodPressure, policy: PolicyValues) -> Objection:
    """Above these no one may decide to go on (NCT04173962); a repeat at or under them ends it."""
    facts = {"pressure": written(pressure), "no_dose_above": f"{policy.trial_systolic_above}/{policy.trial_diastolic_above}"}
    return Objection("R-19", "pressure-above-trial-limit", "Above this pressure no dose is given, whoever decides.", facts)
