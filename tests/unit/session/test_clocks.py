"""Clocks of a course: weeks since the last dose, and the end of an approval. Expectations: R-27, R-15 of domain.md 5c.

The shipped policy says 12 weeks, and 14 days at the clinic (New York) before the end of the approval.
"""

from datetime import UTC, datetime, timedelta

import pytest

from shared.events.stay import ApprovalExpiring, ReclearanceDue
from shared.pathway.waiting import Waiting
from tests.unit.alerting import without_alerts
from tests.unit.session.room import (
    PLAN,
    T0,
    Room,
    approval,
    approved_room,
    consent,
    decline,
    dosed_room,
    expiry,
    finish_session,
    plan,
    revocation,
    withdrawal,
)

LONG = plan(expires_at=T0 + timedelta(days=300))
GAP_AT = T0 + timedelta(weeks=12)
WARNED_AT = datetime(2026, 5, 17, 4, tzinfo=UTC)


def left_room(doses: int = 2) -> Room:
    room = dosed_room(LONG.model_copy(update={"doses": doses}))
    finish_session(room)
    return room


def at(room: Room, moment: datetime) -> Room:
    room.now = moment
    return room


#


def test_r27_the_gap_is_said_when_it_is_reached_and_calls_a_coordinator() -> None:
    room = left_room()
    assert at(room, GAP_AT - timedelta(seconds=1)).tick() == []
    assert without_alerts(at(room, GAP_AT).tick()) == [ReclearanceDue(since=T0, due_at=GAP_AT)]
    assert room.calls == ["reclearance-due"]
    assert room.course.waits_for == Waiting("reclearance", GAP_AT, "coordinator")
    assert without_alerts(at(room, GAP_AT + timedelta(weeks=4)).tick()) == []


def test_r27_another_approval_is_what_was_waited_for_and_the_weeks_count_from_it() -> None:
    room = left_room()
    at(room, GAP_AT).tick()
    later = GAP_AT + timedelta(days=3)
    room.now = later
    room.hear(approval(LONG, request=2, decided_at=later))
    assert room.calls == []
    assert room.course.waits_for == Waiting("scheduling", T0 + timedelta(hours=2), "coordinator")
    assert without_alerts(at(room, later + timedelta(weeks=12)).tick()) == [ReclearanceDue(since=later, due_at=later + timedelta(weeks=12))]


@pytest.mark.parametrize("end", [decline(), expiry(), revocation()])
def test_r27_without_an_approval_nothing_is_due(end: object) -> None:
    room = left_room()
    at(room, GAP_AT).tick()
    room.hear(end)  # type: ignore[arg-type]
    assert not {"reclearance-due", "approval-expiring"} & set(room.calls)


def test_r27_a_course_without_doses_left_or_without_a_dose_has_no_gap() -> None:
    assert without_alerts(at(left_room(doses=1), GAP_AT).tick()) == []
    assert without_alerts(at(approved_room(LONG), GAP_AT).tick()) == []


def test_r27_a_dose_that_was_an_error_begins_no_gap() -> None:
    room = left_room()
    (dose,) = room.course.require(1).doses
    room.correct(dose.entry)
    assert without_alerts(at(room, GAP_AT).tick()) == []


#


def test_r15_the_end_of_an_approval_is_said_once_some_days_before() -> None:
    room = approved_room()
    assert at(room, WARNED_AT - timedelta(seconds=1)).tick() == []
    assert without_alerts(at(room, WARNED_AT).tick()) == [ApprovalExpiring(request=1, expires_at=PLAN.expires_at)]
    assert room.calls == ["approval-expiring"]
    assert without_alerts(at(room, PLAN.expires_at).tick()) == []


@pytest.mark.parametrize("end", [expiry(), revocation(), approval(LONG, request=2)])
def test_r15_it_is_settled_when_the_approval_ends_or_another_one_comes(end: object) -> None:
    room = approved_room()
    at(room, WARNED_AT).tick()
    room.hear(end)  # type: ignore[arg-type]
    assert room.calls == []


def test_r15_an_approval_without_doses_left_ends_in_silence() -> None:
    room = dosed_room(plan(doses=1))
    finish_session(room)
    assert at(room, WARNED_AT).tick() == []


@pytest.mark.parametrize("already_said", [True, False])
def test_r15_nobody_waits_for_the_end_of_an_approval_once_the_patient_withdrew_consent(already_said: bool) -> None:
    room = approved_room()
    if already_said:
        at(room, WARNED_AT).tick()
    room.hear(withdrawal())
    assert room.calls == []
    assert at(room, WARNED_AT).tick() == []
    room.hear(consent(given_at=T0 + timedelta(days=1)))
    assert (room.calls == ["approval-expiring"]) is already_said
