"""Monitoring after a dose. Expectations: R-21, R-22, R-35 of domain.md 5c; the numbers are the shipped policy's or the plan's.

The dose is at T0, its second pressure due after 40 minutes, within 10 minutes either side, escalated 10 minutes later.
"""

from datetime import timedelta
from typing import Any

import pytest

from services.session.domain.adverse_event import EMERGENCY_SYMPTOMS, RecordAdverseEvent, record_adverse_event
from shared.events.base import EventData
from shared.events.session import AdverseEventRecorded, Escalated, PreDoseChecked, SafetyHoldPlaced, VitalOverdue, VitalsRecorded
from shared.pathway.refusal import Refusal
from tests.unit.alerting import without_alerts
from tests.unit.session.room import (
    T0,
    Room,
    approved_room,
    checked_room,
    dosed_room,
    finish_session,
    hold,
    policy,
    policy_on,
    with_limits,
    withdrawal,
)

DUE = T0 + timedelta(minutes=40)


def at_minute(room: Room, minute: float) -> Room:
    room.now = T0 + timedelta(minutes=minute)
    return room


def escalations(events: list[EventData]) -> list[tuple[str, bool, tuple[str, ...]]]:
    return [(event.rule, event.emergency, event.because) for event in events if isinstance(event, Escalated)]


# the pressure about 40 minutes after the dose


@pytest.mark.parametrize("minute", [30, 40, 50])
def test_r21_a_pressure_inside_the_window_settles_it(minute: int) -> None:
    room = at_minute(dosed_room(), minute)
    room.vitals()
    assert room.pressures_due == []
    assert without_alerts(at_minute(room, 240).tick()) == []


@pytest.mark.parametrize("minute", [0, 29.9])
def test_r21_a_pressure_before_the_window_does_not(minute: float) -> None:
    room = at_minute(dosed_room(), minute)
    room.vitals()
    assert room.pressures_due == [DUE + timedelta(minutes=10)]


def test_r21_vitals_without_a_pressure_do_not() -> None:
    room = at_minute(dosed_room(), 40)
    room.vitals(pressure=None, heart_rate=80)
    assert len(room.pressures_due) == 1


def test_r21_a_missing_pressure_is_said_and_then_escalated() -> None:
    room = at_minute(dosed_room(), 49.9)
    assert without_alerts(room.tick()) == []
    assert without_alerts(at_minute(room, 50).tick()) == [VitalOverdue(session=1, due_at=DUE, escalated=False)]
    assert without_alerts(at_minute(room, 59.9).tick()) == []
    at_minute(room, 60)
    assert without_alerts(room.tick()) == [
        VitalOverdue(session=1, due_at=DUE, escalated=True),
        Escalated(
            session=1,
            emergency=False,
            rule="R-21",
            because=("second-pressure-missing",),
            at=room.now,
            watch="second_pressure_1_20260302t094000",
        ),
    ]
    assert room.pressures_due == []


def test_r21_after_an_outage_both_are_said_at_once() -> None:
    said = at_minute(dosed_room(), 300).tick()
    assert [event.escalated for event in said if isinstance(event, VitalOverdue)] == [False, True]


def test_r21_a_pressure_taken_late_spares_the_escalation() -> None:
    room = at_minute(dosed_room(), 50)
    room.tick()
    at_minute(room, 55).vitals()
    assert without_alerts(at_minute(room, 240).tick()) == []


def test_r21_a_pressure_taken_in_time_and_recorded_late_spares_the_escalation() -> None:
    room = at_minute(dosed_room(), 55)
    room.tick()
    room.vitals(taken_at=T0 + timedelta(minutes=41))
    assert room.pressures_due == []


def test_r21_a_pressure_taken_after_the_window_is_still_said_to_be_overdue() -> None:
    room = at_minute(dosed_room(), 52)
    room.vitals()
    assert without_alerts(room.tick()) == [VitalOverdue(session=1, due_at=DUE, escalated=False)]
    assert room.calls == []  # what it would call for is there
    assert without_alerts(at_minute(room, 240).tick()) == []


def test_r21_a_booster_has_a_window_of_its_own() -> None:
    room = at_minute(dosed_room(), 20)
    room.dose("50", booster=True)
    at_minute(room, 40).vitals()
    assert room.pressures_due == [T0 + timedelta(minutes=20 + 50)]
    at_minute(room, 60).vitals()
    assert room.pressures_due == []


def test_r21_one_pressure_may_lie_in_two_windows() -> None:
    room = at_minute(dosed_room(), 10)
    room.dose("50", booster=True)
    at_minute(room, 45).vitals()
    assert room.pressures_due == []


