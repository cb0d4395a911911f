"""The rules of integration: R-08, R-10, R-28, R-29. Expectations are the rules' own statements in the policy's sources."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import reduce
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from services.integration.domain.complete import note_course_completion
from services.integration.domain.goal import RecordProgress, SetGoal, record_progress, set_goal
from services.integration.domain.hold_session import HoldSession, hold_session
from services.integration.domain.measure import MeasureOutcome, deteriorated, measure_outcome, remitted, responded
from services.integration.domain.schedule import note_baseline, plan_after_dose, tick
from services.integration.domain.state import Case, evolve
from services.integration.domain.stops import STOP
from shared.events import intake, integration, session
from shared.events.base import EventData
from shared.events.clinical import Score, ScreeningSummary
from shared.pathway.context import Actor, Context
from shared.pathway.policy import read_policy
from shared.pathway.refusal import Refusal

POLICY = read_policy()
VALUES = POLICY.values
T0 = datetime(2026, 3, 2, 10, tzinfo=UTC)


def at(moment: datetime = T0) -> Context:
    return Context(now=moment, actor=Actor("therapist-1"), policy=POLICY, seed="test")


def dosed(number: int = 1, moment: datetime = T0, *, booster: bool = False) -> session.SessionDosed:
    return session.SessionDosed(
        session=number,
        dose_mg=Decimal(300),
        mg_per_kg=Decimal(4),
        route="sublingual",
        intent="psycholytic",
        booster=booster,
        given_at=moment,
        given_by="monitor-1",
    )


def fold(case: Case, events: list[EventData]) -> Case:
    return reduce(evolve, events, case)


def after_dose(number: int = 1, moment: datetime = T0, case: Case | None = None) -> Case:
    start = case or Case()
    return fold(start, plan_after_dose(start, dosed(number, moment), at(moment)))


def screened(phq9: int | None = 18) -> intake.ScreeningCompleted:
    summary = ScreeningSummary(
        indication="depression",
        age=40,
        sex="female",
        route="sublingual",
        weight_kg=Decimal(70),
        scores=(Score(instrument="phq-9", total=phq9, band="x", answered_at=T0),),
        risk="none",
        findings=(),
        medications=(),
    )
    return intake.ScreeningCompleted(summary=summary, completed_at=T0, policy_version="p")


def of_type(events: list[EventData], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_r28_first_integration_session_lies_within_the_window_after_the_dose() -> None:
    (planned,) = plan_after_dose(Case(), dosed(), at())
    assert isinstance(planned, integration.IntegrationScheduled)
    after = next(each for each in planned.planned if each.purpose == "after_dose")
    assert after.due_by == T0 + timedelta(hours=VALUES.integration_within_hours)
    assert planned.deviations == ("consent-missing",)  # nothing was known of consent here


def test_r28_a_booster_plans_nothing_again() -> None:
    case = after_dose()
    assert plan_after_dose(case, dosed(booster=True), at()) == []
    assert plan_after_dose(case, dosed(2, T0 + timedelta(days=14)), at()) != []


def test_r28_a_dose_given_against_a_stop_is_planned_for_and_says_so() -> None:
    withdrawn = fold(
        Case(), [integration.StopNoted(kind="consent_given", at=T0, noted_from="x", consent_version="c", scopes=("treatment",))]
    )
    assert plan_after_dose(withdrawn, dosed(), at())[0].model_dump()["deviations"] == ()
    withdrawn = fold(withdrawn, [integration.StopNoted(kind="consent_withdrawn", at=T0 + timedelta(1), noted_from="x")])
    assert plan_after_dose(withdrawn, dosed(), at())[0].model_dump()["deviations"] == ("consent-withdrawn",)


def test_r28_not_held_by_its_time_is_overdue_once_and_then_missed() -> None:
    case = after_dose()
    name, due = min(case.deadlines.items(), key=lambda item: item[1])
    (overdue,) = tick(case, name, at(due))
    assert isinstance(overdue, integration.IntegrationOverdue)
    assert overdue.missed_at == due + timedelta(days=VALUES.integration_grace_days)
    assert name not in evolve(case, overdue).deadlines


def test_r28_a_late_session_is_still_recorded() -> None:
    case = after_dose()
    name, due = min(case.deadlines.items(), key=lambda item: item[1])
    case = fold(case, tick(case, name, at(due)))
    late = due + timedelta(days=30)
    events = hold_session(case, HoldSession(id="dose-1-after", held_at=late), at(late))
    assert of_type(events, integration.IntegrationHeld)
    assert fold(case, events).status != "overdue"


@pytest.mark.parametrize(
    ("command", "slug"),
    [
        (HoldSession(id="dose-9-after", held_at=T0), "no-such-integration-session"),
        (HoldSession(id="dose-1-after", held_at=T0 + timedelta(seconds=1)), "time-in-the-future"),
    ],
)
def test_r28_holding_what_is_not_planned_or_not_yet_is_refused(command: HoldSession, slug: str) -> None:
    with pytest.raises(Refusal) as refused:
        hold_session(after_dose(), command, at())
    assert refused.value.slug == slug


def test_r28_holding_twice_is_refused() -> None:
    case = after_dose()
    case = fold(case, hold_session(case, HoldSession(id="dose-1-after", held_at=T0), at()))
    with pytest.raises(Refusal) as refused:
        hold_session(case, HoldSession(id="dose-1-after", held_at=T0), at())
    assert refused.value.slug == "already-held"


def test_integration_completes_only_when_course_and_every_session_are_settled() -> None:
    case = after_dose()
    ids = [each.id for each in case.planned]
    done = fold(case, note_course_completion(case, session.CourseCompleted(sessions=1, completed_at=T0), at()))
    assert done.status == "integrating"
    for number, one in enumerate(ids, start=1):
        events = hold_session(done, HoldSession(id=one, held_at=T0), at())
        assert bool(of_type(events, integration.IntegrationCompleted)) is (number == len(ids))
        done = fold(done, events)
    assert done.status == "integrated"
    assert done.deadlines == {}


def test_integration_completes_with_missed_sessions_by_ticks_alone() -> None:
    case = after_dose()
    case = fold(case, note_course_completion(case, session.CourseCompleted(sessions=1, completed_at=T0), at()))
    moments = []
    while case.deadlines:
        name, due = min(case.deadlines.items(), key=lambda item: item[1])
        moments.append(due)
        case = fold(case, tick(case, name, at(due)))
        assert case.deadlines.get(name) != due, "a tick moves its deadline"
    assert case.status == "integrated"
    assert moments == sorted(moments)
    assert all(each.held_at is None and each.missed_at is not None for each in case.planned)


def test_r29_response_is_half_of_the_baseline_or_more() -> None:
    assert responded(9, 18, VALUES) is True
    assert responded(10, 18, VALUES) is False
    assert responded(None, 18, VALUES) is None
    assert responded(3, None, VALUES) is None
    assert responded(0, 0, VALUES) is None


def test_r29_remission_is_below_five_from_ten_or_more() -> None:
    assert remitted(4, 10, VALUES) is True
    assert remitted(5, 10, VALUES) is False
    assert remitted(4, 9, VALUES) is False
    assert remitted(None, 10, VALUES) is None


def test_r29_deterioration_is_five_points_or_more() -> None:
    assert deteriorated(15, 10, VALUES) is True
    assert deteriorated(14, 10, VALUES) is False
    assert deteriorated(15, None, VALUES) is None


@given(st.lists(st.integers(0, 3), min_size=9, max_size=9), st.integers(0, 27))
def test_r29_outcome_is_total_minus_baseline(answers: list[int], baseline: int) -> None:
    case = fold(Case(), note_baseline(Case(), screened(baseline), at()))
    measured = measure_outcome(case, MeasureOutcome(instrument="phq-9", answers=tuple(answers), measured_at=T0), at())[0]
    assert isinstance(measured, integration.OutcomeMeasured)
    assert measured.change == sum(answers) - baseline
    assert not (measured.response and measured.deterioration)


def test_r07_a_missing_item_leaves_the_outcome_unscored() -> None:
    case = fold(Case(), note_baseline(Case(), screened(), at()))
    answers = (1, 1, 1, 1, 1, 1, 1, None, 0)
    measured = measure_outcome(case, MeasureOutcome(instrument="phq-9", answers=answers, measured_at=T0), at())[0]
    assert isinstance(measured, integration.OutcomeMeasured)
    assert (measured.total, measured.change, measured.response, measured.remission) == (None, None, None, None)


@pytest.mark.parametrize(("item9", "demanded"), [(0, False), (1, True), (3, True)])
def test_r08_item_nine_in_an_outcome_demands_the_screener(item9: int, demanded: bool) -> None:
    events = measure_outcome(Case(), MeasureOutcome(instrument="phq-9", answers=(0,) * 8 + (item9,), measured_at=T0), at())
    assert bool(of_type(events, integration.SuicideRiskScreenRequired)) is demanded
    assert fold(Case(), events).risk_screen_due is demanded


@pytest.mark.parametrize(("answers", "held"), [((1, 1, 1, 0, 0, 0), False), ((1, 1, 1, 1, 0, 0), True), ((0, 0, 0, 0, 0, 2), True)])
def test_r10_high_risk_in_an_outcome_places_a_hold(answers: tuple[int, ...], held: bool) -> None:
    events = measure_outcome(Case(), MeasureOutcome(instrument="c-ssrs", answers=answers, measured_at=T0), at())
    assert bool(of_type(events, integration.SafetyHoldPlaced)) is held
    assert bool(fold(Case(), events).stops.holds) is held


def test_an_outcome_in_the_future_is_refused() -> None:
    with pytest.raises(Refusal, match="future"):
        measure_outcome(Case(), MeasureOutcome(instrument="phq-9", answers=(0,) * 9, measured_at=T0 + timedelta(seconds=1)), at())


def test_goals_are_counted_by_the_week() -> None:
    case = fold(Case(), set_goal(Case(), SetGoal(behaviour="walk to the park", times_per_week=3), at()))
    goal = case.goals[0].id
    case = fold(case, record_progress(case, RecordProgress(goal=goal, times=2, at=T0), at()))
    assert [week.times for week in case.goals[0].weeks] == [2]
    with pytest.raises(Refusal):
        record_progress(case, RecordProgress(goal="goal-other", times=1, at=T0), at())


def test_the_fold_of_stops_does_not_depend_on_order() -> None:
    notes: list[EventData] = [
        integration.StopNoted(kind="consent_given", at=T0, noted_from="a", consent_version="c", scopes=("treatment",)),
        integration.StopNoted(kind="consent_withdrawn", at=T0 + timedelta(days=1), noted_from="b"),
        integration.StopNoted(kind="hold_placed", at=T0, noted_from="c", hold="hold-1"),
        integration.StopNoted(kind="hold_lifted", at=T0, noted_from="c", hold="hold-1"),
    ]
    assert len({fold(Case(), list(order)).stops for order in permutations(notes)}) == 1


def test_state_survives_json() -> None:
    case = after_dose()
    case = fold(case, set_goal(case, SetGoal(behaviour="call a friend", times_per_week=1), at()))
    case = fold(case, measure_outcome(case, MeasureOutcome(instrument="gad-7", answers=(1,) * 7, measured_at=T0), at()))
    case = fold(case, STOP.place(case, _hold_request(), at()))
    adapter = TypeAdapter(Case)
    assert adapter.validate_json(adapter.dump_json(case)) == case


def _hold_request() -> Any:
    from shared.pathway.stop import PlaceHold

    return PlaceHold(reason="clinical_concern")
