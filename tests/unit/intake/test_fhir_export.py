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

from services.intake.domain.answer import AnswerInstrument
from services.intake.domain.consent import STOPS, GiveConsent, give_consent
from services.intake.domain.correct import CorrectEntry, correct_entry
from services.intake.domain.fhir import identify, read_bundle
from services.intake.domain.state import Case
from services.intake.domain.state_facts import StatedFact
from services.intake.domain.state_score import StateScore, state_score
from shared.events.base import CorrectionKind
from shared.events.clinical import Instrument
from shared.fhir.codes import INSTRUMENTS, LOCAL_SYSTEM, LOINC_SYSTEM
from shared.fhir.instruments import WORDED
from shared.fhir.record import Record
from shared.pathway.instrument_items import FORMS
from shared.pathway.stop import LiftHold, PlaceHold, WithdrawConsent
from tests.unit.fhir.checks import by_code, coded, of_kind
from tests.unit.intake.cases import NOTHING, NOW, TODAY, after, answer, at, consent, fold, ready, referred, screen, state
from tests.unit.intake.exported import CASE, PATIENT, SECRET, every_stage, exported, screened_out

DAST10: dict[str, Any] = {"kind": "observation", "system": "loinc", "code": "82667-7", "unit": "{score}"}
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
    held = after(ready(), STOPS.place, PlaceHold(reason="other", note=SECRET))
    (hold,) = held.stops.holds
    lifted = after(held, STOPS.lift, LiftHold(hold=hold, reason=SECRET))
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


def place(case: Case, kind: str, instrument: str | None = None) -> str:
    """The name of the newest entry of this kind."""
    found = [each for each in case.entries if each.kind == kind and (each.answered is None or each.answered.instrument == instrument)]
    return str(found[-1].entry)


def corrected(case: Case, entry: str, kind: CorrectionKind = "entered_in_error", **replacement: Any) -> Case:
    command = CorrectEntry(entry=entry, kind=kind, reason=SECRET, **replacement)
    return fold(case, correct_entry(case, command, at(seed="http:test/correction")))


def statuses(bundle: dict[str, Any], kind: str) -> list[str]:
    return [each["status"] for each in of_kind(bundle, kind)]


def addresses(bundle: dict[str, Any], kind: str) -> set[str]:
    return {each["id"] for each in of_kind(bundle, kind)}


CLINICAL = {"value", "item", "effective", "issued", "authored", "prediction", "occurrence", "basis", "dateTime", "provision", "birthDate"}


def test_of_a_case_of_the_wrong_patient_everything_was_an_error_and_nothing_of_it_is_told() -> None:
    case = state(answer(ready(), "c-ssrs", [1, 0, 0, 0, 0, 0]), StatedFact(**DAST10, value=Decimal(4), on=TODAY))
    case = fold(case, [screen(case)])
    before = exported(case)
    wrong = exported(corrected(case, place(case, "referral"), "wrong_patient"))
    for kind in ("QuestionnaireResponse", "Observation", "RiskAssessment", "Consent"):
        assert addresses(wrong, kind) == addresses(before, kind) != set()
        assert set(statuses(wrong, kind)) == {"entered-in-error"}
    said = {name for entry in wrong["entry"] for name in entry["resource"]}
    assert not {name for name in said if any(name.startswith(each) for each in CLINICAL)}


def test_what_was_an_error_before_the_referral_turned_out_to_be_anothers_tells_nothing_either() -> None:
    case = corrected(answer(ready(), "gad-7", [3] * 7), place(ready(), "instrument", "gad-7"))
    wrong = exported(corrected(case, place(case, "referral"), "wrong_patient"))
    assert not any("item" in each for each in of_kind(wrong, "QuestionnaireResponse"))


def test_an_instrument_that_was_an_error_keeps_its_address_and_gives_way_to_the_one_before() -> None:
    case = answer(answer(referred(), "gad-7", [1] * 7, hours_ago=5), "gad-7", [3] * 7, hours_ago=1)
    (shown,) = of_kind(exported(case), "QuestionnaireResponse")
    bundle = exported(corrected(case, place(case, "instrument", "gad-7")))
    marked = {each["id"]: each for each in of_kind(bundle, "QuestionnaireResponse")}
    assert marked[shown["id"]]["status"] == "entered-in-error"
    assert sorted(statuses(bundle, "QuestionnaireResponse")) == ["completed", "entered-in-error"]
    totals = {each["status"]: each["valueQuantity"]["value"] for each in of_kind(bundle, "Observation") if "valueQuantity" in each}
    assert totals == {"final": 7, "entered-in-error": 21}
    (provenance,) = of_kind(bundle, "Provenance")
    assert {each["reference"] for each in provenance["target"]} == {
        f"urn:uuid:{each['id']}" for each in bundle_resources(bundle) if each.get("status") == "entered-in-error"
    }
    assert coded(provenance["reason"][0]) == (LOCAL_SYSTEM, "correction.entered_in_error")
    assert provenance["recorded"] == NOW.isoformat()


def bundle_resources(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in bundle["entry"]]


