"""Scores stated without their items. Expectations: ranges and cut-offs of domain.md 2.6, rules R-12 and R-13."""

from datetime import date, timedelta
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from services.intake.domain.codes import DAST10
from services.intake.domain.screen import chart_of
from services.intake.domain.state import Case
from services.intake.domain.state_facts import StatedFact
from services.intake.domain.state_score import StateScore, state_score
from shared.events import intake
from shared.events.clinical import StatedInstrument, StatedScore
from shared.pathway.refusal import Refusal
from shared.pathway.stated_instruments import STATED_FORMS
from tests.unit.intake.cases import NOW, after, at, fold, policy_with, ready, referred, screen, state

HIGHEST: dict[StatedInstrument, int] = {"dast-10": 10, "mdq": 13, "madrs": 60, "cadss": 92, "meq-30": 150}
RULES: dict[StatedInstrument, str | None] = {"dast-10": "R-12", "mdq": "R-13", "madrs": None, "cadss": None, "meq-30": None}
MDQ: dict[str, Any] = {"same_time": True, "trouble": "serious"}


def stating(instrument: StatedInstrument, total: int, hours_ago: float = 1, **mdq: Any) -> StateScore:
    return StateScore(instrument=instrument, total=total, answered_at=NOW - timedelta(hours=hours_ago), **mdq)


def stated(case: Case, instrument: StatedInstrument, total: int, hours_ago: float = 1, **mdq: Any) -> Case:
    return after(case, state_score, stating(instrument, total, hours_ago, **mdq))


def refused(command: StateScore, case: Case | None = None) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        state_score(case or referred(), command, at())
    return refusal.value


def items(case: Case, **policy: Any) -> list[tuple[str, str, str]]:
    event = screen(case, at(policy=policy_with(**policy)))
    assert isinstance(event, intake.ScreeningCompleted)
    return [(finding.item, finding.weight, finding.rule) for finding in event.summary.findings]


def test_every_stated_instrument_has_a_row_and_a_code_only_where_one_is_verified() -> None:
    assert set(STATED_FORMS) == set(get_args(StatedInstrument)) == set(HIGHEST)
    assert {name: form.highest for name, form in STATED_FORMS.items()} == HIGHEST
    assert {name: form.loinc for name, form in STATED_FORMS.items() if form.loinc} == {"dast-10": DAST10.loinc}
    assert DAST10.highest == HIGHEST["dast-10"]


@pytest.mark.parametrize("instrument", HIGHEST)
def test_r12_r13_a_total_out_of_range_is_refused_with_the_rule_and_never_clamped(instrument: StatedInstrument) -> None:
    mdq = MDQ if instrument == "mdq" else {}
    for total in (0, HIGHEST[instrument]):
        (event,) = state_score(referred(), stating(instrument, total, **mdq), at())
        assert isinstance(event, intake.ScoreStated)
        assert event.score.total == total
    for total in (-1, HIGHEST[instrument] + 1, 10**30):
        refusal = refused(stating(instrument, total, **mdq))
        assert (refusal.slug, refusal.rule) == ("out-of-range", RULES[instrument])


def test_what_was_stated_is_recorded() -> None:
    (event,) = state_score(referred(), stating("mdq", 8, **MDQ), at())
    assert isinstance(event, intake.ScoreStated)
    assert event.score == StatedScore(instrument="mdq", total=8, same_time=True, trouble="serious", answered_at=NOW - timedelta(hours=1))


@pytest.mark.parametrize("missing", ["same_time", "trouble"])
def test_r13_an_mdq_that_lacks_a_question_it_asks_is_refused_and_none_is_imputed(missing: str) -> None:
    refusal = refused(stating("mdq", 2, **{**MDQ, missing: None}))
    assert (refusal.slug, refusal.rule) == ("score-incomplete", "R-13")
    assert state_score(referred(), stating("mdq", 1), at())


def test_questions_of_the_mdq_belong_to_no_other_instrument() -> None:
    assert refused(stating("madrs", 20, trouble="minor")).slug == "malformed"
    assert refused(stating("dast-10", 2, same_time=False)).slug == "malformed"


@pytest.mark.parametrize(("hours_ago", "slug"), [(0, None), (-0.001, "time-in-the-future"), (24 * 365 * 30, "out-of-range")])
def test_the_time_lies_in_the_past_and_is_possible(hours_ago: float, slug: str | None) -> None:
    command = stating("dast-10", 1, hours_ago)
    if slug is None:
        assert state_score(referred(), command, at())
    else:
        refusal = refused(command)
        assert (refusal.slug, refusal.rule) == (slug, "R-12")


def test_a_score_needs_a_referral() -> None:
    assert refused(stating("cadss", 4), Case()).slug == "not-referred"


