"""Scoring. Oracle for totals, bands and cut-offs of PHQ-9, GAD-7 and AUDIT-C: clincalc 0.4.0, which we did not write.

PCL-5: cut-off and clusters of the National Center for PTSD (domain rule R-11). C-SSRS: the table of domain rule R-09.
"""

from itertools import pairwise, product
from typing import Any, get_args

import clincalc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.events.clinical import Instrument, RiskLevel, Sex
from shared.pathway.instrument_items import FORMS, LOINC
from shared.pathway.instruments import ITEM9_POSITIVE, POSITIVE, PROVISIONAL_PTSD, UNSCORED, Scored, is_scored, risk_of, score
from shared.pathway.policy import PolicyValues, read_policy
from shared.pathway.refusal import Refusal

POLICY = read_policy().values
INSTRUMENTS: tuple[Instrument, ...] = get_args(Instrument)
GRAVITY: tuple[RiskLevel, ...] = ("none", "low", "moderate", "high")


def with_total(instrument: Instrument, total: int) -> list[int | None]:
    """Answers that sum to the total, filled from the first item on."""
    answers: list[int | None] = []
    for most in FORMS[instrument].highest:
        answers.append(min(most, total))
        total -= answers[-1] or 0
    assert total == 0
    return answers


def totals(instrument: Instrument) -> range:
    return range(sum(FORMS[instrument].highest) + 1)


def oracle(name: str, answers: list[int | None], **more: Any) -> dict[str, Any]:
    result: dict[str, Any] = clincalc.calculate(name, {"responses": answers, **more})["working"]
    return result


def any_answers(instrument: Instrument) -> st.SearchStrategy[list[int]]:
    return st.tuples(*(st.integers(0, most) for most in FORMS[instrument].highest)).map(list)


@pytest.mark.parametrize("total", totals("phq-9"))
def test_r07_phq9_total_and_band_agree_with_clincalc(total: int) -> None:
    answers = with_total("phq-9", total)
    working = oracle("phq9", answers)
    scored = score("phq-9", answers, POLICY)
    assert (
        (scored.total, scored.band) == (working["total_score"], working["severity"].replace("-severe", " severe")) == (total, scored.band)
    )
    assert (ITEM9_POSITIVE in scored.flags) is working["self_harm_item_flag"]


@given(any_answers("phq-9"))
def test_r08_phq9_item9_agrees_with_clincalc_whatever_the_total(answers: list[int | None]) -> None:
    assert (ITEM9_POSITIVE in score("phq-9", answers, POLICY).flags) is oracle("phq9", answers)["self_harm_item_flag"]


@pytest.mark.parametrize(("below", "from_here"), [(4, 5), (9, 10), (14, 15), (19, 20)])
def test_r07_phq9_totals_fall_on_the_right_side_of_each_band(below: int, from_here: int) -> None:
    names = ("none-minimal", "mild", "moderate", "moderately severe", "severe")
    low, high = (score("phq-9", with_total("phq-9", total), POLICY).band for total in (below, from_here))
    assert (low, high) in set(pairwise(names))


def test_r08_item9_counts_even_when_another_item_is_missing() -> None:
    answers: list[int | None] = [None, 0, 0, 0, 0, 0, 0, 0, 1]
    assert score("phq-9", answers, POLICY) == Scored(None, UNSCORED, (ITEM9_POSITIVE,))


@pytest.mark.parametrize(("threshold", "flagged"), [(1, True), (2, True), (3, False)])
def test_r08_threshold_comes_from_the_policy(threshold: int, flagged: bool) -> None:
    policy = PolicyValues.model_validate({**POLICY.model_dump(), "phq9_item9_requires_screener": threshold})
    assert (ITEM9_POSITIVE in score("phq-9", [0] * 8 + [2], policy).flags) is flagged