def test_an_amended_instrument_is_amended_and_its_results_are_corrected() -> None:
    case = answer(ready(), "c-ssrs", [1, 0, 0, 0, 0, 0])
    again = AnswerInstrument(instrument="c-ssrs", answers=(0,) * 6, answered_at=NOW)
    bundle = exported(corrected(case, place(case, "instrument", "c-ssrs"), "amended", answers=again))
    responses = [each for each in of_kind(bundle, "QuestionnaireResponse") if each["questionnaire"].endswith("c-ssrs")]
    assert [each["status"] for each in responses] == ["entered-in-error", "amended"]
    assert statuses(bundle, "RiskAssessment") == ["entered-in-error", "corrected"]
    levels = [each for each in of_kind(bundle, "Observation") if coded(each["code"])[1] == "93374-7"]
    assert [each["status"] for each in levels] == ["entered-in-error", "corrected"]
    (revision,) = (each for each in of_kind(bundle, "Provenance") if "entity" in each)
    assert revision["entity"] == [{"role": "revision", "what": {"reference": f"urn:uuid:{responses[0]['id']}"}}]
    assert f"urn:uuid:{responses[1]['id']}" in {each["reference"] for each in revision["target"]}


def test_an_instrument_of_another_patient_tells_nothing_of_them() -> None:
    case = answer(referred(), "gad-7", [3] * 7)
    bundle = exported(corrected(case, place(case, "instrument", "gad-7"), "wrong_patient"))
    (response,) = of_kind(bundle, "QuestionnaireResponse")
    assert set(response) == {"resourceType", "id", "text", "questionnaire", "status", "subject"}
    assert {name for each in of_kind(bundle, "Observation") for name in each} == {
        "resourceType",
        "id",
        "status",
        "category",
        "code",
        "subject",
    }


def test_a_drug_use_total_that_was_an_error_goes_out_as_one_be_it_a_fact_or_a_score() -> None:
    case = state(referred(), StatedFact(**DAST10, value=Decimal(2), on=TODAY))
    marked = exported(corrected(case, place(case, "facts")))
    assert [(each["status"], each["valueQuantity"]["value"]) for each in of_kind(marked, "Observation")] == [("entered-in-error", 2)]
    case = after(case, state_score, StateScore(instrument="dast-10", total=5, answered_at=NOW))
    again = StateScore(instrument="dast-10", total=6, answered_at=NOW)
    amended = exported(corrected(case, place(case, "score"), "amended", score=again))
    found = [(each["status"], each["valueQuantity"]["value"]) for each in of_kind(amended, "Observation")]
    assert found == [("entered-in-error", 5), ("corrected", 6)]


def test_r20_a_consent_that_was_never_given_goes_out_as_an_error() -> None:
    case = consent(referred())
    bundle = exported(corrected(case, place(case, "consent")))
    assert statuses(bundle, "Consent") == ["entered-in-error"] * 2
    assert addresses(bundle, "Consent") == addresses(exported(case), "Consent")
    given_anew = after(corrected(case, place(case, "consent")), give_consent, GiveConsent(version="2", scopes=("treatment",), given_at=NOW))
    assert sorted(statuses(exported(given_anew), "Consent")) == ["active", "entered-in-error", "entered-in-error"]


def test_a_screening_that_was_taken_back_says_nothing_and_the_next_one_corrects_it() -> None:
    case = fold(ready(), [screen(ready())])
    reopened = corrected(case, place(case, "instrument", "gad-7"))
    taken_back = risk(exported(reopened), "screening")
    assert (taken_back["id"], taken_back["status"]) == (risk(exported(case), "screening")["id"], "entered-in-error")
    assert "prediction" not in taken_back
    again = answer(reopened, "gad-7", [0] * 7)
    assert risk(exported(fold(again, [screen(again)])), "screening")["status"] == "corrected"


def test_what_is_recorded_late_says_when_it_was_and_when_it_was_recorded() -> None:
    case = answer(referred(), "gad-7", [1] * 7, hours_ago=72)
    total = by_code(exported(case), "70274-6")
    assert (total["effectiveDateTime"], total["issued"]) == ((NOW - timedelta(hours=72)).isoformat(), NOW.isoformat())


def test_what_was_recorded_before_entries_had_names_keeps_the_address_it_had() -> None:
    case = answer(referred(), "gad-7", [1] * 7)
    old = replace(case, entries=tuple(replace(entry, entry=None) for entry in case.entries))
    (response,) = of_kind(exported(old), "QuestionnaireResponse")
    assert f"urn:uuid:{response['id']}" == Record(CASE, "north", PATIENT).reference("QuestionnaireResponse", "gad-7")["reference"]


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
    withdrawn = of_kind(exported(after(consent(referred()), STOPS.withdraw, WithdrawConsent(withdrawn_at=NOW))), "Consent")
    assert {each["status"] for each in withdrawn} == {"inactive"}
    assert {each["provision"]["period"]["end"] for each in withdrawn} == {NOW.isoformat()}
    assert [coded(each["scope"])[1] for each in of_kind(exported(consent(referred(), "treatment")), "Consent")] == ["treatment"]


def test_r33_the_disclosure_of_substance_use_records_is_a_consent_of_its_own() -> None:
    scopes = ("treatment", "disclosure_to_prescriber", "substance_use_disclosure")
    actions = [each["provision"].get("action") for each in of_kind(exported(consent(referred(), *scopes)), "Consent")]
    said = ["Disclose to the prescriber", "Disclose substance use records to the prescriber", None]
    assert [action and action[0]["text"] for action in actions] == said


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
