"""Folded state: what the cache must carry there and back, and what folding must never depend on."""

import pytest
from pydantic import TypeAdapter

from services.prescriber.domain.decide import decide_in_house
from services.prescriber.domain.partners.state import Partner, Secret
from services.prescriber.domain.reassign import passing_on
from services.prescriber.domain.recall import recall
from services.prescriber.domain.revoke import Revoke, revoke
from services.prescriber.domain.state import Case, evolve_case
from shared.events import intake
from shared.events.prescriber import (
    Clearance,
    ClearanceAnswered,
    ClearanceRequested,
    EligibilityExpired,
    ReviewOverdue,
    ReviewWithheld,
    StepRefused,
)
from tests.unit.prescriber.given import CONSENT, NORTH, NOW, approved, context, decision, finding, in_review, partners, summary, told

CACHE = TypeAdapter(Case)
REACHED = [
    Case(),
    told(Case(), [CONSENT, ReviewWithheld(why="safety-hold", summary=summary(finding("cystitis")))]),
    in_review(finding("cystitis")),
    told(in_review(), [ReviewOverdue(request=1, partner="in-house", due_at=NOW)]),
    told(in_review(who=partners), passing_on(partners)(in_review(who=partners), context())),
    told(in_review(), [ClearanceRequested(request=1, items=("cardiac",), asked_by="x", asked_at=NOW)]),
    told(in_review(), [ClearanceAnswered(answers=(Clearance(item="cardiac", cleared=True, note="n"),), answered_at=NOW)]),
    told(in_review(), decide_in_house(in_review(), decision(), context())),
    told(in_review(), decide_in_house(in_review(), decision("ineligible"), context())),
    told(in_review(), recall(in_review(), intake.ScreeningReopened(reason="entered-in-error", reopened_at=NOW), context())),
    told(approved(), [EligibilityExpired(request=1, expires_at=NOW)]),
    told(approved(), revoke(approved(), Revoke(reason="new-finding", note="ECG"), context())),
    told(in_review(), [intake.SafetyHoldPlaced(hold="h", reason="other", placed_at=NOW)]),
]


@pytest.mark.parametrize("case", REACHED, ids=lambda case: case.status)
def test_the_cache_carries_every_state(case: Case) -> None:
    assert CACHE.validate_json(CACHE.dump_json(case)) == case


def test_the_cache_carries_a_partner_with_its_secret() -> None:
    adapter = TypeAdapter(Partner)
    partner = Partner(NORTH)
    assert adapter.validate_json(adapter.dump_json(partner)) == partner


@pytest.mark.parametrize("case", REACHED, ids=lambda case: case.status)
def test_a_recorded_refusal_changes_nothing(case: Case) -> None:
    refused = StepRefused(step="approve", rule="R-14", detail="x", policy_version="p")
    assert evolve_case(case, refused) == case


def test_an_entry_shows_no_secret() -> None:
    assert "whsec_" not in repr(Secret("whsec_secret"))