@given(st.one_of(*(st.tuples(st.just(name), any_answers(name), st.integers(0, 99)) for name in INSTRUMENTS)))
def test_r07_a_missing_item_never_scores(case: tuple[Instrument, list[int | None], int]) -> None:
    instrument, answers, at = case
    answers[at % len(answers)] = None
    scored = score(instrument, answers, POLICY)
    assert scored.total is None
    assert scored.band == ("high" if instrument == "c-ssrs" and scored.band == "high" else UNSCORED)
    assert is_scored(instrument, scored) is (scored.band == "high")


@pytest.mark.parametrize("total", totals("gad-7"))
def test_r11_gad7_agrees_with_clincalc(total: int) -> None:
    answers = with_total("gad-7", total)
    working = oracle("gad7", answers)
    scored = score("gad-7", answers, POLICY)
    assert (scored.total, scored.band) == (working["total_score"], working["severity"])
    assert (POSITIVE in scored.flags) is working["above_case_threshold"]


@given(any_answers("phq-9"))
def test_r07_any_phq9_agrees_with_clincalc(answers: list[int | None]) -> None:
    working = oracle("phq9", answers)
    scored = score("phq-9", answers, POLICY)
    assert (scored.total, scored.band) == (working["total_score"], working["severity"].replace("-severe", " severe"))


@given(any_answers("gad-7"))
def test_r11_any_gad7_agrees_with_clincalc(answers: list[int | None]) -> None:
    working = oracle("gad7", answers)
    scored = score("gad-7", answers, POLICY)
    assert (scored.total, scored.band) == (working["total_score"], working["severity"])
    assert (POSITIVE in scored.flags) is working["above_case_threshold"]


@pytest.mark.parametrize(("below", "from_here"), [(4, 5), (9, 10), (14, 15)])
def test_r11_gad7_totals_fall_on_the_right_side_of_each_band(below: int, from_here: int) -> None:
    names = ("minimal", "mild", "moderate", "severe")
    low, high = (score("gad-7", with_total("gad-7", total), POLICY).band for total in (below, from_here))
    assert (low, high) in set(pairwise(names))


def test_r12_every_possible_audit_c_agrees_with_clincalc() -> None:
    every: list[list[int | None]] = [list(answers) for answers in product(range(5), repeat=3)]
    sexes: tuple[Sex, ...] = ("male", "female")
    assert len(every) == 125
    for answers in every:
        for sex in sexes:
            working = oracle("auditc", answers, sex=sex)
            scored = score("audit-c", answers, POLICY, sex)
            assert (scored.total, POSITIVE in scored.flags) == (working["total_score"], working["screen_positive"])


@pytest.mark.parametrize(("sex", "below", "from_here"), [("male", 3, 4), ("female", 2, 3), ("unknown", 2, 3)])
def test_r12_audit_c_is_positive_from_the_cut_off_of_the_sex(sex: Sex, below: int, from_here: int) -> None:
    low, high = (score("audit-c", with_total("audit-c", total), POLICY, sex) for total in (below, from_here))
    assert (low.band, low.flags, high.band, high.flags) == ("negative", (), "positive", (POSITIVE,))


@pytest.mark.parametrize("sex", ["male", "female"])
@pytest.mark.parametrize("total", totals("audit-c"))
def test_r12_audit_c_agrees_with_clincalc(total: int, sex: Sex) -> None:
    answers = with_total("audit-c", total)
    working = oracle("auditc", answers, sex=sex)
    scored = score("audit-c", answers, POLICY, sex)
    assert scored.total == working["total_score"]
    assert (scored.band == "positive") is (POSITIVE in scored.flags) is working["screen_positive"]


@pytest.mark.parametrize(("total", "positive"), [(2, False), (3, True)])
def test_r12_unknown_sex_takes_the_lower_cut_off(total: int, positive: bool) -> None:
    assert (POSITIVE in score("audit-c", with_total("audit-c", total), POLICY, "unknown").flags) is positive


