"""R-19: what the last blood pressure allows before a dose."""

from collections.abc import Iterator
from datetime import datetime

from services.session.domain.dose_in_question import DoseInQuestion
from services.session.domain.objection import Objection
from services.session.domain.session import Reading, Session, above
from services.session.domain.state import Course
from shared.events.clinical import BloodPressure
from shared.events.session import PressureDecided
from shared.pathway.context import Context
from shared.pathway.policy import PolicyValues


def pressure_objections(course: Course, dose: DoseInQuestion, policy: PolicyValues, context: Context) -> Iterator[Objection]:
    """R-19: either number above the patient's limit holds (SP1), unless a prescriber decided on a pressure as high; a trial's limits."""
    if no_dose_today(dose.session, dose.at, context):
        yield Objection("R-19", "no-dose-today", "A prescriber decided that no dose is given today.")
    last = last_reading(dose.session, dose.at)
    limit = course.limits(policy).hold_above
    if last is None:
        return
    if above_trial_limits(last.pressure, policy):
        yield trial_objection(last.pressure, policy)
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


def no_dose_today(session: Session, moment: datetime, context: Context) -> bool:
    """Whether a prescriber decided so on the clinic's day of this moment (R-19)."""
    decided = _last_decision(session, moment)
    if decided is None or decided.decision != "no_dose_today":
        return False
    return context.day_of(decided.decided_at) == context.day_of(moment)


def above_trial_limits(pressure: BloodPressure, policy: PolicyValues) -> bool:
    """Whether the policy takes a trial's limits, and the pressure is above them (R-19)."""
    if not policy.no_dose_above_trial_limits:
        return False
    return pressure.systolic > policy.trial_systolic_above or pressure.diastolic > policy.trial_diastolic_above


def trial_objection(pressure: BloodPressure, policy: PolicyValues) -> Objection:
    """Above these no one may decide to go on (NCT04173962); a repeat at or under them ends it."""
    facts = {"pressure": written(pressure), "no_dose_above": f"{policy.trial_systolic_above}/{policy.trial_diastolic_above}"}
    return Objection("R-19", "pressure-above-trial-limit", "Above this pressure no dose is given, whoever decides.", facts)
