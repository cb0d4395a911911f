"""Outcomes and goals. Expectations: R-29, R-08 to R-10 of domain.md 5c; the numbers in brackets are the shipped policy's."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from services.integration.api import COMMANDS, show_integration
from services.integration.domain.goals import RecordProgress, SetGoal, record_progress, set_goal
from services.integration.domain.stops import STOPS
from shared.access.decide import ALLOWED
from shared.events.base import EventData
from shared.events.clinical import Instrument
from shared.events.goals import GoalProgressed, GoalSet
from shared.events.integration import (
    EVENTS,
    OutcomeMeasured,
    SafetyHoldPlaced,
    SuicideRiskScreenRequired,
)
from shared.pathway.refusal import Refusal
from shared.pathway.stop import PlaceHold
from tests.unit.integration_service.story import T0, Story, dosed, phq9, policy, screening

C_SSRS_HIGH = (1, 1, 1, 1, 0, 0)
C_SSRS_NONE = (0, 0, 0, 0, 0, 0)


def measured(events: list[EventData]) -> OutcomeMeasured:
    assert isinstance(events[0], OutcomeMeasured)
    return events[0]


def outcome(baseline: int | None, total: int, **changes: Any) -> OutcomeMeasured:
    """A PHQ-9 of this total against that baseline."""
    story = Story(policy(**changes))
    story.hear(screening(phq_9=baseline))
    return measured(story.measure("phq-9", phq9(total)))


#


@pytest.mark.parametrize(
    ("baseline", "total", "response"), [(20, 10, True), (20, 11, False), (19, 9, True), (19, 10, False), (10, 20, False)]
)
def test_r29_response_is_a_drop_of_at_least_half(baseline: int, total: int, response: bool) -> None:
    assert outcome(baseline, total).response is response


@pytest.mark.parametrize(
    ("baseline", "total", "remission"), [(10, 4, True), (10, 5, False), (27, 0, True), (9, 4, None), (9, 8, None), (20, 10, False)]
)
def test_r29_remission_is_below_five_from_at_least_ten(baseline: int, total: int, remission: bool | None) -> None:
    assert outcome(baseline, total).remission is remission


@pytest.mark.parametrize(("baseline", "total", "deterioration"), [(10, 14, False), (10, 15, True), (10, 3, False), (0, 5, True)])
def test_r29_deterioration_is_a_rise_of_at_least_five(baseline: int, total: int, deterioration: bool) -> None:
    assert outcome(baseline, total).deterioration is deterioration


def test_r29_the_numbers_are_the_policys() -> None:
    other = outcome(12, 6, response_drop_fraction=0.6, remission_below=7, remission_baseline_at_least=12, deterioration_points=3)
    assert (other.response, other.remission) == (False, True)
    assert outcome(10, 13, deterioration_points=3).deterioration is True


def test_r29_change_is_against_the_baseline() -> None:
    found = outcome(18, 6)
    assert (found.total, found.baseline, found.change) == (6, 18, -12)


def test_r29_without_a_baseline_nothing_is_said() -> None:
    found = measured(Story().measure("phq-9", phq9(6)))
    assert (found.total, found.baseline, found.change) == (6, None, None)
    assert (found.response, found.remission, found.deterioration) == (None, None, None)


def test_r29_a_baseline_of_nought_can_only_get_worse() -> None:
    assert outcome(0, 0).response is None


def test_r07_a_missing_item_leaves_the_outcome_unscored() -> None:
    story = Story()
    story.hear(screening(phq_9=18))
    found = measured(story.measure("phq-9", (None, *phq9(6)[1:])))
    assert (found.total, found.change, found.response, found.remission, found.deterioration) == (None, None, None, None, None)


@pytest.mark.parametrize(("instrument", "items"), [("gad-7", 7), ("pcl-5", 20)])
def test_r29_other_symptom_scales_respond_and_have_no_remission(instrument: Instrument, items: int) -> None:
    story = Story()
    story.hear(screening(gad_7=14, pcl_5=40))
    found = measured(story.measure(instrument, (1,) * 7 + (0,) * (items - 7)))
    assert (found.total, found.response, found.remission, found.deterioration) == (7, True, None, False)


def test_r29_drinking_and_risk_have_neither_response_nor_deterioration() -> None:
    story = Story()
    story.hear(screening(audit_c=2, c_ssrs=None))
    for found in (measured(story.measure("audit-c", (4, 4, 4))), measured(story.measure("c-ssrs", C_SSRS_NONE))):
        assert (found.response, found.remission, found.deterioration) == (None, None, None)


@given(baseline=st.integers(0, 27), total=st.integers(0, 24))
def test_r29_nobody_both_responds_and_deteriorates_and_who_remits_has_dropped(baseline: int, total: int) -> None:
    found = outcome(baseline, total)
    assert not (found.response and found.deterioration)
    if found.remission:
        assert found.response  # from at least 10 to at most 4 is more than half
    assert found.change == total - baseline


#


@pytest.mark.parametrize(("item9", "required"), [(0, False), (1, True), (3, True)])
def test_r08_item_nine_demands_the_screener_whatever_the_total(item9: int, required: bool) -> None:
    events = Story().measure("phq-9", phq9(item9, item9))
    assert any(isinstance(event, SuicideRiskScreenRequired) for event in events) is required


def test_r08_item_nine_counts_in_an_unscored_form() -> None:
    events = Story().measure("phq-9", (None,) * 8 + (1,))
    assert any(isinstance(event, SuicideRiskScreenRequired) for event in events)


def test_r08_the_screener_is_due_until_it_is_answered() -> None:
    story = Story()
    story.measure("phq-9", phq9(1, 1))
    assert story.state.screener_due
    story.measure("phq-9", phq9(1, 0))
    assert story.state.screener_due
    story.measure("c-ssrs", C_SSRS_NONE)
    assert not story.state.screener_due


def test_r08_the_call_for_the_screener_ends_with_its_answer() -> None:
    story = Story()
    story.measure("phq-9", phq9(3, 1))
    assert [alert.why for alert in story.state.alerts.unacknowledged] == ["suicide-risk-screen-required"]
    story.measure("c-ssrs", (None, *C_SSRS_NONE[1:]))
    assert len(story.state.alerts.unacknowledged) == 1
    story.measure("c-ssrs", C_SSRS_NONE)
    assert not story.state.alerts.unacknowledged


def test_r08_a_screener_that_lacks_an_item_or_came_before_settles_nothing() -> None:
    story = Story()
    story.now += timedelta(hours=3)
    story.measure("phq-9", phq9(1, 1), T0 + timedelta(hours=1))
    story.measure("c-ssrs", (None, *C_SSRS_NONE[1:]))
    assert story.state.screener_due
    story.measure("c-ssrs", C_SSRS_NONE, T0)
    assert story.state.screener_due
    story.measure("phq-9", phq9(1, 0))
    assert story.state.waits_for is not None
    assert story.state.waits_for.since == T0 + timedelta(hours=1)
    story.measure("c-ssrs", C_SSRS_NONE, T0 + timedelta(hours=1))
    assert not story.state.screener_due


@pytest.mark.parametrize(
    ("answers", "held"), [(C_SSRS_HIGH, True), ((0, 0, 0, 0, 0, 2), True), ((1, 1, 1, 0, 0, 1), False), (C_SSRS_NONE, False)]
)
def test_r10_a_high_risk_holds_the_case(answers: tuple[int, ...], held: bool) -> None:
    story = Story()
    events = story.measure("c-ssrs", answers)
    placed = [event.reason for event in events if isinstance(event, SafetyHoldPlaced)]
    assert placed == (["suicide_risk"] if held else [])
    assert bool(story.state.stops.holds) is held


# What is refused, and what no stop refuses


@pytest.mark.parametrize(
    ("answers", "measured_at", "slug"),
    [
        (phq9(6)[:8], T0, "wrong-number-of-answers"),
        ((4, *phq9(6)[1:]), T0, "out-of-range"),
        (phq9(6), T0 + timedelta(seconds=1), "time-in-the-future"),
        (phq9(6), T0 - timedelta(days=365 * 40), "out-of-range"),
    ],
)
def test_what_cannot_be_an_outcome_is_refused(answers: tuple[int | None, ...], measured_at: Any, slug: str) -> None:
    with pytest.raises(Refusal) as refused:
        Story().measure("phq-9", answers, measured_at)
    assert refused.value.slug == slug


def stopped() -> Story:
    story = Story()
    story.do(STOPS.place, PlaceHold(reason="clinical_concern"))
    return story


def test_no_stop_refuses_an_outcome_or_a_goal() -> None:
    story = stopped()
    assert measured(story.measure("phq-9", phq9(6))).total == 6
    assert story.do(set_goal, SetGoal(behaviour="walk to the river", times_per_week=3))


# Goals


def test_a_goal_is_set_and_progresses() -> None:
    story = Story()
    (was_set,) = story.do(set_goal, SetGoal(behaviour="walk to the river", times_per_week=3))
    assert isinstance(was_set, GoalSet)
    story.now += timedelta(days=7)
    command = RecordProgress(goal=was_set.goal, times=2, at=story.now)
    assert story.do(record_progress, command) == [GoalProgressed(goal=was_set.goal, times=2, at=story.now)]
    (shown,) = from_json(to_json(show_integration(story.state)))["goals"]
    assert shown["behaviour"] == "walk to the river"
    assert [week["times"] for week in shown["progress"]] == [2]


def test_goals_have_ids_of_their_own_and_progress_goes_to_one() -> None:
    story = Story()
    for behaviour in ("walk to the river", "call my sister"):
        story.do(set_goal, SetGoal(behaviour=behaviour, times_per_week=1))
    first, second = story.state.goals
    assert first.set.goal != second.set.goal
    story.do(record_progress, RecordProgress(goal=second.set.goal, times=1, at=story.now))
    assert [len(goal.progress) for goal in story.state.goals] == [0, 1]


@pytest.mark.parametrize(("goal", "days", "slug"), [("goal-x", 0, "no-such-goal"), (None, 1, "time-in-the-future")])
def test_progress_on_nothing_or_in_the_future_is_refused(goal: str | None, days: int, slug: str) -> None:
    story = Story()
    story.do(set_goal, SetGoal(behaviour="walk to the river", times_per_week=3))
    command = RecordProgress(goal=goal or story.state.goals[0].set.goal, times=1, at=T0 + timedelta(days=days))
    with pytest.raises(Refusal) as refused:
        story.do(record_progress, command)
    assert refused.value.slug == slug


@pytest.mark.parametrize(("times", "holds"), [(0, False), (1, True), (21, True), (22, False)])
def test_a_goal_is_small_enough_to_count(times: int, holds: bool) -> None:
    body = f'{{"behaviour": "walk to the river", "times_per_week": {times}}}'
    if holds:
        assert SetGoal.model_validate_json(body).times_per_week == times
    else:
        with pytest.raises(ValidationError):
            SetGoal.model_validate_json(body)


# The service as data


def test_the_view_shows_plan_outcomes_and_what_is_needed() -> None:
    story = Story()
    story.hear(screening(phq_9=18))
    story.hear(dosed())
    story.measure("phq-9", phq9(6, 1))
    shown = from_json(to_json(show_integration(story.state)))
    assert [planned["id"] for planned in shown["planned"]] == ["after-dose-1", "follow-up-1-day-14"]
    assert shown["outcomes"][0]["change"] == -12
    assert shown["still_needed"] == {"instruments": ["c-ssrs"]}


def test_integration_is_done_by_coordinators_and_therapists() -> None:
    others = ("holds", "consent", "alerts")
    doing = {command.path: ALLOWED[command.permission] for command in COMMANDS if not any(word in command.path for word in others)}
    assert set(doing.values()) == {frozenset({"coordinator", "therapist"})}
    assert len(doing) == 12


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_events_that_another_version_wrote_without_optional_fields_can_be_read(event: type[EventData]) -> None:
    optional = [name for name, field in event.model_fields.items() if type(None) in getattr(field.annotation, "__args__", ())]
    assert all(not event.model_fields[name].is_required() for name in optional)


def test_r29_a_baseline_corrected_during_care_or_heard_of_after_the_dose_counts() -> None:
    story = Story()
    later = T0 + timedelta(days=1)
    story.hear(dosed(given_at=later))
    story.hear(screening(phq_9=18, gad_7=9))
    assert story.state.baseline_of("phq-9") == 18
    story.hear(screening(phq_9=8))
    assert (story.state.baseline_of("phq-9"), story.state.baseline_of("gad-7")) == (8, 9)
    assert story.hear(screening(phq_9=8)) == []
