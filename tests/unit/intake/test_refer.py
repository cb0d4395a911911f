"""Referring, typed in or as a bundle. The identifier only ever reaches the pseudonymiser."""

import json
from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from services.intake.api import COMMANDS
from services.intake.domain.refer import PatientIdentifier, ReferBundle, ReferPatient, refer_bundle, refer_patient
from services.intake.domain.state import Case
from shared.events import intake
from shared.pathway.refusal import Refusal
from tests.unit.intake.cases import NOW, at, referred
from tests.unit.intake.test_fhir import bundle_of, condition

BODY: dict[str, Any] = {
    "clinic": "north",
    "patient": {"system": "urn:example:mrn", "value": "12345"},
    "birth_date": "1990-01-01",
    "sex": "female",
    "indication": "depression",
}
ROUTES = {command.path: command for command in COMMANDS}


def typed(**changes: Any) -> ReferPatient:
    return ReferPatient.model_validate_json(json.dumps({**BODY, **changes}))


def test_a_referral_begins_a_case_with_what_was_typed() -> None:
    (event,) = refer_patient(Case(), typed(route="sublingual", simulated=True), at())
    assert event == intake.PatientReferred(
        origin="json",
        birth_date=date(1990, 1, 1),
        sex="female",
        indication="depression",
        route="sublingual",
        simulated=True,
        referred_at=NOW,
        entry=at().new_id("entry"),
    )


def test_a_bundle_begins_a_case_with_what_was_read() -> None:
    command = ReferBundle(clinic="north", indication="ptsd", bundle=bundle_of(condition("59621000")))
    (event,) = refer_bundle(Case(), command, at())
    assert isinstance(event, intake.PatientReferred)
    assert (event.origin, event.birth_date, event.sex) == ("fhir", date(1980, 2, 3), "female")
    assert [fact.code for fact in event.facts] == ["59621000"]


def test_the_identifier_is_nowhere_in_what_is_recorded() -> None:
    (typed_in,) = refer_patient(Case(), typed(patient={"system": "urn:example:mrn", "value": "SECRET-77"}), at())
    bundle = ReferBundle(clinic="north", indication="ptsd", bundle=bundle_of())
    (read,) = refer_bundle(Case(), bundle, at())
    for event in (typed_in, read):
        assert not any(word in event.model_dump_json() for word in ("SECRET-77", "urn:example:mrn", "p-1", "Example"))


def test_the_same_identifier_gives_the_same_pseudonym_on_both_routes() -> None:
    by_hand, by_bundle = ROUTES["/cases"].begins, ROUTES["/referrals/fhir"].begins
    assert by_hand is not None
    assert by_bundle is not None
    identifier = {"system": "urn:example:mrn", "value": "12345"}
    bundle = ReferBundle(clinic="south", indication="ptsd", bundle=bundle_of(identifier=[identifier]))
    one, other = by_hand(typed(), str.upper), by_bundle(bundle, str.upper)
    assert (one.patient, one.clinic) == ("URN:EXAMPLE:MRN|12345", "north")
    assert (other.patient, other.clinic) == (one.patient, "south")


def test_a_case_is_referred_once() -> None:
    with pytest.raises(Refusal) as refused:
        refer_patient(referred(), typed(), at())
    assert refused.value.slug == "already-referred"


@pytest.mark.parametrize(
    ("born", "slug"),
    [
        ("2026-06-17", "time-in-the-future"),
        ("2026-06-16", None),
        ("1901-06-15", None),
        ("1900-06-16", None),
        ("1900-06-15", "out-of-range"),
    ],
)
def test_r01_a_date_of_birth_lies_in_the_past_and_within_a_lifetime(born: str, slug: str | None) -> None:
    # 1900-06-15 makes 126 full years on 2026-06-15, 1900-06-16 makes 125.
    if slug is None:
        assert refer_patient(Case(), typed(birth_date=born), at())
        return
    with pytest.raises(Refusal) as refused:
        refer_patient(Case(), typed(birth_date=born), at())
    assert (refused.value.slug, refused.value.rule) == (slug, "R-01")


@pytest.mark.parametrize(("born", "slug"), [("2026-06-17", "time-in-the-future"), ("1900-06-15", "out-of-range")])
def test_r01_a_bundle_s_date_of_birth_is_held_to_the_same(born: str, slug: str) -> None:
    command = ReferBundle(clinic="north", indication="ptsd", bundle=bundle_of(birthDate=born))
    with pytest.raises(Refusal) as refused:
        refer_bundle(Case(), command, at())
    assert (refused.value.slug, refused.value.rule) == (slug, "R-01")


@pytest.mark.parametrize(
    "changes",
    [
        {"birth_date": "2026-02-30"},
        {"birth_date": "1900-02-29"},
        {"birth_date": "1990-01-01T10:00:00Z"},
        {"birth_date": 0},
        {"birth_date": "10000-01-01"},
        {"birth_date": None},
        {"sex": "Female"},
        {"clinic": "../north"},
        {"clinic": {"$gt": ""}},
        {"patient": {"system": "urn:example:mrn", "value": ""}},
        {"patient": {"system": "urn:example:mrn", "value": 12345}},
        {"name": "unknown field"},
        {"facts": [{"kind": "condition", "system": "snomed", "code": "5602001", "name": "unknown field"}]},
    ],
)
def test_a_body_that_does_not_hold_is_refused(changes: dict[str, Any]) -> None:
    assert typed().clinic == "north"
    with pytest.raises(ValidationError):
        typed(**changes)


def test_an_identifier_does_not_show_in_an_error() -> None:
    with pytest.raises(ValidationError) as error:
        PatientIdentifier.model_validate_json('{"system": "urn:example:mrn", "value": ["SECRET-77"]}')
    assert "SECRET-77" not in str(error.value)
