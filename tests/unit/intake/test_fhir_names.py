"""What a FHIR record says in other words or codes than the table's is read by its name, or shown to the prescriber as not read.

Expectations: rule R-34 with the REMS form's classes, R-02 and R-03, FHIR R4 and US Core 7 (statuses, category `sdoh`, ICD-10-CM codings).
"""

from typing import Any

import pytest

from services.intake.domain.fhir import read_bundle
from services.intake.domain.fhir_element import code_of_words
from services.intake.domain.rules import findings
from services.intake.domain.state_facts import StatedFact
from shared.events.clinical import Fact, Finding
from tests.unit.intake.cases import chart
from tests.unit.intake.test_fhir import RXNORM, SNOMED, SUBJECT, TODAY, bundle_of, coded, condition, facts_of, prescribed, refused

ICD, NDC = "http://hl7.org/fhir/sid/icd-10-cm", "http://hl7.org/fhir/sid/ndc"
A_DRUG_OF_EACH_CLASS = {
    "benzodiazepine": ("197901", "lorazepam 1 MG Oral Tablet"),
    "opioid": ("857005", "acetaminophen 325 MG / hydrocodone bitartrate 7.5 MG Oral Tablet"),
    "psychostimulant": ("854834", "lisdexamfetamine dimesylate 30 MG Oral Capsule"),
    "monoamine_oxidase_inhibitor": ("8123", "phenelzine"),
    "hypnotic": ("854873", "zolpidem tartrate 10 MG Oral Tablet"),
    "muscle_relaxant": ("828348", "cyclobenzaprine hydrochloride 10 MG Oral Tablet"),
}


def taken(concept: dict[str, Any], resource: str = "MedicationStatement", status: str = "active", **more: Any) -> dict[str, Any]:
    intent = {"intent": "order"} if resource == "MedicationRequest" else {}
    return {"resourceType": resource, "status": status, "subject": SUBJECT, "medicationCodeableConcept": concept, **intent, **more}


def found(*resources: dict[str, Any]) -> list[tuple[str, str, str, tuple[str, ...]]]:
    return [(each.item, each.weight, each.rule, each.because) for each in _findings(*resources)]


def _findings(*resources: dict[str, Any]) -> tuple[Finding, ...]:
    return findings(chart(*read_bundle(bundle_of(*resources), TODAY).facts))


@pytest.mark.parametrize("resource", ["MedicationRequest", "MedicationStatement"])
@pytest.mark.parametrize("item", A_DRUG_OF_EACH_CLASS)
def test_r34_each_class_is_found_by_code_by_name_and_by_reference(resource: str, item: str) -> None:
    code, name = A_DRUG_OF_EACH_CLASS[item]
    nameless, unknown = {"coding": [{"system": RXNORM, "code": code}]}, coded(RXNORM, "99999999", name.upper())
    assert found(taken(nameless, resource)) == [(item, "review", "R-34", (code,))]
    assert found(taken(unknown, resource)) == [(item, "review", "R-34", ("99999999",))]
    assert found(taken({"text": f"Patient takes {name}"}, resource)) == [
        (item, "review", "R-34", (code_of_words(f"Patient takes {name}"),))
    ]
    contained = taken({}, resource, contained=[{"resourceType": "Medication", "id": "m", "code": nameless}])
    del contained["medicationCodeableConcept"]
    assert found({**contained, "medicationReference": {"reference": "#m"}}) == [(item, "review", "R-34", (code,))]
    elsewhere = {"reference": "Medication/of-another-server", "display": name}
    assert [each[0] for each in found({**contained, "medicationReference": elsewhere})] == [item]


def test_r34_brands_and_other_code_systems_are_read_by_their_words() -> None:
    assert found(taken({"text": "Xanax 0.5 mg BID prn"})) == [("benzodiazepine", "review", "R-34", ("xanax-0-5-mg-bid-prn",))]
    ndc = coded(NDC, "0000-0000-00", "Ambien 10 MG tablet")
    assert [each[0] for each in found(taken(ndc))] == ["hypnotic"]
    assert [each[0] for each in found(taken({"coding": [{"system": RXNORM, "code": "1"}], "text": "Adderall XR"}))] == ["psychostimulant"]
    assert [each[0] for each in found(taken({"text": "medical marijuana, evenings"}))] == ["cannabinoid"]


