"""What is planned after doses, and what becomes of it. Expectations: R-28; courses of several doses within days, as intensive ones
are given; and the story's policy: 72 hours, day 14, 7 days of grace."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.integration.domain.goals import (
    ChangeGoal,
    KeepGoal,
    LetGoalGo,
    RecordProgress,
    change_goal,
    keep_goal,
    let_goal_go,
    record_progress,
)
from services.integration.domain.hold_session import RecordIntegrationSession, record_integration_session
from services.integration.domain.insight import NoteInsight, note_insight
from services.integration.domain.miss_session import RecordMissedSession, record_missed_session
from shared.events.goals import GoalKept
from shared.events.integration import (
    AlertAcknowledged,
    AlertRaised,
    InsightNoted,
    IntegrationHeld,
    IntegrationMissed,
    IntegrationOverdue,
    IntegrationPlanned,
    IntegrationScheduled,
)
from shared.pathway.waiting import Waiting
from tests.unit.alerting import without_alerts
from tests.unit.integration_service.plans import after, awaited, day, missing, refused, with_goal
from tests.unit.integration_service.story import (
    SHIPPED,
    T0,
    Story,
    dosed,
)

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
