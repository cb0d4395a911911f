"""What the prescriber service exports: the referral and its task by the state of the review, the plan as approved.

Expectations: FHIR R4 (4.0.1) pages of ServiceRequest, Task and MedicationRequest; domain table 3.1.
"""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any, get_args

import pytest

from services.prescriber.domain.recall import recall
from services.prescriber.domain.review import opening
from services.prescriber.domain.state import Case, CaseStatus
from services.prescriber.domain.stops import STOPS
from services.prescriber.fhir_export import ASKED, REQUESTED
from shared.events import intake
from shared.events.base import EventData
from shared.events.prescriber import IN_HOUSE, ReviewOverdue, ReviewWithheld
from shared.fhir.codes import LOCAL_SYSTEM
from shared.fhir.record import Record
from shared.pathway.stop import WithdrawConsent
from tests.unit.fhir.checks import coded, of_kind
from tests.unit.prescriber.exported import (
    CASE,
    EXPIRED,
    PATIENT,
    REVOKED,
    SECRET,
    awaiting,
    cleared,
    corrected_cases,
    decided,
    every_stage,
    exported,
    held,
    withheld,
)
from tests.unit.prescriber.given import CONSENT, NOW, context, in_review, partners, screened, summary, told
from tests.unit.prescriber.moved import correct, dispense, named, prescribed


