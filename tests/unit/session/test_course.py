"""How a course opens, waits and closes. Expectations: PERMISSION AND FACT of the design, R-14, and stop.py's own words."""

from datetime import UTC, datetime

import pytest

from services.session.domain.state import Course, evolve
from services.session.domain.stops import STOPS, lift_hold
from shared.events import intake, integration, prescriber
from shared.events.base import EventData
from shared.events.session import CourseClosed, CourseOpened, CourseWithheld, IntegrationNoted, SessionCompleted, SessionDosed, StopNoted
from shared.pathway.stop import LiftHold, PlaceHold
from tests.unit.session.room import (
    PLAN,
    T0,
    Room,
    approval,
    approved_room,
    checked_room,
    consent,
    decline,
    dosed_room,
    expiry,
    finish_session,
    hold,
    lifting,
    plan,
    revocation,
    rules,
    withdrawal,
)


def kinds(events: list[EventData]) -> list[type[EventData]]:
    return [type(event) for event in events]


def test_an_approval_opens_the_course_under_its_plan() -> None:
    room = Room()
    room.hear(consent())
    (opened,) = room.hear(approval())
    # The plan ends on 31 May at the clinic (New York, still 5 o'clock in the morning); two weeks before, its day begins at 4 UTC.
    warned_at = datetime(2026, 5, 17, 4, tzinfo=UTC)
    assert opened == CourseOpened(plan=PLAN, request=1, opened_at=T0, decided_at=T0, expiry_warning_at=warned_at)
    assert room.course.plan == PLAN
    assert room.course.status == "preparing"


@pytest.mark.parametrize(
    ("before", "why"),
    [
        ([], "consent-missing"),
        ([consent(), withdrawal()], "consent-withdrawn"),
        ([consent(), hold()], "safety-hold"),
        ([consent(scopes=("disclosure_to_prescriber",))], "consent-does-not-cover"),
    ],
)
def test_an_approval_is_withheld_while_a_stop_forbids_it(before: list[EventData], why: str) -> None:
    room = Room()
    for event in before:
        room.hear(event)
    (withheld,) = room.hear(approval())
    assert isinstance(withheld, CourseWithheld)
    assert withheld.why == why
    assert room.course.plan is None


def test_consent_that_comes_after_the_approval_opens_the_course() -> None:
    room = Room()
    room.hear(approval())
    assert room.course.status == "withheld"
    assert kinds(room.hear(consent())) == [StopNoted, CourseOpened]
    assert room.course.plan == PLAN


def test_lifting_the_last_hold_opens_the_course_and_not_the_first() -> None:
    room = Room()
    for event in (consent(), hold("a"), hold("b"), approval()):
        room.hear(event)
    assert kinds(room.hear(lifting("a"))) == [StopNoted]
    assert kinds(room.hear(lifting("b"))) == [StopNoted, CourseOpened]


def test_a_hold_lifted_in_the_session_room_opens_the_course() -> None:
    room = Room()
    room.hear(consent())
    room.do(STOPS.place, PlaceHold(reason="clinical_concern"))
    room.hear(approval())
    (name,) = room.course.stops.holds
    assert CourseOpened in kinds(room.do(lift_hold, LiftHold(hold=name, reason="reviewed")))


def test_the_same_approval_twice_says_nothing_new() -> None:
    room = approved_room()
    assert room.hear(approval()) == []


def test_a_later_approval_replaces_the_plan_and_counts_its_own_doses() -> None:
    room = dosed_room()
    finish_session(room)
    later = plan(doses=4)
    assert kinds(room.hear(approval(later, request=2))) == [CourseOpened]
    assert room.course.plan == later
    assert room.course.doses_left == 4
    assert room.course.next_number == 2


def test_an_approval_that_comes_between_dose_and_discharge_waits_for_the_discharge() -> None:
    room = dosed_room()
    (withheld,) = room.hear(approval(plan(doses=4), request=2))
    assert isinstance(withheld, CourseWithheld)
    assert withheld.why == "session-running"
    assert room.course.plan == PLAN
    assert CourseOpened in kinds(finish_session(room))
    assert room.course.plan == plan(doses=4)


def test_r14_a_later_decline_closes_the_course() -> None:
    room = checked_room()
    assert kinds(room.hear(decline())) == [CourseClosed]
    assert room.course.plan is None
    assert room.course.status == "not_approved"
    assert room.hear(decline()) == []


def test_r14_a_decline_of_an_earlier_request_closes_nothing() -> None:
    room = Room()
    room.hear(consent())
    room.hear(approval(request=3))
    assert room.hear(decline(request=2)) == []
    assert room.course.plan == PLAN


