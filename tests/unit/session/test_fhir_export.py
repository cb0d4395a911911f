"""What the session service exports: the course, its sessions, doses as they were given, and what was measured.

Expectations: FHIR R4 (4.0.1) pages of the resources, its vital signs profiles; domain tables 3.1 and 3.2 for codes.
"""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.session.domain.state import Course
from services.session.fhir_room import EXPORTED, Kept, kept_in, of_entry
from shared.events.base import CorrectionKind
from shared.events.session import PreDoseChecked, VitalsRecorded
from shared.events.stay import Entered
from shared.fhir.codes import LOCAL_SYSTEM, MEASURED
from shared.fhir.corrections import Standing, with_provenance
from shared.fhir.record import Record
from tests.unit.fhir.checks import by_code, coded, elements, of_kind
from tests.unit.session.exported import CASE, PATIENT, SECRET, boosted, course_completed, every_stage, exported, monitored_room
from tests.unit.session.room import T0, Room, approved_room, checked_room, dosed_room, finish_session, hold, revocation

RECORD = Record(CASE, "riverside", PATIENT)


def only(bundle: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = of_kind(bundle, kind)
    return found


def measured(bundle: dict[str, Any], code: str) -> list[dict[str, Any]]:
    return [each for each in of_kind(bundle, "Observation") if each["code"]["coding"][0]["code"] == code]


def test_every_stage_is_a_sound_bundle_without_what_somebody_wrote() -> None:
    for course in every_stage():
        assert SECRET not in json.dumps(exported(course))


def test_every_kind_of_entry_has_a_key_of_its_own_however_many_there_are() -> None:
    room = monitored_room()
    for _ in range(3):
        room.vitals(heart_rate=80, sedation=5)
    bundle = exported(room.course)  # whose check would find an address twice
    assert len(measured(bundle, "8867-4")) == 4


def test_a_dose_is_exported_as_it_was_given() -> None:
    dose = only(exported(dosed_room().course), "MedicationAdministration")
    assert (dose["status"], dose["effectiveDateTime"]) == ("completed", T0.isoformat())
    assert coded(dose["medicationCodeableConcept"]) == (LOCAL_SYSTEM, "ketamine.sublingual-compounded")
    assert dose["dosage"]["dose"] == {"value": 200, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}
    assert coded(dose["dosage"]["route"]) == (LOCAL_SYSTEM, "route.sublingual")
    assert dose["dosage"]["text"] == "200 mg, 2.86 mg/kg, psycholytic"  # 200 / 70
    assert dose["performer"] == [{"actor": {"type": "Practitioner", "identifier": {"system": "urn:kapcare:person", "value": "actor-1"}}}]
    encounter = only(exported(dosed_room().course), "Encounter")
    assert dose["context"] == {"reference": f"urn:uuid:{encounter['id']}"}


def test_r18_the_dose_for_the_weight_is_part_of_the_administration() -> None:
    bundle = exported(checked_and_dosed(weight_kg=Decimal(80)).course)
    assert by_code(bundle, "29463-7")["valueQuantity"]["value"] == 80
    per_weight = by_code(bundle, "dose-per-weight")
    assert per_weight["valueQuantity"] == {"value": 2.5, "unit": "mg/kg", "system": "http://unitsofmeasure.org", "code": "mg/kg"}
    assert per_weight["partOf"] == [{"reference": f"urn:uuid:{only(bundle, 'MedicationAdministration')['id']}"}]


def checked_and_dosed(**checks: Any) -> Room:
    room = checked_room(**checks)
    room.authorise()
    room.dose()
    return room


def test_a_booster_says_that_it_is_one() -> None:
    first, second = of_kind(exported(boosted()), "MedicationAdministration")
    assert "booster" not in first["dosage"]["text"]
    assert second["dosage"]["text"] == "100 mg, 1.43 mg/kg, booster, psycholytic"


def test_a_dose_that_nobody_had_planned_is_exported_all_the_same() -> None:
    room = Room()
    room.dose("56", None, route="intranasal_esketamine")
    bundle = exported(room.course)
    dose = only(bundle, "MedicationAdministration")
    assert coded(dose["medicationCodeableConcept"]) == ("http://hl7.org/fhir/sid/ndc", "50458-028")
    assert dose["dosage"]["text"] == "56 mg"
    assert of_kind(bundle, "Appointment") == of_kind(bundle, "CarePlan") == []


def test_r21_a_blood_pressure_has_both_its_components() -> None:
    bundle = exported(monitored_room().course)
    before, after = measured(bundle, "85354-9")
    assert [(coded(part["code"])[1], part["valueQuantity"]["value"]) for part in before["component"]] == [("8480-6", 120), ("8462-4", 80)]
    assert [(coded(part["code"])[1], part["valueQuantity"]["value"]) for part in after["component"]] == [("8480-6", 138), ("8462-4", 88)]
    assert {part["valueQuantity"]["code"] for part in after["component"]} == {"mm[Hg]"}
    assert after["effectiveDateTime"] == (T0 + timedelta(minutes=40)).isoformat()
    assert coded(after["category"][0])[1] == "vital-signs"


def test_each_measurement_has_its_codes_and_its_unit() -> None:
    observed = of_kind(exported(monitored_room().course), "Observation")
    found = {tuple(code["code"] for code in each["code"]["coding"]): each for each in observed}
    rates = {("8867-4",): (84, "/min"), ("9279-1",): (12, "/min"), ("59408-5", "2708-6"): (97, "%")}
    for codes, expected in rates.items():
        assert (found[codes]["valueQuantity"]["value"], found[codes]["valueQuantity"]["code"]) == expected
    sedation = found["moaa-s",]
    assert (sedation["valueInteger"], coded(sedation["category"][0])[1]) == (4, "exam")


def test_every_measured_field_of_the_timeline_goes_out() -> None:
    """A field that is added to the timeline is either measured, and in the table, or says when and where."""
    told_otherwise = {"session", "taken_at", "blood_pressure", "repeat_by", *Entered.model_fields}
    assert set(VitalsRecorded.model_fields) - told_otherwise <= set(MEASURED)


@pytest.mark.parametrize(
    ("course", "encounter", "appointment", "activity"),
    [
        (checked_room().course, "planned", "booked", "scheduled"),
        (dosed_room().course, "in-progress", "fulfilled", "in-progress"),
        (boosted(), "finished", "fulfilled", "completed"),
        (every_stage()[5], "cancelled", "cancelled", "cancelled"),
    ],
    ids=["scheduled", "dosed", "completed", "cancelled"],
)
def test_a_session_is_an_appointment_an_encounter_and_an_activity(course: Course, encounter: str, appointment: str, activity: str) -> None:
    bundle = exported(course)
    assert (only(bundle, "Encounter")["status"], only(bundle, "Appointment")["status"]) == (encounter, appointment)
    assert coded_class(only(bundle, "Encounter")) == "AMB"
    _, session = only(bundle, "CarePlan")["activity"]
    assert session["detail"]["status"] == activity
    assert session["outcomeReference"] == [{"reference": f"urn:uuid:{only(bundle, 'Encounter')['id']}"}]


def coded_class(encounter: dict[str, Any]) -> str:
    code: str = encounter["class"]["code"]
    return code


def test_an_encounter_lasts_from_the_first_check_to_the_discharge() -> None:
    room = dosed_room()
    finish_session(room)
    period = only(exported(room.course), "Encounter")["period"]
    assert period == {"start": T0.isoformat(), "end": (T0 + timedelta(minutes=120)).isoformat()}


def test_an_appointment_lasts_as_long_as_the_patient_stays_at_the_least() -> None:
    appointment = only(exported(checked_room().course), "Appointment")
    assert (appointment["start"], appointment["end"]) == (T0.isoformat(), (T0 + timedelta(minutes=120)).isoformat())


def test_the_course_says_where_it_stands() -> None:
    held, ended, completed = dosed_room(), approved_room(), course_completed()
    held.hear(hold())
    ended.hear(revocation())
    courses = (approved_room().course, held.course, ended.course, completed)
    assert [only(exported(course), "CarePlan")["status"] for course in courses] == ["active", "on-hold", "revoked", "active"]
    preparation, *_ = only(exported(checked_room().course), "CarePlan")["activity"]
    assert preparation["detail"]["status"] == "completed"
    preparation, *_ = only(exported(approved_room().course), "CarePlan")["activity"]
    assert preparation["detail"]["status"] == "not-started"


def test_an_adverse_event_goes_out_by_its_symptoms() -> None:
    bundle = exported(monitored_room().course)
    event = only(bundle, "AdverseEvent")
    assert coded(event["event"]) == (LOCAL_SYSTEM, "symptom.chest_pain")
    assert coded(event["seriousness"])[1] == "Serious"
    assert event["encounter"] == {"reference": f"urn:uuid:{only(bundle, 'Encounter')['id']}"}


# How an entry stands: the room's marks, whoever keeps them.


def kept(room: Room, kind: type[Any], **standing: Any) -> Kept:
    entry = next(each for each in kept_in(room.course) if isinstance(each.event, kind))
    return Kept(entry.event, entry.session, Standing("entry-1", **standing))


@pytest.mark.parametrize("kind", EXPORTED, ids=lambda kind: kind.__name__)
def test_a_marked_entry_keeps_its_addresses_and_goes_out_as_an_error(kind: type[Any]) -> None:
    standing, marked = ([*of_entry(RECORD, kept(monitored_room(), kind, marked=how))] for how in (None, "entered_in_error"))
    assert [each["id"] for each in marked] == [each["id"] for each in standing]
    for resource in marked:
        if resource["resourceType"] == "AdverseEvent":  # R4 has no status for it
            assert resource["meta"]["tag"][0]["code"] == "entered-in-error"
            assert set(resource) == {"resourceType", "id", "meta", "actuality", "subject"}
        else:
            assert resource["status"] == "entered-in-error"


@pytest.mark.parametrize("kind", EXPORTED, ids=lambda kind: kind.__name__)
def test_of_an_entry_of_another_patient_nothing_is_told(kind: type[Any]) -> None:
    resources = [*of_entry(RECORD, kept(monitored_room(), kind, marked="wrong_patient"))]
    told = {name for each in resources for name in each}
    bare = {"resourceType", "id", "status", "category", "code", "subject", "medicationCodeableConcept", "meta", "actuality"}
    assert told <= bare
    assert "ketamine" not in json.dumps(resources)


def test_what_replaces_another_says_so_and_is_a_revision_of_it() -> None:
    mark: CorrectionKind = "amended"
    wrong = kept(monitored_room(), PreDoseChecked, marked=mark, marked_at=T0)
    right = Kept(wrong.event, 1, Standing("entry-2", replaces="entry-1"))
    entries = ((each.standing, [*of_entry(RECORD, each)]) for each in (wrong, right))
    resources = [*with_provenance(RECORD, entries)]
    observed = [each for each in resources if each["resourceType"] == "Observation"]
    assert [each["status"] for each in observed] == ["entered-in-error"] * 2 + ["corrected"] * 2
    taken_back, revision = (each for each in resources if each["resourceType"] == "Provenance")
    assert [each["reference"] for each in taken_back["target"]] == [f"urn:uuid:{each['id']}" for each in observed[:2]]
    assert taken_back["recorded"] == T0.isoformat()
    assert revision["entity"] == [{"role": "revision", "what": taken_back["target"][0]}]


def test_no_person_is_named_but_by_an_opaque_id() -> None:
    for course in every_stage():
        people = [each["actor"] for each in elements(exported(course)) if "actor" in each and "reference" not in each["actor"]]
        assert all(set(person) == {"type", "identifier"} for person in people)
