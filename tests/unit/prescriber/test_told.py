"""What organisations are told of a case. Expectations: the table "What you are told" of docs/partner-guide.md, R-10, R-14, R-20, R-29."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.prescriber.domain.ask_again import AskForReview, asking_again
from services.prescriber.domain.clearance import AnswerClearances, answering
from services.prescriber.domain.decide import decide_as_partner, decide_in_house
from services.prescriber.domain.deterioration import note_deterioration
from services.prescriber.domain.lot import hold_for_recall
from services.prescriber.domain.partners.state import Organisation
from services.prescriber.domain.reassign import Reassign, passing_on, reassigning
from services.prescriber.domain.revoke import Revoke, revoke
from services.prescriber.domain.state import Case
from services.prescriber.domain.stops import STOPS, lifting
from services.prescriber.domain.told import notices, with_notices
from services.prescriber.reactions import falling_due, table
from shared.events import intake
from shared.events.base import EventData, Slug
from shared.events.integration import OutcomeDeteriorated
from shared.events.partner import PartnerTold
from shared.events.prescriber import ReviewAssigned
from shared.pathway.context import Actor
from shared.pathway.stop import LiftHold, PlaceHold, WithdrawConsent
from tests.unit.prescriber.given import CONSENT, NORTH, NOW, SOUTH, context, decision, in_review, partners, screened, told
from tests.unit.prescriber.moved import dispense, prescribed

LATER = NOW + timedelta(hours=1)
HOLD = intake.SafetyHoldPlaced(hold="hold-1", reason="adverse_event", placed_at=NOW)
LIFTED = intake.SafetyHoldLifted(hold="hold-1", reason="closed", lifted_at=LATER)
WITHDRAWN = intake.ConsentWithdrawn(withdrawn_at=NOW, said_to="intake")
CONSENTED = CONSENT.model_copy(update={"given_at": LATER})
WORSE = OutcomeDeteriorated(instrument="phq-9", baseline=10, total=15, measured_at=NOW)
OUTDATED = intake.ScreeningOutdated(items=("seizure",), outdated_at=NOW)
REOPENED = intake.ScreeningReopened(reason="entered-in-error", reopened_at=NOW)
REVOKE = Revoke(reason="new-finding")

Told = tuple[Slug, str, int]


def north() -> tuple[Organisation, ...]:
    return (NORTH,)


def south() -> tuple[Organisation, ...]:
    return (SOUTH,)


def words(case: Case, events: Sequence[EventData], by: Slug | None = None) -> list[Told]:
    """Who is told what, of which request."""
    return [(notice.partner, notice.told, notice.request) for notice in notices(case, events, by)]


def hear(case: Case, event: EventData, who: Callable[[], tuple[Organisation, ...]] = partners) -> list[EventData]:
    return table(who)[type(event)](case, event, context())


def after(case: Case, *events: EventData, who: Callable[[], tuple[Organisation, ...]] = partners) -> Case:
    for event in events:
        case = told(case, hear(case, event, who))
    return case


def decided(case: Case, kind: str = "eligible", *, by: Slug = "north", **more: Any) -> list[EventData]:
    return decide_as_partner(case, decision(kind, request=case.request, **more), context(), by=by)


def answered(case: Case) -> list[EventData]:
    answers = {"answers": ({"item": "cardiac", "cleared": True, "note": "letter"},)}
    return answering(partners)(case, AnswerClearances.model_validate(answers), context())


REVIEW = in_review(who=north)
ASKING = told(REVIEW, decided(REVIEW, "needs_clearance", items=["cardiac"]))
APPROVED = told(REVIEW, decided(REVIEW))
REVIEWED_AGAIN = told(APPROVED, asking_again(partners)(APPROVED, AskForReview(), context()))
"""Both: an approval of the first request in force, and the second request open."""
PASSED_ON = told(REVIEWED_AGAIN, reassigning(south)(REVIEWED_AGAIN, Reassign(reason="too-busy"), context()))
"""The approval is of one organisation, the open review of another."""
KEPT_BACK = told(after(ASKING, HOLD), answered(after(ASKING, HOLD)))
"""The clinic answered what was asked, and a hold keeps the answer from the prescriber."""
IN_HOUSE_APPROVED = told(in_review(), decide_in_house(in_review(), decision(), context()))

STOPPED_TO = [
    (REVIEW, [("north", 1)]),
    (ASKING, [("north", 1)]),
    (APPROVED, [("north", 1)]),
    (REVIEWED_AGAIN, [("north", 2)]),
    (PASSED_ON, [("south", 3), ("north", 1)]),
    (in_review(), []),
    (IN_HOUSE_APPROVED, []),
    (after(Case(), CONSENT), []),
    (after(REVIEW, REOPENED), []),
    (told(REVIEW, decided(REVIEW, "ineligible")), []),
    (told(PASSED_ON, decided(PASSED_ON, "ineligible", by="south")), []),
    (told(APPROVED, revoke(APPROVED, REVOKE, context())), []),
]


@pytest.mark.parametrize(("case", "to"), STOPPED_TO)
def test_r10_a_hold_and_its_end_are_told_to_whoever_has_the_review_or_the_approval(case: Case, to: list[tuple[Slug, int]]) -> None:
    assert words(case, hear(case, HOLD)) == [(partner, "kapcare.review.stopped", request) for partner, request in to]
    held = after(case, HOLD)
    assert words(held, hear(held, LIFTED)) == [(partner, "kapcare.review.resumed", request) for partner, request in to]


@pytest.mark.parametrize(("case", "to"), STOPPED_TO)
def test_r20_a_withdrawal_and_new_consent_are_told_to_the_same(case: Case, to: list[tuple[Slug, int]]) -> None:
    assert words(case, hear(case, WITHDRAWN)) == [(partner, "kapcare.review.stopped", request) for partner, request in to]
    withdrawn = after(case, WITHDRAWN)
    assert words(withdrawn, hear(withdrawn, CONSENTED)) == [(partner, "kapcare.review.resumed", request) for partner, request in to]


@pytest.mark.parametrize("scope", ["treatment", "disclosure_to_prescriber"])
def test_r20_consent_to_one_of_the_two_scopes_alone_is_a_stop(scope: str) -> None:
    less = CONSENTED.model_copy(update={"scopes": (scope,)})
    assert words(REVIEW, hear(REVIEW, less)) == [("north", "kapcare.review.stopped", 1)]
    stopped = after(REVIEW, less)
    full = CONSENT.model_copy(update={"given_at": LATER + timedelta(hours=1)})
    assert words(stopped, hear(stopped, full)) == [("north", "kapcare.review.resumed", 1)]


def test_r10_r20_a_second_stop_is_not_told_and_the_first_to_end_resumes_nothing() -> None:
    held = after(REVIEW, HOLD)
    assert words(held, hear(held, WITHDRAWN)) == []
    both = after(held, WITHDRAWN)
    assert words(both, hear(both, LIFTED)) == []
    lifted = after(both, LIFTED)
    assert words(lifted, hear(lifted, CONSENTED)) == [("north", "kapcare.review.resumed", 1)]


def test_r10_a_hold_placed_and_lifted_here_is_told_as_well() -> None:
    placed = STOPS.place(REVIEW, PlaceHold(reason="clinical_concern"), context())
    assert words(REVIEW, placed) == [("north", "kapcare.review.stopped", 1)]
    held = told(REVIEW, placed)
    (hold,) = held.stops.holds
    lifted = lifting(partners)(held, LiftHold(hold=hold, reason="assessed"), context())
    assert words(held, lifted) == [("north", "kapcare.review.resumed", 1)]
    withdrawn = STOPS.withdraw(REVIEW, WithdrawConsent(withdrawn_at=NOW), context())
    assert words(REVIEW, withdrawn) == [("north", "kapcare.review.stopped", 1)]


def test_r10_the_hold_for_a_recalled_lot_is_told() -> None:
    supplied = prescribed(APPROVED)
    knowing = replace(context(), recalled_lots={"lot-1": "recall-1"})
    assert words(supplied, dispense(supplied, knowing)) == [("north", "kapcare.review.stopped", 1)]
    unknowing = told(supplied, dispense(supplied))
    assert words(unknowing, hold_for_recall(unknowing, "lot-1", "recall-1", context())) == [("north", "kapcare.review.stopped", 1)]


def test_r20_a_review_that_a_stop_kept_back_is_assigned_and_needs_no_resumed() -> None:
    assert KEPT_BACK.status == "clearance_answered"
    events = hear(KEPT_BACK, LIFTED)
    assert any(isinstance(event, ReviewAssigned) for event in events)
    assert words(KEPT_BACK, events) == []
    due = REVIEW.due_at
    assert due is not None
    held = after(REVIEW, HOLD)
    prevented = told(held, passing_on(partners)(held, context(now=due)))
    assert words(held, passing_on(partners)(held, context(now=due))) == []
    assert words(prevented, hear(prevented, LIFTED)) == []


def test_r20_who_approved_is_told_that_it_goes_on_although_another_is_asked_anew() -> None:
    held = after(PASSED_ON, HOLD)
    withheld = after(held, screened())
    events = hear(withheld, LIFTED, south)
    assert [event.partner for event in events if isinstance(event, ReviewAssigned)] == ["south"]
    assert words(withheld, events) == [("north", "kapcare.review.resumed", 1)]


def test_r20_who_is_asked_while_treatment_is_stopped_is_told_so_at_once() -> None:
    disclosed = after(Case(), CONSENT.model_copy(update={"scopes": ("disclosure_to_prescriber",)}))
    assert words(disclosed, hear(disclosed, screened(), north)) == [("north", "kapcare.review.stopped", 1)]
    asked = after(disclosed, screened(), who=north)
    assert words(asked, hear(asked, CONSENTED)) == [("north", "kapcare.review.resumed", 1)]


def test_the_loser_of_a_review_is_told_of_the_request_it_had() -> None:
    due = REVIEW.due_at
    assert due is not None
    assert words(REVIEW, falling_due(partners)(REVIEW, "partner_answer", context(now=due))) == [("north", "kapcare.review.reassigned", 1)]
    assert words(REVIEWED_AGAIN, reassigning(south)(REVIEWED_AGAIN, Reassign(reason="too-busy"), context())) == [
        ("north", "kapcare.review.reassigned", 2)
    ]
    assert words(in_review(), reassigning(north)(in_review(), Reassign(reason="too-busy"), context())) == []


@pytest.mark.parametrize("end", [REOPENED, intake.ScreenedOut(reasons=(), screened_at=NOW, policy_version="test-1")])
def test_an_open_review_that_is_recalled_is_told_and_so_is_the_end_of_the_approval(end: EventData) -> None:
    assert words(REVIEW, hear(REVIEW, end)) == [("north", "kapcare.review.recalled", 1)]
    assert words(ASKING, hear(ASKING, end)) == [("north", "kapcare.review.recalled", 1)]
    assert words(APPROVED, hear(APPROVED, end)) == [("north", "kapcare.approval.revoked", 1)]
    assert words(PASSED_ON, hear(PASSED_ON, end)) == [("north", "kapcare.approval.revoked", 1), ("south", "kapcare.review.recalled", 3)]
    assert words(in_review(), hear(in_review(), end)) == []
    declined = told(REVIEW, decided(REVIEW, "ineligible"))
    assert words(declined, hear(declined, end)) == []
    assert words(KEPT_BACK, hear(KEPT_BACK, end)) == [("north", "kapcare.review.recalled", 1)]


def test_an_open_review_that_a_later_screening_replaces_is_recalled_unless_the_same_organisation_is_asked() -> None:
    assert words(REVIEW, hear(REVIEW, screened(), south)) == [("north", "kapcare.review.recalled", 1)]
    assert words(REVIEW, hear(REVIEW, screened(), north)) == []
    held = after(REVIEW, HOLD)
    assert words(held, hear(held, screened(), north)) == [("north", "kapcare.review.recalled", 1)]
    assert words(APPROVED, hear(APPROVED, screened(), south)) == [], "its approval stands until the new review is answered"


def test_r14_that_the_screening_is_outdated_is_told_to_whoever_has_the_open_review() -> None:
    assert words(REVIEW, hear(REVIEW, OUTDATED)) == [("north", "kapcare.review.outdated", 1)]
    assert words(ASKING, hear(ASKING, OUTDATED)) == [("north", "kapcare.review.outdated", 1)]
    assert words(KEPT_BACK, hear(KEPT_BACK, OUTDATED)) == [("north", "kapcare.review.outdated", 1)]
    assert words(PASSED_ON, hear(PASSED_ON, OUTDATED)) == [("south", "kapcare.review.outdated", 3)]
    assert words(APPROVED, hear(APPROVED, OUTDATED)) == []
    assert words(in_review(), hear(in_review(), OUTDATED)) == []
    known = after(REVIEW, OUTDATED)
    assert words(known, hear(known, OUTDATED)) == []


def test_r15_the_end_of_an_approval_is_told_to_whoever_gave_it() -> None:
    assert words(APPROVED, falling_due(partners)(APPROVED, "approval_end", context())) == [("north", "kapcare.approval.expired", 1)]
    assert words(PASSED_ON, falling_due(partners)(PASSED_ON, "approval_end", context())) == [("north", "kapcare.approval.expired", 1)]
    assert words(IN_HOUSE_APPROVED, falling_due(partners)(IN_HOUSE_APPROVED, "approval_end", context())) == []


def test_a_revocation_is_told_to_whoever_gave_the_approval_unless_it_took_it_back_itself() -> None:
    by_a_prescriber, by_north = context(), replace(context(), actor=Actor("p-1", frozenset({"partner"}), "north"))
    by_south = replace(context(), actor=Actor("p-2", frozenset({"partner"}), "south"))
    revoked = [("north", "kapcare.approval.revoked", 1)]
    for case in (APPROVED, PASSED_ON):
        for at, expected in ((by_a_prescriber, revoked), (by_south, revoked), (by_north, [])):
            events = with_notices(case, revoke(case, REVOKE, at), at)
            assert [(event.partner, event.told, event.request) for event in events if isinstance(event, PartnerTold)] == expected
            assert events[: -len(expected) or None] == revoke(case, REVOKE, at), "what is told comes after what happened"
    assert words(IN_HOUSE_APPROVED, revoke(IN_HOUSE_APPROVED, REVOKE, by_a_prescriber)) == []


def test_another_organisations_decision_ends_an_approval_too() -> None:
    revoked = [("north", "kapcare.approval.revoked", 1)]
    assert words(PASSED_ON, decided(PASSED_ON, "ineligible", by="south")) == revoked
    assert words(PASSED_ON, decided(PASSED_ON, by="south")) == revoked
    assert words(PASSED_ON, decided(PASSED_ON, "needs_clearance", by="south", items=["cardiac"])) == []
    assert words(REVIEWED_AGAIN, decided(REVIEWED_AGAIN, "ineligible")) == []
    assert words(REVIEWED_AGAIN, decided(REVIEWED_AGAIN)) == []
    assert told(PASSED_ON, decided(PASSED_ON, by="south")).approved_by == "south"
    assert told(PASSED_ON, decided(PASSED_ON, "ineligible", by="south")).approved_by is None


def test_r29_a_deterioration_is_told_to_whoever_approved_and_else_to_whoever_reviews() -> None:
    def worse(case: Case) -> list[Told]:
        return words(case, note_deterioration(case, WORSE, context()))

    assert worse(APPROVED) == [("north", "kapcare.outcome.deteriorated", 1)]
    assert worse(PASSED_ON) == [("north", "kapcare.outcome.deteriorated", 1)]
    assert worse(REVIEW) == [("north", "kapcare.outcome.deteriorated", 1)]
    assert worse(ASKING) == [("north", "kapcare.outcome.deteriorated", 1)]
    assert worse(told(APPROVED, revoke(APPROVED, REVOKE, context()))) == []
    assert worse(in_review()) == []
    assert worse(Case()) == []
    asked = told(IN_HOUSE_APPROVED, asking_again(partners)(IN_HOUSE_APPROVED, AskForReview(), context()))
    elsewhere = told(asked, reassigning(south)(asked, Reassign(reason="too-busy"), context()))
    assert worse(elsewhere) == [("south", "kapcare.outcome.deteriorated", 3)], "in-house, an alert calls whoever approved"


def test_what_nobody_has_to_know_is_told_to_nobody() -> None:
    assert words(REVIEW, decided(REVIEW)) == []
    assert words(REVIEW, decided(REVIEW, "needs_clearance", items=["cardiac"])) == []
    assert words(ASKING, answered(ASKING)) == []
    assert words(APPROVED, asking_again(partners)(APPROVED, AskForReview(), context())) == []
    assert words(PASSED_ON, decided(PASSED_ON, by="north")) == [], "a late answer changes nothing"