GOOD = '{"instrument": "mdq", "total": 7, "same_time": true, "trouble": "moderate", "answered_at": "2026-06-15T10:00:00+02:00"}'


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("7", '"7"'),
        ("7", "7.0"),
        ("7", "5e-324"),
        ("7", "NaN"),
        ("7", "null"),
        ("7", "true"),
        ("true", '"yes"'),
        ("moderate", "Moderate"),
        ('"mdq"', '"phq-9"'),
        ("2026-06-15", "2026-02-30"),
        ("2026-06-15", "10000-06-15"),
        ("+02:00", ""),
        ('"total"', '"answers"'),
    ],
)
def test_a_body_that_does_not_hold_is_refused(good: str, bad: str) -> None:
    assert StateScore.model_validate_json(GOOD).total == 7
    with pytest.raises(ValidationError):
        StateScore.model_validate_json(GOOD.replace(good, bad, 1))


@pytest.mark.parametrize(("total", "positive"), [(2, False), (3, True)])
def test_r12_a_stated_dast10_of_three_is_for_review(total: int, positive: bool) -> None:
    assert items(stated(ready(), "dast-10", total)) == ([("drugs", "review", "R-12")] if positive else [])


def observed(total: int, on: date | None) -> StatedFact:
    return StatedFact.model_validate({"kind": "observation", "system": "loinc", "code": "82667-7", "value": total, "on": on}, strict=False)


@pytest.mark.parametrize(("on", "positive"), [(date(2026, 6, 12), True), (date(2026, 6, 14), False)])
def test_r12_the_newest_dast10_counts_whichever_way_it_came(on: date, positive: bool) -> None:
    # Stated: 3 points on 13 June. In the chart: 0 points, a day before or a day after.
    one = stated(state(ready(), observed(0, on)), "dast-10", 3, hours_ago=48)
    other = state(stated(ready(), "dast-10", 3, hours_ago=48), observed(0, on))
    assert [bool(items(case)) for case in (one, other)] == [positive, positive]


def test_r12_of_two_on_one_day_the_one_recorded_later_counts() -> None:
    assert items(state(stated(ready(), "dast-10", 3), observed(0, NOW.date()))) == []
    assert items(stated(state(ready(), observed(0, NOW.date())), "dast-10", 3)) == [("drugs", "review", "R-12")]


def test_r12_of_two_stated_the_one_answered_later_counts_whenever_it_was_recorded() -> None:
    assert items(stated(stated(ready(), "dast-10", 0, hours_ago=1), "dast-10", 9, hours_ago=2)) == []


@pytest.mark.parametrize(
    ("total", "same_time", "trouble", "positive"),
    [
        (7, True, "moderate", True),
        (7, True, "serious", True),
        (13, True, "serious", True),
        (6, True, "serious", False),
        (7, False, "serious", False),
        (13, False, "serious", False),
        (7, True, "minor", False),
        (7, True, "none", False),
    ],
)
def test_r13_mdq_is_positive_only_with_all_three(total: int, same_time: bool, trouble: Any, positive: bool) -> None:
    case = stated(ready(), "mdq", total, same_time=same_time, trouble=trouble)
    assert items(case) == ([("bipolar_disorder_screen", "review", "R-13")] if positive else [])


@pytest.mark.parametrize(("threshold", "positive"), [(8, True), (9, False)])
def test_r13_the_threshold_comes_from_the_policy(threshold: int, positive: bool) -> None:
    assert bool(items(stated(ready(), "mdq", 8, **MDQ), mdq_review=threshold)) is positive


def test_r13_the_newest_mdq_counts() -> None:
    assert items(stated(stated(ready(), "mdq", 9, hours_ago=2, **MDQ), "mdq", 0, hours_ago=1)) == []


def test_the_prescriber_gets_the_newest_score_of_each_and_an_old_summary_has_none() -> None:
    case = stated(stated(stated(ready(), "madrs", 31, hours_ago=3), "madrs", 28, hours_ago=2), "cadss", 0)
    event = screen(case)
    assert isinstance(event, intake.ScreeningCompleted)
    assert [(score.instrument, score.total) for score in event.summary.stated_scores] == [("cadss", 0), ("madrs", 28)]
    before = screen(ready()).model_dump(mode="json")
    del before["summary"]["stated_scores"]
    assert intake.ScreeningCompleted.model_validate(before).summary.stated_scores == ()


def test_scores_without_a_rule_find_nothing_and_screening_needs_none() -> None:
    case = ready()
    for instrument in ("madrs", "cadss", "meq-30"):
        case = stated(case, instrument, HIGHEST[instrument])
    assert items(case) == []
    assert case.referral is not None
    assert set(chart_of(case, case.referral, at()).stated) == {"madrs", "cadss", "meq-30"}
    assert fold(case, [screen(case)]).status == "screened"
