"""Alerts: the ladder from one role to the next. The minutes are the policy's (mark U); expectations come from the site's own rule:
an alert stands on one work list at a time, goes on when its time is over, and stops at the last level."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from services.intake.domain.alerts import ALERT as INTAKE
from services.integration.domain.alerts import ALERT as INTEGRATION
from services.prescriber.domain.alerts import ALERT as PRESCRIBER
from services.session.domain.alerts import ALERT as SESSION
from shared.events import session
from shared.events.base import AlertEscalated, AlertRaised, EventData
from shared.pathway import alert, stop
from shared.pathway.alert import DEADLINE, AcknowledgeAlert, Alarm, Alarms, AlertEvents, Alerts, show
from shared.pathway.context import Actor, Context
from shared.pathway.policy import Policy, PolicyValues, read_policy
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Stops

STORED = TypeAdapter(Alerts)
T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
POLICY = read_policy()
MISSING = session.VitalOverdue(session=1, due_at=T0, escalated=False)
HELP = session.Escalated(session=1, emergency=True, rule="R-22", because=("seizure",), at=T0)
ALARMS: Alarms = {
    session.VitalOverdue: Alarm("therapist", "vital-overdue"),
    session.Escalated: Alarm("therapist", "escalated", emergency=lambda event: event.emergency),
}


@dataclass(frozen=True, slots=True)
class State:
    alerts: Alerts = field(default_factory=Alerts)
    stops: Stops = field(default_factory=Stops)


def at(minutes: float = 0, policy: Policy = POLICY, seed: str = "tick:x/1", actor: str = "therapist-1") -> Context:
    return Context(now=T0 + timedelta(minutes=minutes), actor=Actor(actor), policy=policy, seed=seed)


def policy(**values: Any) -> Policy:
    return POLICY.model_copy(update={"values": PolicyValues.model_validate({**POLICY.values.model_dump(), **values})})


def fold(state: State, events: list[EventData]) -> State:
    for event in events:
        stored = type(event).model_validate_json(event.model_dump_json())
        assert stored == event
        state = State(alert.fold(state.alerts, stored), stop.fold(state.stops, stored))
    return state


def raised(*events: EventData, policy: Policy = POLICY) -> State:
    return fold(State(), SESSION.with_alerts(ALARMS, events, at(policy=policy)))


def tick(state: State, minutes: float, policy: Policy = POLICY) -> list[EventData]:
    """As the ticker: only what is due is decided, and afterwards it lies ahead or is gone."""
    context = at(minutes, policy)
    due = state.alerts.deadlines.get(DEADLINE)
    said = SESSION.tick(state, DEADLINE, context) if due is not None and due <= context.now else []
    after = fold(state, said).alerts.deadlines.get(DEADLINE)
    assert after is None or after > context.now
    return said


def levels(events: list[EventData]) -> list[tuple[int, str, float]]:
    """Level, role, and minutes from T0 to the deadline."""
    assert all(isinstance(event, AlertEscalated) for event in events)
    found = [event for event in events if isinstance(event, AlertEscalated)]
    return [(event.level, event.role, (event.due_at - T0).total_seconds() / 60) for event in found]


def test_an_event_of_the_table_raises_one_alert_after_what_was_decided() -> None:
    events = SESSION.with_alerts(ALARMS, [MISSING], at())
    first, one = events
    assert first is MISSING
    assert one == session.AlertRaised(
        alert=at().new_id("alert-1"),
        why="vital-overdue",
        role="therapist",
        raised_at=T0,
        due_at=T0 + timedelta(minutes=30),
    )


def test_an_event_that_is_not_in_the_table_raises_none() -> None:
    events: list[EventData] = [session.CourseCompleted(sessions=1, completed_at=T0)]
    assert SESSION.with_alerts(ALARMS, events, at()) == events


def test_two_events_of_one_decision_raise_two_alerts_and_a_retry_the_same_two() -> None:
    once, again = (SESSION.with_alerts(ALARMS, [MISSING, HELP, MISSING], at()) for _ in range(2))
    assert once == again
    ids = [event.alert for event in once if isinstance(event, AlertRaised)]
    assert len(ids) == len(set(ids)) == 3
    other = SESSION.with_alerts(ALARMS, [MISSING], at(seed="tick:x/2"))[-1]
    assert isinstance(other, AlertRaised)
    assert other.alert not in ids


def test_the_ladder_goes_on_at_its_minute_and_not_before_and_ends_at_the_last_level() -> None:
    state = raised(MISSING)
    assert tick(state, 29.99) == []
    said = tick(state, 30)
    assert levels(said) == [(2, "medical_monitor", 45)]
    state = fold(state, said)
    assert tick(state, 44.99) == []
    said = tick(state, 45)
    assert levels(said) == [(3, "admin", 60)]
    state = fold(state, said)
    assert state.alerts.deadlines == {}
    assert tick(state, 10_000) == []
    assert [each.role for each in state.alerts.unacknowledged] == ["admin"]


def test_an_emergency_waits_two_minutes_at_each_level() -> None:
    state = raised(HELP)
    assert tick(state, 1.99) == []
    said = tick(state, 2)
    assert levels(said) == [(2, "medical_monitor", 4)]
    assert levels(tick(fold(state, said), 4)) == [(3, "admin", 6)]


def test_after_an_outage_an_alert_goes_on_by_one_level_and_the_next_role_has_its_whole_time() -> None:
    said = tick(raised(MISSING), 600)
    assert levels(said) == [(2, "medical_monitor", 615)]


def test_one_tick_escalates_all_that_are_due_and_no_others() -> None:
    state = raised(MISSING, HELP, HELP)
    state = fold(state, tick(state, 2))
    assert [each.level for each in state.alerts.raised] == [1, 2, 2]
    assert state.alerts.deadlines == {DEADLINE: T0 + timedelta(minutes=4)}


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_policy_says_how_many_levels_there_are(count: int) -> None:
    changed = policy(alert_levels=count)
    state = raised(MISSING, policy=changed)
    reached = 1
    while DEADLINE in state.alerts.deadlines:
        due = (state.alerts.deadlines[DEADLINE] - T0).total_seconds() / 60
        state = fold(state, tick(state, due, changed))
        reached += 1
    assert reached == count
    assert state.alerts.raised[0].level == count


def test_the_minutes_are_the_policys() -> None:
    changed = policy(alert_acknowledge_minutes=5, alert_escalate_minutes=7)
    state = raised(MISSING, policy=changed)
    assert tick(state, 4.9, changed) == []
    assert levels(tick(state, 5, changed)) == [(2, "medical_monitor", 12)]


@pytest.mark.parametrize("row", ["alert_acknowledge_minutes", "alert_escalate_minutes", "alert_levels", "emergency_acknowledge_minutes"])
def test_a_policy_that_gives_no_time_or_no_level_is_refused(row: str) -> None:
    """A deadline of no minutes would still be due after its tick."""
    with pytest.raises(ValidationError):
        policy(**{row: 0})


def test_acknowledging_ends_the_ladder_and_says_who_and_when() -> None:
    state = raised(MISSING)
    alert_id = state.alerts.raised[0].id
    (done,) = SESSION.acknowledge(state, AcknowledgeAlert(alert=alert_id, note="on my way"), at(10))
    assert done == session.AlertAcknowledged(
        alert=alert_id, note="on my way", acknowledged_by="therapist-1", acknowledged_at=T0 + timedelta(minutes=10)
    )
    state = fold(state, [done])
    assert (state.alerts.deadlines, state.alerts.unacknowledged, state.alerts.roles) == ({}, (), [])
    assert tick(state, 600) == []
    assert show(state.alerts)[0]["acknowledged_by"] == "therapist-1"


def test_acknowledging_twice_or_what_was_never_raised_is_refused() -> None:
    state = raised(MISSING)
    command = AcknowledgeAlert(alert=state.alerts.raised[0].id)
    state = fold(state, SESSION.acknowledge(state, command, at(1)))
    with pytest.raises(Refusal) as twice:
        SESSION.acknowledge(state, command, at(2))
    assert twice.value.slug == "already-acknowledged"
    with pytest.raises(Refusal) as never:
        SESSION.acknowledge(state, AcknowledgeAlert(alert="alert-9"), at(2))
    assert never.value.slug == "no-such-alert"


def test_an_alert_can_be_taken_on_after_the_last_level() -> None:
    state = raised(MISSING)
    for minutes in (30, 45):
        state = fold(state, tick(state, minutes))
    state = fold(state, SESSION.acknowledge(state, AcknowledgeAlert(alert=state.alerts.raised[0].id), at(600)))
    assert state.alerts.roles == []


def test_acknowledging_lifts_no_hold() -> None:
    hold = session.SafetyHoldPlaced(hold="hold-1", reason="suicide_risk", placed_at=T0)
    state = fold(raised(MISSING), [hold])
    after = fold(state, SESSION.acknowledge(state, AcknowledgeAlert(alert=state.alerts.raised[0].id), at(1)))
    assert after.stops == state.stops
    assert after.stops.holds == {"hold-1"}


def test_only_the_acknowledged_alert_is_off_the_list() -> None:
    state = raised(MISSING, HELP)
    one, other = state.alerts.raised
    state = fold(state, SESSION.acknowledge(state, AcknowledgeAlert(alert=one.id), at(1)))
    assert [each.id for each in state.alerts.unacknowledged] == [other.id]


def test_a_service_with_deadlines_of_its_own_decides_them_itself() -> None:
    both = SESSION.beside(lambda _state, deadline, _context: [MISSING] if deadline == "own" else [])
    state = raised(MISSING)
    assert both(state, "own", at(30)) == [MISSING]
    assert levels(both(state, DEADLINE, at(30))) == [(2, "medical_monitor", 45)]


@pytest.mark.parametrize("spoken", [INTAKE, PRESCRIBER, SESSION, INTEGRATION], ids=["intake", "prescriber", "session", "integration"])
def test_each_service_speaks_with_event_types_of_its_own(spoken: AlertEvents) -> None:
    services = {event.TYPE.split(".")[1] for event in (spoken.raised, spoken.acknowledged, spoken.escalated)}
    assert len(services) == 1
    state = fold(State(), spoken.with_alerts(ALARMS, [MISSING], at()))
    assert levels(spoken.tick(state, DEADLINE, at(30))) == [(2, "medical_monitor", 45)]


@given(st.lists(st.tuples(st.sampled_from(["raise", "help", "tick", "acknowledge"]), st.floats(0, 40)), max_size=25))
def test_whatever_happens_an_alert_is_on_one_list_until_acknowledged_and_every_tick_settles(steps: list[tuple[str, float]]) -> None:
    state, minutes = State(), 0.0
    for number, (step, later) in enumerate(steps):
        minutes += later
        open_before = state.alerts.unacknowledged
        match step:
            case "tick":
                state = fold(state, tick(state, minutes))
                assert [each.id for each in state.alerts.unacknowledged] == [each.id for each in open_before]
            case "acknowledge" if open_before:
                state = fold(state, SESSION.acknowledge(state, AcknowledgeAlert(alert=open_before[-1].id), at(minutes)))
            case "raise" | "help":
                event = MISSING if step == "raise" else HELP
                state = fold(state, SESSION.with_alerts(ALARMS, [event], at(minutes, seed=f"cause-{number}")))
            case _:
                assert step == "acknowledge", "nothing to acknowledge"
        assert set(state.alerts.roles) == {each.role for each in state.alerts.unacknowledged}
        assert all(1 <= each.level <= 3 for each in state.alerts.raised)
        assert STORED.validate_json(STORED.dump_json(state.alerts)) == state.alerts
