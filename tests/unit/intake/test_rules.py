"""Rules R-01 to R-12 and R-34, on both sides of each boundary. Expectations: the rule table (domain 5c) and the shipped policy."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain import rules
from services.intake.domain.codes import CONDITIONS
from services.intake.domain.rules import excluding, findings
from shared.events.clinical import Fact, Finding, Instrument, Sex
from shared.pathway.instruments import Answers
from tests.unit.intake.cases import NOTHING, chart, condition, measured, medication, no, policy_with, yes

AVM, ANEURYSM, HAEMORRHAGE, KETAMINE_ALLERGY = "234142008", "233985008", "274100004", "373464007"
SCHIZOPHRENIA, MANIA, BIPOLAR = "58214004", "231494001", "13746004"
OPIOID_ABUSE, ALCOHOLISM = "5602001", "7200002"


def found(*facts: Fact) -> list[tuple[str, str, str]]:
    return [(finding.item, finding.weight, finding.rule) for finding in findings(chart(*facts))]


# R-01; today is 2026-06-15
@pytest.mark.parametrize(("born", "excluded"), [(date(2008, 6, 15), False), (date(2008, 6, 16), True), (date(1990, 1, 1), False)])
def test_r01_eighteen_on_the_day_is_old_enough(born: date, excluded: bool) -> None:
    expected = (Finding(item="age", weight="absolute", rule="R-01", because=("birth_date",)),) if excluded else ()
    assert rules.r01_minimum_age(chart(birth_date=born)) == expected


def test_r01_minimum_age_comes_from_the_policy() -> None:
    born = date(2006, 1, 1)
    assert rules.r01_minimum_age(chart(birth_date=born)) == ()
    assert rules.r01_minimum_age(chart(birth_date=born, policy=policy_with(minimum_age_years=21))) != ()


@pytest.mark.parametrize("code", [AVM, ANEURYSM, HAEMORRHAGE, KETAMINE_ALLERGY])
@pytest.mark.parametrize("active", [True, False])
def test_r02_excludes_past_and_present(code: str, active: bool) -> None:
    (item,) = CONDITIONS["snomed", code].items
    ended = None if active else date(2001, 1, 1)
    assert found(condition(code, active=active, ended=ended)) == [(item, "absolute", "R-02")]


def test_r02_a_later_no_takes_nothing_back() -> None:
    assert found(yes("arteriovenous_malformation"), no("arteriovenous_malformation")) == [
        ("arteriovenous_malformation", "absolute", "R-02")
    ]


def test_r02_an_allergen_in_rxnorm_means_the_allergy_but_the_medication_does_not() -> None:
    allergy = Fact(kind="condition", system="rxnorm", code="6130", label="Ketamine")
    assert found(allergy) == [("ketamine_hypersensitivity", "absolute", "R-02")]
    assert found(medication("6130")) == []


@pytest.mark.parametrize("active", [True, False])
def test_r03_a_psychotic_disorder_excludes_even_when_past(active: bool) -> None:
    assert found(condition(SCHIZOPHRENIA, active=active)) == [("psychotic_disorder", "absolute", "R-03")]


def test_r03_mania_excludes_while_it_lasts_and_is_reviewed_after() -> None:
    assert found(condition(MANIA)) == [("mania_or_mixed_episode", "absolute", "R-03")]
    assert found(condition(MANIA, active=False, ended=date(2026, 6, 14))) == [("bipolar_disorder", "review", "R-03")]


def test_r03_bipolar_disorder_alone_is_reviewed_and_with_mania_excluded() -> None:
    assert found(condition(BIPOLAR)) == [("bipolar_disorder", "review", "R-03")]
    assert found(condition(BIPOLAR), yes("mania_or_mixed_episode")) == [("mania_or_mixed_episode", "absolute", "R-03")]


@pytest.mark.parametrize("item", ["pregnancy", "nursing"])
@pytest.mark.parametrize("weight", ["absolute", "review"])
def test_r04_weighs_as_the_policy_says(item: str, weight: str) -> None:
    (finding,) = rules.r04_pregnancy(chart(yes(item), policy=policy_with(pregnancy=weight)))
    assert (finding.item, finding.weight, finding.rule) == (item, weight, "R-04")


def test_r04_a_pregnancy_that_ended_does_not_count() -> None:
    assert found(condition("72892002", active=False, ended=date(2026, 6, 1))) == []
    assert found(yes("pregnancy"), no("pregnancy")) == []


# three months after the last day; today is 2026-06-15
@pytest.mark.parametrize(
    ("ended", "until"),
    [
        (date(2026, 6, 14), date(2026, 9, 14)),
        (date(2026, 3, 16), date(2026, 6, 16)),
        (date(2026, 3, 15), None),
        (date(2020, 1, 1), None),
    ],
)
def test_r05_a_disorder_in_the_past_three_months_defers(ended: date, until: date | None) -> None:
    (finding,) = rules.r05_substance_use(chart(condition(OPIOID_ABUSE, active=False, ended=ended)))
    assert (finding.weight, finding.until) == (("review", None) if until is None else ("defer", until))
    assert finding.because == (OPIOID_ABUSE,)


@pytest.mark.parametrize("fact", [condition(ALCOHOLISM), condition(ALCOHOLISM, active=False), yes("opioid_use_disorder")])
def test_r05_active_or_without_a_known_end_counts_until_today(fact: Fact) -> None:
    (finding,) = rules.r05_substance_use(chart(fact))
    assert (finding.weight, finding.until) == ("defer", date(2026, 9, 15))


@pytest.mark.parametrize(
    ("ended", "months", "until"),
    [(date(2026, 5, 31), 1, date(2026, 6, 30)), (date(2026, 6, 1), 7, date(2027, 1, 1)), (date(2026, 6, 1), 12, date(2027, 6, 1))],
)
def test_r05_months_end_where_the_calendar_does(ended: date, months: int, until: date) -> None:
    policy = policy_with(substance_use_disorder_months=months)
    (finding,) = rules.r05_substance_use(chart(condition(OPIOID_ABUSE, active=False, ended=ended), policy=policy))
    assert finding.until == until


# Four weeks of sobriety, after a disorder long past
@pytest.mark.parametrize(("sober", "until"), [(date(2026, 5, 18), None), (date(2026, 5, 19), date(2026, 6, 16))])
def test_r05_less_than_four_weeks_sober_after_a_disorder_defers(sober: date, until: date | None) -> None:
    statement = Fact(kind="statement", system="kapcare", code="sober_since", label="Sober since", on=sober)
    past = condition(ALCOHOLISM, active=False, ended=date(2024, 1, 1))
    (finding,) = rules.r05_substance_use(chart(past, statement))
    assert (finding.weight, finding.until) == (("review", None) if until is None else ("defer", until))
    assert rules.r05_substance_use(chart(statement)) == ()


def test_r05_the_later_of_two_days_counts() -> None:
    first, second = date(2026, 4, 1), date(2026, 5, 1)
    facts = (condition(OPIOID_ABUSE, active=False, ended=first), condition(ALCOHOLISM, active=False, ended=second))
    for order in (facts, facts[::-1]):
        (finding,) = rules.r05_substance_use(chart(*order))
        assert finding.until == date(2026, 8, 1)


def test_r05_uncontrolled_use_excludes() -> None:
    assert found(yes("uncontrolled_substance_use"), condition(ALCOHOLISM)) == [("uncontrolled_substance_use", "absolute", "R-05")]


@pytest.mark.parametrize(
    ("code", "item", "when_over"),
    [
        ("59621000", "hypertension", False),
        ("19943007", "liver_disease", False),
        ("38822007", "cystitis", False),
        ("34486009", "hyperthyroidism", False),
        ("73430006", "sleep_apnoea", False),
        ("87433001", "respiratory_disease", False),
        ("84757009", "seizure", True),
        ("401314000", "cardiac_disease", True),
        ("84494001", "glaucoma", True),
        ("230690007", "stroke", True),
    ],
)
def test_r06_conditions_need_clearance_and_some_even_when_over(code: str, item: str, when_over: bool) -> None:
    to_clear = [(item, "needs_clearance", "R-06")]
    assert found(condition(code)) == to_clear
    assert found(condition(code, active=False, ended=date(2020, 1, 1))) == (to_clear if when_over else [])


@pytest.mark.parametrize(("index", "to_clear"), [("35", False), ("35.0001", True), ("40", True)])
def test_r06_body_mass_index_above_35_needs_clearance(index: str, to_clear: bool) -> None:
    assert bool(rules.r06_body_mass_index(chart(measured("39156-5", index)))) is to_clear


# 2 m: 140 kg is exactly 35 kg/m2
@pytest.mark.parametrize(("weight", "to_clear"), [("140", False), ("140.01", True)])
def test_r06_body_mass_index_from_weight_and_height(weight: str, to_clear: bool) -> None:
    facts = (measured("29463-7", weight), measured("8302-2", "200"))
    assert bool(rules.r06_body_mass_index(chart(*facts))) is to_clear


def test_r06_the_newer_of_measured_and_calculated_index_counts() -> None:
    height = measured("8302-2", "200", date(2020, 1, 1))
    old, new = date(2025, 1, 1), date(2026, 1, 1)
    lost_weight = chart(height, measured("39156-5", "40", old), measured("29463-7", "80", new))
    gained_weight = chart(height, measured("39156-5", "40", new), measured("29463-7", "80", old))
    assert rules.r06_body_mass_index(lost_weight) == ()
    assert rules.r06_body_mass_index(gained_weight)[0].because == ("39156-5",)


@pytest.mark.parametrize(
    ("systolic", "diastolic", "to_clear"),
    [("140", "90", False), ("141", "90", True), ("140", "91", True), ("140.5", "80", True), ("120", "80", False)],
)
def test_r06_pressure_above_140_over_90_needs_clearance(systolic: str, diastolic: str, to_clear: bool) -> None:
    (*found_items,) = found(measured("8480-6", systolic), measured("8462-4", diastolic))
    assert found_items == ([("blood_pressure", "needs_clearance", "R-06")] if to_clear else [])


@pytest.mark.parametrize(("loinc", "value", "to_clear"), [("8480-6", "141", True), ("8480-6", "140", False), ("8462-4", "91", True)])
def test_r06_one_value_of_a_pressure_is_enough(loinc: str, value: str, to_clear: bool) -> None:
    assert found(measured(loinc, value)) == ([("blood_pressure", "needs_clearance", "R-06")] if to_clear else [])


def test_r06_only_the_latest_pressure_counts_whatever_the_order() -> None:
    old = (measured("8480-6", "190", date(2020, 1, 1)), measured("8462-4", "100", date(2020, 1, 1)))
    new = (measured("8480-6", "120", date(2026, 1, 1)), measured("8462-4", "80", date(2026, 1, 1)))
    assert found(*old, *new) == found(*new, *old) == []


@pytest.mark.parametrize(
    ("answers", "items"),
    [
        ([1, 1, 0, 0, 0, 0], []),
        ([1, 1, 1, 0, 0, 0], ["suicide_risk_moderate"]),
        ([0, 0, 0, 0, 0, 1], ["suicide_risk_moderate"]),
        ([0, 0, 1, 0, 0, None], []),
    ],
)
def test_r10_moderate_risk_is_for_review(answers: list[int | None], items: list[str]) -> None:
    assert [finding.item for finding in rules.r10_suicide_risk(chart(scored={"c-ssrs": answers}))] == items


def test_r10_suicidality_in_the_chart_is_for_review() -> None:
    assert found(condition("225444004")) == [("suicidality_in_chart", "review", "R-10")]
    assert found(condition("225444004", active=False)) == []


@pytest.mark.parametrize(("total", "positive"), [(9, False), (10, True)])
def test_r11_gad7_of_ten_is_for_review(total: int, positive: bool) -> None:
    answers: list[int | None] = [3, 3, 3, total - 9, 0, 0, 0]
    found_items = rules.r11_anxiety_and_ptsd_screens(chart(scored={"gad-7": answers}))
    assert [(finding.item, finding.weight) for finding in found_items] == ([("anxiety_screen_positive", "review")] if positive else [])


@pytest.mark.parametrize(("last", "provisional"), [(0, False), (1, True)])
def test_r11_pcl5_of_33_is_a_provisional_finding_for_review(last: int, provisional: bool) -> None:
    answers: Answers = [4] * 8 + [last] + [0] * 11
    found_items = rules.r11_anxiety_and_ptsd_screens(chart(scored={"pcl-5": answers}))
    assert [(finding.item, finding.weight) for finding in found_items] == ([("provisional_ptsd", "review")] if provisional else [])


@pytest.mark.parametrize(
    ("sex", "total", "positive"),
    [("male", 3, False), ("male", 4, True), ("female", 2, False), ("female", 3, True), ("unknown", 2, False), ("unknown", 3, True)],
)
def test_r12_audit_c_is_for_review_by_sex(sex: Sex, total: int, positive: bool) -> None:
    found_items = rules.r12_alcohol_and_drugs(chart(sex=sex, scored={"audit-c": [total, 0, 0]}))
    assert [(finding.item, finding.weight) for finding in found_items] == ([("alcohol", "review")] if positive else [])


@pytest.mark.parametrize(("total", "positive"), [("2", False), ("3", True)])
def test_r12_dast10_of_three_is_for_review(total: str, positive: bool) -> None:
    assert found(measured("82667-7", total)) == ([("drugs", "review", "R-12")] if positive else [])


def test_r34_only_medications_taken_now_are_for_review() -> None:
    assert found(medication("6470")) == [("benzodiazepine", "review", "R-34")]
    assert found(medication("6470", active=False)) == []
    assert found(medication("6470"), medication("6470", active=False)) == []
    assert found(medication("197361")) == []


@pytest.mark.parametrize(
    ("code", "item"),
    [
        ("596", "benzodiazepine"),
        ("6960", "benzodiazepine"),
        ("10689", "opioid"),
        ("6901", "psychostimulant"),
        ("8123", "monoamine_oxidase_inhibitor"),
    ],
)
def test_r34_a_finding_names_the_class_and_the_code_and_advises_nothing(code: str, item: str) -> None:
    # Never advise stopping one: a finding has no words of its own, so there is no place for advice.
    assert findings(chart(medication(code))) == (Finding(item=item, weight="review", rule="R-34", because=(code,)),)
    assert set(Finding.model_fields) == {"item", "weight", "rule", "because", "until"}


def test_of_two_readings_on_one_day_the_later_word_counts() -> None:
    high, normal = (measured("8480-6", "170"), measured("8462-4", "80")), (measured("8480-6", "120"), measured("8462-4", "80"))
    assert found(*high, *normal) == []
    assert found(*normal, *high) == [("blood_pressure", "needs_clearance", "R-06")]


@pytest.mark.parametrize(("ended", "current"), [(date(2026, 6, 15), False), (date(2026, 6, 16), True)])
def test_what_ends_today_is_over(ended: date, current: bool) -> None:
    assert bool(found(yes("hypertension", ended=ended))) is current


def test_nothing_known_and_nothing_scored_finds_nothing() -> None:
    assert findings(chart(scored=NOTHING)) == ()


FACTS = st.builds(
    lambda key, active, ended: Fact(
        kind="condition",
        system=CONDITIONS[key].system,
        code=key[1],
        label="as coded",
        active=active,
        ended=None if active else ended,
    ),
    st.sampled_from(sorted(CONDITIONS)),
    st.booleans(),
    st.none() | st.dates(date(2000, 1, 1), date(2026, 6, 15)),
)


@given(st.lists(FACTS, max_size=6, unique_by=lambda fact: fact.code), st.randoms(use_true_random=False))
def test_the_order_of_different_facts_changes_no_weight(facts: list[Fact], random: object) -> None:
    shuffled = sorted(facts, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert {(f.item, f.weight, f.until) for f in findings(chart(*facts))} == {
        (f.item, f.weight, f.until) for f in findings(chart(*shuffled))
    }


@given(st.lists(FACTS, max_size=5), FACTS)
def test_one_more_condition_never_lets_an_absolute_exclusion_go(facts: list[Fact], more: Fact) -> None:
    def always(*some: Fact) -> set[str]:
        return {finding.item for finding in findings(chart(*some)) if finding.rule == "R-02"}

    assert always(*facts) <= always(*facts, more)


@given(st.lists(FACTS, max_size=5), st.sampled_from(sorted(NOTHING)))
def test_what_excludes_is_absolute_or_dated(facts: list[Fact], instrument: Instrument) -> None:
    for finding in excluding(findings(chart(*facts, scored={instrument: NOTHING[instrument]}))):
        assert finding.weight == "absolute" or (finding.until is not None and finding.until > date(2026, 6, 15))
