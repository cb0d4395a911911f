"""A reopened screening takes away what a review or an approval rests on."""

from collections.abc import Callable

import pytest

from services.prescriber.domain.ask_again import AskForReview, asking_again
from services.prescriber.domain.decide import decide, decide_as_partner, decide_in_house
from services.prescriber.domain.reassign import Reassign, reassigning
from services.prescriber.domain.recall import recall
from services.prescriber.domain.review import opening
from services.prescriber.domain.revoke import Revoke, revoke
from services.prescriber.domain.state import Case
from services.prescriber.domain.stops import noting
from shared.events import intake
from shared.events.base import EventData
from shared.events.prescriber import (
    EligibilityExpired,
    EligibilityRevoked,
    LateDecisionReceived,
    ReviewOpened,
    ReviewRecalled,
    ReviewWithheld,
    StopNoted,
)
from shared.pathway.refusal import Refusal
from tests.unit.alerting import without_alerts
from tests.unit.prescriber.given import CONSENT, NOW, approved, context, decision, in_review, nobody, partners, screened, summary, told

REOPENED = intake.ScreeningReopened(reason="entered-in-error", reopened_at=NOW)
REVOKED = EligibilityRevoked(request=1, reason="screening-reopened", revoked_by="prescriber-7", revoked_at=NOW)
WITHHELD = told(Case(), [ReviewWithheld(why="consent-missing", summary=summary())])


def recalled(case: Case) -> Case:
    return told(case, recall(case, REOPENED, context()))


def of(request: int, partner: str | None = "in-house") -> ReviewRecalled:
    return ReviewRecalled(request=request, partner=partner, why="screening-reopened", recalled_at=NOW)


ASKED = told(in_review(), decide_in_house(in_review(), decision("needs_clearance", items=["cardiac"]), context()))
DECLINED = told(in_review(), decide_in_house(in_review(), decision("ineligible"), context()))
EXPIRED = told(approved(), [EligibilityExpired(request=1, expires_at=NOW)])
REVIEWED_AGAIN = told(approved(), asking_again(nobody)(approved(), AskForReview(), context()))


def test_a_later_screening_that_screens_the_patient_out_takes_the_approval_back() -> None:
    out = intake.ScreenedOut(reasons=(), screened_at=NOW, policy_version="test-1")
    events = without_alerts(recall(approved(), out, context()))
    revoked, review = REVOKED.model_copy(update={"reason": "screened-out"}), of(1).model_copy(update={"why": "screened-out"})
    assert events == [revoked, review]
    assert recall(Case(), out, context()) == [], "the first screening has no review yet"


@pytest.mark.parametrize(
    ("case", "events"),
    [
        (Case(), []),
        (WITHHELD, [of(0, None)]),
        (in_review(), [of(1)]),
        (ASKED, [of(1)]),
        (approved(), [REVOKED, of(1)]),
        (REVIEWED_AGAIN, [REVOKED, of(2)]),
        (DECLINED, [of(1)]),
        (EXPIRED, [of(1)]),
    ],
    ids=["unknown", "withheld", "open", "awaiting clearance", "approved", "approved and under review", "declined", "expired"],
)
def test_what_rested_on_the_screening_is_taken_back_once(case: Case, events: list[EventData]) -> None:
    assert without_alerts(recall(case, REOPENED, context())) == events
    after = recalled(case)
    assert (after.status, after.plan, after.summary) == ("recalled" if events else "not_screened", None, None)
    assert set(after.deadlines) == ({"alert"} if REVOKED in events else set())
    assert recall(after, REOPENED, context()) == []


@pytest.mark.parametrize("case", [in_review(), approved(), DECLINED, EXPIRED, WITHHELD], ids=lambda case: case.status)
def test_nothing_can_be_done_on_a_recalled_review(case: Case) -> None:
    after = recalled(case)
    attempts: tuple[Callable[[], object], ...] = (
        lambda: decide_in_house(after, decision(request=max(1, after.request)), context()),
        lambda: asking_again(nobody)(after, AskForReview(), context()),
        lambda: reassigning(partners)(after, Reassign(reason="too-busy"), context()),
        lambda: revoke(after, Revoke(reason="new-finding"), context()),
    )
    for attempt in attempts:
        with pytest.raises(Refusal):
            attempt()


def test_the_end_of_a_stop_opens_no_review_that_was_recalled() -> None:
    assert [type(event) for event in noting(nobody)(recalled(WITHHELD), CONSENT, context())] == [StopNoted]


def test_the_partner_that_had_the_review_answers_late_and_a_stranger_is_refused() -> None:
    case = in_review(who=partners)
    (late,) = without_alerts(decide_as_partner(recalled(case), decision(), context(), by=str(case.partner)))
    assert isinstance(late, LateDecisionReceived)
    with pytest.raises(Refusal) as reason:
        decide(recalled(case), decision(), context(), by="east")
    assert reason.value.slug == "not-assigned"


def test_the_screening_completed_again_opens_a_higher_request() -> None:
    case = recalled(approved())
    opened = opening(nobody)(case, screened(), context())[0]
    assert isinstance(opened, ReviewOpened)
    assert opened.request == 2
