"""How care ends: a course cut short, consent withdrawn, a discharge. Expectations: R-28 and Journey Clinical (JC4)."""

from datetime import datetime

import pytest
from pydantic import ValidationError

from services.integration.domain.discharge import DischargeFromCare, discharge_from_care
from services.integration.domain.stops import withdraw_consent
from shared.events import intake, session
from shared.events.integration import (
    CourseCompletionNoted,
    IntegrationCompleted,
    IntegrationHeld,
    IntegrationOverdue,
    IntegrationPlanned,
)
from shared.pathway.stop import WithdrawConsent
from shared.pathway.waiting import Waiting
from tests.unit.alerting import without_alerts
from tests.unit.integration_service.plans import after, awaited, day, discharging, refused, with_goal
from tests.unit.integration_service.story import (
    T0,
    Story,
    course_closed,
    course_opened,
    course_over,
    dosed,
    phq9,
    screening,
)


@pytest.mark.parametrize("why", ["expired", "revoked", "declined"])
def test_r28_who_is_left_with_doses_is_seen_once_more_and_integration_can_end(why: str) -> None:
    story = after(0).on_day(2)
    story.hold()
    noted, planned = story.hear(course_closed(why))
    assert noted == CourseCompletionNoted(sessions=1, why=why)
    assert isinstance(planned, IntegrationPlanned)
    assert ("discharge-1", 32) in awaited(story)
    story.on_day(14).hold("follow-up-1-day-14")
    story.measure("phq-9", phq9(6))
    assert isinstance(without_alerts(story.hold("discharge-1"))[-1], IntegrationCompleted)


def test_r28_who_stops_twice_is_seen_once_more() -> None:
    story = after(0).on_day(1)
    story.hear(intake.ConsentWithdrawn(withdrawn_at=day(1), said_to="intake"))
    assert story.on_day(5).hear(course_closed()) == [CourseCompletionNoted(sessions=1, why="expired")]
    assert ("discharge-1", 31) in awaited(story)


def test_r28_a_discharge_session_that_nobody_holds_is_overdue_and_ends_integration_after_its_grace() -> None:
    story = after(0)
    story.hear(course_closed())
    events = without_alerts(story.on_day(30).tick())
    assert "discharge-1" in {event.id for event in events if isinstance(event, IntegrationOverdue)}
    assert not any(isinstance(event, IntegrationCompleted) for event in story.on_day(36.9).tick())
    assert isinstance(without_alerts(story.on_day(37).tick())[-1], IntegrationCompleted)


def test_an_approval_that_ends_after_the_last_dose_or_before_the_first_cuts_nothing_short() -> None:
    story = after(0)
    story.hear(course_over())
    assert story.hear(course_closed()) == []
    assert Story().hear(course_closed()) == []


def test_a_course_that_is_opened_again_is_waited_for_again() -> None:
    story = after(0)
    assert story.hear(course_opened()) == []
    story.hear(course_over())
    assert "completion" in story.state.deadlines
    story.hear(course_opened())
    assert "completion" not in story.state.deadlines
    story.on_day(13).hear(dosed(2, day(13)))
    assert not story.state.course_over


def test_a_dose_that_no_approval_covered_does_not_keep_integration_open_for_ever() -> None:
    story = after(0)
    story.hear(course_closed())
    story.on_day(2).hear(dosed(2, day(3)))
    story.on_day(100).tick()
    assert story.state.status == "completed"


@pytest.mark.parametrize("here", [True, False])
def test_r28_who_withdraws_consent_is_seen_once_more_and_integration_can_end(here: bool) -> None:
    story = after(0).on_day(1)
    if here:
        said = story.do(withdraw_consent, WithdrawConsent(withdrawn_at=day(1)))
    else:
        said = story.hear(session.ConsentWithdrawn(withdrawn_at=day(1), said_to="session"))
    assert [event.because for event in said if isinstance(event, IntegrationPlanned)] == ["consent-withdrawn"]
    assert ("discharge-1", 31) in awaited(story)
    story.on_day(38).tick()
    assert story.state.status == "completed"


