"""The fields that entries are found by."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.audit.domain.clear import CLEAR_FIELDS, REFUSALS, clear_fields, outcome_of, partners_of
from shared.events.base import Access, Envelope
from shared.events.registry import BY_TYPE

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)


def envelope(actor: str = "clinician", subject: str = "case-1", roles: frozenset[str] = frozenset()) -> Envelope:
    return Envelope("c.0", "urn:kapcare:intake", "kapcare.intake.StepRefused.v1", subject, NOW, 1, "north", "p", actor, "c", roles=roles)


@pytest.mark.parametrize(
    ("actor", "subject", "roles", "expected"),
    [
        ("partner:oak", "partner-oak", {"partner"}, ["oak"]),
        ("partner:oak/dr-7", "case-1", {"partner"}, ["oak"]),
        ("partner:oak.west/dr-7", "case-1", {"partner"}, ["oak.west"]),
        ("admin-1", "partner-oak", {"admin"}, ["oak"]),
        ("service:prescriber", "partner-oak", set(), ["oak"]),
        ("oak.main", "case-1", {"partner"}, ["oak"]),
        ("oak.west.main", "case-1", {"partner"}, ["oak", "oak.west"]),
        ("oak.main", "case-1", {"therapist"}, []),
        ("oak.main", "case-1", set(), []),
        ("partners-r-us", "case-1", set(), []),
        ("clinician", "case-partner-oak", set(), []),
    ],
)
def test_whose_act_it_was(actor: str, subject: str, roles: set[str], expected: list[str]) -> None:
    assert partners_of(envelope(actor, subject, frozenset(roles))) == expected


def test_refusals_are_events_that_exist() -> None:
    assert {name.split(".")[2] for name in BY_TYPE} >= REFUSALS


@pytest.mark.parametrize("name", [name for name in BY_TYPE if "Refused" in name or "Quarantined" in name or "Withheld" in name])
def test_what_says_no_by_its_name_is_a_refusal(name: str) -> None:
    assert outcome_of(name) == "refused"


def test_a_clinical_no_was_decided() -> None:
    assert outcome_of("kapcare.prescriber.EligibilityDeclined.v1") == "done"
    assert outcome_of("odd") == "done"


def test_fields_that_would_say_nothing_are_left_out() -> None:
    accessed = {"about", "route", "status", "purpose", "address", "detail", "times"}
    assert set(CLEAR_FIELDS) - set(clear_fields(envelope())) == {"causation", "policy", "roles", "partners", "recipient", *accessed}
    full = Envelope(
        "c.0",
        "urn:kapcare:prescriber",
        "kapcare.prescriber.DecisionRefused.v1",
        *("case-1", NOW, 1, "north", "p", "partner:oak", "c", "b.0"),
        roles=frozenset({"partner", "admin"}),
        policy_version="v1",
        recipient="oak",
        access=Access("GET /cases", 200, "TREAT", ("case-1",), "10.0.0.1", "after=case-0"),
    )
    assert set(clear_fields(full)) == set(CLEAR_FIELDS)
    assert clear_fields(full)["roles"] == ["admin", "partner"]


def test_what_was_shown_together_is_found_by_each_clinic_and_patient() -> None:
    """One list shows cases of several; commas stand in no clinic's slug and in no pseudonym."""
    fields = clear_fields(replace(envelope(), clinic="north,south", patient="p,q", recipient="oak"))
    assert (fields["clinic"], fields["patient"], fields["partners"]) == (["north", "south"], ["p", "q"], ["oak"])
    assert (clear_fields(envelope())["clinic"], clear_fields(envelope())["patient"]) == ("north", "p")
