"""Correcting entries of the session room: what counts afterwards is what would count had the marked entry never been.

Expectations: docs/decisions/0011 and PERMISSION AND FACT; the recounts are made from the list of what was said, not by the service.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.session.domain.adverse_event import RecordAdverseEvent, record_adverse_event
from services.session.domain.chaperone import RecordChaperoneCheck
from services.session.domain.discharge import DischargePatient
from services.session.domain.prepare import RecordPreparation
from services.session.show import show_course
from shared.events.base import EventData
from shared.events.session import (
    AlertAcknowledged,
    AlertRaised,
    CourseCompleted,
    EntryCorrected,
    Escalated,
    SafetyHoldPlaced,
    SessionCompleted,
    SessionDosed,
    VitalOverdue,
    VitalsRecorded,
)
from shared.events.stay import ChaperoneCheckOverdue
from shared.pathway.refusal import Refusal
from tests.unit.alerting import without_alerts
from tests.unit.session.corrections import dose_body, only_dose, vitals_body
from tests.unit.session.room import (
    T0,
    Room,
    approval,
    approved_room,
    dosed_room,
    entry_of,
    finish_session,
    plan,
    remote_room,
    rules,
    run_session,
)


def at_minute(room: Room, number: float) -> Room:
    room.now = T0 + timedelta(minutes=number)
    return room


def kinds(events: list[EventData]) -> list[type[EventData]]:
    return [type(event) for event in events]


# What each kind of entry had settled is open again


@pytest.mark.parametrize("kind", ["entered_in_error", "wrong_patient"])
def test_r21_a_marked_pressure_opens_its_deadline_again(kind: str) -> None:
    room = at_minute(dosed_room(), 40)
    entry = entry_of(room.vitals())
    assert room.pressures_due == []
    (marked,) = room.correct(entry, kind)
    assert isinstance(marked, EntryCorrected)
    assert (marked.entry, marked.kind, marked.of, marked.session, marked.corrected_at) == (entry, kind, "vitals", 1, room.now)
    assert room.pressures_due == [T0 + timedelta(minutes=50)]


def test_r21_a_deadline_that_passed_meanwhile_is_said_with_the_correction() -> None:
    room = at_minute(dosed_room(), 40)
    entry = entry_of(room.vitals())
    events = at_minute(room, 240).correct(entry)
    assert [event.escalated for event in events if isinstance(event, VitalOverdue)] == [False, True]
    assert room.calls == ["vital-overdue", "vital-overdue", "escalated"]
    assert room.tick() == []


def test_r21_an_alarm_that_a_marked_entry_had_settled_calls_again() -> None:
    room = at_minute(dosed_room(), 60)
    room.tick()
    entry = entry_of(room.vitals(taken_at=T0 + timedelta(minutes=41)))
    assert room.calls == []
    events = room.correct(entry)
    assert [event.escalated for event in events if isinstance(event, VitalOverdue)] == [True]
    assert room.calls == ["vital-overdue"]
    assert room.tick() == []


def test_r21_a_pressure_amended_within_its_window_settles_all_the_same() -> None:
    room = at_minute(dosed_room(), 45)
    entry = entry_of(room.vitals(taken_at=T0 + timedelta(minutes=40), pressure=(210, 80)))
    assert room.calls == ["escalated"]
    marked, replaced = room.correct(entry, "amended", vitals=vitals_body())
    assert isinstance(marked, EntryCorrected)
    assert isinstance(replaced, VitalsRecorded)
    assert (replaced.replaces, replaced.entry == entry) == (entry, False)
    assert room.pressures_due == []
    assert not [name for name in room.course.deadlines if name.startswith("repeat")]


def test_r21_a_pressure_amended_out_of_its_window_is_missing() -> None:
    room = at_minute(dosed_room(), 40)
    entry = entry_of(room.vitals())
    at_minute(room, 55).correct(entry, "amended", vitals=vitals_body(taken_at=T0 + timedelta(minutes=20)))
    assert room.calls == ["vital-overdue"]


def test_r35_a_marked_sign_of_sedation_no_longer_keeps_the_patient() -> None:
    room = at_minute(dosed_room(), 40)
    room.vitals()
    entry = entry_of(room.vitals(pressure=None, sedation=3))
    at_minute(room, 120).vitals()
    assert rules(room.discharge()) == {("R-35", "sedation-not-resolved")}
    room.correct(entry)
    assert isinstance(room.discharge()[0], SessionCompleted)


def test_r23_a_marked_discharge_takes_the_patient_under_watch_again_and_the_course_on() -> None:
    room = dosed_room(plan(doses=1))
    events = finish_session(room)
    assert room.course.status == "completed"
    assert kinds(room.correct(entry_of(events))) == [EntryCorrected]
    assert (room.course.status, room.course.require(1).phase) == ("monitoring", "dosed")
    room.later(minutes=5)
    assert kinds(room.discharge()) == [SessionCompleted, CourseCompleted]


def test_r23_an_amended_discharge_replaces_the_first_and_is_a_fact() -> None:
    room = dosed_room(plan(doses=1))
    entry = entry_of(finish_session(room))
    body = DischargePatient(
        session=1,
        discharged_at=T0 + timedelta(minutes=110),
        assessed_by="monitor-1",
        at_baseline=True,
        escort_present=True,
        no_driving_instruction=True,
        aftercare_contact="on-call-1",
    )
    events = without_alerts(room.correct(entry, "amended", discharge=body))
    assert kinds(events) == [EntryCorrected, SessionCompleted, Escalated, CourseCompleted]
    (done,) = [event for event in events if isinstance(event, SessionCompleted)]
    assert set(done.deviations) == {"stay-too-short", "no-pressure-before-leaving"}  # the last one by then was taken at 40 minutes
    assert (done.minutes_since_dose, room.course.status) == (110, "completed")


def test_a_marked_dose_is_given_back_and_everything_it_began_ends() -> None:
    room = at_minute(dosed_room(), 60)
    room.tick()
    assert (room.course.doses_left, len(room.calls)) == (1, 3)
    events = room.correct(only_dose(room))
    assert kinds(events) == [EntryCorrected, AlertAcknowledged, AlertAcknowledged, AlertAcknowledged]
    assert isinstance(events[0], EntryCorrected)
    assert events[0].left_undosed  # what integration goes by
    assert (room.course.doses_left, room.course.require(1).phase) == (2, "scheduled")
    assert set(room.course.deadlines) == {"approval_expiry_1"}
    assert room.course.status == "scheduled"
    assert room.calls == []


def test_a_marked_dose_ends_the_chaperones_watch() -> None:
    room = at_minute(remote_room(), 16)
    room.tick()
    assert room.calls == ["chaperone-check-overdue"]
    room.correct(only_dose(room))
    assert room.calls == []
    assert not [name for name in room.course.deadlines if name.startswith("chaperone")]


def test_an_amended_dose_counts_once_with_deadlines_of_its_own() -> None:
    room = at_minute(dosed_room(), 10)
    events = room.correct(only_dose(room), "amended", dose=dose_body(given_at=T0 + timedelta(minutes=5), dose_mg=Decimal(150)))
    assert kinds(without_alerts(events)) == [EntryCorrected, SessionDosed, Escalated]  # 200 mg were authorised
    assert isinstance(events[0], EntryCorrected)
    assert not events[0].left_undosed
    assert room.course.doses_left == 1
    assert room.course.require(1).dosed_mg_by(room.now) == 150
    assert room.pressures_due == [T0 + timedelta(minutes=55)]


def test_a_dose_that_nobody_scheduled_and_nobody_gave_leaves_no_session_open() -> None:
    room = approved_room()
    room.prepare()
    room.dose(session=None)
    room.correct(only_dose(room))
    assert room.course.open_sessions == ()
    assert room.course.status == "ready"
    room.schedule()


def test_a_marked_dose_opens_the_course_that_waited_for_its_discharge() -> None:
    room = dosed_room()
    room.hear(approval(plan(doses=4), request=2))
    assert "CourseOpened" in [type(event).__name__ for event in room.correct(only_dose(room))]
    assert room.course.doses_left == 4


def test_a_dose_of_an_earlier_plan_that_was_an_error_gives_nothing_to_the_next() -> None:
    room = dosed_room()
    finish_session(room)
    first = only_dose(room)
    room.hear(approval(plan(doses=4), request=2))
    room.later(days=7)
    run_session(room, 2)
    assert room.course.doses_left == 3
    room.correct(first)
    assert (room.course.doses_left, room.course.doses_used_under_plan) == (3, 1)


def test_a_dose_of_an_earlier_plan_that_was_amended_still_belongs_to_it() -> None:
    room = dosed_room()
    finish_session(room)
    first = only_dose(room)
    room.hear(approval(plan(doses=4), request=2))
    room.correct(first, "amended", dose=dose_body(dose_mg=Decimal(150)))
    assert (room.course.doses_left, sum(len(session.doses) for session in room.course.sessions)) == (4, 1)


def test_r27_a_marked_dose_that_completed_the_course_takes_it_on() -> None:
    room = dosed_room(plan(doses=1))
    finish_session(room)
    room.correct(only_dose(room))
    assert (room.course.status, room.course.doses_left) == ("ready", 1)


# What stays


def test_a_hold_that_an_entry_led_to_stays_until_a_clinician_lifts_it() -> None:
    room = dosed_room()
    events = room.do(record_adverse_event, RecordAdverseEvent(session=1, what="fell", serious=True, happened_at=T0))
    (hold,) = [event.hold for event in events if isinstance(event, SafetyHoldPlaced)]
    room.correct(entry_of(events))
    assert room.course.stops.holds == {hold}
    assert room.course.adverse_events == ()


# The other kinds


def test_a_marked_preparation_is_no_preparation_and_an_earlier_one_counts_again() -> None:
    room = approved_room()
    room.prepare()
    room.later(minutes=1)
    second = entry_of(room.prepare(psychoeducation=False))
    room.correct(second)
    assert room.course.preparation is not None
    assert room.course.preparation.psychoeducation
    room.correct(room.course.preparation.entry)
    assert room.course.status == "preparing"
    third = entry_of(room.prepare())
    room.correct(third, "amended", preparation=RecordPreparation(psychoeducation=True, intentions=("listen",), completed_at=T0))
    assert room.course.preparation.intentions == ("listen",)


def test_r25_a_marked_check_of_the_chaperone_is_due_again() -> None:
    room = at_minute(remote_room(), 14)
    entry = entry_of(room.chaperone())
    at_minute(room, 16)
    events = room.correct(entry)
    assert [event.escalated for event in events if isinstance(event, ChaperoneCheckOverdue)] == [False]
    body = RecordChaperoneCheck(session=1, chaperone="c", visible=True, responsive=True, checked_at=T0 + timedelta(minutes=15))
    second = entry_of(room.chaperone())
    assert room.calls == []
    room.correct(second, "amended", chaperone_check=body)
    assert room.calls == []


def test_r22_a_marked_response_opens_the_emergency_again() -> None:
    room = dosed_room()
    room.vitals(pressure=None, sedation=0)
    entry = entry_of(room.respond())
    assert room.course.open_emergencies == ()
    room.correct(entry)
    assert len(room.course.open_emergencies) == 1


def test_r22_a_marked_pressure_above_the_limit_is_not_due_again() -> None:
    room = at_minute(dosed_room(), 40)
    entry = entry_of(room.vitals(pressure=(150, 80)))
    at_minute(room, 55).tick()
    assert "repeat-pressure-overdue" in room.calls
    room.correct(entry)
    assert "repeat-pressure-overdue" not in room.calls


# What cannot be corrected


def test_an_unknown_entry_and_one_that_was_corrected_are_refused() -> None:
    room = dosed_room()
    entry = only_dose(room)
    with pytest.raises(Refusal) as refused:
        room.correct("entry-0")
    assert refused.value.slug == "no-such-entry"
    room.correct(entry)
    with pytest.raises(Refusal) as refused:
        room.correct(entry)
    assert refused.value.slug == "already-corrected"


@pytest.mark.parametrize(
    ("kind", "replacement"),
    [
        ("amended", {}),
        ("amended", {"vitals": vitals_body()}),
        ("amended", {"dose": dose_body(), "vitals": vitals_body()}),
        ("amended", {"dose": dose_body(session=2)}),
        ("entered_in_error", {"dose": dose_body()}),
    ],
)
def test_a_replacement_is_of_the_same_kind_and_session_and_of_an_amended_entry_alone(kind: str, replacement: dict[str, Any]) -> None:
    room = dosed_room()
    with pytest.raises(Refusal) as refused:
        room.correct(only_dose(room), kind, **replacement)
    assert refused.value.slug == "malformed"


def test_a_replacement_that_cannot_be_is_refused_and_nothing_is_marked() -> None:
    room = dosed_room()
    with pytest.raises(Refusal):
        room.correct(only_dose(room), "amended", dose=dose_body(given_at=T0 + timedelta(minutes=1)))
    assert len(room.course.require(1).doses) == 1


def test_alerts_of_one_correction_have_names_of_their_own() -> None:
    room = at_minute(dosed_room(), 40)
    entry = entry_of(room.vitals())
    events = at_minute(room, 120).correct(entry, "amended", vitals=vitals_body(taken_at=T0 + timedelta(minutes=5), sedation=0))
    raised = [event.alert for event in events if isinstance(event, AlertRaised)]
    assert len(set(raised)) == len(raised) == 4


def test_the_timeline_shows_marked_entries_struck_and_late_ones_flagged() -> None:
    room = at_minute(dosed_room(), 40)
    entry = entry_of(room.vitals(heart_rate=999 // 9))
    room.vitals(taken_at=T0 + timedelta(minutes=10))
    room.correct(entry)
    lines = [line for line in show_course(room.course)["sessions"][0]["timeline"] if line["event"] == "VitalsRecorded"]
    assert [(line.get("late"), "corrected" in line) for line in lines] == [(True, False), (None, True)]
    assert lines[1]["corrected"] == {"kind": "entered_in_error", "reason": "wrong chart", "at": room.now}
