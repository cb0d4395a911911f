"""An organisation that leaves, or loses its licence where the clinic lies, loses its open reviews; its approvals are looked at."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.prescriber.domain.decide import decide_as_partner
from services.prescriber.domain.depart import depart
from services.prescriber.domain.partners.state import Organisation
from services.prescriber.domain.reassign import passing_on
from services.prescriber.domain.review import opening
from services.prescriber.domain.revoke import Revoke, revoke
from services.prescriber.domain.state import Case
from services.prescriber.domain.stops import noting
from shared.events import intake
from shared.events.base import AlertRaised
from shared.events.prescriber import (
    IN_HOUSE,
    ApprovingPartnerLeft,
    EligibilityApproved,
    EligibilityDeclined,
    LateDecisionReceived,
    ReviewAssigned,
    ReviewReassigned,
    StopNoted,
)
from shared.pathway.refusal import Refusal
from tests.unit.alerting import without_alerts
from tests.unit.prescriber.given import CONSENT, NORTH, NOW, SOUTH, context, decision, in_review, in_state, nobody, only, screened, told

HOLD = intake.SafetyHoldPlaced(hold="hold-1", reason="adverse_event", placed_at=NOW)
LIFTED = intake.SafetyHoldLifted(hold="hold-1", reason="closed", lifted_at=NOW)
LEFT = replace(NORTH, status="left")
LICENSED = replace(NORTH, licensed_states=("OR",))


def with_north() -> Case:
    return in_review(who=only(NORTH))


def approved_by_north() -> Case:
    return told(with_north(), decide_as_partner(with_north(), decision(), context(), by="north"))


@pytest.mark.parametrize(
    ("north", "state", "why"),
    [
        (LEFT, None, "left"),
        (replace(LEFT, licensed_states=("OR",)), "OR", "left"),
        (replace(NORTH, status="sandbox"), None, "left"),
        (LICENSED, "WA", "licence-lost"),
        (NORTH, "WA", "licence-lost"),
    ],
)
def test_the_open_review_goes_to_another_at_once(north: Organisation, state: str | None, why: str) -> None:
    south = replace(SOUTH, licensed_states=("WA", "OR"), answer_hours=24)
    events = depart(with_north(), (north, south), in_state(state))
    assert events == [
        ReviewReassigned(request=2, from_partner="north", partner="south", why=why),
        ReviewAssigned(request=2, partner="south", due_at=NOW + timedelta(hours=24)),
    ]
    after = told(with_north(), events)
    assert (after.lost, after.reviewer) == (("north",), "south")
    assert depart(after, (north, south), in_state(state)) == []


def test_with_nobody_else_the_review_goes_in_house() -> None:
    for others in ((), (replace(SOUTH, capacity=0),), (replace(SOUTH, status="left"),)):
        assert told(with_north(), depart(with_north(), (LEFT, *others), in_state())).partner == IN_HOUSE


FULL = replace(NORTH, capacity=0, open_reviews=3)
DEAF = replace(NORTH, endpoints=())


@pytest.mark.parametrize(("north", "state"), [(NORTH, None), (LICENSED, "OR"), (FULL, None), (DEAF, None)])
def test_one_that_may_keep_it_does_also_if_it_is_full_or_cannot_be_told(north: Organisation, state: str | None) -> None:
    """What it was given it has; whether it answers is seen when the time to answer has passed."""
    assert depart(with_north(), (north, SOUTH), in_state(state)) == []


def test_one_that_is_not_known_here_is_not_taken_for_one_that_left() -> None:
    """Another process may have registered it a moment ago."""
    assert depart(with_north(), (SOUTH,), in_state()) == []
    assert depart(in_review(who=nobody), (LEFT, SOUTH), in_state()) == []


def test_what_is_not_under_review_stays() -> None:
    asked = decide_as_partner(with_north(), decision("needs_clearance", items=["cardiac"]), context(), by="north")
    declined = decide_as_partner(with_north(), decision("ineligible"), context(), by="north")
    for events in (asked, declined):
        assert depart(told(with_north(), events), (LEFT, SOUTH), in_state()) == []


def test_while_a_stop_forbids_disclosure_nobody_new_is_asked_and_when_it_ends_another_is() -> None:
    case = told(with_north(), [HOLD])
    assert depart(case, (LEFT, SOUTH), in_state()) == []
    noted, *events = noting(only(LEFT, SOUTH))(case, LIFTED, in_state())
    assert isinstance(noted, StopNoted)
    assert events == [
        ReviewReassigned(request=2, from_partner="north", partner="south", why="left"),
        ReviewAssigned(request=2, partner="south", due_at=NOW + timedelta(hours=72)),
    ]
    after = told(case, [noted, *events])
    assert depart(after, (LEFT, SOUTH), in_state()) == []
    assert noting(only(LEFT, SOUTH))(after, LIFTED, in_state()) == []


def test_a_stop_that_ends_passes_on_a_review_whose_licence_was_lost_and_leaves_one_that_may_be_kept() -> None:
    case = told(with_north(), [HOLD])
    assert told(case, noting(only(LICENSED, SOUTH))(case, LIFTED, in_state("WA"))).partner == IN_HOUSE
    kept = told(case, noting(only(NORTH, SOUTH))(case, LIFTED, in_state()))
    assert (kept.partner, kept.request) == ("north", 1)


def test_of_two_stops_the_last_one_passes_the_review_on_once() -> None:
    case = told(with_north(), [HOLD, HOLD.model_copy(update={"hold": "hold-2"})])
    who = only(LEFT, SOUTH)
    case = told(case, noting(who)(case, LIFTED, in_state()))
    assert (case.partner, case.request) == ("north", 1)
    case = told(case, noting(who)(case, LIFTED.model_copy(update={"hold": "hold-2"}), in_state()))
    assert (case.partner, case.request) == ("south", 2)


def test_silence_during_the_stop_is_said_and_another_is_asked_when_it_ends() -> None:
    case = told(with_north(), [HOLD])
    assert case.due_at is not None
    case = told(case, passing_on(only(LEFT, SOUTH))(case, context(now=case.due_at)))
    assert (case.overdue, case.partner) == (True, "north")
    case = told(case, noting(only(LEFT, SOUTH))(case, LIFTED, in_state()))
    assert (case.overdue, case.partner, case.lost) == (False, "south", ("north",))


def calls(case: Case, *partners: Organisation) -> list[tuple[str, str]]:
    return [(event.role, event.why) for event in depart(case, partners, in_state()) if isinstance(event, AlertRaised)]


def test_an_approval_in_force_calls_a_prescriber_once_and_stands() -> None:
    case = approved_by_north()
    assert depart(case, (NORTH, SOUTH), in_state()) == []
    events = depart(case, (LEFT, SOUTH), in_state())
    assert without_alerts(events) == [ApprovingPartnerLeft(request=1, partner="north", noted_at=NOW)]
    assert calls(case, LEFT, SOUTH) == [("prescriber", "approving-partner-left")]
    after = told(case, events)
    assert (after.status, after.plan, after.approver) == ("approved", case.plan, None)
    assert depart(after, (LEFT, SOUTH), in_state()) == []


def test_an_approval_that_ended_or_was_given_in_house_calls_nobody() -> None:
    case = approved_by_north()
    ended = told(case, revoke(case, Revoke(reason="new-finding"), context()))
    own = in_review(who=nobody)
    own = told(own, decide_as_partner(own, decision(), context(), by=IN_HOUSE))
    assert (calls(ended, LEFT), calls(own, LEFT)) == ([], [])


def test_an_approval_is_looked_at_under_a_stop_and_while_a_later_review_is_open_elsewhere() -> None:
    """The one that approved leaves, and another one has the review of a new screening: nothing is taken from that one."""
    case = told(approved_by_north(), [CONSENT])
    assert calls(told(case, [HOLD]), LEFT, SOUTH) == [("prescriber", "approving-partner-left")]
    later = told(case, [ReviewAssigned(request=2, partner="south", due_at=NOW)])
    assert (later.status, later.reviewer, later.approver) == ("in_review", "south", "north")
    events = without_alerts(depart(later, (LEFT, SOUTH), in_state()))
    assert [type(event) for event in events] == [ApprovingPartnerLeft]


def test_the_next_approval_by_one_that_came_back_is_looked_at_anew() -> None:
    case = told(approved_by_north(), depart(approved_by_north(), (LEFT,), in_state()))
    case = told(case, [ReviewAssigned(request=2, partner="north", due_at=NOW)])
    case = told(case, decide_as_partner(case, decision(request=2), context(), by="north"))
    assert case.approver == "north"
    assert calls(case, LEFT) == [("prescriber", "approving-partner-left")]


@pytest.mark.parametrize("kind", ["eligible", "ineligible", "needs_clearance"])
def test_one_that_left_decides_nothing_although_the_review_is_not_passed_on_yet(kind: Any) -> None:
    more: dict[str, Any] = {"items": ["cardiac"]} if kind == "needs_clearance" else {}
    for case in (with_north(), told(with_north(), [HOLD])):
        events = without_alerts(decide_as_partner(case, decision(kind, **more), context(), by="north", left=True))
        assert [type(event) for event in events] == [LateDecisionReceived]
        assert told(case, events) == case


def test_one_that_left_answers_late_to_a_review_it_lost_and_not_at_all_to_another() -> None:
    case = told(with_north(), depart(with_north(), (LEFT, SOUTH), in_state()))
    late = without_alerts(decide_as_partner(case, decision(), context(), by="north", left=True))
    assert [type(event) for event in late] == [LateDecisionReceived]
    won = decide_as_partner(case, decision(request=2), context(), by="south")
    assert isinstance(won[0], EligibilityApproved)
    with pytest.raises(Refusal) as reason:
        decide_as_partner(with_north(), decision(), context(), by="south", left=True)
    assert reason.value.slug == "not-assigned"


def test_r30_one_that_left_is_refused_what_was_never_open_or_is_decided() -> None:
    declined = told(with_north(), decide_as_partner(with_north(), decision("ineligible"), context(), by="north"))
    assert isinstance(decide_as_partner(with_north(), decision("ineligible"), context(), by="north")[0], EligibilityDeclined)
    for case, request in ((declined, 1), (with_north(), 2)):
        with pytest.raises(Refusal) as reason:
            decide_as_partner(case, decision(request=request), context(), by="north", left=True)
        assert reason.value.slug == "no-open-review"


def test_a_screening_that_comes_later_is_reviewed_elsewhere() -> None:
    case = told(with_north(), opening(only(LEFT, SOUTH))(with_north(), screened(), in_state()))
    assert case.partner == "south"
