"""What follows a dose. Expectations: R-28 of domain.md 5c, and the policy of the story: 72 hours, day 14, 7 days of grace."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import TypeAdapter

from services.integration.domain.state import Integration, evolve
from services.integration.domain.stops import STOPS
from shared.events import intake, prescriber, session
from shared.events.base import EventData
from shared.events.integration import (
    BaselineNoted,
    CourseCompletionNoted,
    IntegrationCompleted,
    IntegrationHeld,
    IntegrationOverdue,
    IntegrationScheduled,
    MeasurementOverdue,
    StopNoted,
)
from shared.events.integration_plan import PlannedIntegration, PlannedMeasurement
from shared.pathway.refusal import Refusal
from shared.pathway.stop import PlaceHold
from tests.unit.alerting import without_alerts
from tests.unit.integration_service.story import T0, Story, course_opened, course_over, dosed, phq9, policy, screening

CONSENT = intake.ConsentGiven(version="consent-1", scopes=("treatment",), given_at=T0 - timedelta(days=7))


def kinds(events: list[EventData]) -> list[type[EventData]]:
    return [type(event) for event in without_alerts(events)]


def after_dose() -> Story:
    story = Story()
    story.hear(CONSENT)
    story.hear(screening(phq_9=18))
    story.hear(dosed())
    return story


def overdue(story: Story) -> list[str]:
    return [event.id for event in story.tick() if isinstance(event, IntegrationOverdue)]


# Planning


def test_r28_the_window_is_that_of_the_route() -> None:
    story = Story(policy().model_copy(update={"by_route": {"sublingual": policy(integration_within_hours=24).values}}))
    (scheduled,) = story.hear(dosed())
    assert isinstance(scheduled, IntegrationScheduled)
    assert scheduled.planned[0].due_by == T0 + timedelta(hours=24)


def test_r28_a_dose_plans_a_session_within_seventy_two_hours_and_a_follow_up() -> None:
    story = Story()
    story.hear(CONSENT)
    first, later = T0 + timedelta(hours=72), T0 + timedelta(days=14)
    assert story.hear(dosed()) == [
        IntegrationScheduled(
            dosing_session=1,
            planned=(
                PlannedIntegration(id="after-dose-1", purpose="after_dose", due_by=first, missed_after=first + timedelta(days=7)),
                PlannedIntegration(id="follow-up-1-day-14", purpose="follow_up", due_by=later, missed_after=later + timedelta(days=7)),
            ),
            dosed_at=T0,
            route="sublingual",
            measurements=(
                PlannedMeasurement(
                    id="outcome-1-day-14",
                    day=14,
                    opens_at=T0 + timedelta(days=7),
                    due_at=later,
                    closes_at=T0 + timedelta(days=21),
                    lost_after=T0 + timedelta(days=28),
                ),
            ),
        )
    ]
    assert story.state.status == "integrating"


def test_r28_the_times_are_the_policys() -> None:
    story = Story(policy(integration_within_hours=24, integration_follow_up_days=(7, 30), integration_grace_days=2))
    (scheduled,) = story.hear(dosed())
    assert isinstance(scheduled, IntegrationScheduled)
    assert [(each.due_by - T0).days for each in scheduled.planned] == [1, 7, 30]
    assert {each.missed_after - each.due_by for each in scheduled.planned} == {timedelta(days=2)}


@pytest.mark.parametrize("booster", [True, False])
def test_a_further_dose_in_the_same_session_plans_nothing_again(booster: bool) -> None:
    assert after_dose().hear(dosed(booster=booster)) == []


def test_each_dosing_session_is_planned_for() -> None:
    story = after_dose()
    story.hear(dosed(2, T0 + timedelta(days=7)))
    assert [planned.id for planned in story.state.planned if planned.dosing_sessions == (2,)] == ["after-dose-2", "follow-up-2-day-14"]


@pytest.mark.parametrize(
    "stop",
    [
        intake.ConsentWithdrawn(withdrawn_at=T0, said_to="intake"),
        session.SafetyHoldPlaced(hold="h", reason="adverse_event", placed_at=T0),
    ],
)
def test_a_dose_under_a_stop_is_followed_up_and_says_so(stop: EventData) -> None:
    story = Story()
    story.hear(CONSENT)
    story.hear(stop)
    (scheduled,) = story.hear(dosed())
    assert isinstance(scheduled, IntegrationScheduled)
    assert scheduled.deviations == ("stopped",)
    assert len(scheduled.planned) == 2


def test_the_first_word_on_a_stream_can_be_a_dose() -> None:
    (scheduled,) = Story().hear(dosed())
    assert isinstance(scheduled, IntegrationScheduled)
    assert scheduled.deviations == ("stopped",)  # no consent is known here


# Held, overdue, missed


def test_r28_a_session_held_in_time_is_never_overdue() -> None:
    story = after_dose().on_day(1)
    (held,) = story.hold()
    assert held == IntegrationHeld(id="after-dose-1", dosing_session=1, purpose="after_dose", held_at=story.now, insights=("I can rest",))
    assert overdue(story.on_day(10)) == []


@pytest.mark.parametrize(("hours", "said"), [(71.9, []), (72, ["after-dose-1"])])
def test_r28_a_session_not_held_by_its_time_is_overdue_once(hours: float, said: list[str]) -> None:
    story = after_dose().on_day(hours / 24)
    assert overdue(story) == said
    assert overdue(story.on_day(13)) == ([] if said else ["after-dose-1"])


def test_r28_after_an_outage_everything_overdue_is_said_at_once() -> None:
    story = after_dose().on_day(30)
    assert overdue(story) == ["after-dose-1", "follow-up-1-day-14"]
    assert story.state.status == "overdue"


def test_a_session_can_be_held_however_late() -> None:
    story = after_dose().on_day(100)
    story.tick()
    assert kinds(story.hold()) == [IntegrationHeld]
    story.hold("follow-up-1-day-14")
    assert story.state.status == "overdue"  # the outcome is still to be measured
    story.measure("phq-9", phq9(6))
    assert story.state.status == "integrating"


def test_no_stop_keeps_an_integration_session_out_of_the_record() -> None:
    story = after_dose()
    story.do(STOPS.place, PlaceHold(reason="clinical_concern"))
    story.hear(intake.ConsentWithdrawn(withdrawn_at=T0, said_to="intake"))
    assert kinds(story.on_day(1).hold()) == [IntegrationHeld]


@pytest.mark.parametrize(
    ("planned", "held_at", "slug"),
    [
        ("after-dose-9", None, "no-such-integration-session"),
        ("after-dose-1", T0 + timedelta(days=1, seconds=1), "time-in-the-future"),
        ("after-dose-1", datetime(1999, 12, 31, tzinfo=UTC), "out-of-range"),
    ],
)
def test_what_cannot_have_been_held_is_refused(planned: str, held_at: datetime | None, slug: str) -> None:
    with pytest.raises(Refusal) as refused:
        after_dose().on_day(1).hold(planned, held_at)
    assert refused.value.slug == slug


def test_a_session_is_held_once() -> None:
    story = after_dose().on_day(1)
    story.hold()
    with pytest.raises(Refusal) as refused:
        story.hold()
    assert refused.value.slug == "already-held"


# The end of integration: course over, each session held or missed, a PHQ-9 after the last dose or its window passed


def everything_held() -> Story:
    story = after_dose().on_day(1)
    story.hold()
    story.on_day(14).hold("follow-up-1-day-14")
    return story


def test_integration_ends_with_the_last_thing_that_was_waited_for() -> None:
    story = everything_held()
    story.measure("phq-9", phq9(6))
    assert story.hear(course_over()) == [
        CourseCompletionNoted(sessions=1),
        IntegrationCompleted(held=2, missed=0, completed_at=story.now),
    ]
    assert story.state.status == "completed"
    assert story.state.deadlines == {}


def test_integration_does_not_end_before_the_course() -> None:
    story = everything_held()
    assert IntegrationCompleted not in kinds(story.measure("phq-9", phq9(6)))
    assert "completion" not in story.state.deadlines


def test_integration_waits_for_a_phq9_until_the_last_window_has_passed() -> None:
    story = everything_held()
    assert kinds(story.hear(course_over())) == [CourseCompletionNoted]
    assert story.state.deadlines["completion"] == T0 + timedelta(days=28)
    assert kinds(story.on_day(21).tick()) == [MeasurementOverdue]
    assert kinds(story.on_day(27.9).tick()) == []
    assert kinds(story.on_day(28).tick()) == [IntegrationCompleted]


def test_a_phq9_ends_the_wait() -> None:
    story = everything_held()
    story.hear(course_over())
    assert kinds(story.measure("phq-9", phq9(6)))[-1] is IntegrationCompleted


@pytest.mark.parametrize(("days_after_dose", "counts"), [(-1, False), (6.9, False), (7, True)])
def test_only_a_phq9_of_the_window_or_later_counts(days_after_dose: float, counts: bool) -> None:
    story = everything_held()
    story.hear(course_over())
    events = story.measure("phq-9", phq9(6), T0 + timedelta(days=days_after_dose))
    assert (IntegrationCompleted in kinds(events)) is counts


def test_a_phq9_with_a_missing_item_or_another_instrument_does_not_count() -> None:
    story = everything_held()
    story.hear(course_over())
    for events in (story.measure("phq-9", (None, *phq9(6)[1:])), story.measure("gad-7", (0,) * 7)):
        assert IntegrationCompleted not in kinds(events)


def test_a_session_counts_as_missed_after_the_grace() -> None:
    story = after_dose().on_day(1)
    story.hold()
    story.on_day(8).measure("phq-9", phq9(6))
    story.hear(course_over())
    assert kinds(story.on_day(14).tick()) == [IntegrationOverdue]
    assert kinds(story.on_day(20.9).tick()) == []
    assert without_alerts(story.on_day(21).tick()) == [IntegrationCompleted(held=1, missed=1, completed_at=story.now)]


def test_a_missed_session_does_not_hold_up_the_end_once_the_others_are_held() -> None:
    story = after_dose()
    story.on_day(14).hold("follow-up-1-day-14")
    story.measure("phq-9", phq9(6))
    assert IntegrationCompleted in kinds(story.hear(course_over()))  # the first one counts as missed since day 10


def test_after_an_outage_what_was_overdue_is_said_before_the_end() -> None:
    story = after_dose()
    story.hear(course_over())
    assert kinds(story.on_day(60).tick()) == [IntegrationOverdue, IntegrationOverdue, MeasurementOverdue, IntegrationCompleted]


def test_a_session_held_after_the_end_is_recorded_and_ends_nothing_again() -> None:
    story = after_dose()
    story.hear(course_over())
    story.on_day(60).tick()
    assert kinds(story.hold()) == [IntegrationHeld]


def test_a_further_dose_begins_again() -> None:
    story = everything_held()
    story.measure("phq-9", phq9(6))
    story.hear(course_over())
    story.on_day(30).hear(course_opened())
    story.hear(dosed(2, story.now))
    assert story.state.status == "integrating"
    story.on_day(31).hold("after-dose-2")
    story.on_day(44).hold("follow-up-2-day-14")
    story.measure("phq-9", phq9(4))
    assert kinds(story.hear(course_over(2))) == [CourseCompletionNoted, IntegrationCompleted]


def test_a_course_that_ended_without_a_dose_known_here_ends_nothing() -> None:
    assert kinds(Story().hear(course_over())) == [CourseCompletionNoted]


# Baseline and stops


def test_the_scores_at_screening_are_the_baseline() -> None:
    story = Story()
    event = screening(phq_9=18, gad_7=12)
    assert story.hear(event) == [BaselineNoted(scores=event.summary.scores)]
    assert (story.state.baseline_of("phq-9"), story.state.baseline_of("gad-7"), story.state.baseline_of("pcl-5")) == (18, 12, None)
    assert story.hear(event) == []


def test_a_screening_during_treatment_moves_no_baseline() -> None:
    story = after_dose()
    assert story.hear(screening(phq_9=9)) == []
    assert story.state.baseline_of("phq-9") == 18


def test_a_screening_after_the_end_is_the_baseline_of_what_follows() -> None:
    story = after_dose()
    story.hear(course_over())
    story.on_day(60).tick()
    assert kinds(story.hear(screening(phq_9=9))) == [BaselineNoted]


@pytest.mark.parametrize(
    "event",
    [
        CONSENT,
        intake.SafetyHoldLifted(hold="h", reason="reviewed", lifted_at=T0),
        prescriber.ConsentWithdrawn(withdrawn_at=T0, said_to="prescriber"),
        prescriber.SafetyHoldPlaced(hold="h", reason="other", placed_at=T0),
        session.ConsentWithdrawn(withdrawn_at=T0, said_to="session"),
        session.SafetyHoldPlaced(hold="h", reason="adverse_event", placed_at=T0),
    ],
)
def test_each_stop_can_be_the_first_word_on_a_stream_and_is_noted_once(event: EventData) -> None:
    story = Story()
    assert kinds(story.hear(event)) == [StopNoted]
    assert story.hear(event) == []


def test_state_survives_storage() -> None:
    adapter = TypeAdapter(Integration)
    for state in (Integration(), after_dose().state, everything_held().state):
        assert adapter.validate_json(adapter.dump_json(state)) == state


def test_evolve_ignores_events_it_does_not_know() -> None:
    state = after_dose().state
    assert evolve(state, dosed(2)) == state
    assert evolve(Integration(), screening(phq_9=3)) == Integration()