@pytest.mark.parametrize("resource", ["MedicationRequest", "MedicationStatement"])
@pytest.mark.parametrize(
    ("status", "counts"),
    [
        ("active", True),
        ("on-hold", True),
        ("unknown", True),
        ("completed", False),
        ("entered-in-error", False),
        ("stopped", False),
        ("intended", False),
        ("not-taken", False),
        ("cancelled", False),
        ("draft", False),
    ],
)
def test_r34_only_what_is_taken_now_counts(resource: str, status: str, counts: bool) -> None:
    assert bool(facts_of(taken(coded(RXNORM, "6470", "lorazepam"), resource, status))) is counts


def test_r34_a_statement_bears_its_day_and_none_in_the_future() -> None:
    (fact,) = facts_of(taken(coded(RXNORM, "6470"), dateAsserted="2026-06-01"))
    assert str(fact.on) == "2026-06-01"
    assert refused(bundle_of(taken(coded(RXNORM, "6470"), effectiveDateTime="2026-06-16"))).slug == "time-in-the-future"


def test_r34_a_medication_that_nobody_could_recognise_is_for_review_and_one_with_a_name_is_not() -> None:
    assert found(taken({"coding": [{"system": RXNORM, "code": "99999999"}]})) == [
        ("medication_not_recognised", "review", "R-34", ("99999999",))
    ]
    assert found(taken(coded(RXNORM, "99999999", "vilazodone 40 MG Oral Tablet"))) == []
    assert refused(bundle_of(taken({"coding": [{"system": NDC, "code": "1"}]}))).detail.endswith("no code in rxnorm, and no text.")


def test_a_medication_keeps_the_name_that_tells_its_class() -> None:
    (fact,) = facts_of(taken({"coding": [{"system": RXNORM, "code": "1", "display": "tablet, blue"}], "text": "Klonopin 1 mg"}))
    assert fact.label == "Klonopin 1 mg"
    (fact,) = facts_of(prescribed("1", medicationCodeableConcept={"coding": [{"system": RXNORM, "code": "197901"}]}))
    assert fact.label == "lorazepam 1 MG Oral Tablet"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("I71.43", ("aneurysmal_vascular_disease", "absolute", "R-02")),
        ("I61.9", ("intracerebral_haemorrhage", "absolute", "R-02")),
        ("Q28.2", ("arteriovenous_malformation", "absolute", "R-02")),
        ("F25.1", ("psychotic_disorder", "absolute", "R-03")),
        ("F31.12", ("mania_or_mixed_episode", "absolute", "R-03")),
        ("F31.81", ("bipolar_disorder", "review", "R-03")),
        ("Z33.1", ("pregnancy", "absolute", "R-04")),
        ("F10.20", ("substance_use_disorder", "defer", "R-05")),
        ("K74.60", ("liver_disease", "needs_clearance", "R-06")),
        ("N30.10", ("cystitis", "needs_clearance", "R-06")),
        ("E05.00", ("hyperthyroidism", "needs_clearance", "R-06")),
        ("G40.909", ("seizure", "needs_clearance", "R-06")),
        ("H40.10X0", ("glaucoma", "needs_clearance", "R-06")),
        ("R45.851", ("suicidality_in_chart", "review", "R-10")),
    ],
)
def test_conditions_coded_in_icd_10_cm_come_to_the_finding_of_their_rule(code: str, expected: tuple[str, str, str]) -> None:
    assert found({**condition(), "code": coded(ICD, code)}) == [(*expected, (code,))]


@pytest.mark.parametrize(("system", "code"), [(ICD, "N30.00"), (SNOMED, "307426000")])
def test_an_acute_infection_of_the_bladder_is_shown_and_needs_no_clearance(system: str, code: str) -> None:
    """It passes, and records keep it active for years (Synthea's do, for half of its patients)."""
    resource = {**condition(), "code": {**coded(system, code), "text": "Acute cystitis"}}
    assert found(resource) == []
    assert unread(resource) == ["Acute cystitis"]


def test_a_condition_in_two_code_systems_comes_to_one_finding_and_names_both() -> None:
    both = coded(SNOMED, "58214004")
    both["coding"].append({"system": ICD, "code": "F20.9"})
    assert found({**condition(), "code": both}) == [("psychotic_disorder", "absolute", "R-03", ("58214004", "F20.9"))]


def unread(*resources: dict[str, Any]) -> list[str]:
    return [fact.label for fact in chart(*facts_of(*resources)).unread_conditions]


