"""How instruments are scored: PHQ-9, GAD-7, PCL-5, AUDIT-C, and the C-SSRS screener. Pure.

A missing item leaves the instrument unscored; nothing is ever imputed (R-07). A screen is never a diagnosis.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, cast, get_args

from shared.events.clinical import Instrument, RiskLevel, Sex
from shared.pathway.instrument_items import FORMS
from shared.pathway.policy import PolicyValues
from shared.pathway.refusal import Refusal

UNSCORED: Final = "unscored"
"""The band of an instrument with a missing item."""
ITEM9_POSITIVE: Final = "item9_positive"
"""PHQ-9 item 9 calls for a suicide-risk screen, whatever the total (R-08)."""
POSITIVE: Final = "positive"
PROVISIONAL_PTSD: Final = "provisional_ptsd"

RULE: Mapping[Instrument, str] = {"phq-9": "R-07", "gad-7": "R-11", "pcl-5": "R-11", "audit-c": "R-12", "c-ssrs": "R-09"}
"""The rule each instrument is scored under."""

Answers = Sequence[int | None]


@dataclass(frozen=True, slots=True)
class Scored:
    """An instrument's total in points, its band and its flags; `total` is None where an item is missing.

    The C-SSRS screener has no total: its band is the risk level.
    """

    total: int | None
    band: str
    flags: tuple[str, ...] = ()


def score(instrument: Instrument, answers: Answers, policy: PolicyValues, sex: Sex = "unknown") -> Scored:
    """Score the answers in item order, None for a missing one; raise Refusal if they cannot be this instrument's answers."""
    _require_answers_of(instrument, answers)
    match instrument:
        case "phq-9":
            return score_phq9(answers, policy)
        case "gad-7":
            return score_gad7(answers, policy)
        case "pcl-5":
            return score_pcl5(answers, policy)
        case "audit-c":
            return score_audit_c(answers, policy, sex)
        case "c-ssrs":
            return score_c_ssrs(answers)


def score_phq9(answers: Answers, policy: PolicyValues) -> Scored:
    """PHQ-9: 0-27; 5, 10, 15 and 20 begin the next band (R-07; Kroenke 2001). Item 9 counts even if another is missing (R-08)."""
    item9 = answers[8]
    flags = (ITEM9_POSITIVE,) if item9 is not None and item9 >= policy.phq9_item9_requires_screener else ()
    total = _total(answers)
    if total is None:
        return Scored(None, UNSCORED, flags)
    bands = ((0, "none-minimal"), (5, "mild"), (10, "moderate"), (15, "moderately severe"), (20, "severe"))
    return Scored(total, _band(total, bands), flags)


def score_gad7(answers: Answers, policy: PolicyValues) -> Scored:
    """GAD-7: 0-21; 5, 10 and 15 begin the next band; positive from the policy's cut-off (R-11; Spitzer 2006)."""
    total = _total(answers)
    if total is None:
        return Scored(None, UNSCORED)
    bands = ((0, "minimal"), (5, "mild"), (10, "moderate"), (15, "severe"))
    return Scored(total, _band(total, bands), (POSITIVE,) if total >= policy.gad7_positive else ())


def score_pcl5(answers: Answers, policy: PolicyValues) -> Scored:
    """PCL-5: 0-80, provisional PTSD by total or by DSM-5 clusters (R-11; National Center for PTSD). It has no severity bands."""
    total = _total(answers)
    if total is None:
        return Scored(None, UNSCORED)
    if total >= policy.pcl5_provisional or _meets_dsm5_clusters(answers):
        return Scored(total, "positive", (PROVISIONAL_PTSD,))
    return Scored(total, "negative")


def score_audit_c(answers: Answers, policy: PolicyValues, sex: Sex) -> Scored:
    """AUDIT-C: 0-12, positive by sex; an unknown sex takes the lower cut-off (R-12; Bush 1998)."""
    total = _total(answers)
    if total is None:
        return Scored(None, UNSCORED)
    cut_off = policy.audit_c_review_male if sex == "male" else policy.audit_c_review_female
    return Scored(total, "positive", (POSITIVE,)) if total >= cut_off else Scored(total, "negative")


def score_c_ssrs(answers: Answers) -> Scored:
    """C-SSRS screener: risk by the gravest answer (R-09). A missing item leaves it unscored unless the risk is high already.

    Items 1 to 5: 0 no, 1 yes. Item 6: 0 never, 1 more than 3 months ago, 2 within the past 3 months.
    Items that the form skips after a "no" to item 2 are answered 0.
    """
    wish, thoughts, method, intent, plan, behaviour = answers
    if intent == 1 or plan == 1 or behaviour == 2:
        return Scored(None, "high")
    if None in answers:
        return Scored(None, UNSCORED)
    if method == 1 or behaviour == 1:
        return Scored(None, "moderate")
    if wish == 1 or thoughts == 1:
        return Scored(None, "low")
    return Scored(None, "none")


def risk_of(scored: Scored) -> RiskLevel | None:
    """Return the risk level of a scored C-SSRS screener; None while it is unscored."""
    return cast("RiskLevel", scored.band) if scored.band in get_args(RiskLevel) else None


def is_scored(instrument: Instrument, scored: Scored) -> bool:
    """Whether no item was missing, or the answers given already say enough (a C-SSRS screener at high risk)."""
    return scored.band != UNSCORED if instrument == "c-ssrs" else scored.total is not None


def _require_answers_of(instrument: Instrument, answers: Answers) -> None:
    highest = FORMS[instrument].highest
    if len(answers) != len(highest):
        raise Refusal(
            "wrong-number-of-answers", f"{instrument} has {len(highest)} items; null for a missing answer.", rule=RULE[instrument]
        )
    for number, (answer, most) in enumerate(zip(answers, highest, strict=True), start=1):
        if answer is not None and not 0 <= answer <= most:
            raise Refusal("out-of-range", f"{instrument} item {number} is answered 0 to {most}.", rule=RULE[instrument])


def _total(answers: Answers) -> int | None:
    given = [answer for answer in answers if answer is not None]
    return sum(given) if len(given) == len(answers) else None


def _band(total: int, bands: Sequence[tuple[int, str]]) -> str:
    """Return the name of the last band that begins at or below the total."""
    for (_, name), (next_begins, _) in pairwise(bands):
        if total < next_begins:
            return name
    return bands[-1][1]


def _meets_dsm5_clusters(answers: Answers) -> bool:
    """Items answered 2 or more: B (1-5) one, C (6-7) one, D (8-14) two, E (15-20) two."""
    needed = ((0, 5, 1), (5, 7, 1), (7, 14, 2), (14, 20, 2))
    return all(sum((answer or 0) >= 2 for answer in answers[first:past]) >= count for first, past, count in needed)