def test_r14_an_approval_older_than_the_decline_opens_nothing() -> None:
    room = Room()
    room.hear(consent())
    room.hear(decline(request=2))
    assert room.hear(approval(request=1)) == []
    assert kinds(room.hear(approval(request=3))) == [CourseOpened]


def test_a_withheld_approval_is_forgotten_with_a_decline() -> None:
    room = Room()
    room.hear(approval(request=1))
    room.hear(decline(request=2))
    assert kinds(room.hear(consent())) == [StopNoted]


@pytest.mark.parametrize(("end", "why"), [(expiry(), "expired"), (revocation(), "revoked")])
def test_r14_r15_an_approval_that_ended_closes_the_course_once(end: EventData, why: str) -> None:
    room = checked_room()
    assert room.hear(end) == [CourseClosed(why=why, request=1, closed_at=T0)]
    assert (room.course.plan, room.course.status, room.course.doses_left) == (None, "not_approved", 0)
    assert rules(room.authorise()) >= {("R-14", "not-approved")}
    assert room.hear(end) == []
    assert room.hear(approval()) == []


@pytest.mark.parametrize("end", [expiry(), revocation()])
def test_facts_are_recorded_after_the_approval_ended(end: EventData) -> None:
    room = dosed_room()
    room.hear(end)
    assert room.course.status == "monitoring"
    assert SessionCompleted in kinds(finish_session(room))
    given = room.dose(session=None)[0]
    assert isinstance(given, SessionDosed)
    assert "not-approved" in given.deviations


@pytest.mark.parametrize("end", [expiry(), revocation()])
def test_the_end_of_an_older_approval_leaves_a_newer_one_in_force(end: EventData) -> None:
    room = approved_room()
    room.hear(approval(plan(doses=4), request=2))
    assert room.hear(end) == []
    assert room.course.plan == plan(doses=4)


@pytest.mark.parametrize("end", [expiry(), revocation()])
def test_a_withheld_approval_that_ended_opens_nothing(end: EventData) -> None:
    room = Room()
    room.hear(approval())
    assert kinds(room.hear(end)) == [CourseClosed]
    assert kinds(room.hear(consent())) == [StopNoted]


@pytest.mark.parametrize("end", [expiry(request=2), revocation(request=2)])
def test_the_end_of_the_newest_approval_brings_no_older_one_back(end: EventData) -> None:
    room = approved_room()
    room.hear(approval(request=2))
    room.hear(end)
    assert room.course.plan is None
    assert kinds(room.hear(approval(request=3))) == [CourseOpened]


def test_the_limits_of_a_running_session_outlive_the_course() -> None:
    room = dosed_room()
    room.hear(decline())
    assert room.course.limits(room.policy.values) == PLAN.limits


def test_limits_are_the_policys_where_no_prescriber_sent_any() -> None:
    limits = Room().course.limits(Room().policy.values)
    assert (limits.hold_above.systolic, limits.hold_above.diastolic) == (140, 90)
    assert (limits.second_pressure_after_minutes, limits.minimum_stay_minutes) == (40, 120)


@pytest.mark.parametrize(
    "event",
    [
        withdrawal(),
        hold(),
        lifting(),
        consent(),
        prescriber.ConsentWithdrawn(withdrawn_at=T0, said_to="prescriber"),
        prescriber.SafetyHoldPlaced(hold="h", reason="other", placed_at=T0),
        integration.SafetyHoldPlaced(hold="h", reason="suicide_risk", placed_at=T0),
        integration.ConsentWithdrawn(withdrawn_at=T0, said_to="integration"),
    ],
)
def test_each_stop_can_be_the_first_word_on_a_stream_and_is_noted_once(event: EventData) -> None:
    room = Room()
    assert kinds(room.hear(event)) == [StopNoted]
    assert room.hear(event) == []


def test_an_integration_session_held_is_noted() -> None:
    room = Room()
    held = integration.IntegrationHeld(id="after-dose-1", dosing_session=1, purpose="after_dose", held_at=T0)
    assert room.hear(held) == [IntegrationNoted(session=1, held_at=T0)]
    assert room.course.integration_held_at == T0


def test_evolve_ignores_events_it_does_not_know() -> None:
    answered = intake.InstrumentAnswered(instrument="phq-9", answers=(), total=None, band="unscored", answered_at=T0)
    course = checked_room().course
    assert evolve(course, answered) == course
    assert evolve(Course(), answered) == Course()