def test_r21_the_minutes_are_the_prescribers_and_the_tolerance_the_policys() -> None:
    room = dosed_room(with_limits(140, 90, after=20), policy(second_pressure_tolerance_minutes=5, second_pressure_escalate_minutes=7))
    assert room.pressures_due == [T0 + timedelta(minutes=25)]
    at_minute(room, 25).tick()
    assert room.pressures_due == [T0 + timedelta(minutes=32)]


@pytest.mark.parametrize(("left_at", "overdue"), [(49, 0), (55, 1), (61, 2)])
def test_r21_nothing_falls_due_once_the_patient_has_left(left_at: int, overdue: int) -> None:
    room = at_minute(dosed_room(), left_at)
    room.discharge(left_against_advice=True)
    said = at_minute(room, 300).tick()
    assert len([event for event in said if isinstance(event, VitalOverdue)]) == overdue


def test_r21_a_stop_does_not_silence_the_watch() -> None:
    room = dosed_room()
    room.hear(hold())
    room.hear(withdrawal())
    assert at_minute(room, 60).tick() != []


def test_r21_an_unscheduled_dose_is_watched_too() -> None:
    room = Room()
    room.dose(session=None)
    assert room.pressures_due == [T0 + timedelta(minutes=50)]


# vitals


@pytest.mark.parametrize(
    ("pressure", "escalated"),
    [((180, 120), False), ((181, 120), True), ((180, 121), True), ((181, 121), True), ((150, 95), False)],
)
def test_r22_severe_pressure_escalates_and_is_no_emergency_by_itself(pressure: tuple[int, int], escalated: bool) -> None:
    found = escalations(dosed_room().vitals(pressure=pressure))
    assert found == ([("R-22", False, ("blood-pressure",))] if escalated else [])


@pytest.mark.parametrize(("saturation", "escalated"), [(92, False), (91, True), (0, True), (100, False)])
def test_r22_low_saturation_escalates(saturation: int, escalated: bool) -> None:
    found = escalations(dosed_room().vitals(pressure=None, oxygen_saturation=saturation))
    assert found == ([("R-22", False, ("oxygen-saturation",))] if escalated else [])


@pytest.mark.parametrize(("rate", "escalated"), [(10, False), (9, True), (0, True)])
def test_r22_slow_breathing_escalates(rate: int, escalated: bool) -> None:
    found = escalations(dosed_room().vitals(pressure=None, respiratory_rate=rate))
    assert found == ([("R-22", False, ("respiratory-rate",))] if escalated else [])


def test_r22_the_numbers_are_the_policys() -> None:
    room = dosed_room(policy=policy(escalate_systolic_above=160, oxygen_saturation_below=95, respiratory_rate_below=12))
    events = room.vitals(pressure=(161, 80), oxygen_saturation=94, respiratory_rate=11)
    assert escalations(events) == [("R-22", False, ("blood-pressure", "oxygen-saturation", "respiratory-rate"))]


@pytest.mark.parametrize(("sedation", "emergency"), [(0, True), (1, False), (5, False)])
def test_r35_no_response_is_an_emergency(sedation: int, emergency: bool) -> None:
    found = escalations(dosed_room().vitals(sedation=sedation))
    assert found == ([("R-35", True, ("unresponsive",))] if emergency else [])


@pytest.mark.parametrize(("pressure", "escalated"), [((180, 120), False), ((181, 80), True)])
def test_r22_severe_pressure_in_the_checks_escalates_and_is_recorded(pressure: tuple[int, int], escalated: bool) -> None:
    room = approved_room()
    room.schedule()
    events = room.check(pressure=pressure)
    assert isinstance(events[0], PreDoseChecked)
    assert escalations(events) == ([("R-22", False, ("blood-pressure",))] if escalated else [])


def test_an_entry_without_a_value_is_malformed() -> None:
    with pytest.raises(Refusal) as refused:
        dosed_room().vitals(pressure=None)
    assert refused.value.slug == "malformed"


def test_vitals_of_a_session_that_never_was_are_malformed() -> None:
    with pytest.raises(Refusal) as refused:
        dosed_room().vitals(session=2)
    assert refused.value.slug == "no-such-session"