def test_an_active_condition_of_an_unknown_code_is_kept_for_the_prescriber_and_comes_to_no_finding() -> None:
    asthma = {**condition(), "code": coded(SNOMED, "195967001", "Asthma (disorder)")}
    words = {**condition(), "code": {"text": "Complex regional pain syndrome"}}
    penicillin = {"resourceType": "AllergyIntolerance", "code": coded(RXNORM, "7980", "Penicillin G"), "patient": SUBJECT}
    assert unread(asthma, words, penicillin) == ["Asthma (disorder)", "Complex regional pain syndrome", "Allergy: Penicillin G"]
    assert found(asthma, words, penicillin) == []


def test_a_condition_that_is_read_or_over_or_social_or_refuted_is_not_among_the_unread() -> None:
    social = [{"coding": [{"system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-category", "code": "sdoh"}]}]
    sinusitis = coded(SNOMED, "444814009", "Viral sinusitis (disorder)")
    assert unread(condition("59621000")) == []
    assert facts_of({**condition(status="resolved"), "code": sinusitis}) == ()
    assert unread({**condition("73438004", category=social)}) == []
    assert unread({**condition(verificationStatus=coded("urn:v", "refuted")), "code": sinusitis}) == []


@pytest.mark.parametrize("status", ["active", "resolved"])
@pytest.mark.parametrize(
    ("name", "item", "rule"),
    [
        ("Berry aneurysm of left middle cerebral artery", "aneurysmal_vascular_disease", "R-02"),
        ("Spinal AVM", "arteriovenous_malformation", "R-02"),
        ("History of subarachnoid hemorrhage", "intracerebral_haemorrhage", "R-02"),
        ("Cerebellar haematoma", "intracerebral_haemorrhage", "R-02"),
        ("Bleeding in the brain, 2009", "intracerebral_haemorrhage", "R-02"),
        ("Postpartum psychosis", "psychotic_disorder", "R-03"),
        ("Major depression, severe, with psychotic symptoms", "psychotic_disorder", "R-03"),
        ("Acute mania due to steroids", "mania_or_mixed_episode", "R-03"),
    ],
)
def test_r02_r03_a_name_that_warns_is_kept_even_if_over_and_must_be_cleared(status: str, name: str, item: str, rule: str) -> None:
    named = {**condition(status=status), "code": {"text": name}}
    assert unread(named) == [name]
    assert found(named) == [(item, "needs_clearance", rule, (code_of_words(name),))]


@pytest.mark.parametrize(
    "name",
    [
        *("Family history of schizophrenia", "Screening for abdominal aortic aneurysm", "Psychosis ruled out", "No evidence of aneurysm"),
        *("Hypomania screening", "Kleptomania", "Vitreous hemorrhage", "Subconjunctival hemorrhage", "Ketamine treatment planned"),
    ],
)
def test_r02_r03_a_name_that_denies_or_only_resembles_is_shown_and_comes_to_no_finding(name: str) -> None:
    named = {**condition(), "code": {"text": name}}
    assert (unread(named), found(named)) == ([name], [])


def test_r02_an_allergy_to_ketamine_in_words_must_be_cleared_and_a_code_beside_it_excludes() -> None:
    allergy = {"resourceType": "AllergyIntolerance", "code": {"text": "Ketamine (Ketalar)"}, "patient": SUBJECT}
    assert found(allergy) == [("ketamine_hypersensitivity", "needs_clearance", "R-02", ("ketamine-ketalar",))]
    with_code = {"resourceType": "AllergyIntolerance", "code": coded(RXNORM, "6130", "Ketamine"), "patient": SUBJECT}
    assert found(allergy, with_code) == [("ketamine_hypersensitivity", "absolute", "R-02", ("6130",))]


def test_r02_a_name_adds_nothing_where_a_code_excludes_already() -> None:
    named = {**condition(), "code": {"text": "Schizophrenia, as the mother says"}}
    assert found(named, condition("58214004")) == [("psychotic_disorder", "absolute", "R-03", ("58214004",))]


@pytest.mark.parametrize(
    ("one", "other"), [("лоразепам 1", "диазепам 1"), ("a" * 80 + " morning", "a" * 80 + " night"), ("鎮痛", "睡眠"), ("...", "!!!")]
)
def test_words_that_differ_become_codes_that_differ_and_that_a_clinician_can_state(one: str, other: str) -> None:
    assert code_of_words(one) != code_of_words(other)
    for words in (one, other, "Xanax 0.5 mg"):
        StatedFact.model_validate({"kind": "medication", "system": "text", "code": code_of_words(words), "label": words})