def only(bundle: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = of_kind(bundle, kind)
    return found


def test_every_stage_is_a_sound_bundle() -> None:
    for case in every_stage():
        exported(case)


def test_every_state_of_a_review_has_a_status() -> None:
    assert set(REQUESTED) == set(get_args(CaseStatus)) - {"not_screened"}
    assert set(ASKED) == set(REQUESTED) - {"withheld", "recalled"}


def test_no_note_leaks() -> None:
    noted = told(Case(), [CONSENT, intake.ScreeningCompleted(summary=summary(), completed_at=NOW, policy_version="1")])
    for case in [*every_stage(), noted, decided(cleared(), request=2)]:
        assert SECRET not in json.dumps(exported(case))
    told_in_summary = told(Case(), [ReviewWithheld(why="consent-missing", summary=summary().model_copy(update={"note": SECRET}))])
    assert SECRET not in json.dumps(exported(told_in_summary))


def test_medications_taken_otherwise_are_not_part_of_the_referral() -> None:
    assert "sertraline" not in json.dumps(exported(decided(in_review())))


def test_before_the_screening_there_is_no_referral() -> None:
    assert {entry["resource"]["resourceType"] for entry in exported(told(Case(), [CONSENT]))["entry"]} == {"Patient", "Organization"}


@pytest.mark.parametrize(
    ("case", "request_status", "task_status", "output"),
    [
        (in_review(), "active", "requested", []),
        (awaiting(), "active", "on-hold", ["decision.needs_clearance", "clearance-asked.liver_disease"]),
        (cleared(), "active", "requested", []),
        (decided(in_review()), "completed", "completed", ["decision.eligible"]),
        (decided(in_review(), "ineligible"), "completed", "completed", ["decision.ineligible"]),
        (held(in_review()), "on-hold", "on-hold", []),
        (held(decided(in_review())), "completed", "completed", ["decision.eligible"]),
    ],
    ids=["in_review", "awaiting", "cleared", "approved", "declined", "held", "approved_then_held"],
)
def test_the_task_says_where_the_review_stands(case: Case, request_status: str, task_status: str, output: list[str]) -> None:
    bundle = exported(case)
    task = only(bundle, "Task")
    assert (only(bundle, "ServiceRequest")["status"], task["status"]) == (request_status, task_status)
    assert [coded(each["valueCodeableConcept"])[1] for each in task.get("output", [])] == output


def test_a_withheld_review_has_a_request_on_hold_and_no_task() -> None:
    bundle = exported(withheld())
    assert only(bundle, "ServiceRequest")["status"] == "on-hold"
    assert "performer" not in only(bundle, "ServiceRequest")
    assert of_kind(bundle, "Task") == []


def test_a_hold_is_named_by_kind_alone() -> None:
    task = only(exported(held(in_review())), "Task")
    assert coded(task["statusReason"]) == (LOCAL_SYSTEM, "stop.safety-hold")
    assert "statusReason" not in only(exported(in_review()), "Task")


def test_the_partner_owns_the_task_and_the_clinic_asks() -> None:
    case = in_review(who=partners)
    bundle = exported(case)
    by_address = {entry["fullUrl"]: entry["resource"] for entry in bundle["entry"]}
    task, request = only(bundle, "Task"), only(bundle, "ServiceRequest")
    assert by_address[task["owner"]["reference"]]["identifier"] == [{"system": "urn:kapcare:prescriber", "value": case.partner}]
    assert by_address[task["requester"]["reference"]]["identifier"] == [{"system": "urn:kapcare:clinic", "value": "riverside"}]
    assert by_address[task["focus"]["reference"]] == request
    assert request["performer"] == [task["owner"]]
    assert by_address[task["for"]["reference"]]["resourceType"] == "Patient"
    assert case.due_at is not None
    assert task["restriction"]["period"] == {"end": case.due_at.isoformat()}
    assert (task["authoredOn"], "lastModified" in task) == (NOW.isoformat(), False)


def test_an_overdue_review_says_so() -> None:
    case = in_review()
    assert case.due_at is not None
    late = told(case, [ReviewOverdue(request=1, partner=IN_HOUSE, due_at=case.due_at)])
    assert only(exported(late), "Task")["businessStatus"]["text"] == "in review, overdue"


def test_the_plan_is_exported_as_approved() -> None:
    request = only(exported(decided(in_review())), "MedicationRequest")
    assert (request["status"], request["intent"]) == ("active", "plan")
    assert coded(request["medicationCodeableConcept"]) == (LOCAL_SYSTEM, "ketamine.sublingual-compounded")
    (dosage,) = request["dosageInstruction"]
    (rate,) = dosage["doseAndRate"]
    assert (rate["doseRange"]["low"]["value"], rate["doseRange"]["high"]["value"]) == (100, 200)
    assert dosage["timing"]["repeat"]["count"] == 2
    assert dosage["text"] == "100 to 200 mg, at most 3.5 mg/kg, 2 doses in all"
    assert request["dispenseRequest"]["quantity"]["value"] == 2
    assert request["dispenseRequest"]["numberOfRepeatsAllowed"] == 0


def test_r15_the_plan_says_how_long_it_is_good_for() -> None:
    request = only(exported(decided(in_review())), "MedicationRequest")
    expected = {"start": NOW.isoformat(), "end": (NOW + timedelta(days=60)).isoformat()}
    assert request["dispenseRequest"]["validityPeriod"] == expected
    assert request["authoredOn"] == NOW.isoformat()


@pytest.mark.parametrize("stop", ["hold", "withdrawal"])
def test_a_stop_puts_the_plan_on_hold(stop: str) -> None:
    approved = decided(in_review())
    withdrawal = WithdrawConsent(withdrawn_at=NOW)
    stopped = held(approved) if stop == "hold" else told(approved, STOPS.withdraw(approved, withdrawal, context()))
    request = only(exported(stopped), "MedicationRequest")
    assert request["status"] == "on-hold"
    reason = "stop.safety-hold" if stop == "hold" else "stop.consent-withdrawn"
    assert coded(request["statusReason"])[1] == reason


@pytest.mark.parametrize("case", [decided(in_review(), "ineligible"), awaiting()], ids=["declined", "awaiting_clearance"])
def test_without_an_approval_there_is_no_plan(case: Case) -> None:
    assert of_kind(exported(case), "MedicationRequest") == []


def test_a_new_screening_takes_the_times_away_and_leaves_the_plan_in_force() -> None:
    again = told(decided(in_review()), [ReviewWithheld(why="consent-withdrawn", summary=summary())])
    assert (again.opened_at, again.decided_at) == (None, None)
    assert only(exported(again), "MedicationRequest")["authoredOn"] == NOW.isoformat()


def test_while_a_later_review_is_open_nobody_is_said_to_have_asked_for_the_plan() -> None:
    approved = decided(in_review(who=partners), by=str(in_review(who=partners).partner))
    asked_again = told(approved, opening(partners)(approved, screened(), context()))
    assert "requester" not in only(exported(asked_again), "MedicationRequest")
    assert "requester" in only(exported(decided(in_review())), "MedicationRequest")


@pytest.mark.parametrize("ending", [EXPIRED, REVOKED], ids=["expired", "revoked"])
def test_an_approval_that_ended_leaves_no_plan_and_a_review_that_was_done(ending: EventData) -> None:
    bundle = exported(told(decided(in_review()), [ending]))
    assert of_kind(bundle, "MedicationRequest") == []
    assert only(bundle, "Task")["status"] == "completed"


def test_each_fill_is_exported_as_it_was_reported_with_its_lot() -> None:
    case = told(prescribed(), dispense(prescribed()))
    fill, lot = only(exported(case), "MedicationDispense"), only(exported(case), "Medication")
    assert (fill["status"], fill["quantity"]["value"], fill["whenHandedOver"]) == ("completed", 200, "2026-03-02")
    assert fill["medicationReference"] == {"reference": f"urn:uuid:{lot['id']}"}
    assert (coded(lot["code"]), lot["batch"]) == ((LOCAL_SYSTEM, "ketamine.sublingual-compounded"), {"lotNumber": "lot-1"})
    again = told(case, dispense(case, context(seed="http:test/second")))
    assert len(of_kind(exported(again), "Medication")) == 1
    unknown = told(case, dispense(case, context(seed="http:test/second"), of="prescription-of-nobody"))
    assert "coding" not in of_kind(exported(unknown), "Medication")[1]["code"]


def orders(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in of_kind(bundle, "MedicationRequest") if each["intent"] == "order"]


def test_r15_a_prescription_is_an_order_with_the_months_in_which_it_may_be_filled() -> None:
    case = prescribed()
    (order,) = orders(exported(case))
    assert (order["status"], order["authoredOn"]) == ("active", "2026-03-02")
    assert order["dosageInstruction"][0]["doseAndRate"][0]["doseQuantity"]["value"] == 100
    assert order["dispenseRequest"] == {
        "validityPeriod": {"start": "2026-03-02", "end": "2026-09-02"},
        "numberOfRepeatsAllowed": 0,
        "quantity": {"value": 2, "unit": "dose"},
    }
    assert orders(exported(held(case)))[0]["status"] == "on-hold"
    filled = exported(told(case, dispense(case)))
    assert orders(filled)[0]["status"] == "completed"
    fill = only(filled, "MedicationDispense")
    assert fill["authorizingPrescription"] == [{"reference": f"urn:uuid:{orders(filled)[0]['id']}"}]


def test_a_fill_that_was_an_error_keeps_its_address_and_says_so() -> None:
    supplied = told(prescribed(), dispense(prescribed()))
    shown = only(exported(supplied), "MedicationDispense")
    marked = exported(told(supplied, correct(supplied, named(supplied), context(seed="c"))))
    assert only(marked, "MedicationDispense") == {**shown, "status": "entered-in-error"}
    assert orders(marked)[0]["status"] == "active"
    provenance = only(marked, "Provenance")
    assert provenance["target"] == [{"reference": f"urn:uuid:{shown['id']}"}]
    assert coded(provenance["reason"][0]) == (LOCAL_SYSTEM, "correction.entered_in_error")


def test_an_amended_fill_is_a_revision_and_an_amended_prescription_names_the_one_before() -> None:
    bundle = exported(corrected_cases()[-1])
    wrong, right = of_kind(bundle, "MedicationDispense")
    assert [(each["status"], each["quantity"]["value"]) for each in (wrong, right)] == [("entered-in-error", 200), ("completed", 100)]
    _, revision = (each for each in of_kind(bundle, "Provenance") if "entity" in each)
    assert revision["entity"] == [{"role": "revision", "what": {"reference": f"urn:uuid:{wrong['id']}"}}]
    assert revision["target"] == [{"reference": f"urn:uuid:{right['id']}"}]
    first, second = orders(bundle)
    assert (first["status"], second["status"]) == ("entered-in-error", "completed")
    assert second["priorPrescription"] == {"reference": f"urn:uuid:{first['id']}"}
    assert right["authorizingPrescription"] == [{"reference": f"urn:uuid:{second['id']}"}]


def test_medication_of_another_patient_is_named_by_its_address_alone() -> None:
    _, wrong_fill, _, wrong_order, *_ = [exported(case) for case in corrected_cases()]
    expected = {"resourceType", "id", "status", "subject", "medicationCodeableConcept"}
    assert set(only(wrong_fill, "MedicationDispense")) == expected
    assert of_kind(wrong_fill, "Medication") == []
    assert set(orders(wrong_order)[0]) == {*expected, "intent"}
    for resource in (only(wrong_fill, "MedicationDispense"), orders(wrong_order)[0]):
        assert resource["status"] == "entered-in-error"
        assert "coding" not in resource["medicationCodeableConcept"]


def test_fills_recorded_before_they_had_names_keep_the_addresses_they_had() -> None:
    (fill,) = dispense(prescribed())
    old = told(prescribed(), [fill.model_copy(update={"entry": None})])
    expected = Record(CASE, "riverside", PATIENT).reference("MedicationDispense", "fill-1")["reference"]
    assert f"urn:uuid:{only(exported(old), 'MedicationDispense')['id']}" == expected


def test_spravato_alone_has_a_product_code() -> None:
    changed = {"route": "intranasal_esketamine", "dose_mg_low": Decimal(56), "dose_mg_high": Decimal(84), "mg_per_kg_high": Decimal("1.2")}
    request = only(exported(decided(in_review(), plan_changed=changed)), "MedicationRequest")
    assert coded(request["medicationCodeableConcept"]) == ("http://hl7.org/fhir/sid/ndc", "50458-028")


def test_the_referral_of_a_recalled_review_is_revoked() -> None:
    case = decided(in_review())
    case = told(case, recall(case, intake.ScreeningReopened(reason="amended", reopened_at=NOW), context()))
    bundle = exported(case)
    assert only(bundle, "ServiceRequest")["status"] == "revoked"
    assert not of_kind(bundle, "Task")
    assert not of_kind(bundle, "MedicationRequest")
