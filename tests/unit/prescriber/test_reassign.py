"""A silent organisation loses the review, and so does one that a coordinator takes it from; what it says afterwards is recorded."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.prescriber.api import show_review
from services.prescriber.domain.decide import decide_as_partner, decide_in_house
from services.prescriber.domain.partners.state import Organisation
from services.prescriber.domain.reassign import Reassign, passing_on, reassigning
from services.prescriber.domain.review import opening
from services.prescriber.domain.state import Case
from services.prescriber.domain.stops import noting
from shared.events import intake
from shared.events.base import EventData
from shared.events.prescriber import (
    IN_HOUSE,
    EligibilityApproved,
    LateDecisionReceived,
    ReviewAssigned,
    ReviewOverdue,
    ReviewReassigned,
    StopNoted,
)
from shared.pathway.refusal import Refusal
from tests.unit.alerting import without_alerts
from tests.unit.prescriber.given import CONSENT, NORTH, NOW, POLICY, SOUTH, context, decision, in_review, nobody, partners, screened, told

DUE = NOW + timedelta(hours=72)
HOLD = intake.SafetyHoldPlaced(hold="hold-1", reason="adverse_event", placed_at=NOW)
LIFTED = intake.SafetyHoldLifted(hold="hold-1", reason="closed", lifted_at=DUE)
EAST = replace(NORTH, slug="east")


def three() -> tuple[Organisation, ...]:
    return (NORTH, SOUTH, EAST)


def only_north() -> tuple[Organisation, ...]:
    return (NORTH,)


def silence(case: Case, who: Any = partners) -> list[EventData]:
    """What the passed deadline leads to, beside the alert."""
    assert case.due_at is not None
    return without_alerts(passing_on(who)(case, context(now=case.due_at, seed=f"tick:partner_answer/{case.due_at.isoformat()}")))


def after_silence(case: Case, who: Any = partners) -> Case:
    return told(case, silence(case, who))


def refusal(case: Case, who: Any = partners, **body: Any) -> str:
    with pytest.raises(Refusal) as reason:
        reassigning(who)(case, Reassign(**{"reason": "too-busy", **body}), context())
    return reason.value.slug


def test_a_silent_partner_loses_the_review_to_another_at_once() -> None:
    case = in_review(who=partners)
    assert case.partner is not None
    (other,) = {"north", "south"} - {case.partner}
    assert case.deadlines == {"partner_answer": DUE}
    assert silence(case) == [
        ReviewOverdue(request=1, partner=case.partner, due_at=DUE),
        ReviewReassigned(request=2, from_partner=case.partner, partner=other, why="silent"),
        ReviewAssigned(request=2, partner=other, due_at=DUE + timedelta(hours=72)),
    ]
    after = after_silence(case)
    assert (after.status, after.request, after.partner, after.overdue) == ("in_review", 2, other, False)
    assert after.deadlines == {"partner_answer": DUE + timedelta(hours=72)}
    assert show_review(after, "riverside", POLICY)["request"] == 2


def test_with_no_other_partner_the_review_goes_in_house() -> None:
    assert after_silence(in_review(who=only_north), only_north).partner == IN_HOUSE


def test_silence_everywhere_ends_in_house_and_is_said_there_once() -> None:
    case = in_review(who=three)
    asked = [case.partner]
    for _ in range(3):
        case = after_silence(case, three)
        asked.append(case.partner)
    assert sorted(asked[:3], key=str) == ["east", "north", "south"]
    assert asked[3] == IN_HOUSE
    assert [type(event) for event in silence(case, three)] == [ReviewOverdue]
    case = after_silence(case, three)
    assert (case.status, case.partner, case.overdue, case.deadlines) == ("in_review", IN_HOUSE, True, {})


def test_a_new_screening_may_go_to_a_partner_that_was_silent_before() -> None:
    case = after_silence(in_review(who=only_north), only_north)
    case = told(case, opening(only_north)(case, screened(), context()))
    assert (case.partner, case.lost) == ("north", ())


@given(st.integers(0, 10_000))
def test_the_loser_is_never_chosen_again(hours: int) -> None:
    case = in_review(who=three)
    case = replace(case, due_at=NOW + timedelta(hours=hours))
    assert after_silence(case, three).partner in {"north", "south", "east"} - {case.partner}


def test_while_disclosure_is_stopped_nobody_new_is_asked_and_the_old_one_is_asked_again_afterwards() -> None:
    case = told(in_review(who=partners), [HOLD])
    assert silence(case) == [ReviewOverdue(request=1, partner=str(case.partner), due_at=DUE)]
    case = after_silence(case)
    assert case.deadlines == {}
    later = DUE + timedelta(hours=5)
    noted, assigned = noting(partners)(case, LIFTED, context(now=later))
    assert isinstance(noted, StopNoted)
    assert assigned == ReviewAssigned(request=2, partner=str(case.partner), due_at=later + timedelta(hours=72))


def test_a_word_that_ends_no_stop_asks_nobody_again() -> None:
    case = after_silence(in_review(), nobody)
    assert case.overdue
    renewed = CONSENT.model_copy(update={"version": "consent-2", "given_at": DUE})
    assert [type(event) for event in noting(nobody)(case, renewed, context(now=DUE))] == [StopNoted]


def test_a_coordinator_gives_the_review_to_the_one_named() -> None:
    case = in_review(who=partners)
    events = reassigning(partners)(case, Reassign(reason="conflict-of-interest", partner=IN_HOUSE), context())
    assert events == [
        ReviewReassigned(request=2, from_partner=str(case.partner), partner=IN_HOUSE, why="conflict-of-interest"),
        ReviewAssigned(request=2, partner=IN_HOUSE, due_at=DUE),
    ]


def test_a_coordinator_may_leave_the_choice_open() -> None:
    case = in_review(who=partners)
    after = told(case, reassigning(partners)(case, Reassign(reason="too-busy"), context()))
    assert {after.partner, case.partner} == {"north", "south"}
    assert told(after, reassigning(partners)(after, Reassign(reason="too-busy"), context())).partner == IN_HOUSE


def test_a_coordinator_may_name_one_that_lost_it_before() -> None:
    case = in_review(who=partners)
    again = reassigning(partners)(after_silence(case), Reassign(reason="back-at-work", partner=case.partner), context())
    assert told(after_silence(case), again).partner == case.partner


def test_reassignment_is_refused_where_there_is_nothing_to_give_or_nobody_to_take_it() -> None:
    assert refusal(in_review(who=partners), partner="stranger") == "no-such-partner"
    assert refusal(in_review(who=partners), partner=in_review(who=partners).partner) == "already-assigned"
    assert refusal(in_review(), nobody) == "already-assigned"
    assert refusal(told(in_review(who=partners), [HOLD])) == "safety-hold"
    assert refusal(Case()) == "no-open-review"
    decided = told(in_review(), decide_in_house(in_review(), decision(), context()))
    assert refusal(decided) == "no-open-review"
    asked = told(in_review(), decide_in_house(in_review(), decision("needs_clearance", items=["cardiac"]), context()))
    assert refusal(asked) == "no-open-review"


@pytest.mark.parametrize("kind", ["eligible", "ineligible"])
def test_a_late_answer_of_the_loser_is_recorded_and_changes_nothing(kind: Any) -> None:
    case = in_review(who=partners)
    after = after_silence(case)
    events = decide_as_partner(after, decision(kind), context(), by=str(case.partner))
    assert without_alerts(events) == [
        LateDecisionReceived(
            request=1,
            partner=str(case.partner),
            decision=kind,
            reasons=("indication-met",),
            decided_by="prescriber-7",
            received_at=NOW,
        )
    ]
    assert replace(told(after, events), alerts=after.alerts) == after


def test_a_late_answer_is_recorded_after_the_other_one_decided_too() -> None:
    case = in_review(who=partners)
    after = after_silence(case)
    approved = decide_as_partner(after, decision(request=2), context(), by=str(after.partner))
    assert isinstance(approved[0], EligibilityApproved)
    late = decide_as_partner(told(after, approved), decision(), context(), by=str(case.partner))
    assert [type(event) for event in without_alerts(late)] == [LateDecisionReceived]


def test_the_loser_cannot_answer_a_request_that_was_never_made() -> None:
    case = in_review(who=partners)
    with pytest.raises(Refusal) as reason:
        decide_as_partner(after_silence(case), decision(request=3), context(), by=str(case.partner))
    assert reason.value.slug == "no-open-review"


def test_strangers_to_the_case_stay_refused() -> None:
    with pytest.raises(Refusal) as reason:
        decide_as_partner(after_silence(in_review(who=partners)), decision(), context(), by="east")
    assert reason.value.slug == "not-assigned"


def test_in_house_has_no_late_answers_for_nobody_decided_elsewhere() -> None:
    case = told(in_review(), reassigning(partners)(in_review(), Reassign(reason="too-busy", partner="north"), context()))
    with pytest.raises(Refusal) as reason:
        decide_in_house(case, decision(), context())
    assert reason.value.slug == "not-assigned"


def test_r30_one_that_has_the_review_again_answers_the_newest_request() -> None:
    case = in_review(who=only_north)
    case = after_silence(case, only_north)
    case = told(case, reassigning(only_north)(case, Reassign(reason="back-at-work", partner="north"), context()))
    with pytest.raises(Refusal) as reason:
        decide_as_partner(case, decision(request=1), context(), by="north")
    assert reason.value.slug == "stale-request"
    assert isinstance(decide_as_partner(case, decision(request=3), context(), by="north")[0], EligibilityApproved)
