"""A blood pressure that holds a dose, and who may end that (R-19: Spravato label 2019, either number above 140/90; NCT04173962:
above 160 systolic or 90 diastolic no dose). The patient's limit is 140/90 unless a test says otherwise."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from services.session.api import COMMANDS
from services.session.domain.decide_on_pressure import DecideOnPressure, decide_on_pressure
from services.session.domain.schedule import CancelSession, cancel_session
from shared.access.decide import ALLOWED
from shared.events.base import EventData
from shared.events.session import AlertRaised, DosingAuthorised, PrescriberAsked, PressureDecided, SessionDosed
from shared.pathway.refusal import Refusal
from tests.unit.session.room import T0, Room, checked_room, dosed_room, entry_of, hold, policy, rules, with_limits

HELD = {("R-19", "pressure-above-limit")}
TRIAL = policy(no_dose_above_trial_limits=True)


def held_room() -> Room:
    """150/85 was measured at T0."""
    return checked_room(pressure=(150, 85))


def allows(room: Room) -> bool:
    """Whether the dose is authorised; anything but this one hold fails the test."""
    decided = room.authorise()
    if isinstance(decided[0], DosingAuthorised):
        return True
    assert rules(decided) == HELD
    return False


def refusal(room: Room, decision: str = "proceed", **changes: object) -> str:
    with pytest.raises(Refusal) as refused:
        room.decide(decision, **changes)  # type: ignore[arg-type]
    return refused.value.slug


def test_r19_only_a_prescriber_decides_on_a_pressure() -> None:
    command = next(command for command in COMMANDS if command.body is DecideOnPressure)
    assert ALLOWED[command.permission] == {"prescriber"}


def test_r19_a_hold_stands_until_a_prescriber_decides_to_go_on() -> None:
    room = held_room()
    assert not allows(room)
    decided, _ = room.decide("proceed", until=T0 + timedelta(hours=1))
    assert isinstance(decided, PressureDecided)
    assert (decided.pressure.systolic, decided.pressure.diastolic, decided.measured_at) == (150, 85, T0)
    assert (decided.decided_by, decided.decided_at, decided.policy_version) == ("actor-1", T0, room.policy.version)
    assert allows(room)


@pytest.mark.parametrize(("minutes", "allowed"), [(59, True), (60, False)])
def test_r19_a_decision_counts_until_its_moment(minutes: int, allowed: bool) -> None:
    room = held_room()
    room.decide("proceed", until=T0 + timedelta(hours=1))
    room.later(minutes=minutes)
    assert allows(room) is allowed


@pytest.mark.parametrize(
    ("later", "allowed"),
    [
        ((150, 85), True),
        ((149, 84), True),
        ((151, 85), False),
        ((150, 86), False),
        ((145, 91), False),
        ((141, 60), True),
        ((140, 90), True),
    ],
)
def test_r19_a_decision_covers_no_higher_pressure_in_either_number(later: tuple[int, int], allowed: bool) -> None:
    room = held_room()
    room.decide("proceed")
    room.later(minutes=5)
    room.vitals(pressure=later)
    assert allows(room) is allowed


@pytest.mark.parametrize(("later", "allowed"), [((140, 90), True), ((141, 90), False), ((140, 91), False)])
@pytest.mark.parametrize("decide_first", [True, False])
def test_r19_a_repeat_at_or_under_the_limit_ends_the_hold(later: tuple[int, int], allowed: bool, decide_first: bool) -> None:
    room = held_room()
    if decide_first:
        room.decide("repeat")
    room.later(minutes=15)
    room.vitals(pressure=later)
    assert allows(room) is allowed


def test_r19_to_wait_and_repeat_takes_an_earlier_word_back() -> None:
    room = held_room()
    room.decide("proceed")
    room.decide("repeat")
    assert not allows(room)


def test_r19_no_dose_today_outlasts_a_good_repeat_until_the_next_day_or_a_prescribers_other_word() -> None:
    room = held_room()
    room.decide("no_dose_today")
    room.later(minutes=30)
    room.check(pressure=(120, 80))
    assert rules(room.authorise()) == {("R-19", "no-dose-today")}
    other = held_room()
    other.decide("no_dose_today")
    other.later(minutes=30)
    other.check(pressure=(120, 80))
    other.decide("proceed")
    assert allows(other)
    room.later(days=1)
    room.check(pressure=(120, 80))
    assert allows(room)


def test_r19_the_day_of_no_dose_today_is_the_clinics() -> None:
    room = held_room()
    room.now = T0.replace(hour=20)
    room.check(pressure=(150, 85))
    room.decide("no_dose_today")
    room.now = T0.replace(day=T0.day + 1, hour=4)  # 23:00 in New York, and the 3rd in UTC
    room.check(pressure=(120, 80))
    assert rules(room.authorise()) == {("R-19", "no-dose-today")}
    room.later(hours=1, seconds=1)
    room.check(pressure=(120, 80))
    assert allows(room)


def test_r19_of_two_pressures_taken_at_once_the_higher_numbers_count() -> None:
    room = held_room()
    room.vitals(pressure=(120, 95))
    assert not allows(room)
    decided, _ = room.decide("proceed")
    assert isinstance(decided, PressureDecided)
    assert (decided.pressure.systolic, decided.pressure.diastolic) == (150, 95)


def test_r19_a_pressure_recorded_late_does_not_end_the_hold_of_a_later_one() -> None:
    room = held_room()
    room.later(minutes=10)
    room.vitals(pressure=(120, 80), taken_at=T0 - timedelta(minutes=5))
    assert not allows(room)


@pytest.mark.parametrize(
    ("pressure", "because"),
    [
        ((160, 90), "pressure-above-limit"),
        ((161, 90), "pressure-above-trial-limit"),
        ((160, 91), "pressure-above-trial-limit"),
        ((150, 85), "pressure-above-limit"),
    ],
)
def test_r19_under_a_trials_rule_no_one_goes_on_above_its_limits(pressure: tuple[int, int], because: str) -> None:
    room = checked_room(policy=TRIAL, pressure=pressure)
    assert rules(room.authorise()) == {("R-19", because)}
    decided = room.decide("proceed")
    if because == "pressure-above-limit":
        assert isinstance(room.authorise()[0], DosingAuthorised)
    else:
        assert rules(decided) == {("R-19", because)}
        assert rules(room.authorise()) == {("R-19", because)}


def test_r19_under_a_trials_rule_not_even_a_patients_own_higher_limit_lets_a_dose_through() -> None:
    assert rules(checked_room(with_limits(180, 100), TRIAL, pressure=(161, 85)).authorise()) == {("R-19", "pressure-above-trial-limit")}


def test_r19_under_a_trials_rule_a_repeat_at_its_limit_is_again_a_prescribers_to_decide() -> None:
    room = checked_room(policy=TRIAL, pressure=(170, 95))
    room.later(minutes=15)
    room.vitals(pressure=(160, 90))
    room.decide("proceed")
    assert isinstance(room.authorise()[0], DosingAuthorised)


def test_r19_a_trials_rule_is_off_unless_the_policy_takes_it() -> None:
    room = checked_room(pressure=(199, 99))
    room.decide("proceed")
    assert isinstance(room.authorise()[0], DosingAuthorised)


def test_r19_a_decision_ends_no_other_objection() -> None:
    room = checked_room(pressure=(150, 85), escort_named=False)
    room.decide("proceed")
    room.hear(hold())
    assert rules(room.authorise()) == {("R-20", "no-escort"), ("R-10", "safety-hold")}


def test_r19_a_decision_counts_in_its_session_only() -> None:
    room = held_room()
    room.decide("proceed", until=T0 + timedelta(days=30))
    room.authorise()
    room.dose()
    room.later(minutes=130)
    room.discharge(left_against_advice=True)
    room.schedule()
    room.check(2, (150, 85))
    assert rules(room.authorise(session=2)) == HELD


def test_r19_a_booster_on_a_pressure_that_a_prescriber_accepted() -> None:
    room = dosed_room()
    room.later(minutes=40)
    room.vitals(pressure=(155, 88))
    assert rules(room.authorise("50", booster=True)) == HELD
    room.decide("proceed")
    assert isinstance(room.authorise("50", booster=True)[0], DosingAuthorised)


def test_r19_nothing_is_decided_where_nothing_is_held() -> None:
    assert refusal(checked_room()) == "nothing-held"
    room = checked_room()
    room.later(minutes=5)
    room.vitals(pressure=(150, 80))
    room.decide("repeat")
    with pytest.raises(Refusal) as refused:
        room.decide("repeat", session=9)
    assert refused.value.slug == "no-such-session"


def test_r19_going_on_needs_an_end_and_nothing_else_has_one() -> None:
    assert refusal(held_room(), until=T0) == "out-of-range"
    assert refusal(held_room(), "repeat", until=T0 + timedelta(hours=1)) == "malformed"
    endless = DecideOnPressure(session=1, decision="proceed", reason="Looks well.")
    room = held_room()
    with pytest.raises(Refusal) as refused:
        room.do(decide_on_pressure, endless, "prescriber")
    assert refused.value.slug == "malformed"


def test_r19_a_decision_has_a_reason() -> None:
    with pytest.raises(ValidationError):
        DecideOnPressure.model_validate_json('{"session": 1, "decision": "repeat", "reason": ""}')


def asked(events: list[EventData]) -> list[tuple[str, tuple[str, ...]]]:
    return [(event.rule, event.because) for event in events if isinstance(event, PrescriberAsked)]


@pytest.mark.parametrize(("pressure", "calls"), [((140, 90), False), ((141, 90), True), ((140, 91), True)])
def test_r19_checks_above_the_limit_ask_a_prescriber(pressure: tuple[int, int], calls: bool) -> None:
    room = checked_room()
    events = room.check(pressure=pressure)
    assert asked(events) == ([("R-19", ("pressure-above-limit",))] if calls else [])
    assert [event.role for event in events if isinstance(event, AlertRaised)] == (["prescriber"] if calls else [])


def test_r19_a_dose_on_a_held_pressure_is_recorded_as_that() -> None:
    room = held_room()
    dosed = room.dose()[0]
    assert isinstance(dosed, SessionDosed)
    assert set(dosed.deviations) == {"not-authorised", "pressure-above-limit"}


def test_r19_a_pressure_taken_after_the_dose_says_nothing_of_it() -> None:
    room = checked_room()
    room.authorise()
    room.later(minutes=40)
    room.vitals(pressure=(170, 95))
    dosed = room.dose(given_at=T0 + timedelta(minutes=1))[0]
    assert isinstance(dosed, SessionDosed)
    assert dosed.deviations == ()


def test_r19_the_prescribers_word_ends_the_call_for_it_whatever_the_word() -> None:
    for word in ("proceed", "repeat", "no_dose_today"):
        room = checked_room(pressure=(150, 85))
        assert room.calls == ["asked-before-a-dose"]
        room.decide(word)
        assert room.calls == []


def test_r19_the_call_for_a_prescriber_ends_with_a_lower_pressure_and_with_the_session() -> None:
    room = checked_room(pressure=(150, 85))
    room.later(minutes=10)
    room.vitals(pressure=(141, 90))
    assert room.calls == ["asked-before-a-dose"]
    room.later(minutes=10)
    room.vitals(pressure=(140, 90))
    assert room.calls == []
    room = checked_room(pressure=(150, 85))
    room.later(minutes=10)
    room.check(pressure=(151, 85))
    assert room.calls == ["asked-before-a-dose"]
    room.do(cancel_session, CancelSession(session=1, reason="not-fit-today"))
    assert room.calls == []


def test_r19_checks_that_were_an_error_call_nobody_and_those_before_them_call_again() -> None:
    room = checked_room(pressure=(150, 85))
    room.later(minutes=10)
    lower = entry_of(room.check(pressure=(120, 80)))
    assert room.calls == []
    higher = room.course.sessions[0].checks[0].entry
    room.correct(lower)
    assert room.calls == ["asked-before-a-dose"]
    room.correct(higher)
    assert room.calls == []
