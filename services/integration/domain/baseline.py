"""What a screening means for integration: the baseline against which outcomes are measured, also those measured before it was known."""

from collections.abc import Iterator

from services.integration.domain.complete import concluded
from services.integration.domain.judge import judge
from services.integration.domain.state import Integration
from shared.events.base import EventData
from shared.events.clinical import Score
from shared.events.intake import ScreeningCompleted
from shared.events.integration import BaselineNoted, OutcomeDeteriorated, OutcomeJudgedAnew
from shared.pathway.context import Context
from shared.pathway.policy import PolicyValues


def note_baseline(state: Integration, event: ScreeningCompleted, context: Context) -> list[EventData]:
    """React to a screening: its scores are the baseline. While care goes on, only those answered before its first dose.

    Such a score was corrected, or the dose was heard of first; what was answered since is an outcome. Outcomes of this care
    that had another baseline, or none, are judged anew (R-29).
    """
    scores, known = event.summary.scores, state.baseline
    if state.ended:
        known = known if state.next_baseline is None else state.next_baseline
        return [] if scores == known else [BaselineNoted(scores=scores)]
    if state.first_dose_at is not None:
        before = [score for score in scores if score.answered_at < state.first_dose_at]
        scores = tuple({score.instrument: score for score in (*known, *before)}.values())
    if scores == known:
        return []
    return concluded(state, [BaselineNoted(scores=scores), *_judged_anew(state, scores, context.policy.values)], context)


def _judged_anew(state: Integration, scores: tuple[Score, ...], policy: PolicyValues) -> Iterator[EventData]:
    totals = {score.instrument: score.total for score in scores}
    for outcome in state.outcomes:
        of_this_care = state.first_dose_at is not None and outcome.measured_at >= state.first_dose_at
        baseline = totals.get(outcome.instrument)
        if outcome.total is None or not of_this_care or baseline == outcome.baseline:
            continue
        judged = judge(outcome.instrument, baseline, outcome.total, policy)
        yield OutcomeJudgedAnew(
            instrument=outcome.instrument,
            measured_at=outcome.measured_at,
            baseline=baseline,
            change=judged.change,
            response=judged.response,
            remission=judged.remission,
            deterioration=judged.deterioration,
        )
        if judged.deterioration and not outcome.deterioration and baseline is not None:
            yield OutcomeDeteriorated(
                instrument=outcome.instrument, baseline=baseline, total=outcome.total, measured_at=outcome.measured_at
            )
