"""What intake exports: every answer, nothing imputed, no wording that may not be shipped, nobody's notes.

Expectations: FHIR R4 (4.0.1) pages of the resources; domain table 3.2 for codes. Round trip: what intake reads, it reads here too.
"""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain.consent import STOP
from services.intake.domain.correct import CorrectEntry, correct_entry
from services.intake.domain.fhir import identify, read_bundle
from services.intake.domain.state import Case
from services.intake.domain.state_facts import StatedFact
from services.intake.domain.state_score import StateScore, state_score
from services.intake.fhir_export import WORDED
from shared.events.clinical import Instrument
from shared.fhir.codes import INSTRUMENTS, LOCAL_SYSTEM, LOINC_SYSTEM
from shared.pathway.instrument_items import FORMS
from shared.pathway.stop import LiftHold, PlaceHold, WithdrawConsent
from tests.unit.fhir.checks import by_code, coded, of_kind
from tests.unit.intake.cases import NOTHING, NOW, TODAY, after, answer, consent, fold, ready, referred, screen, state
from tests.unit.intake.exported import PATIENT, SECRET, every_stage, exported, screened_out

BOUNDS: dict[Instrument, tuple[int, ...]] = {name: form.highest for name, form in FORMS.items()}


def risk(bundle: dict[str, Any], code: str) -> dict[str, Any]:
    (found,) = (each for each in of_kind(bundle, "RiskAssessment") if coded(each["code"])[1] == code)
    return found


def test_every_stage_is_a_sound_bundle() -> None:
    for case in every_stage():
        exported(case)


def test_the_patient_is_a_bare_pseudonym() -> None:
    (patient,) = of_kind(exported(referred(sex="female")), "Patient")
    assert set(patient) == {"resourceType", "id", "identifier", "gender", "birthDate"}
    assert patient["identifier"] == [{"system": "urn:kapcare:patient", "value": PATIENT}]
    assert (patient["gender"], patient["birthDate"]) == ("female", "1990")
    (unknown,) = of_kind(exported(Case()), "Patient")
    assert set(unknown) == {"resourceType", "id", "identifier"}


def test_neither_note_nor_birthday_nor_identifier_leaks() -> None:
    for case in every_stage():
        text = json.dumps(exported(case))
        assert SECRET not in text
        assert "1990-" not in text
        assert "12345" not in text  # the identifier that the patient was referred under


def test_a_lifted_hold_leaves_no_trace() -> None:
    held = after(ready(), STOP.place, PlaceHold(reason="other", note=SECRET))
    (hold,) = held.stops.holds
    lifted = after(held, STOP.lift, LiftHold(hold=hold, reason=SECRET))
    assert exported(lifted) == exported(ready())


def test_simulated_patients_are_tagged_as_test_data() -> None:
    (patient,) = of_kind(exported(replace(ready(), simulated=True)), "Patient")
    assert [tag["code"] for tag in patient["meta"]["tag"]] == ["HTEST"]
    assert "meta" not in of_kind(exported(ready()), "Patient")[0]


def test_each_answer_is_in_the_response_and_an_observation() -> None:
    bundle = exported(answer(referred(), "gad-7", [0, 1, 2, 3, 0, 1, 2]))
    (response,) = of_kind(bundle, "QuestionnaireResponse")
    assert response["status"] == "completed"
    assert [item["answer"][0]["valueInteger"] for item in response["item"]] == [0, 1, 2, 3, 0, 1, 2]
    assert [item["text"] for item in response["item"]] == list(FORMS["gad-7"].items)
    codes = ["69725-0", "68509-9", "69733-4", "69734-2", "69735-9", "69689-8", "69736-7"]
    assert [by_code(bundle, code)["valueInteger"] for code in codes] == [0, 1, 2, 3, 0, 1, 2]
    panel, total = by_code(bundle, "69737-5"), by_code(bundle, "70274-6")
    assert len(panel["hasMember"]) == 8
    assert total["valueQuantity"] == {"value": 9, "unit": "{score}", "system": "http://unitsofmeasure.org", "code": "{score}"}
    assert total["interpretation"] == [{"text": "mild"}]
    assert panel["derivedFrom"] == total["derivedFrom"] == [{"reference": f"urn:uuid:{response['id']}"}]


