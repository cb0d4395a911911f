"""Scheduling. Expectations: R-27 as domain.md states it (Mindbloom: more than 12 weeks), R-17, and the design's refusals."""

from datetime import datetime, timedelta

import pytest

from services.session.domain.schedule import CancelSession, cancel_session
from shared.events.base import EventData
from shared.events.session import SessionCancelled, SessionScheduled
from shared.pathway.refusal import Refusal
from tests.unit.session.room import (
    PLAN,
    POLICY,
    T0,
    Room,
    approval,
    approved_room,
    dosed_room,
    finish_session,
    hold,
    lifting,
    plan,
    policy,
    rules,
    run_session,
    withdrawal,
)

WEEKS = timedelta(weeks=12)
LONG_PLAN = plan(expires_at=T0 + timedelta(days=180))


def refusal(room: Room, starts_at: datetime | None = None) -> str:
    with pytest.raises(Refusal) as refused:
        room.schedule(starts_at)
    return refused.value.slug


def test_sessions_are_numbered_from_one() -> None:
    room = approved_room()
    starts_at = T0 + timedelta(days=1)
    scheduled = SessionScheduled(session=1, starts_at=starts_at, setting="clinic", policy_version=POLICY.version)
    assert room.schedule(starts_at) == [scheduled]
    assert room.course.status == "scheduled"


@pytest.mark.parametrize(("stop", "slug"), [(hold(), "safety-hold"), (withdrawal(), "consent-withdrawn")])
def test_a_stop_forbids_scheduling(stop: EventData, slug: str) -> None:
    room = approved_room()
    room.hear(stop)
    assert refusal(room) == slug


def test_nothing_is_scheduled_without_an_approval() -> None:
    room = Room()
    room.hear(approval())
    assert refusal(room) == "consent-missing"


def test_a_session_starts_before_the_plan_expires() -> None:
    room = approved_room()
    assert refusal(room, PLAN.expires_at) == "plan-expired"
    assert room.schedule(PLAN.expires_at - timedelta(minutes=1))


def test_a_session_does_not_start_in_the_past() -> None:
    assert refusal(approved_room(), T0 - timedelta(seconds=1)) == "time-in-the-past"


def test_one_session_is_open_at_a_time() -> None:
    room = approved_room()
    room.schedule()
    assert refusal(room) == "session-open"


def test_r17_no_session_beyond_the_doses_of_the_plan() -> None:
    room = approved_room()
    room.prepare()
    run_session(room, 1)
    run_session(room, 2)
    assert refusal(room) == "doses-used-up"


def test_r27_exactly_twelve_weeks_after_the_last_dose_is_in_time() -> None:
    room = dosed_room(LONG_PLAN)
    finish_session(room)
    (scheduled,) = room.schedule(T0 + WEEKS)
    assert isinstance(scheduled, SessionScheduled)


def test_r27_more_than_twelve_weeks_after_the_last_dose_is_refused_and_recorded() -> None:
    room = dosed_room(LONG_PLAN)
    finish_session(room)
    assert rules(room.schedule(T0 + WEEKS + timedelta(seconds=1))) == {("R-27", "reclearance-needed")}
    assert len(room.course.sessions) == 1


def test_r27_an_approval_since_the_last_dose_is_the_clearance_and_the_weeks_count_from_it() -> None:
    room = dosed_room(LONG_PLAN)
    finish_session(room)
    cleared_at = T0 + timedelta(weeks=20)
    room.now = cleared_at
    room.hear(approval(plan(expires_at=cleared_at + timedelta(days=180)), request=2, decided_at=cleared_at))
    assert rules(room.schedule(cleared_at + WEEKS + timedelta(seconds=1))) == {("R-27", "reclearance-needed")}
    assert isinstance(room.schedule(cleared_at + WEEKS)[0], SessionScheduled)


def test_r27_an_approval_that_waited_counts_from_its_decision_not_from_its_opening() -> None:
    room = dosed_room(LONG_PLAN)
    finish_session(room)
    room.hear(hold())
    decided_at = T0 + timedelta(weeks=1)
    room.hear(approval(LONG_PLAN, request=2, decided_at=decided_at))
    room.now = T0 + timedelta(weeks=14)
    room.hear(lifting())
    assert rules(room.schedule()) == {("R-27", "reclearance-needed")}


def test_r27_the_weeks_are_the_policys() -> None:
    room = dosed_room(LONG_PLAN, policy(reclearance_after_weeks=4))
    finish_session(room)
    assert rules(room.schedule(T0 + timedelta(weeks=4, seconds=1))) == {("R-27", "reclearance-needed")}


def test_a_scheduled_session_can_be_cancelled_even_under_a_stop_and_another_scheduled() -> None:
    room = approved_room()
    room.schedule()
    room.hear(hold())
    assert room.do(cancel_session, CancelSession(session=1, reason="patient-ill")) == [SessionCancelled(session=1, reason="patient-ill")]
    room.hear(lifting())
    (again,) = room.schedule()
    assert isinstance(again, SessionScheduled)
    assert again.session == 2


def test_a_dosed_session_cannot_be_cancelled() -> None:
    room = dosed_room()
    with pytest.raises(Refusal) as refused:
        room.do(cancel_session, CancelSession(session=1, reason="patient-ill"))
    assert refused.value.slug == "not-scheduled"
