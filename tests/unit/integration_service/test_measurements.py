"""Outcomes on schedule. Expectations: R-29 of domain.md 5c, section 5b.9 (who was not followed, and why), and the story's policy: day 14,
7 days around it, 7 days of grace."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from services.integration.api import show_integration
from services.integration.domain.not_followed import RecordNotFollowed, record_not_followed
from services.prescriber.domain.deterioration import note_deterioration
from services.prescriber.domain.state import Case, evolve_case
from shared.events.base import AlertAcknowledged, AlertRaised, EventData
from shared.events.integration import (
    BaselineNoted,
    IntegrationCompleted,
    MeasurementDue,
    MeasurementOverdue,
    OutcomeDeteriorated,
    OutcomeJudgedAnew,
    OutcomeMeasured,
    OutcomeNotFollowed,
)
from shared.events.prescriber import DeteriorationNoted
from shared.pathway.refusal import Refusal
from shared.pathway.waiting import Waiting
from tests.unit.integration_service.story import SHIPPED, T0, Story, course_over, dosed, phq9, policy, screening
from tests.unit.prescriber import given

SHIPPED_DAYS = (14, 30, 90, 180)


def day(number: float) -> datetime:
    return T0 + timedelta(days=number)


def after_dose(story: Story | None = None) -> Story:
    story = story or Story()
    story.hear(screening(phq_9=18, gad_7=12))
    story.hear(dosed(given_at=day(0.1)))  # the screening was answered before it
    story.on_day(0.1)
    return story


def measuring(events: list[EventData]) -> list[tuple[type[EventData], str]]:
    return [(type(event), event.id) for event in events if isinstance(event, MeasurementDue | MeasurementOverdue)]


def not_followed(story: Story, **said: Any) -> list[EventData]:
    return story.do(record_not_followed, RecordNotFollowed(**{"because": "declined", "at": story.now, **said}))


def test_r29_the_shipped_policy_measures_for_half_a_year() -> None:
    story = after_dose(Story(SHIPPED))
    assert [(each.id, each.day) for each in story.state.open_measurements] == [(f"outcome-1-day-{days}", days) for days in SHIPPED_DAYS]
    assert [(each.opens_at - day(0.1)).days for each in story.state.measurements] == [7, 23, 83, 173]
    assert [(each.closes_at - day(0.1)).days for each in story.state.measurements] == [21, 37, 97, 187]


def test_r29_the_times_are_the_policys_and_no_window_opens_before_the_dose() -> None:
    story = after_dose(Story(policy(outcome_measurement_days=(5, 40, 5), outcome_window_days=9, integration_grace_days=3)))
    found = [
        ((m.opens_at - day(0.1)).days, (m.closes_at - day(0.1)).days, (m.lost_after - day(0.1)).days) for m in story.state.measurements
    ]
    assert found == [(0, 14, 17), (31, 49, 52)]


def test_r29_a_measurement_is_due_then_overdue_and_each_is_said_once() -> None:
    story = after_dose()
    assert measuring(story.on_day(14).tick()) == []
    assert measuring(story.on_day(14.1).tick()) == [(MeasurementDue, "outcome-1-day-14")]
    assert story.state.waits_for == Waiting("integration_session", day(3.1), "coordinator")  # that is late for longer
    story.hold()
    story.hold("follow-up-1-day-14")
    assert story.state.waits_for == Waiting("outcome", day(14.1), "therapist")
    events = story.on_day(21.1).tick()
    assert measuring(events) == [(MeasurementOverdue, "outcome-1-day-14")]
    assert [(event.role, event.why) for event in events if isinstance(event, AlertRaised)] == [("coordinator", "outcome-overdue")]
    assert story.state.waits_for == Waiting("outcome", day(14.1), "coordinator")
    assert measuring(story.on_day(100).tick()) == []


def test_r29_after_an_outage_what_is_overdue_is_not_said_to_be_due() -> None:
    assert measuring(after_dose().on_day(60).tick()) == [(MeasurementOverdue, "outcome-1-day-14")]


@pytest.mark.parametrize(("at", "settles"), [(7, False), (7.2, True), (14, True), (21, True), (40, True)])
def test_r29_an_answer_of_the_window_or_later_ends_the_reminder_and_its_alert(at: float, settles: bool) -> None:
    story = after_dose().on_day(40)
    story.tick()
    events = story.measure("phq-9", phq9(6), day(at))
    resolved = [event.alert for event in events if isinstance(event, AlertAcknowledged) and event.resolved]
    assert bool(resolved) is settles
    assert bool(story.state.open_measurements) is not settles


def test_r29_an_unscored_answer_and_another_instrument_end_no_reminder() -> None:
    story = after_dose().on_day(14)
    story.measure("phq-9", (None, *phq9(6)[1:]))
    story.measure("gad-7", (0,) * 7)
    assert story.state.open_measurements


def test_r29_an_answer_in_time_is_never_asked_for() -> None:
    story = after_dose().on_day(10)
    story.measure("phq-9", phq9(6))
    assert measuring(story.on_day(60).tick()) == []


def test_r29_a_measurement_is_counted_from_the_last_dose() -> None:
    story = after_dose()
    story.on_day(12).hear(dosed(2, day(12)))
    assert [(each.id, each.due_at) for each in story.state.open_measurements] == [("outcome-2-day-14", day(26))]
    assert measuring(story.on_day(20).tick()) == []


def test_r29_a_measurement_that_was_due_before_the_next_dose_stays() -> None:
    story = after_dose()
    story.on_day(15).hear(dosed(2, day(15)))
    assert [each.id for each in story.state.open_measurements] == ["outcome-1-day-14", "outcome-2-day-14"]


def test_r29_a_reason_ends_the_reminder_and_stays_beside_the_missing_outcome() -> None:
    story = after_dose(Story(SHIPPED)).on_day(22)
    story.tick()
    recorded, resolved = not_followed(story, measurement="outcome-1-day-14")
    assert recorded == OutcomeNotFollowed(measurements=("outcome-1-day-14",), because="declined", at=story.now)
    assert isinstance(resolved, AlertAcknowledged)
    assert [each.day for each in story.state.open_measurements] == [30, 90, 180]
    assert story.state.measurements[0].not_followed == "declined"


@pytest.mark.parametrize(("because", "named"), [("lost_to_follow_up", None), ("moved", None), ("died", "outcome-1-day-14")])
def test_r29_a_reason_for_all_times_to_come_and_a_death_at_any_ends_them_all(because: str, named: str | None) -> None:
    story = after_dose(Story(SHIPPED)).on_day(22)
    (recorded, *_) = not_followed(story, because=because, measurement=named)
    assert isinstance(recorded, OutcomeNotFollowed)
    assert recorded.measurements == tuple(f"outcome-1-day-{days}" for days in SHIPPED_DAYS)
    assert story.state.open_measurements == ()


def test_r29_an_answer_that_comes_after_all_is_recorded() -> None:
    story = after_dose().on_day(15)
    not_followed(story, because="lost_to_follow_up")
    assert isinstance(story.on_day(16).measure("phq-9", phq9(6))[0], OutcomeMeasured)


@pytest.mark.parametrize(
    ("said", "slug"),
    [
        ({"measurement": "outcome-9-day-14"}, "no-such-measurement"),
        ({"at": day(16)}, "time-in-the-future"),
        ({"at": datetime(1999, 1, 1, tzinfo=T0.tzinfo)}, "out-of-range"),
    ],
)
def test_a_reason_for_nothing_or_at_an_impossible_time_is_refused(said: dict[str, Any], slug: str) -> None:
    with pytest.raises(Refusal) as refused:
        not_followed(after_dose().on_day(15), **said)
    assert refused.value.slug == slug


@pytest.mark.parametrize("measurement", ["outcome-1-day-14", None])
def test_a_reason_where_nothing_is_awaited_is_refused(measurement: str | None) -> None:
    story = after_dose().on_day(15)
    story.measure("phq-9", phq9(6))
    with pytest.raises(Refusal) as refused:
        not_followed(story, measurement=measurement)
    assert refused.value.slug == "not-awaited"


def test_another_reason_says_which() -> None:
    with pytest.raises(ValidationError):
        RecordNotFollowed(because="other", at=T0)


def test_r29_integration_waits_for_the_outcome_until_nobody_does() -> None:
    story = after_dose().on_day(1)
    story.hold()
    story.on_day(14).hold("follow-up-1-day-14")
    story.hear(course_over())
    assert story.state.deadlines["completion"] == day(28.1)
    story.on_day(28).tick()
    assert not story.state.completed
    assert isinstance(story.on_day(28.1).tick()[-1], IntegrationCompleted)


# Deterioration


@pytest.mark.parametrize(("total", "worse"), [(22, False), (23, True)])
def test_r29_a_deterioration_calls_the_therapist_and_goes_back_to_the_prescriber(total: int, worse: bool) -> None:
    story = after_dose().on_day(14)
    events = story.measure("phq-9", phq9(total))
    found = [event for event in events if isinstance(event, OutcomeDeteriorated)]
    assert found == ([OutcomeDeteriorated(instrument="phq-9", baseline=18, total=total, measured_at=story.now)] if worse else [])
    calls = [(event.role, event.why) for event in events if isinstance(event, AlertRaised)]
    assert calls == ([("therapist", "deterioration")] if worse else [])
    for event in found:
        noted, raised = note_deterioration(Case(), event, given.context())
        assert noted == DeteriorationNoted(instrument="phq-9", baseline=18, total=total, measured_at=story.now)
        assert isinstance(raised, AlertRaised)
        assert (raised.role, raised.why) == ("prescriber", "deterioration")
        case = evolve_case(evolve_case(Case(), noted), raised)
        assert case.deteriorations == (noted,)
        assert [alert.role for alert in case.alerts.unacknowledged] == ["prescriber"]


# The baseline comes late, or was wrong


def test_r29_outcomes_are_judged_anew_when_the_baseline_was_corrected() -> None:
    story = after_dose().on_day(14)
    story.measure("phq-9", phq9(8))
    story.measure("gad-7", (1,) * 7)
    noted, judged = story.hear(screening(phq_9=14, gad_7=12))
    assert isinstance(noted, BaselineNoted)
    assert judged == OutcomeJudgedAnew(
        instrument="phq-9", measured_at=story.now, baseline=14, change=-6, response=False, remission=False, deterioration=False
    )
    assert [(each.instrument, each.change, each.response) for each in story.state.outcomes] == [("phq-9", -6, False), ("gad-7", -5, False)]


def test_r29_a_deterioration_that_a_late_baseline_shows_calls_too() -> None:
    story = Story()
    story.hear(dosed(given_at=day(0.1)))
    story.on_day(14).measure("phq-9", phq9(15))
    events = story.hear(screening(phq_9=10))
    assert [type(event) for event in events][:3] == [BaselineNoted, OutcomeJudgedAnew, OutcomeDeteriorated]
    assert story.hear(screening(phq_9=10)) == []


def test_r29_a_deterioration_that_was_known_calls_nobody_again() -> None:
    story = after_dose().on_day(14)
    story.measure("phq-9", phq9(23))
    assert [type(event) for event in story.hear(screening(phq_9=17, gad_7=12))] == [BaselineNoted, OutcomeJudgedAnew]


def test_r29_an_answer_before_the_first_dose_is_no_outcome_to_judge_anew() -> None:
    story = Story()
    story.hear(screening(phq_9=18))
    story.on_day(0.05).measure("phq-9", phq9(17))
    story.on_day(0.1).hear(dosed(given_at=day(0.1)))
    assert [type(event) for event in story.hear(screening(phq_9=16))] == [BaselineNoted]


# What is shown


def test_r29_the_view_shows_each_trend_and_what_is_awaited() -> None:
    story = after_dose().on_day(14)
    story.measure("phq-9", phq9(9), day(13))
    story.measure("phq-9", phq9(12), day(2))
    shown = from_json(to_json(show_integration(story.state)))
    assert [(each["total"], each["change"], each["response"]) for each in shown["trends"]["phq-9"]] == [(12, -6, False), (9, -9, True)]
    assert set(shown["trends"]) == {"phq-9"}
    assert [(each["id"], each["awaited"]) for each in shown["measurements"]] == [("outcome-1-day-14", False)]
    assert [each["id"] for each in shown["planned"] if each["awaited"]] == ["after-dose-1", "follow-up-1-day-14"]
