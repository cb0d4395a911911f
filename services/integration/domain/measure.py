"""Measure an outcome against the baseline, and what follows at once for safety (R-08, R-10, R-29)."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from services.integration.domain.complete import concluded
from services.integration.domain.judge import judge
from services.integration.domain.state import Integration
from shared.events.base import EventData
from shared.events.clinical import Instrument
from shared.events.integration import OutcomeDeteriorated, OutcomeMeasured, SafetyHoldPlaced, SuicideRiskScreenRequired
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.instruments import ITEM9_POSITIVE, risk_of, score
from shared.pathway.stop import Request


class MeasureOutcome(Request):
    """The answers in item order, null for a missing one; `measured_at` is when the patient answered."""

    instrument: Instrument
    answers: Annotated[tuple[int | None, ...], Field(max_length=30)]
    measured_at: AwareDatetime
    simulated: bool = False


def measure_outcome(state: Integration, command: MeasureOutcome, context: Context) -> list[EventData]:
    """Record the outcome; PHQ-9 item 9 demands the C-SSRS screener (R-08), a high risk there holds the case (R-10).

    A deterioration goes back to the prescriber (R-29). Raises Refusal for answers that cannot be this instrument's, or an
    impossible time.
    """
    require_happened("measured_at", command.measured_at, context.now)
    policy = context.policy.values
    scored = score(command.instrument, command.answers, policy)
    baseline = state.baseline_of(command.instrument)
    judged = judge(command.instrument, baseline, scored.total, policy)
    measured = OutcomeMeasured(
        instrument=command.instrument,
        answers=command.answers,
        total=scored.total,
        baseline=baseline,
        change=judged.change,
        response=judged.response,
        remission=judged.remission,
        deterioration=judged.deterioration,
        measured_at=command.measured_at,
        simulated=command.simulated,
        policy_version=context.policy.version,
    )
    events: list[EventData] = [measured]
    if judged.deterioration and baseline is not None and scored.total is not None:
        events.append(
            OutcomeDeteriorated(instrument=command.instrument, baseline=baseline, total=scored.total, measured_at=command.measured_at)
        )
    if ITEM9_POSITIVE in scored.flags:
        events.append(SuicideRiskScreenRequired(because="phq-9 item 9"))
    if command.instrument == "c-ssrs" and risk_of(scored) == "high":
        note = "The C-SSRS screener shows a high risk (R-10)."
        events.append(SafetyHoldPlaced(hold=context.new_id("hold"), reason="suicide_risk", note=note, placed_at=context.now))
    return concluded(state, events, context)
