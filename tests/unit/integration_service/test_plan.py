"""What is planned after doses, what becomes of it, and how care ends. Expectations: R-28 of domain.md 5c; section 1.1 (Journey Clinical:
a discharge session when the patient stops, maintenance every one to two months), section 2.4 (intensive courses); and the story's
policy: 72 hours, day 14, 7 days of grace."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from services.integration.domain.discharge import DischargeFromCare, discharge_from_care
from services.integration.domain.goals import (
    ChangeGoal,
    KeepGoal,
    LetGoalGo,
    RecordProgress,
    SetGoal,
    change_goal,
    keep_goal,
    let_goal_go,
    record_progress,
    set_goal,
)
from services.integration.domain.hold_session import RecordIntegrationSession, record_integration_session
from services.integration.domain.insight import NoteInsight, note_insight
from services.integration.domain.maintain import BeginMaintenance, begin_maintenance
from services.integration.domain.miss_session import RecordMissedSession, record_missed_session
from services.integration.domain.stops import withdraw_consent
from shared.events import intake, session
from shared.events.base import EventData
from shared.events.integration import (
    AlertAcknowledged,
    AlertRaised,
    CareDischarged,
    CourseCompletionNoted,
    GoalKept,
    InsightNoted,
    IntegrationCompleted,
    IntegrationHeld,
    IntegrationMissed,
    IntegrationOverdue,
    IntegrationPlanned,
    IntegrationScheduled,
)
from shared.pathway.refusal import Refusal
from shared.pathway.stop import WithdrawConsent
from shared.pathway.waiting import Waiting
from tests.unit.alerting import without_alerts
from tests.unit.integration_service.story import (
    SHIPPED,
    T0,
    Story,
    course_closed,
    course_opened,
    course_over,
    dosed,
    phq9,
    policy,
    screening,
)

CONSENT = intake.ConsentGiven(version="consent-1", scopes=("treatment",), given_at=T0 - timedelta(days=7))


def day(number: float) -> datetime:
    return T0 + timedelta(days=number)


def after(*doses: float, story: Story | None = None) -> Story:
    """A patient who was dosed on these days."""
    story = story or Story()
    story.hear(CONSENT)
    for number, at in enumerate(doses, start=1):
        story.on_day(at).hear(dosed(number, day(at)))
    return story


def awaited(story: Story) -> list[tuple[str, float]]:
    """What is still to be held, and by which day."""
    return [(each.id, (each.due_by - T0) / timedelta(days=1)) for each in story.state.open_sessions]


def refused(story: Story, decide: Any, command: Any) -> str:
    with pytest.raises(Refusal) as refusal:
        story.do(decide, command)
    return refusal.value.slug


def missing(story: Story, name: str = "after-dose-1", **said: Any) -> list[EventData]:
    return story.do(record_missed_session, RecordMissedSession(**{"id": name, "because": "no_show", "at": story.now, **said}))


# Several doses: one session between two, none piled up, follow-ups from the last


def test_r28_between_two_doses_of_a_usual_course_lies_one_session() -> None:
    story = after(0, 12)
    assert awaited(story) == [("after-dose-1", 3), ("after-dose-2", 15), ("follow-up-2-day-14", 26)]


def test_r28_follow_ups_are_counted_from_the_last_dose_for_weeks_and_months() -> None:
    story = after(0, 12, 25, story=Story(SHIPPED))
    later = [(name, at) for name, at in awaited(story) if name.startswith("follow-up")]
    assert later == [(f"follow-up-3-day-{days}", 25 + days) for days in (14, 30, 90, 180)]
    assert [each.due_at for each in story.state.open_measurements] == [day(25 + days) for days in (14, 30, 90, 180)]


def test_r28_a_follow_up_that_was_due_before_the_next_dose_stays() -> None:
    assert ("follow-up-1-day-14", 14) in awaited(after(0, 15))
    assert ("follow-up-1-day-14", 14) in awaited(after(0, 14))
    assert ("follow-up-1-day-14", 14) not in awaited(after(0, 13.9))


@pytest.mark.parametrize(("second", "own"), [(1, False), (2.9, False), (3, True), (3.1, True)])
def test_r28_a_dose_within_the_window_of_an_earlier_one_shares_its_session(second: float, own: bool) -> None:
    story = after(0, second)
    sessions = [name for name, _ in awaited(story) if name.startswith("after-dose")]
    assert sessions == (["after-dose-1", "after-dose-2"] if own else ["after-dose-1"])
    assert dict(awaited(story))["after-dose-1"] == 3  # and no dose waits longer for it than the window allows


def test_r28_an_intensive_of_five_days_has_one_session_at_a_time() -> None:
    story = after(0, 1, 2)
    assert [name for name, _ in awaited(story) if name.startswith("after-dose")] == ["after-dose-1"]
    (held,) = story.on_day(2.5).hold()
    assert isinstance(held, IntegrationHeld)
    assert held.dosing_session == 3  # the last one that it integrates
    for number, at in ((4, 3), (5, 4)):
        story.on_day(at).hear(dosed(number, day(at)))
    assert [(name, at) for name, at in awaited(story) if name.startswith("after-dose")] == [("after-dose-4", 6)]
    assert [name for name, _ in awaited(story) if name.startswith("follow-up")] == ["follow-up-5-day-14"]


def test_r28_a_session_that_was_moved_beyond_its_window_is_not_shared_by_a_dose_after_the_window() -> None:
    story = after(0)
    missing(story.on_day(1), rescheduled_to=day(20))
    story.on_day(12).hear(dosed(2, day(12)))
    assert [name for name, _ in awaited(story) if name.startswith("after-dose")] == ["after-dose-2", "after-dose-1"]


def test_r28_a_dose_given_after_the_shared_session_gets_one_of_its_own() -> None:
    """The session was held before the second dose, and recorded after it."""
    story = after(0, 1)
    held, planned = without_alerts(story.hold("after-dose-1", day(0.5)))
    assert isinstance(held, IntegrationHeld)
    assert held.dosing_session == 1
    assert isinstance(planned, IntegrationPlanned)
    assert (planned.because, planned.dosing_sessions) == ("held-before-dose", (2,))
    assert ("after-dose-2", 4) in awaited(story)
    assert story.state.require_planned("after-dose-1").dosing_sessions == (1,)


def test_r28_a_dose_that_is_heard_of_late_plans_only_what_lies_before_the_next() -> None:
    story = Story()
    story.on_day(20).hear(dosed(2, day(16)))
    (scheduled,) = story.hear(dosed(1, day(0)))
    assert isinstance(scheduled, IntegrationScheduled)
    assert [each.id for each in scheduled.planned] == ["after-dose-1", "follow-up-1-day-14"]
    assert scheduled.superseded == ()
    story = Story()
    story.on_day(20).hear(dosed(2, day(10)))
    (scheduled,) = story.hear(dosed(1, day(0)))
    assert isinstance(scheduled, IntegrationScheduled)
    assert [each.id for each in scheduled.planned] == ["after-dose-1"]
    assert ("follow-up-2-day-14", 24) in awaited(story)


def test_a_follow_up_that_was_replaced_can_still_have_been_held() -> None:
    story = after(0, 12)
    assert without_alerts(story.hold("follow-up-1-day-14"))


def test_a_follow_up_that_was_replaced_is_waited_for_again_once_a_person_gives_it_a_time() -> None:
    story = after(0, 12)
    missing(story, "follow-up-1-day-14", because="rescheduled", rescheduled_to=day(16))
    assert ("follow-up-1-day-14", 16) in awaited(story)


def test_a_session_that_nobody_had_planned_is_recorded_and_settles_no_planned_one() -> None:
    story = after(0).on_day(5)
    events = story.do(record_integration_session, RecordIntegrationSession(held_at=day(4)))
    assert isinstance(events[0], IntegrationHeld)
    assert (events[0].purpose, events[0].dosing_session) == ("unplanned", 1)
    assert ("after-dose-1", 3) in awaited(story)
    assert refused(Story(), record_integration_session, RecordIntegrationSession(held_at=T0)) == "not-dosed"


def test_a_session_cannot_have_been_held_before_its_dose() -> None:
    story = after(1).on_day(2)
    assert refused(story, record_integration_session, RecordIntegrationSession(id="after-dose-1", held_at=day(0.9))) == "before-dose"
    assert refused(story, record_integration_session, RecordIntegrationSession(held_at=day(0.9))) == "before-dose"
    assert story.hold("after-dose-1", day(1))


# Missed, moved, late


def test_r28_an_overdue_session_calls_the_coordinator_until_it_is_held() -> None:
    story = after(0).on_day(3)
    raised = next(event for event in story.tick() if isinstance(event, AlertRaised))
    assert (raised.role, raised.why, raised.about) == ("coordinator", "integration-overdue", "after-dose-1")
    assert story.state.waits_for == Waiting("integration_session", day(3), "coordinator")
    resolved = story.on_day(5).hold()[-1]
    assert isinstance(resolved, AlertAcknowledged)
    assert (resolved.alert, resolved.resolved, resolved.acknowledged_by) == (raised.alert, True, "therapist-1")
    assert story.state.alerts.unacknowledged == ()


def test_an_alert_that_a_person_took_on_is_not_ended_again() -> None:
    story = after(0).on_day(3)
    raised = next(event for event in story.tick() if isinstance(event, AlertRaised))
    story.take([AlertAcknowledged(alert=raised.alert, acknowledged_by="coordinator-1", acknowledged_at=story.now)])
    assert [type(event) for event in story.on_day(4).hold()] == [IntegrationHeld]


@pytest.mark.parametrize("because", ["no_show", "patient_cancelled", "clinic_cancelled"])
def test_r28_a_missed_session_waits_for_a_new_time_and_can_be_held_late(because: Any) -> None:
    story = after(0).on_day(2)
    (missed,) = missing(story, because=because)
    assert missed == IntegrationMissed(id="after-dose-1", dosing_session=1, because=because, at=day(2))
    assert story.state.waits_for == Waiting("rescheduling", day(2), "coordinator")
    assert [type(event) for event in without_alerts(story.on_day(3).tick())] == [IntegrationOverdue]
    assert without_alerts(story.on_day(9).hold())
    assert story.state.require_planned("after-dose-1").missed == (missed,)


def test_r28_a_moved_session_is_due_at_its_new_time_and_ends_the_alert() -> None:
    story = after(0).on_day(3)
    story.tick()
    missed, resolved = missing(story, because="rescheduled", rescheduled_to=day(6))
    assert isinstance(missed, IntegrationMissed)
    assert (missed.missed_after, missed.deviations) == (day(13), ("outside-window",))
    assert isinstance(resolved, AlertAcknowledged)
    assert ("after-dose-1", 6) in awaited(story)
    assert (story.state.status, story.state.waits_for) == ("integrating", Waiting("integration_session", T0, "therapist"))
    assert without_alerts(story.on_day(5.9).tick()) == []
    assert [type(event) for event in without_alerts(story.on_day(6).tick())] == [IntegrationOverdue]


def test_r28_a_session_moved_within_its_window_is_no_deviation() -> None:
    (missed,) = missing(after(0).on_day(1), because="rescheduled", rescheduled_to=day(3))
    assert isinstance(missed, IntegrationMissed)
    assert missed.deviations == ()


def test_r28_a_follow_up_has_no_window_that_a_move_could_leave() -> None:
    (missed,) = missing(after(0).on_day(1), "follow-up-1-day-14", because="rescheduled", rescheduled_to=day(16))
    assert isinstance(missed, IntegrationMissed)
    assert missed.deviations == ()


def test_a_session_that_long_counted_as_missed_is_given_up_when_the_patient_comes_again() -> None:
    story = after(0, 14)
    story.on_day(14).tick()
    assert {alert.about for alert in story.state.alerts.unacknowledged} == {"after-dose-1", "follow-up-1-day-14"}
    story.on_day(16).hold("after-dose-2")  # after-dose-1 counted as missed from day 10 on, the follow-up does from day 21 on
    assert {alert.about for alert in story.state.alerts.unacknowledged} == {"follow-up-1-day-14"}
    assert "after-dose-1" not in dict(awaited(story))
    assert story.hold("after-dose-1")  # and still it can have been held


@pytest.mark.parametrize(
    ("said", "slug"),
    [
        ({"id": "after-dose-9"}, "no-such-integration-session"),
        ({"at": day(2.1)}, "time-in-the-future"),
        ({"at": day(-1)}, "before-dose"),
        ({"rescheduled_to": day(2)}, "time-in-the-past"),
        ({"rescheduled_to": day(2 + 367)}, "out-of-range"),
    ],
)
def test_what_cannot_have_been_missed_is_refused(said: dict[str, Any], slug: str) -> None:
    story = after(0).on_day(2)
    command = RecordMissedSession(**{"id": "after-dose-1", "because": "no_show", "at": day(2), **said})
    assert refused(story, record_missed_session, command) == slug


def test_a_session_that_was_held_was_not_missed() -> None:
    story = after(0).on_day(2)
    story.hold()
    assert refused(story, record_missed_session, RecordMissedSession(id="after-dose-1", because="no_show", at=day(1))) == "already-held"


@pytest.mark.parametrize("body", [{"because": "rescheduled"}, {"because": "other"}])
def test_a_move_says_to_when_and_any_other_reason_says_which(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RecordMissedSession(**{"id": "after-dose-1", "at": T0, **body})


# Insights and goals


def test_an_insight_needs_no_session_and_no_consent() -> None:
    story = after(0).on_day(40)
    (noted,) = story.do(note_insight, NoteInsight(insight="I was never late.", came_at=day(33)))
    assert noted == InsightNoted(insight="I was never late.", came_at=day(33), noted_at=day(40))
    assert story.state.insights == (noted,)
    assert refused(story, note_insight, NoteInsight(insight="later", came_at=day(41))) == "time-in-the-future"


def with_goal() -> tuple[Story, str]:
    story = after(0)
    story.do(set_goal, SetGoal(behaviour="walk to the river", times_per_week=3))
    return story, story.state.goals[0].set.goal


def test_a_goal_is_changed_and_kept_and_says_so() -> None:
    story, goal = with_goal()
    story.on_day(7).do(change_goal, ChangeGoal(goal=goal, behaviour="walk to the bridge", times_per_week=2, reason="the river is far"))
    assert (story.state.goals[0].behaviour, story.state.goals[0].times_per_week) == ("walk to the bridge", 2)
    (kept,) = story.on_day(60).do(keep_goal, KeepGoal(goal=goal, kept_at=day(60)))
    assert isinstance(kept, GoalKept)
    assert story.state.goals[0].closed == kept


def test_a_goal_that_was_let_go_is_not_changed_kept_or_let_go_again_and_its_progress_is_a_fact() -> None:
    story, goal = with_goal()
    story.on_day(7).do(let_goal_go, LetGoalGo(goal=goal, let_go_at=day(7), reason="it was my mother's wish"))
    changing = ChangeGoal(goal=goal, behaviour="walk on", times_per_week=1, reason="again")
    assert refused(story, change_goal, changing) == "goal-closed"
    assert refused(story, keep_goal, KeepGoal(goal=goal, kept_at=day(7))) == "goal-closed"
    assert refused(story, let_goal_go, LetGoalGo(goal=goal, let_go_at=day(7), reason="again")) == "goal-closed"
    assert story.do(record_progress, RecordProgress(goal=goal, times=1, at=day(7)))


def test_nothing_becomes_of_a_goal_before_it_was_set_or_in_the_future_or_of_none() -> None:
    story, goal = with_goal()
    story.on_day(1)
    assert story.do(record_progress, RecordProgress(goal=goal, times=1, at=day(-7)))  # agreed on before it was written down
    for at, slug in ((day(-7.1), "before-goal"), (day(2), "time-in-the-future")):
        assert refused(story, keep_goal, KeepGoal(goal=goal, kept_at=at)) == slug
        assert refused(story, let_goal_go, LetGoalGo(goal=goal, let_go_at=at, reason="why")) == slug
        assert refused(story, record_progress, RecordProgress(goal=goal, times=1, at=at)) == slug
    assert refused(story, keep_goal, KeepGoal(goal="goal-x", kept_at=T0)) == "no-such-goal"


# The end: a course cut short, consent withdrawn, discharge


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


def discharging(story: Story, **said: Any) -> CareDischarged:
    command = DischargeFromCare(**{"because": "patient_stopped", "discharged_at": story.now, **said})
    (discharged,) = [event for event in story.do(discharge_from_care, command) if isinstance(event, CareDischarged)]
    return discharged


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


# Maintenance


def in_maintenance(last_dose: float = 0) -> Story:
    story = after(last_dose)
    story.on_day(last_dose + 2).hold()
    story.hear(course_over())
    story.on_day(last_dose + 20).do(begin_maintenance, BeginMaintenance(began_at=story.now))
    return story


def test_r28_maintenance_plans_sessions_at_the_interval_as_long_as_doses_may_go_on() -> None:
    """Every 30 days; 12 weeks after the last dose a prescriber must clear the patient anew (R-27), so doses are over by then."""
    assert [(name, at) for name, at in awaited(in_maintenance()) if at > 20] == [("maintenance-1-day-30", 30), ("maintenance-1-day-60", 60)]


def test_r28_maintenance_that_begins_late_plans_nothing_in_the_past() -> None:
    story = after(0)
    story.hear(course_over())
    story.on_day(40).do(begin_maintenance, BeginMaintenance(began_at=day(35)))
    assert [name for name, _ in awaited(story) if name.startswith("maintenance")] == ["maintenance-1-day-60"]


def test_r28_a_maintenance_dose_plans_its_own_session_and_begins_the_interval_again() -> None:
    story = in_maintenance()
    story.hear(course_opened())
    story.on_day(40).hear(dosed(2, day(40)))
    assert [each for each in awaited(story) if each[1] > 40] == [
        ("after-dose-2", 43),
        ("maintenance-2-day-30", 70),
        ("maintenance-2-day-60", 100),
    ]
    assert ("maintenance-1-day-30", 30) in awaited(story)  # it was due before


def test_r28_maintenance_keeps_the_follow_ups_of_the_months_after() -> None:
    story = after(0, story=Story(SHIPPED))
    story.hear(course_over())
    story.on_day(20).do(begin_maintenance, BeginMaintenance(began_at=day(20)))
    assert [name for name, _ in awaited(story)] == [
        "after-dose-1",
        "follow-up-1-day-14",
        "maintenance-1-day-30",
        "maintenance-1-day-60",
        "follow-up-1-day-90",
        "follow-up-1-day-180",
    ]
    assert len({each.id for each in story.state.planned}) == len(story.state.planned)


def test_maintenance_ends_with_the_doses() -> None:
    story = in_maintenance()
    story.on_day(200).tick()
    assert story.state.status == "completed"
    story.on_day(300).hear(dosed(2, day(300)))
    assert story.state.maintenance_since is None
    assert [name for name, _ in awaited(story)] == ["after-dose-2", "follow-up-2-day-14"]


def test_r28_maintenance_follows_a_course_and_begins_once() -> None:
    begin = BeginMaintenance(began_at=T0)
    assert refused(Story(), begin_maintenance, begin) == "not-dosed"
    story = after(0)
    assert refused(story, begin_maintenance, begin) == "course-not-over"
    story.hear(course_over())
    assert refused(story, begin_maintenance, BeginMaintenance(began_at=day(-1))) == "before-dose"
    assert refused(story, begin_maintenance, BeginMaintenance(began_at=day(1))) == "time-in-the-future"
    story.do(begin_maintenance, begin)
    assert refused(story, begin_maintenance, begin) == "already-in-maintenance"
    discharging(other := after(0))
    other.hear(course_over())
    assert refused(other, begin_maintenance, begin) == "care-ended"


def test_r28_the_interval_is_the_policys() -> None:
    story = after(0, story=Story(policy(maintenance_session_days=20, reclearance_after_weeks=6)))
    story.hear(course_over())
    story.do(begin_maintenance, BeginMaintenance(began_at=T0))
    assert [name for name, _ in awaited(story) if name.startswith("m")] == ["maintenance-1-day-20", "maintenance-1-day-40"]


def test_a_policy_that_asks_for_no_clearance_anew_plans_no_endless_maintenance() -> None:
    story = after(0, story=Story(policy(maintenance_session_days=1, reclearance_after_weeks=100_000)))
    story.hear(course_over())
    story.do(begin_maintenance, BeginMaintenance(began_at=T0))
    assert len([name for name, _ in awaited(story) if name.startswith("maintenance")]) == 24