@pytest.mark.parametrize(
    ("changes", "slug"),
    [
        ({"checked_at": T0 + timedelta(seconds=1)}, "time-in-the-future"),
        ({"weighed_at": T0 + timedelta(seconds=1)}, "time-in-the-future"),
        ({"checked_at": T0 - timedelta(hours=1)}, "out-of-range"),  # weighed after the checks
    ],
)
def test_checks_at_impossible_times_are_refused(changes: dict[str, Any], slug: str) -> None:
    room = approved_room()
    room.schedule()
    with pytest.raises(Refusal) as refused:
        room.check(**changes)
    assert refused.value.slug == slug


def test_checks_are_recorded_whatever_they_say() -> None:
    room = checked_room(consent_reaffirmed=False, monitor=None, escort_named=False, fasting=False, consent_version="other")
    assert room.course.require(1).latest_checks is not None


# adverse events


def adverse(room: Room, **changes: Any) -> list[EventData]:
    body: dict[str, Any] = {"session": 1, "what": "nausea", "serious": False, "happened_at": room.now}
    return room.do(record_adverse_event, RecordAdverseEvent(**{**body, **changes}))


@pytest.mark.parametrize("symptom", sorted(EMERGENCY_SYMPTOMS))
def test_r22_each_sign_of_organ_damage_is_an_emergency_at_any_pressure(symptom: str) -> None:
    room = dosed_room()
    room.vitals(pressure=(110, 70))
    events = adverse(room, symptoms=("nausea", symptom))
    assert escalations(events) == [("R-22", True, (symptom,))]


def test_r22_the_signs_are_those_of_the_rule() -> None:
    # domain.md R-22: chest pain, dyspnoea, sudden severe headache, visual change, seizure, reduced consciousness or focal sign
    assert len(EMERGENCY_SYMPTOMS) == 7


def test_an_adverse_event_without_such_a_sign_is_recorded_and_calls_nobody() -> None:
    room = dosed_room()
    (recorded,) = adverse(room, symptoms=("nausea",))
    assert isinstance(recorded, AdverseEventRecorded)
    assert (recorded.session, recorded.what, recorded.symptoms, recorded.happened_at) == (1, "nausea", ("nausea",), T0)


def test_a_serious_adverse_event_places_a_hold_that_stops_dosing() -> None:
    room = dosed_room()
    events = adverse(room, serious=True)
    (placed,) = [event for event in events if isinstance(event, SafetyHoldPlaced)]
    assert placed.reason == "adverse_event"
    assert room.course.stops.holds == {placed.hold}


@pytest.mark.parametrize(("serious", "calls"), [(True, ["escalated"]), (False, [])])
def test_a_serious_adverse_event_without_a_sign_of_an_emergency_calls_a_clinician_too(serious: bool, calls: list[str]) -> None:
    room = dosed_room()
    events = adverse(room, serious=serious)
    assert escalations(events) == ([("R-22", False, ("serious-adverse-event",))] if serious else [])
    assert room.calls == calls


@pytest.mark.parametrize("session", [None, 9])
def test_an_adverse_event_outside_any_session_is_recorded_and_escalated(session: int | None) -> None:
    events = adverse(Room(), session=session, symptoms=("seizure",))
    assert isinstance(events[0], AdverseEventRecorded)
    assert events[0].session is None
    assert escalations(events) == [("R-22", True, ("seizure",))]


def test_a_stop_never_keeps_vitals_adverse_events_or_checks_out_of_the_record() -> None:
    room = dosed_room()
    for stop in (hold(), withdrawal()):
        room.hear(stop)
    assert isinstance(room.vitals()[0], VitalsRecorded)
    assert isinstance(adverse(room)[0], AdverseEventRecorded)
    assert isinstance(room.check()[0], PreDoseChecked)


def test_vitals_taken_before_the_discharge_can_be_recorded_after_it() -> None:
    room = dosed_room()
    finish_session(room)
    assert isinstance(room.vitals(taken_at=T0 + timedelta(minutes=60))[0], VitalsRecorded)


def test_r21_r22_the_policy_of_the_route_counts_in_the_room() -> None:
    room = checked_room()
    room.authorise()
    room.policy = policy_on("sublingual", second_pressure_tolerance_minutes=5, oxygen_saturation_below=95, escalate_systolic_above=170)
    room.dose()
    assert room.pressures_due == [DUE + timedelta(minutes=5)]
    room.later(minutes=20)
    because = [event.because for event in room.vitals(pressure=(175, 80), oxygen_saturation=94) if isinstance(event, Escalated)]
    assert because == [("blood-pressure", "oxygen-saturation")]
    room.policy = policy_on("intravenous", oxygen_saturation_below=95)
    assert not [event for event in room.vitals(oxygen_saturation=94) if isinstance(event, Escalated)]