@pytest.mark.parametrize(("total", "provisional"), [(32, False), (33, True), (80, True)])
def test_r11_pcl5_total_of_33_is_provisional(total: int, provisional: bool) -> None:
    # Filled from the first item on, 32 points leave cluster E empty, so that only the total can decide.
    assert (PROVISIONAL_PTSD in score("pcl-5", with_total("pcl-5", total), POLICY).flags) is provisional


def clusters(b: int, c: int, d: int, e: int, answer: int = 2) -> list[int | None]:
    """PCL-5 answers with so many items of each cluster answered, the last ones."""
    return [answer if place >= size - wanted else 0 for size, wanted in ((5, b), (2, c), (7, d), (6, e)) for place in range(size)]


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize(("cluster", "needed"), [(0, 1), (1, 1), (2, 2), (3, 2)], ids="BCDE")
def test_r11_pcl5_both_sides_of_each_cluster(cluster: int, needed: int, more: int) -> None:
    # The other clusters are just met: the one in question decides, at one item short, as many as needed, and one more.
    counts = [1, 1, 2, 2]
    for count, provisional in ((needed - 1, False), (needed + more, True)):
        counts[cluster] = count
        scored = score("pcl-5", clusters(*counts), POLICY)
        assert scored.total is not None
        assert scored.total < POLICY.pcl5_provisional
        assert (PROVISIONAL_PTSD in scored.flags) is provisional


@pytest.mark.parametrize(("answer", "provisional"), [(1, False), (2, True), (3, True), (4, True)])
@pytest.mark.parametrize("cluster", range(4), ids="BCDE")
def test_r11_pcl5_an_item_counts_for_its_cluster_from_two(cluster: int, answer: int, provisional: bool) -> None:
    # One item of the cluster, its last, carries the answer in question; 12 to 14 points, so that the total does not decide.
    answers = clusters(1, 1, 2, 2)
    answers[(4, 6, 13, 19)[cluster]] = answer
    assert (PROVISIONAL_PTSD in score("pcl-5", answers, POLICY).flags) is provisional


def test_r11_pcl5_32_points_without_a_cluster_are_not_provisional_and_33_are() -> None:
    # Items 1 to 8: D lacks one item of two, E both, so that the total alone decides.
    answers = with_total("pcl-5", 32)
    assert score("pcl-5", answers, POLICY).band == "negative"
    answers[8] = 1
    assert score("pcl-5", answers, POLICY).flags == (PROVISIONAL_PTSD,)


def test_r11_pcl5_cluster_rule_is_enough_below_33() -> None:
    scored = score("pcl-5", clusters(1, 1, 2, 2), POLICY)
    assert (scored.total, scored.band, scored.flags) == (12, "positive", (PROVISIONAL_PTSD,))


@pytest.mark.parametrize("counts", [(0, 1, 2, 2), (1, 0, 2, 2), (1, 1, 1, 2), (1, 1, 2, 1)])
def test_r11_pcl5_every_cluster_is_needed(counts: tuple[int, int, int, int]) -> None:
    assert score("pcl-5", clusters(*counts), POLICY).band == "negative"


def test_r11_pcl5_every_item_belongs_to_its_cluster() -> None:
    # B is items 1 to 5, C 6 and 7, D 8 to 14, E 15 to 20: one more positive item completes the cluster that lacks one.
    for cluster, items in enumerate((range(5), range(5, 7), range(7, 14), range(14, 20))):
        counts = [1, 1, 2, 2]
        counts[cluster] -= 1
        answers = clusters(*counts)
        completing = set()
        for place in range(20):
            if answers[place] == 0 and score("pcl-5", [2 if at == place else a for at, a in enumerate(answers)], POLICY).flags:
                completing.add(place)
        assert completing == {place for place in items if answers[place] == 0}


def test_r11_pcl5_an_answer_of_one_does_not_count_for_a_cluster() -> None:
    assert score("pcl-5", clusters(5, 2, 7, 6, answer=1), POLICY).band == "negative"