def test_r07_what_is_missing_is_neither_imputed_nor_totalled() -> None:
    bundle = exported(answer(referred(), "phq-9", [1] * 8 + [None]))
    (response,) = of_kind(bundle, "QuestionnaireResponse")
    assert response["status"] == "in-progress"
    assert "answer" not in response["item"][8]
    assert "44261-6" not in {coded(each["code"])[1] for each in of_kind(bundle, "Observation")}
    assert {each["status"] for each in of_kind(bundle, "Observation")} == {"preliminary"}
    assert len(by_code(bundle, "44249-1")["hasMember"]) == 8


def test_unverified_items_go_by_local_codes() -> None:
    bundle = exported(answer(answer(referred(), "phq-9", [0] * 9), "pcl-5", [0] * 20))
    systems = [coded(each["code"])[0] for each in of_kind(bundle, "Observation")]
    assert systems.count(LOINC_SYSTEM) == 2  # panel and total of PHQ-9
    assert systems.count(LOCAL_SYSTEM) == 9 + 20 + 2


def test_audit_c_items_2_and_3_are_loinc_and_item_1_is_ours() -> None:
    """US Core's example: 68519-8 asks how many drinks on a typical day, 68520-6 how often six or more."""
    bundle = exported(answer(referred(), "audit-c", [4, 2, 1]))
    assert [by_code(bundle, code)["valueInteger"] for code in ("audit-c.item-1", "68519-8", "68520-6")] == [4, 2, 1]


def test_c_ssrs_goes_by_codes_alone() -> None:
    bundle = exported(answer(referred(), "c-ssrs", [1, 0, 0, 0, 0, 1]))
    (response,) = of_kind(bundle, "QuestionnaireResponse")
    assert "c-ssrs" not in WORDED
    assert not any("text" in item for item in response["item"])
    assert all("display" not in each["code"]["coding"][0] for each in of_kind(bundle, "Observation") if "valueBoolean" in each)


@pytest.mark.parametrize(("answered", "ever", "recent"), [(0, False, False), (1, True, False), (2, True, True)])
def test_c_ssrs_item_6_is_two_observations(answered: int, ever: bool, recent: bool) -> None:
    bundle = exported(answer(referred(), "c-ssrs", [0, 0, 0, 0, 0, answered]))
    assert by_code(bundle, "93267-3")["valueBoolean"] is ever
    assert by_code(bundle, "93269-9")["valueBoolean"] is recent


@pytest.mark.parametrize(
    ("answers", "level"),
    [
        ([0, 0, 0, 0, 0, 0], "none"),
        ([1, 0, 0, 0, 0, 0], "low"),
        ([0, 0, 1, 0, 0, 0], "moderate"),
        ([0, 0, 0, 1, 0, 0], "high"),
        ([None, None, None, 1, None, None], "high"),
    ],
)
def test_r09_the_risk_level_is_a_local_code(answers: list[int | None], level: str) -> None:
    """Public texts contradict each other on which answer of LOINC's list LL465-6 is high and which is low."""
    bundle = exported(answer(referred(), "c-ssrs", answers))
    expected = (LOCAL_SYSTEM, f"c-ssrs.{level}")
    assert coded(by_code(bundle, "93374-7")["valueCodeableConcept"]) == expected
    (prediction,) = risk(bundle, "225337009")["prediction"]
    assert coded(prediction["qualitativeRisk"]) == expected


def test_r09_an_unscored_screener_says_no_level() -> None:
    bundle = exported(answer(referred(), "c-ssrs", [None, 0, 0, 0, 0, 0]))
    assert of_kind(bundle, "RiskAssessment") == []


def test_the_screening_says_its_outcome_and_each_finding() -> None:
    bundle = exported(screened_out())
    outcome, finding = risk(bundle, "screening")["prediction"]
    assert coded(outcome["outcome"])[1] == "screening.deferred"
    assert coded(finding["outcome"])[1] == "finding.substance_use_disorder"
    assert coded(finding["qualitativeRisk"])[1] == "weight.defer"
    assert finding["rationale"].startswith("R-05: ")
    # Deferred until 15 September: the last day of the deferral is the day before.
    assert finding["whenPeriod"] == {"end": "2026-09-14"}
    assert len(risk(bundle, "screening")["basis"]) == len(NOTHING)


def test_of_a_case_of_the_wrong_patient_nothing_goes_out() -> None:
    case = ready()
    referral = next(entry for entry in case.entries if entry.kind == "referral")
    wrong = after(case, correct_entry, CorrectEntry(entry=str(referral.id), kind="wrong_patient", reason="Another person's record."))
    assert {entry["resource"]["resourceType"] for entry in exported(wrong)["entry"]} == {"Patient", "Organization"}
    (person,) = of_kind(exported(wrong), "Patient")
    assert "birthDate" not in person


