"""A partner's signed decision as it comes in: followed, or recorded as refused, beside the proof; from a stranger, nothing at all."""

from typing import Any

import pytest

from services.prescriber.domain.partners.message import SignedMessage
from services.prescriber.domain.partners.used import key_id
from services.prescriber.domain.reassign import Reassign, reassigning
from services.prescriber.domain.receive import receive
from services.prescriber.domain.state import Case
from shared.events.base import EventData
from shared.events.prescriber import (
    AlertRaised,
    DecisionReceived,
    DecisionRefused,
    EligibilityApproved,
    EligibilityDeclined,
    LateDecisionReceived,
)
from shared.pathway.refusal import Refusal
from tests.unit.prescriber.given import context, decision, in_review, partners, told


def message(partner: str) -> SignedMessage:
    return SignedMessage(partner, "msg_1", 1_772_442_000, "v1a,AAAA", "whpk_x", b'{"as": "signed"}')


def said(case: Case, partner: str | None = None, *, left: bool = False, **body: Any) -> list[EventData]:
    """What follows, for the organisation that has the review unless another is named."""
    assert case.partner is not None
    return receive(case, decision(**body), message(partner or case.partner), context(), left=left)


def test_the_proof_comes_first_and_then_what_follows() -> None:
    case = in_review(who=partners)
    proof, approved = said(case)
    assert isinstance(proof, DecisionReceived)
    assert (proof.partner, proof.webhook_id, proof.timestamp) == (case.partner, "msg_1", 1_772_442_000)
    assert (proof.signature, proof.decision_key, proof.body) == ("v1a,AAAA", "whpk_x", '{"as": "signed"}')
    assert isinstance(approved, EligibilityApproved)
    assert isinstance(said(case, kind="ineligible")[1], EligibilityDeclined)


@pytest.mark.parametrize("kind", ["eligible", "ineligible"])
@pytest.mark.parametrize("request_number", [2, 1_000_000])
def test_b16_r30_the_wrong_moment_is_recorded_and_changes_nothing(kind: str, request_number: int) -> None:
    case = in_review(who=partners)
    proof, refused = said(case, kind=kind, request=request_number)
    assert isinstance(proof, DecisionReceived)
    assert isinstance(refused, DecisionRefused)
    assert (refused.partner, refused.webhook_id, refused.request) == (case.partner, "msg_1", request_number)
    assert (refused.reason, refused.rule) == ("no-open-review", "R-30")
    assert told(case, [proof, refused]) == case


def test_b16_a_decision_after_a_decision_is_recorded_as_refused() -> None:
    case = in_review(who=partners)
    declined = told(case, said(case, kind="ineligible"))
    _, refused = said(declined)
    assert isinstance(refused, DecisionRefused)
    assert refused.reason == "no-open-review"
    assert told(declined, [refused]) == declined


def test_who_lost_the_review_and_answers_what_nobody_was_asked_is_recorded_as_refused() -> None:
    case = in_review(who=partners)
    loser = case.partner
    taken = told(case, reassigning(partners)(case, Reassign(reason="too-busy"), context()))
    assert taken.partner != loser
    _, refused = said(taken, loser, request=taken.request + 1)
    assert isinstance(refused, DecisionRefused)
    assert (refused.partner, refused.reason) == (loser, "no-open-review")


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("request_number", [1, 2])
def test_a_stranger_leaves_no_trace(left: bool, request_number: int) -> None:
    case = in_review(who=partners)
    (stranger,) = {"north", "south"} - {case.partner}
    with pytest.raises(Refusal) as reason:
        said(case, stranger, left=left, request=request_number)
    assert reason.value.slug == "not-assigned"


@pytest.mark.parametrize("kind", ["eligible", "ineligible"])
def test_who_left_the_network_answers_late_also_while_the_review_is_still_its_own(kind: str) -> None:
    case = in_review(who=partners)
    proof, late, *alerts = said(case, left=True, kind=kind)
    assert isinstance(proof, DecisionReceived)
    assert isinstance(late, LateDecisionReceived)
    assert {type(alert) for alert in alerts} <= {AlertRaised}
    after = told(case, [proof, late])
    assert (after.status, after.partner, after.plan) == ("in_review", case.partner, None)


def test_a_key_is_named_by_the_begin_of_its_digest() -> None:
    # The first test vector of FIPS 180-2 is of these three letters.
    assert key_id("abc") == "ba7816bf8f01cfea"
    assert message("north").key_id == key_id("whpk_x")
