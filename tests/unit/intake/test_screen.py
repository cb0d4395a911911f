"""Completing the screening: what must be there (R-07), what refuses it on record (R-08, R-10, R-20), what comes out."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.intake.domain.codes import CONDITIONS, QUESTIONS
from services.intake.domain.consent import STOPS
from services.intake.domain.screen import CompleteScreening, complete_screening
from services.intake.domain.state import Case
from services.intake.domain.state_facts import StatedFact
from shared.events import intake, prescriber
from shared.events.clinical import Instrument
from shared.pathway.refusal import Refusal
from shared.pathway.stop import LiftHold, PlaceHold, WithdrawConsent
from tests.unit.intake.cases import (
    NO_TO_ALL,
    NOTHING,
    NOW,
    POLICY,
    after,
    answer,
    at,
    consent,
    fold,
    policy_with,
    ready,
    referred,
    screen,
    state,
)

OBSERVED: dict[str, Any] = {"kind": "observation", "system": "loinc"}


def past_disorder(ended: date) -> StatedFact:
    return StatedFact(kind="condition", system="snomed", code="5602001", active=False, ended=ended)


def test_nothing_found_completes_with_the_policy_version_and_what_the_prescriber_needs() -> None:
    weight = StatedFact(**OBSERVED, code="29463-7", value=Decimal("70.256"), unit="kg")
    takes = StatedFact(kind="medication", system="rxnorm", code="312938", label="Sertraline 100 MG Oral Tablet")
    case = ready(birth_date=date(1990, 6, 16), indication="anxiety", facts=(weight, takes))
    (event,) = complete_screening(case, CompleteScreening(note="prefers mornings"), at())
    assert isinstance(event, intake.ScreeningCompleted)
    assert (event.policy_version, event.completed_at) == (POLICY.version, NOW)
    summary = event.summary
    assert (summary.indication, summary.age, summary.sex, summary.route, summary.risk) == ("anxiety", 35, "female", None, None)
    assert summary.weight_kg == Decimal("70.26")
    assert (summary.findings, summary.medications, summary.note) == ((), ("Sertraline 100 MG Oral Tablet",), "prefers mornings")
    assert [(score.instrument, score.total) for score in summary.scores] == [("audit-c", 0), ("gad-7", 0), ("phq-9", 0)]


def test_findings_that_do_not_exclude_go_to_the_prescriber() -> None:
    event = screen(state(ready(), hypertension=True, bipolar_disorder=True))
    assert isinstance(event, intake.ScreeningCompleted)
    assert event.summary.clearances == ("hypertension",)
    assert [finding.item for finding in event.summary.findings] == ["bipolar_disorder", "hypertension"]


def test_r01_a_minor_is_screened_out() -> None:
    event = screen(ready(birth_date=date(2010, 1, 1)))
    assert isinstance(event, intake.ScreenedOut)
    assert [(reason.item, reason.rule) for reason in event.reasons] == [("age", "R-01")]
    assert event.policy_version == POLICY.version


def test_the_prescriber_is_shown_what_no_class_and_no_rule_has_read() -> None:
    facts = (
        StatedFact(kind="medication", system="rxnorm", code="312938", label="Sertraline 100 MG Oral Tablet"),
        StatedFact(kind="medication", system="rxnorm", code="854873"),
        StatedFact(kind="medication", system="rxnorm", code="99999999"),
        StatedFact(kind="condition", system="snomed", code="195967001", label="Asthma"),
        StatedFact(kind="condition", system="icd-10-cm", code="M54.50", label="Low back pain", active=False),
        StatedFact(kind="condition", system="snomed", code="59621000"),
    )
    event = screen(state(ready(), *facts))
    assert isinstance(event, intake.ScreeningCompleted)
    summary = event.summary
    assert summary.medications == ("Sertraline 100 MG Oral Tablet", "zolpidem tartrate 10 MG Oral Tablet", "99999999")
    assert summary.medications_of_no_class == ("Sertraline 100 MG Oral Tablet", "99999999")
    assert summary.unread_conditions == ("Asthma",)
    assert {(finding.item, finding.because) for finding in summary.findings} == {
        ("hypertension", ("59621000",)),
        ("hypnotic", ("854873",)),
        ("medication_not_recognised", ("99999999",)),
    }


def test_reasons_are_only_what_excludes() -> None:
    event = screen(state(ready(), hypertension=True, pregnancy=True))
    assert isinstance(event, intake.ScreenedOut)
    assert [reason.item for reason in event.reasons] == ["pregnancy"]


@given(st.sampled_from(sorted(code for (_, code), row in CONDITIONS.items() if set(row.items) <= set(QUESTIONS))), st.booleans())
def test_r02_screening_never_completes_with_an_absolute_finding(code: str, active: bool) -> None:
    system = next(key[0] for key in CONDITIONS if key[1] == code)
    fact = StatedFact.model_validate({"kind": "condition", "system": system, "code": code, "active": active})
    event = screen(state(ready(), fact))
    if isinstance(event, intake.ScreeningCompleted):
        assert all(finding.weight in ("needs_clearance", "review") for finding in event.summary.findings)
    else:
        assert isinstance(event, intake.ScreenedOut)
        assert any(reason.weight in ("absolute", "defer") for reason in event.reasons)


def test_r04_the_policy_in_force_decides_and_is_named() -> None:
    case = state(ready(), pregnancy=True)
    assert isinstance(screen(case), intake.ScreenedOut)
    event = screen(case, at(policy=policy_with(pregnancy="review")))
    assert isinstance(event, intake.ScreeningCompleted)
    assert event.policy_version == "test-2"


def test_r12_scores_are_judged_by_the_policy_in_force_at_screening() -> None:
    case = answer(ready(), "gad-7", [3, 3, 3, 0, 0, 0, 0], hours_ago=0.5)
    event = screen(case, at(policy=policy_with(gad7_positive=9)))
    assert isinstance(event, intake.ScreeningCompleted)
    assert [finding.item for finding in event.summary.findings] == ["anxiety_screen_positive"]


@pytest.mark.parametrize("instrument", ["phq-9", "gad-7", "audit-c"])
def test_r07_an_unscored_instrument_refuses_and_is_named(instrument: Instrument) -> None:
    size = {"phq-9": 9, "gad-7": 7, "audit-c": 3}[instrument]
    case = answer(ready(), instrument, [None] + [0] * (size - 1), hours_ago=0.5)
    with pytest.raises(Refusal, match=instrument) as refused:
        screen(case)
    assert (refused.value.slug, refused.value.rule) == ("instrument-unscored", "R-07")


def test_r07_pcl5_is_needed_for_ptsd_only() -> None:
    case = ready(indication="ptsd")
    with pytest.raises(Refusal, match="pcl-5"):
        screen(case)
    assert isinstance(screen(answer(case, "pcl-5", [0] * 20)), intake.ScreeningCompleted)


@pytest.mark.parametrize("left_out", sorted(QUESTIONS))
def test_every_question_must_be_answered(left_out: str) -> None:
    answers = {item: no for item, no in NO_TO_ALL.items() if item != left_out}
    case = state(consent(referred()), **answers)
    for instrument, zeros in NOTHING.items():
        case = answer(case, instrument, zeros)
    with pytest.raises(Refusal, match=left_out) as refused:
        screen(case)
    assert refused.value.slug == "questionnaire-incomplete"


@pytest.mark.parametrize(("sex", "asked"), [("male", False), ("female", True), ("unknown", True)])
def test_pregnancy_and_nursing_are_asked_of_all_but_men(sex: Any, asked: bool) -> None:
    case = referred(sex=sex)
    assert ({"pregnancy", "nursing"} <= set(case.unanswered)) is asked


def refusal_of(case: Case) -> tuple[str, dict[str, str]]:
    event = screen(case)
    assert isinstance(event, intake.StepRefused)
    assert (event.step, event.policy_version) == ("screening", POLICY.version)
    return event.rule, event.facts


def test_r20_missing_consent_refuses_on_record() -> None:
    assert refusal_of(referred()) == ("R-20", {"stop": "consent-missing", "scope": "treatment"})


@pytest.mark.parametrize(("scope", "missing"), [("treatment", "disclosure_to_prescriber"), ("disclosure_to_prescriber", "treatment")])
def test_r20_consent_must_cover_treatment_and_disclosure(scope: str, missing: str) -> None:
    assert refusal_of(consent(referred(), scope)) == ("R-20", {"stop": "consent-does-not-cover", "scope": missing})


def test_r20_withdrawn_consent_refuses_and_new_consent_lifts_it() -> None:
    case = after(ready(), STOPS.withdraw, WithdrawConsent(withdrawn_at=NOW - timedelta(hours=1)))
    assert refusal_of(case) == ("R-20", {"stop": "consent-withdrawn", "scope": "treatment"})
    given_again = intake.ConsentGiven(version="2", scopes=("treatment", "disclosure_to_prescriber"), given_at=NOW)
    assert isinstance(screen(fold(case, [given_again])), intake.ScreeningCompleted)


def test_r10_a_hold_refuses_wherever_it_was_placed_until_it_is_lifted() -> None:
    case = after(ready(), STOPS.place, PlaceHold(reason="clinical_concern"))
    assert refusal_of(case) == ("R-10", {"stop": "safety-hold", "scope": "treatment"})
    (hold,) = case.stops.holds
    case = after(case, STOPS.lift, LiftHold(hold=hold, reason="seen"))
    assert isinstance(screen(case), intake.ScreeningCompleted)
    elsewhere = prescriber.SafetyHoldPlaced(hold="hold-9", reason="other", placed_at=NOW)
    assert refusal_of(fold(case, [elsewhere]))[0] == "R-10"


def test_r10_high_risk_refuses_even_when_the_hold_was_lifted() -> None:
    case = answer(ready(), "c-ssrs", [1, 1, 1, 1, 0, 0])
    assert refusal_of(case)[1]["stop"] == "safety-hold"
    (hold,) = case.stops.holds
    case = after(case, STOPS.lift, LiftHold(hold=hold, reason="seen by a clinician"))
    assert refusal_of(case) == ("R-10", {"c-ssrs": "high"})
    lower = screen(answer(case, "c-ssrs", [1, 1, 1, 0, 0, 0], hours_ago=0.5))
    assert isinstance(lower, intake.ScreeningCompleted)
    assert lower.summary.risk == "moderate"
    assert [finding.item for finding in lower.summary.findings] == ["suicide_risk_moderate"]


LEVELS: dict[str, list[int]] = {
    "none": [0, 0, 0, 0, 0, 0],
    "low": [1, 1, 0, 0, 0, 0],
    "moderate": [1, 1, 1, 0, 0, 1],
    "high": [1, 1, 1, 1, 0, 0],
}


def test_r10_none_goes_on_without_a_finding() -> None:
    _goes_on("none", [])


def test_r10_low_goes_on_without_a_finding() -> None:
    _goes_on("low", [])


def test_r10_moderate_goes_on_for_the_prescriber_to_review() -> None:
    _goes_on("moderate", [("suicide_risk_moderate", "review", "R-10")])


def _goes_on(level: str, expected: list[tuple[str, str, str]]) -> None:
    case = answer(ready(), "c-ssrs", LEVELS[level])
    assert not case.stops.holds
    event = screen(case)
    assert isinstance(event, intake.ScreeningCompleted)
    assert event.summary.risk == level
    assert [(finding.item, finding.weight, finding.rule) for finding in event.summary.findings] == expected


@pytest.mark.parametrize("lower", ["none", "low", "moderate"])
def test_r10_high_stops_until_a_clinician_closes_it_with_a_reason_and_a_later_screener_is_lower(lower: str) -> None:
    case = answer(ready(), "c-ssrs", LEVELS["high"])
    (hold,) = case.stops.holds
    answered_lower = answer(case, "c-ssrs", LEVELS[lower], hours_ago=0.5)
    assert refusal_of(answered_lower)[1]["stop"] == "safety-hold"  # lower, but not closed
    (closing,) = STOPS.lift(case, LiftHold(hold=hold, reason="seen, safety plan made"), at())
    assert closing == intake.SafetyHoldLifted(hold=hold, reason="seen, safety plan made", lifted_at=NOW)
    assert refusal_of(fold(case, [closing])) == ("R-10", {"c-ssrs": "high"})  # closed, but not lower
    assert refusal_of(answer(fold(case, [closing]), "c-ssrs", LEVELS["high"], hours_ago=0.5))[1]["stop"] == "safety-hold"
    earlier = answer(fold(case, [closing]), "c-ssrs", LEVELS[lower], hours_ago=2)
    assert refusal_of(earlier) == ("R-10", {"c-ssrs": "high"})  # lower, but before the high one
    assert isinstance(screen(fold(answered_lower, [closing])), intake.ScreeningCompleted)


def test_r10_a_closing_needs_a_reason() -> None:
    with pytest.raises(ValidationError):
        LiftHold(hold="hold-1", reason="")


def test_r08_a_demanded_screener_refuses_until_it_is_answered_in_full() -> None:
    case = answer(ready(), "phq-9", [0] * 8 + [1], hours_ago=0.9)
    assert refusal_of(case) == ("R-08", {"c-ssrs": "missing"})
    case = answer(case, "c-ssrs", [0, 0, 0, 0, 0, None], hours_ago=0.8)
    assert refusal_of(case) == ("R-08", {"c-ssrs": "missing"})
    case = answer(case, "c-ssrs", [0] * 6, hours_ago=0.7)
    assert isinstance(screen(case), intake.ScreeningCompleted)


def test_r08_a_later_phq9_without_item_9_does_not_take_the_demand_back() -> None:
    case = answer(ready(), "phq-9", [0] * 8 + [1], hours_ago=0.9)
    assert refusal_of(answer(case, "phq-9", [0] * 9, hours_ago=0.1))[0] == "R-08"


def test_r08_an_unscored_screener_that_no_one_demanded_refuses_too() -> None:
    assert refusal_of(answer(ready(), "c-ssrs", [1, 1, None, 0, 0, 0])) == ("R-08", {"c-ssrs": "unscored"})


def test_a_completed_screening_is_not_repeated() -> None:
    case = fold(ready(), [screen(ready())])
    with pytest.raises(Refusal) as refused:
        screen(case)
    assert refused.value.slug == "already-screened"


def test_an_absolute_exclusion_ends_the_case() -> None:
    case = state(ready(), pregnancy=True, alcohol_use_disorder=True)
    case = fold(case, [screen(case)])
    assert case.status == "screened_out"
    with pytest.raises(Refusal) as refused:
        screen(case, at(NOW + timedelta(days=400)))
    assert refused.value.slug == "screened-out"


def test_r05_a_deferral_can_be_screened_again_from_its_day_on() -> None:
    case = state(ready(), past_disorder(date(2026, 6, 1)))
    case = fold(case, [screen(case)])
    assert case.status == "deferred"
    assert case.outcome is not None
    assert case.outcome.deferred_until == date(2026, 9, 1)
    with pytest.raises(Refusal) as refused:
        screen(case, at(NOW.replace(month=8, day=31)))
    assert (refused.value.slug, refused.value.rule) == ("deferred", "R-05")
    again = screen(case, at(NOW.replace(month=9, day=1)))
    assert isinstance(again, intake.ScreeningCompleted)
    assert fold(case, [again]).status == "screened"


def test_screening_a_case_that_was_never_referred_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        screen(Case())
    assert refused.value.slug == "not-referred"