def test_a_clear_screening_has_no_findings() -> None:
    (outcome,) = risk(exported(fold(ready(), [screen(ready())])), "screening")["prediction"]
    assert coded(outcome["outcome"])[1] == "screening.completed"


def test_a_screening_does_not_rest_on_what_was_answered_after_it() -> None:
    case = fold(ready(), [screen(ready())])
    next_day = NOW + timedelta(days=1)
    entries = tuple(
        entry
        if entry.answered is None
        else replace(entry, happened_at=next_day, answered=entry.answered.model_copy(update={"answered_at": next_day}))
        for entry in case.entries
    )
    later = replace(case, entries=entries)
    assert "basis" not in risk(exported(later), "screening")


def test_r20_each_scope_is_a_consent_that_a_withdrawal_ends() -> None:
    given_both = of_kind(exported(consent(referred())), "Consent")
    assert [coded(each["scope"])[1] for each in given_both] == ["patient-privacy", "treatment"]
    assert {each["status"] for each in given_both} == {"active"}
    assert all("end" not in each["provision"]["period"] for each in given_both)
    withdrawn = of_kind(exported(after(consent(referred()), STOP.withdraw, WithdrawConsent(withdrawn_at=NOW))), "Consent")
    assert {each["status"] for each in withdrawn} == {"inactive"}
    assert {each["provision"]["period"]["end"] for each in withdrawn} == {NOW.isoformat()}
    assert [coded(each["scope"])[1] for each in of_kind(exported(consent(referred(), "treatment")), "Consent")] == ["treatment"]


def test_intake_reads_back_sex_and_totals_from_its_own_export() -> None:
    """The only change is the one that a referrer must make: a whole date of birth, which an export does not give away."""
    older = StatedFact(kind="observation", system="loinc", code="82667-7", unit="{score}", value=Decimal(7), on=TODAY - timedelta(days=9))
    newer = older.model_copy(update={"value": Decimal(3), "on": TODAY})
    case = state(answer(ready(sex="male"), "c-ssrs", [0] * 6), newer, older)
    bundle = exported(case)
    of_kind(bundle, "Patient")[0]["birthDate"] += "-01-01"
    read = read_bundle(bundle, TODAY)
    assert case.referral is not None
    assert (read.sex, read.birth_date) == (case.referral.sex, case.referral.birth_date)
    assert identify(bundle) == ("urn:kapcare:patient", PATIENT)
    latest = next(fact for fact in case.facts if fact.code == "82667-7" and fact.on == TODAY)
    assert read.facts == (latest,)


ANSWERED = st.one_of(
    *(
        st.tuples(st.just(name), st.tuples(*(st.none() | st.integers(0, most) for most in highest)).map(list))
        for name, highest in sorted(BOUNDS.items())
    )
)


@given(ANSWERED)
def test_whatever_was_answered_is_what_is_exported(given_answers: tuple[Instrument, list[int | None]]) -> None:
    name, answers = given_answers
    bundle = exported(answer(referred(), name, answers))
    (response,) = of_kind(bundle, "QuestionnaireResponse")
    assert [item["answer"][0]["valueInteger"] if "answer" in item else None for item in response["item"]] == answers
    for code, given_answer in zip(INSTRUMENTS[name].items, answers, strict=True):
        found = [each for each in of_kind(bundle, "Observation") if coded(each["code"])[1] == code.code]
        values = [each.get("valueInteger", each.get("valueBoolean")) for each in found]
        assert values == ([] if given_answer is None else [given_answer > 0 if name == "c-ssrs" else given_answer])


def test_a_stated_dast10_is_exported_and_the_newest_counts() -> None:
    case = after(referred(), state_score, StateScore(instrument="dast-10", total=5, answered_at=NOW - timedelta(days=1)))
    total = by_code(exported(case), "82667-7")
    assert (total["valueQuantity"]["value"], total["effectiveDateTime"]) == (5, "2026-06-14T12:00:00+00:00")
    case = state(case, StatedFact(kind="observation", code="82667-7", system="loinc", value=Decimal(2), on=TODAY))
    total = by_code(exported(case), "82667-7")
    assert total["valueQuantity"]["value"] == 2
