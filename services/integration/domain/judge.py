"""What an outcome says against the baseline: change, response, remission, deterioration (R-29)."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from shared.events.clinical import Instrument
from shared.pathway.policy import PolicyValues

SYMPTOM_SCALES: Final[tuple[Instrument, ...]] = ("phq-9", "gad-7", "pcl-5")
"""Instruments whose total says how ill the patient is, so that a change is a response or a deterioration."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an outcome says; None where that cannot be said."""

    change: int | None
    """In points; below 0 is better."""
    response: bool | None
    remission: bool | None
    deterioration: bool | None


def judge(instrument: Instrument, baseline: int | None, total: int | None, policy: PolicyValues) -> Judgement:
    """Return what a total says against the baseline of the same instrument."""
    return Judgement(
        change=None if total is None or baseline is None else total - baseline,
        response=is_response(instrument, baseline, total, policy),
        remission=is_remission(instrument, baseline, total, policy),
        deterioration=is_deterioration(instrument, baseline, total, policy),
    )


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
