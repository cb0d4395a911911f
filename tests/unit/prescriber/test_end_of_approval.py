"""An approval ends by time (R-15) or is taken back, and another review may follow on the same screening."""

from datetime import timedelta
from typing import Any

import pytest

from services.prescriber.api import show_case
from services.prescriber.domain.ask_again import AskForReview, asking_again
from services.prescriber.domain.decide import decide_as_partner, decide_in_house
from services.prescriber.domain.partners.state import Partners
from services.prescriber.domain.review import opening
from services.prescriber.domain.revoke import Revoke, revoke
from services.prescriber.domain.state import Case
from services.prescriber.reactions import falling_due
from shared.events import intake
from shared.events.base import EventData
from shared.events.prescriber import (
    EligibilityApproved,
    EligibilityExpired,
    EligibilityRevoked,
    ReviewAssigned,
    ReviewOpened,
    ReviewOverdue,
)
from shared.pathway.refusal import Refusal
from tests.unit.alerting import without_alerts
from tests.unit.prescriber.given import (
    CONSENT,
    NOW,
    approved,
    context,
    decision,
    finding,
    in_review,
    nobody,
    partners,
    plan,
    rules,
    screened,
    told,
)

END = plan().expires_at
HOLD = intake.SafetyHoldPlaced(hold="hold-1", reason="adverse_event", placed_at=NOW)


def fallen_due(case: Case, deadline: str = "approval_end") -> list[EventData]:
    return without_alerts(falling_due(nobody)(case, deadline, context(now=case.deadlines[deadline])))


def expired() -> Case:
    return told(approved(), fallen_due(approved()))


def revoked() -> Case:
    return told(approved(), revoke(approved(), Revoke(reason="new-finding"), context()))


def asked_again(case: Case, who: Partners = nobody) -> Case:
    return told(case, asking_again(who)(case, AskForReview(), context()))


def refusal(case: Case) -> str:
    with pytest.raises(Refusal) as reason:
        asking_again(nobody)(case, AskForReview(), context())
    return reason.value.slug


def test_r15_an_approval_expires_when_its_plan_says() -> None:
    assert approved().deadlines == {"approval_end": END}
    assert fallen_due(approved()) == [EligibilityExpired(request=1, expires_at=END)]
    assert (expired().status, expired().plan, expired().deadlines) == ("expired", None, {})
    assert show_case(expired())["plan"] is None


def test_each_deadline_of_a_case_leads_to_its_own_event() -> None:
    case = asked_again(approved())
    assert sorted(case.deadlines) == ["approval_end", "partner_answer"]
    assert [type(event) for event in fallen_due(case, "partner_answer")] == [ReviewOverdue]
    assert [type(event) for event in fallen_due(case)] == [EligibilityExpired]


def test_a_prescriber_takes_an_approval_back() -> None:
    events = without_alerts(revoke(approved(), Revoke(reason="new-finding", note="ECG of today"), context()))
    assert events == [EligibilityRevoked(request=1, reason="new-finding", note="ECG of today", revoked_by="prescriber-7", revoked_at=NOW)]
    assert (revoked().status, revoked().plan, set(revoked().deadlines)) == ("revoked", None, {"alert"})


@pytest.mark.parametrize("before", [[HOLD], [intake.ConsentWithdrawn(withdrawn_at=NOW, said_to="intake")]])
def test_no_stop_keeps_a_revocation_out(before: list[EventData]) -> None:
    case = told(approved(), before)
    assert [type(event) for event in without_alerts(revoke(case, Revoke(reason="new-finding"), context()))] == [EligibilityRevoked]


@pytest.mark.parametrize("case", [Case(), in_review(), expired(), revoked()], ids=lambda case: case.status)
def test_only_an_approval_in_force_can_be_taken_back(case: Case) -> None:
    with pytest.raises(Refusal) as reason:
        revoke(case, Revoke(reason="new-finding"), context())
    assert reason.value.slug == "not-approved"


@pytest.mark.parametrize("again", [asked_again, lambda case: told(case, opening(nobody)(case, screened(), context()))])
def test_the_approval_stays_in_force_while_a_later_review_is_open_and_ends_without_it(again: Any) -> None:
    case = again(approved())
    assert (case.status, case.request, case.plan, case.plan_request) == ("in_review", 2, plan(), 1)
    after = told(case, revoke(case, Revoke(reason="new-finding"), context()))
    assert (after.status, after.plan, after.request) == ("in_review", None, 2)
    assert told(case, fallen_due(case)).status == "in_review"


def test_r14_a_later_decline_ends_it_and_a_later_approval_replaces_it() -> None:
    case = asked_again(approved())
    declined = told(case, decide_in_house(case, decision("ineligible", request=2), context()))
    assert (declined.plan, declined.deadlines) == (None, {})
    later = END + timedelta(days=5)
    replaced = told(case, decide_in_house(case, decision(request=2, plan_changed={"expires_at": later}), context()))
    assert (replaced.plan_request, replaced.deadlines) == (2, {"approval_end": later})


@pytest.mark.parametrize("case", [expired(), revoked(), approved()], ids=lambda case: case.status)
def test_another_review_is_opened_on_the_same_screening(case: Case) -> None:
    opened, assigned = asking_again(nobody)(case, AskForReview(), context())
    assert opened == ReviewOpened(request=2, summary=screened().summary, opened_at=NOW)
    assert assigned == ReviewAssigned(request=2, partner="in-house", due_at=NOW + timedelta(hours=72))
    assert isinstance(decide_in_house(asked_again(case), decision(request=2), context())[0], EligibilityApproved)


def test_the_partner_that_decided_is_asked_again() -> None:
    case = in_review(who=partners)
    case = told(case, decide_as_partner(case, decision(), context(), by=str(case.partner)))
    assert asked_again(case, partners).partner == case.partner


def test_r06_another_review_asks_for_clearances_anew() -> None:
    case = in_review(finding("cystitis"))
    cleared = [{"item": "cystitis", "cleared": True, "note": "urology"}]
    case = told(case, decide_in_house(case, decision(clearances=cleared), context()))
    assert rules(decide_in_house(asked_again(case), decision(request=2), context())) == ["R-14"]


def test_another_review_needs_a_screening_and_no_open_review_and_no_decline() -> None:
    assert refusal(Case()) == "not-screened"
    assert refusal(in_review()) == "review-open"
    assert refusal(told(Case(), opening(nobody)(Case(), screened(), context()))) == "review-open"
    assert refusal(told(in_review(), decide_in_house(in_review(), decision("ineligible"), context()))) == "declined"


def test_another_review_is_not_opened_while_disclosure_is_stopped() -> None:
    assert refusal(told(expired(), [HOLD])) == "safety-hold"
    narrowed = CONSENT.model_copy(update={"given_at": NOW, "scopes": ("treatment",)})
    assert refusal(told(expired(), [narrowed])) == "consent-does-not-cover"
