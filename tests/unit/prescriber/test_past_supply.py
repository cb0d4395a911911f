"""Prescriptions and fills decided again: the same under their own policy, different where another one says so (R-15, R-17)."""

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic_core import to_json

from services.prescriber.domain.dispense import RecordDispensing, record_dispensing
from services.prescriber.domain.prescribe import IssuePrescription, issue_prescription
from services.prescriber.domain.state import Case
from shared.events.base import EventData
from shared.events.intake import SafetyHoldPlaced
from shared.events.prescriber import StepRefused
from shared.events.supply import PrescriptionIssued
from shared.pathway.past import Past
from tests.unit.prescriber.given import NOW, context, told
from tests.unit.prescriber.test_past import decided, found, opened, policy

HOLD = SafetyHoldPlaced(hold="hold-1", reason="other", placed_at=NOW)
APPROVED = [*opened(), *decided(opened(), plan_changed={"doses": 6, "refills": 5})]


def signed(**changes: Any) -> IssuePrescription:
    asked = {"route": "sublingual", "milligrams_per_dose": "200", "doses": 2, "refills": 2, "issued_on": NOW.date().isoformat()}
    return IssuePrescription.model_validate_json(to_json({**asked, **changes}))


def last(before: Sequence[EventData], events: Sequence[EventData]) -> Past:
    return found(before, events)[-1]


def test_r15_a_prescription_comes_out_the_same_and_fewer_refills_would_have_refused_it() -> None:
    past = last(APPROVED, issue_prescription(told(Case(), APPROVED), signed(), context()))
    assert (past.step, past.result) == ("prescribe", ("prescribed",))
    assert past.again(policy()) == past.result
    assert ("refills", "2") in past.facts
    refused = past.again(policy(refills_at_most=1))
    assert refused[0] == "refused"
    assert "R-15" in refused[1]


def test_r15_a_refused_prescription_is_refused_again_and_more_refills_would_have_let_it_through() -> None:
    few = context(policy=policy(refills_at_most=1))
    events = issue_prescription(told(Case(), APPROVED), signed(), few)
    assert isinstance(events[0], StepRefused)
    past = last(APPROVED, events)
    assert past.again(policy(refills_at_most=1)) == past.result
    assert past.again(policy(refills_at_most=2)) == ("prescribed",)


def test_r10_a_prescription_that_a_hold_refused_is_refused_under_every_policy() -> None:
    held = [*APPROVED, HOLD]
    past = last(held, issue_prescription(told(Case(), held), signed(), context()))
    assert past.result == past.again(policy(refills_at_most=5)) == ("refused", "R-10 Consent or a safety hold forbids prescribing.")


@pytest.mark.parametrize(("first_supply", "deviates"), [(2, False), (1, True)])
def test_r17_a_smaller_first_supply_would_have_found_a_fill_uncovered(first_supply: int, deviates: bool) -> None:
    issued = issue_prescription(told(Case(), APPROVED), signed(), context())
    before = [*APPROVED, *issued]
    (prescription,) = (event.prescription for event in issued if isinstance(event, PrescriptionIssued))
    body = {"prescription": prescription, "fill_number": 1, "milligrams": "400", "doses": 2, "lot": "lot-1", "dispenser": "Pharmacy"}
    fill = RecordDispensing.model_validate_json(to_json({**body, "dispensed_on": NOW.date().isoformat()}))
    past = last(before, record_dispensing(told(Case(), before), fill, context()))
    assert past.result == ("dispensed",)
    expected = ("dispensed", "deviation first-supply-above-policy") if deviates else ("dispensed",)
    assert past.again(policy(first_supply_doses=first_supply)) == expected
