"""Measure an outcome against the baseline, and what follows at once for safety (R-08, R-10, R-29)."""

from decimal import Decimal
from typing import Annotated, Final

from pydantic import AwareDatetime, Field

from services.integration.domain.alerts import with_alerts
from services.integration.domain.complete import then_complete
from services.integration.domain.state import Integration
from shared.events.base import EventData
from shared.events.clinical import Instrument
from shared.events.integration import OutcomeMeasured, SafetyHoldPlaced, SuicideRiskScreenRequired
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.instruments import ITEM9_POSITIVE, risk_of, score
from shared.pathway.policy import PolicyValues
from shared.pathway.stop import Request

SYMPTOM_SCALES: Final[frozenset[Instrument]] = frozenset({"phq-9", "gad-7", "pcl-5"})
"""Instruments whose total says how ill the patient is, so that a change is a response or a deterioration."""


class MeasureOutcome(Request):
    """The answers in item order, null for a missing one; `measured_at` is when the patient answered."""

    instrument: Instrument
    answers: Annotated[tuple[int | None, ...], Field(max_length=30)]
    measured_at: AwareDatetime
    simulated: bool = False


def measure_outcome(state: Integration, command: MeasureOutcome, context: Context) -> list[EventData]:
    """Record the outcome; PHQ-9 item 9 demands the C-SSRS screener (R-08), a high risk there holds the case (R-10).

    Raises Refusal for answers that cannot be this instrument's, or an impossible time.
    """
    require_happened("measured_at", command.measured_at, context.now)
    policy = context.policy.values
    scored = score(command.instrument, command.answers, policy)
    baseline = state.baseline_of(command.instrument)
    measured = OutcomeMeasured(
        instrument=command.instrument,
        answers=command.answers,
        total=scored.total,
        baseline=baseline,
        change=None if scored.total is None or baseline is None else scored.total - baseline,
        response=is_response(command.instrument, baseline, scored.total, policy),
        remission=is_remission(command.instrument, baseline, scored.total, policy),
        deterioration=is_deterioration(command.instrument, baseline, scored.total, policy),
        measured_at=command.measured_at,
        simulated=command.simulated,
        policy_version=context.policy.version,
    )
    events: list[EventData] = [measured]
    if ITEM9_POSITIVE in scored.flags:
        events.append(SuicideRiskScreenRequired(because="phq-9 item 9"))
    if command.instrument == "c-ssrs" and risk_of(scored) == "high":
        note = "The C-SSRS screener shows a high risk (R-10)."
        events.append(SafetyHoldPlaced(hold=context.new_id("hold"), reason="suicide_risk", note=note, placed_at=context.now))
    return with_alerts(then_complete(state, events, context), context)


def is_response(instrument: Instrument, baseline: int | None, total: int | None, policy: PolicyValues) -> bool | None:
    """R-29: a drop of at least [half] of the baseline (McInnes 2022, Hull 2022); None where that cannot be said."""
    if instrument not in SYMPTOM_SCALES or not baseline or total is None:
        return None
    return baseline - total >= Decimal(str(policy.response_drop_fraction)) * baseline


def is_remission(instrument: Instrument, baseline: int | None, total: int | None, policy: PolicyValues) -> bool | None:
    """R-29: PHQ-9 below [5] from a baseline of at least [10]; None for a baseline that leaves nothing to remit."""
    if instrument != "phq-9" or baseline is None or total is None or baseline < policy.remission_baseline_at_least:
        return None
    return total < policy.remission_below


def is_deterioration(instrument: Instrument, baseline: int | None, total: int | None, policy: PolicyValues) -> bool | None:
    """R-29: a rise of at least [5] points; None where that cannot be said."""
    if instrument not in SYMPTOM_SCALES or baseline is None or total is None:
        return None
    return total - baseline >= policy.deterioration_points