def risk_by_table(q: tuple[int, ...]) -> RiskLevel:
    """Domain rule R-09 word for word."""
    if q[3] or q[4] or q[5] == 2:
        return "high"
    if q[2] or q[5] == 1:
        return "moderate"
    return "low" if q[0] or q[1] else "none"


def test_r09_every_possible_screener_has_the_level_of_the_table() -> None:
    every = list(product((0, 1), (0, 1), (0, 1), (0, 1), (0, 1), (0, 1, 2)))
    assert len(every) == 96
    assert [score("c-ssrs", answers, POLICY).band for answers in every] == [risk_by_table(answers) for answers in every]


def test_r09_a_missing_item_never_makes_the_risk_smaller() -> None:
    for answers in product((0, 1, None), (0, 1, None), (0, 1, None), (0, 1, None), (0, 1, None), (0, 1, 2, None)):
        scored = score("c-ssrs", answers, POLICY)
        possible = {
            risk_by_table(filled)
            for filled in product(*((0, 1) if a is None else (a,) for a in answers[:5]), (0, 1, 2) if answers[5] is None else (answers[5],))
        }
        level = risk_of(scored)
        assert level is None or GRAVITY.index(level) == max(GRAVITY.index(each) for each in possible)
        assert (level is None) is (None in answers and min(possible, key=GRAVITY.index) != "high")


@pytest.mark.parametrize("instrument", INSTRUMENTS)
@pytest.mark.parametrize("difference", [-1, 1])
def test_a_wrong_number_of_answers_is_refused(instrument: Instrument, difference: int) -> None:
    with pytest.raises(Refusal) as refused:
        score(instrument, [0] * (len(FORMS[instrument].items) + difference), POLICY)
    assert refused.value.slug == "wrong-number-of-answers"
    assert refused.value.rule is not None


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_an_answer_out_of_range_is_refused_on_both_sides_of_every_item(instrument: Instrument) -> None:
    for place, most in enumerate(FORMS[instrument].highest):
        for wrong in (-1, most + 1):
            answers: list[int | None] = [0] * len(FORMS[instrument].items)
            answers[place] = wrong
            with pytest.raises(Refusal, match=f"item {place + 1} ") as refused:
                score(instrument, answers, POLICY)
            assert (refused.value.slug, refused.value.rule is None) == ("out-of-range", False)


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_forms_have_words_and_bounds_for_every_item(instrument: Instrument) -> None:
    form = FORMS[instrument]
    assert (
        len(form.items)
        == len(form.choices)
        == len(form.highest)
        == {"phq-9": 9, "gad-7": 7, "pcl-5": 20, "audit-c": 3, "c-ssrs": 6}[instrument]
    )
    assert [len(words) - 1 for words in form.choices] == list(form.highest)
    assert form.licence


def test_c_ssrs_ships_no_wording() -> None:
    assert FORMS["c-ssrs"].items == ("q1", "q2", "q3", "q4", "q5", "q6")


def test_audit_c_carries_the_who_notice() -> None:
    assert "not for sale" in FORMS["audit-c"].licence


@pytest.mark.parametrize("name", ["phq9", "gad7"])
def test_item_wording_begins_as_clincalc_abbreviates_it(name: str) -> None:
    instrument: Instrument = "phq-9" if name == "phq9" else "gad-7"
    concept = clincalc.get_schema(name)["properties"]["responses"]["definition"]["includes"]
    for ours, theirs in zip(FORMS[instrument].items, concept, strict=True):
        assert ours.casefold().split()[:2] == theirs.partition(" ")[2].casefold().split()[:2]


def test_loinc_codes_have_valid_check_digits() -> None:
    for codes in LOINC.values():
        for code in filter(None, (codes.panel, codes.total)):
            digits, _, check = code.partition("-")
            luhn = sum(sum(divmod(int(d) * 2, 10)) if place % 2 == 0 else int(d) for place, d in enumerate(reversed(digits)))
            assert int(check) == -luhn % 10, code
