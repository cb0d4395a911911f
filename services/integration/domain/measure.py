"""Outcomes against the baseline at screening (R-29), and what they call for at once (R-08, R-10)."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from services.integration.domain.state import Case
from shared.events import integration
from shared.events.base import EventData
from shared.events.clinical import Instrument
from shared.pathway.context import Context
from shared.pathway.instruments import ITEM9_POSITIVE, RULE, risk_of, score
from shared.pathway.policy import PolicyValues
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class MeasureOutcome(Request):
    """The answers in item order, null for a missing one; `measured_at` is when the patient answered."""

    instrument: Instrument
    answers: Annotated[tuple[int | None, ...], Field(max_length=30)]
    measured_at: AwareDatetime
    simulated: bool = False


def measure_outcome(case: Case, command: MeasureOutcome, context: Context) -> list[EventData]:
    """Score and record an outcome; PHQ-9 item 9 demands a C-SSRS screener, and a high risk holds the case everywhere."""
    if command.measured_at > context.now:
        raise Refusal("time-in-the-future", "measured_at lies in the future.", rule="R-29")
    values = context.policy.values
    scored = score(command.instrument, command.answers, values)
    baseline = case.baseline_of(command.instrument)
    total = scored.total
    events: list[EventData] = [
        integration.OutcomeMeasured(
            instrument=command.instrument,
            answers=command.answers,
            total=total,
            baseline=baseline,
            change=None if total is None or baseline is None else total - baseline,
            response=responded(total, baseline, values),
            remission=remitted(total, baseline, values) if command.instrument == "phq-9" else None,
            deterioration=deteriorated(total, baseline, values),
            measured_at=command.measured_at,
            simulated=command.simulated,
        )
    ]
    if ITEM9_POSITIVE in scored.flags:
        events.append(integration.SuicideRiskScreenRequired(because="phq-9 item 9"))
    if command.instrument == "c-ssrs" and risk_of(scored) == "high":
        events.append(
            integration.SafetyHoldPlaced(
                hold=context.new_id("hold"),
                reason="suicide_risk",
                note=f"The C-SSRS screener shows a high risk ({RULE['c-ssrs']}, R-10).",
                placed_at=context.now,
            )
        )
    return events


def responded(total: int | None, baseline: int | None, values: PolicyValues) -> bool | None:
    """Whether the total fell by at least the policy's fraction of the baseline (R-29; McInnes 2022); None without both."""
    if total is None or not baseline:
        return None
    return baseline - total >= values.response_drop_fraction * baseline


def remitted(total: int | None, baseline: int | None, values: PolicyValues) -> bool | None:
    """Whether PHQ-9 is below the remission line from a baseline high enough to count (R-29; Hull 2022); None without both."""
    if total is None or baseline is None:
        return None
    return baseline >= values.remission_baseline_at_least and total < values.remission_below


def deteriorated(total: int | None, baseline: int | None, values: PolicyValues) -> bool | None:
    """Whether the total rose by at least the policy's points (R-29); None without both."""
    if total is None or baseline is None:
        return None
    return total - baseline >= values.deterioration_points
