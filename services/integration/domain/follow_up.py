"""One case as the outcome report counts it: to which group it belongs, and what became of it at each follow-up (R-29)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from services.integration.domain.planned import Dose, Measurement
from services.integration.domain.state import Integration
from shared.events.clinical import Instrument, Intent, Route
from shared.events.integration import OutcomeMeasured
from shared.events.integration_plan import DischargedBecause, NotFollowedBecause

Reason = Literal[NotFollowedBecause, "not_yet_due", "outside_window", "unscored", "discharged", "unknown"]
"""Why an outcome is missing: what a person recorded, or what the record itself says; else `unknown`."""
OF_DISCHARGE: Final[Mapping[DischargedBecause, Reason]] = {
    "moved": "moved",
    "lost_to_follow_up": "lost_to_follow_up",
    "died": "died",
    "patient_stopped": "declined",
}
"""Discharges that say why the patient was not followed; after any other, an outcome is missing because care ended."""


@dataclass(frozen=True, slots=True)
class Point:
    """What became of one follow-up: an outcome, or why there is none."""

    outcome: OutcomeMeasured | None
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Treated:
    """A patient who was given a dose. Follow-ups are those after the last dose of the last care, by their days."""

    clinic: str
    partner: str | None
    """Who had approved the course when that dose was given; None where nobody had."""
    route: Route | None
    intent: Intent | None
    baseline: int | None
    points: Mapping[int, Point]
    simulated: bool


def treated(state: Integration, clinic: str, instrument: Instrument, now: datetime) -> Treated | None:
    """Return the case as the report counts it; None before the first dose."""
    last = state.last_dose
    if last is None:
        return None
    planned = [each for each in state.measurements if each.dosing_session == last.session]
    points = {each.day: _point(state, each, planned, instrument, now) for each in planned}
    outcomes = [point.outcome for point in points.values() if point.outcome is not None]
    return Treated(
        clinic=clinic,
        partner=_partner(state, last),
        route=last.route,
        intent=last.intent,
        baseline=state.baseline_of(instrument),
        points=points,
        simulated=any(outcome.simulated for outcome in outcomes),
    )


def _point(state: Integration, at: Measurement, planned: list[Measurement], instrument: Instrument, now: datetime) -> Point:
    """An answer counts at the nearest follow-up whose window it lies in, and at one only; of several the one nearest the day."""
    answers = [
        each
        for each in state.outcomes
        if each.instrument == instrument and at.covers(each.measured_at) and _nearest(planned, each.measured_at) == at.id
    ]
    scored = [each for each in answers if each.total is not None]
    if scored:
        return Point(min(scored, key=lambda each: abs(each.measured_at - at.due_at)), None)
    return Point(None, _reason(state, at, instrument, now, unscored=bool(answers)))


def _reason(state: Integration, at: Measurement, instrument: Instrument, now: datetime, *, unscored: bool) -> Reason:
    if unscored:
        return "unscored"
    if at.not_followed is not None:
        return at.not_followed
    if state.discharged is not None and state.discharged.discharged_at <= at.closes_at:
        return OF_DISCHARGE.get(state.discharged.because, "discharged")
    if now < at.closes_at:
        return "not_yet_due"
    later = any(each.instrument == instrument and each.total is not None and each.measured_at > at.closes_at for each in state.outcomes)
    return "outside_window" if later else "unknown"


def _nearest(planned: list[Measurement], moment: datetime) -> str:
    return min((each for each in planned if each.covers(moment)), key=lambda each: abs(moment - each.due_at)).id


def _partner(state: Integration, dose: Dose) -> str | None:
    known = [each for each in state.prescribers if each.decided_at <= dose.given_at]
    return max(known, key=lambda each: each.decided_at).partner if known else None