def test_who_withdraws_consent_after_a_complete_course_left_no_dose() -> None:
    story = after(0)
    story.hear(course_over())
    said = story.hear(intake.ConsentWithdrawn(withdrawn_at=day(1), said_to="intake"))
    assert not any(isinstance(event, IntegrationPlanned) for event in said)


def test_consent_that_is_given_again_lets_integration_go_on_and_the_next_dose_replaces_the_discharge_session() -> None:
    story = after(0).on_day(1)
    story.hear(intake.ConsentWithdrawn(withdrawn_at=day(1), said_to="intake"))
    story.hear(intake.ConsentGiven(version="consent-2", scopes=("treatment",), given_at=day(2)))
    assert "completion" not in story.state.deadlines
    story.on_day(13).hear(dosed(2, day(13)))
    assert "discharge-1" not in dict(awaited(story))


def test_r28_discharge_names_who_and_why_and_what_is_left_open() -> None:
    story, goal = with_goal()
    story.on_day(3).tick()
    story.measure("phq-9", phq9(5, 1))
    discharged = discharging(story, because="referred_on", note="to the day clinic")
    assert discharged.discharged_by == "therapist-1"
    assert discharged.left_open == ("c-ssrs", "after-dose-1", "follow-up-1-day-14", "outcome-1-day-14", goal)
    assert discharged.deviations == ("not-seen-since-last-dose",)
    assert story.state.status == "discharged"
    assert story.state.deadlines.keys() <= {"alert"}
    assert [alert.why for alert in story.state.alerts.unacknowledged] == ["suicide-risk-screen-required"]
    assert story.state.waits_for == Waiting("suicide_risk_screen", day(3), "therapist")


def test_r28_a_discharge_without_the_session_that_is_held_even_so_is_a_deviation() -> None:
    story = after(0).on_day(2)
    story.hold()
    story.hear(course_closed())
    assert discharging(story).deviations == ("discharge-session-not-held",)
    story = after(0).on_day(2)
    story.hold()
    story.hear(course_closed())
    story.hold("discharge-1")
    assert discharging(story).deviations == ()
    assert discharging(after(0).on_day(2), because="died").deviations == ()


def test_a_discharge_before_a_dose_again_or_at_an_impossible_time_is_refused() -> None:
    def command(at: datetime) -> DischargeFromCare:
        return DischargeFromCare(because="moved", discharged_at=at)

    assert refused(Story(), discharge_from_care, command(T0)) == "not-dosed"
    story = after(1).on_day(2)
    assert refused(story, discharge_from_care, command(day(3))) == "time-in-the-future"
    assert refused(story, discharge_from_care, command(day(0.5))) == "before-dose"
    discharging(story)
    assert refused(story, discharge_from_care, command(day(2))) == "already-discharged"
    with pytest.raises(ValidationError):
        DischargeFromCare(because="other", discharged_at=T0)


def test_what_happens_after_a_discharge_is_recorded_and_a_dose_opens_care_again_with_its_own_baseline() -> None:
    story = Story()
    story.hear(screening(phq_9=18))
    after(0, story=story).on_day(2)
    discharging(story)
    assert [type(event) for event in story.on_day(3).hold()] == [IntegrationHeld]
    story.measure("phq-9", phq9(12))
    story.hear(screening(phq_9=9))
    assert story.state.baseline_of("phq-9") == 18  # of the care that ended
    story.on_day(200).hear(dosed(2, day(200)))
    assert (story.state.status, story.state.baseline_of("phq-9"), story.state.first_dose_at) == ("integrating", 9, day(200))
    assert awaited(story) == [("after-dose-2", 203), ("follow-up-2-day-14", 214)]  # what was left open before is not waited for
