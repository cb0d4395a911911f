"""Out of the sandbox, out of the network, and back."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.prescriber.domain.partners.standing import ActivatePartner, PartnerLeaves, PartnerReturns, activate, come_back, leave
from services.prescriber.domain.partners.terms import Terms, change_terms
from shared.pathway.refusal import Refusal
from tests.unit.prescriber.given import NOW
from tests.unit.prescriber.partners.office import Office, read, registered

VERBS: dict[str, tuple[Any, Any]] = {
    "activate": (activate, ActivatePartner()),
    "leave": (leave, PartnerLeaves(reason="contract ended")),
    "return": (come_back, PartnerReturns()),
}
TABLE = {
    ("sandbox", "activate"): "active",
    ("sandbox", "leave"): "left",
    ("sandbox", "return"): "not-left",
    ("active", "activate"): "not-in-sandbox",
    ("active", "leave"): "left",
    ("active", "return"): "not-left",
    ("left", "activate"): "not-in-sandbox",
    ("left", "leave"): "already-left",
    ("left", "return"): "active",
}


@pytest.mark.parametrize(("status", "verb", "expected"), [(*key, value) for key, value in TABLE.items()])
def test_each_step(status: str, verb: str, expected: str) -> None:
    office = registered(sandbox=status == "sandbox")
    if status == "left":
        office.do(*VERBS["leave"])
    assert office.entry.status == office.partner.status == status
    if expected in {"active", "left"}:
        office.do(*VERBS[verb])
        assert office.entry.status == expected
        return
    with pytest.raises(Refusal) as reason:
        office.do(*VERBS[verb])
    assert (reason.value.slug, office.entry.status) == (expected, status)


def test_who_left_the_network_from_the_sandbox_returns_to_it() -> None:
    office = registered(sandbox=True)
    office.do(*VERBS["leave"])
    office.do(*VERBS["return"])
    assert office.entry.status == "sandbox"
    for verb, status in (("activate", "active"), ("leave", "left"), ("return", "active")):
        office.do(*VERBS[verb])
        assert office.entry.status == status


def test_a_departure_has_a_reason_and_a_time() -> None:
    office = registered()
    (event,) = office.do(*VERBS["leave"])
    assert (getattr(event, "reason", None), getattr(event, "left_at", None)) == ("contract ended", NOW)
    with pytest.raises(ValidationError):
        read(PartnerLeaves)


def test_what_an_organisation_has_stays_when_it_leaves() -> None:
    office = registered()
    before = office.entry
    office.do(*VERBS["leave"])
    assert (office.entry.endpoints, office.entry.decision_keys) == (before.endpoints, before.decision_keys)


def test_terms_are_stated_anew_as_a_whole() -> None:
    office = registered(licensed_states=["OR", "WA"], capacity=3, answer_hours=24)
    office.do(change_terms, read(Terms, licensed_states=["OR", "OR"], capacity=0))
    assert (office.entry.licensed_states, office.entry.capacity, office.entry.answer_hours) == (("OR",), 0, None)
    for wrong in ({"capacity": -1}, {"answer_hours": 0}, {"licensed_states": ["Oregon"]}, {"capacity": "3"}, {"status": "active"}):
        with pytest.raises(ValidationError):
            read(Terms, **wrong)


@pytest.mark.parametrize(("decide", "command"), [*VERBS.values(), (change_terms, Terms())])
def test_an_organisation_that_is_not_there(decide: Any, command: Any) -> None:
    with pytest.raises(Refusal) as reason:
        Office().do(decide, command)
    assert reason.value.slug == "no-such-partner"