def test_r34_a_clinician_ends_a_medication_that_came_in_words() -> None:
    (fact,) = facts_of(taken({"text": "Xanax 0.5 mg BID prn"}))
    assert findings(chart(fact, fact.model_copy(update={"active": False}))) == ()


def test_what_the_last_word_ends_is_no_longer_unread() -> None:
    asthma = Fact(kind="condition", system="snomed", code="195967001", label="Asthma")
    assert chart(asthma, asthma.model_copy(update={"active": False})).unread_conditions == ()


@pytest.mark.parametrize(
    "words",
    ["Ketamine allergy", "Allergy to ketamine", "Anaphylaxis due to Ketalar", "Adverse reaction to esketamine", "Spravato intolerance"],
)
@pytest.mark.parametrize("status", ["active", "resolved"])
def test_r02_an_allergy_to_ketamine_written_as_a_condition_is_cleared(words: str, status: str) -> None:
    written = condition(status=status) | {"code": {"text": words}}
    assert [each[:3] for each in found(written)] == [("ketamine_hypersensitivity", "needs_clearance", "R-02")]


def test_r02_an_allergy_stated_by_a_product_of_rxnorm_that_no_table_has_is_cleared() -> None:
    stated = Fact(kind="condition", system="rxnorm", code="238083", label="ketamine 10 MG/ML Injectable Solution")
    assert [each.item for each in findings(chart(stated))] == ["ketamine_hypersensitivity"]


@pytest.mark.parametrize(
    ("words", "item"),
    [
        ("Aortic aneurysm, repaired, no evidence of leak", "aneurysmal_vascular_disease"),
        ("Cerebral aneurysm; no history of rupture", "aneurysmal_vascular_disease"),
        ("Psychoses", "psychotic_disorder"),
    ],
)
def test_r02_r03_a_denial_denies_its_own_clause_alone(words: str, item: str) -> None:
    assert [each[0] for each in found(condition(status="resolved") | {"code": {"text": words}})] == [item]


@pytest.mark.parametrize("words", ["Family history of aneurysm", "Psychosis ruled out", "Fear of psychosis", "Screening for aneurysm"])
def test_r02_r03_what_is_denied_or_of_someone_else_is_not_cleared(words: str) -> None:
    assert found(condition(status="resolved") | {"code": {"text": words}}) == []


def test_r02_r03_every_name_of_a_concept_is_read_also_beside_a_code_that_is_known() -> None:
    other_system = {
        "coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "F20", "display": "Schizophrenia"}],
        "text": "Old problem",
    }
    assert [each[0] for each in found(condition(status="resolved") | {"code": other_system})] == ["psychotic_disorder"]
    hypertension = {**coded(SNOMED, "38341003", "Hypertension"), "text": "Hypertension with cerebral aneurysm"}
    assert {each[0] for each in found(condition() | {"code": hypertension})} == {"hypertension", "aneurysmal_vascular_disease"}


def test_r03_a_code_with_blanks_around_it_is_the_code() -> None:
    assert [each[:2] for each in found(condition(" 58214004 "))] == [("psychotic_disorder", "absolute")]


def pregnancy_status(system: str, code: str, day: str) -> dict[str, Any]:
    answer = {"coding": [{"system": system, "code": code}]}
    status = {"code": coded("http://loinc.org", "82810-3"), "valueCodeableConcept": answer, "effectiveDateTime": day}
    return {"resourceType": "Observation", "status": "final", "subject": SUBJECT, **status}


@pytest.mark.parametrize(("system", "code"), [(SNOMED, "77386006"), ("http://loinc.org", "LA15173-0")])
@pytest.mark.parametrize(("day", "pregnant"), [("2025-08-25", True), ("2025-08-24", False)])
def test_r04_a_pregnancy_status_counts_for_as_long_as_a_pregnancy_lasts(system: str, code: str, day: str, pregnant: bool) -> None:
    """LOINC 82810-3 and both answers: US Core 7, International Patient Summary 1.1.0. From 25 August 2025 to 15 June 2026 are 42 weeks."""
    findings_of = found(pregnancy_status(system, code, day))
    assert findings_of == ([("pregnancy", "absolute", "R-04", ("77386006",))] if pregnant else [])


def test_r04_the_newest_pregnancy_status_counts() -> None:
    yes, no = pregnancy_status(SNOMED, "77386006", "2026-03-01"), pregnancy_status(SNOMED, "60001007", "2026-05-01")
    assert found(yes, no) == found(no, yes) == []
    assert [each[0] for each in found(no, pregnancy_status(SNOMED, "77386006", "2026-06-01"))] == ["pregnancy"]
