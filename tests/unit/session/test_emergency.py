"""Emergencies stand open until someone records how they ended. Expectations: R-22, R-35 of domain.md 5c; PERMISSION AND FACT."""

from datetime import timedelta
from typing import Any

import pytest

from services.session.domain.adverse_event import RecordAdverseEvent, record_adverse_event
from shared.events.session import AlertRaised, DosingAuthorised, Escalated, SessionCompleted
from shared.events.stay import EmergencyResponded
from shared.pathway.refusal import Refusal
from shared.pathway.waiting import Waiting
from tests.unit.session.room import T0, Room, checked_room, dosed_room, entry_of, rules


def emergency_room() -> Room:
    """Dosed at T0, well since, and a seizure at 100 minutes; now it is 120."""
    room = dosed_room()
    for minutes in (40, 100, 120):
        room.now = T0 + timedelta(minutes=minutes)
        room.vitals()
        if minutes == 100:
            command = RecordAdverseEvent(session=1, what="fit", symptoms=("seizure",), serious=False, happened_at=room.now)
            room.do(record_adverse_event, command)
    return room


def test_r22_an_emergency_stands_open_and_is_what_the_course_waits_for() -> None:
    room = emergency_room()
    assert [each.because for each in room.course.open_emergencies] == [("seizure",)]
    assert room.course.waits_for == Waiting("emergency_response", T0 + timedelta(minutes=100), "medical_monitor")


@pytest.mark.parametrize("roles", [(), ("prescriber",)])
def test_r22_nobody_is_discharged_out_of_an_open_emergency_not_even_by_a_prescriber(roles: tuple[str, ...]) -> None:
    room = emergency_room()
    assert rules(room.discharge(1, *roles, override_reason="seems fine")) == {("R-22", "emergency-open")}


@pytest.mark.parametrize(("resolved", "allowed"), [(True, True), (False, False)])
def test_r22_the_response_that_ends_it_opens_the_way_home(resolved: bool, allowed: bool) -> None:
    room = emergency_room()
    responded = room.respond(resolved=resolved)[0]
    assert isinstance(responded, EmergencyResponded)
    assert (responded.responded_by, responded.responded_at) == ("actor-1", room.now)
    assert isinstance(room.discharge()[0], SessionCompleted) is allowed


@pytest.mark.parametrize("changes", [{"transported": True}, {"left_against_advice": True}])
def test_r22_that_the_patient_was_taken_or_left_is_a_fact(changes: dict[str, Any]) -> None:
    done, alarm, *_ = emergency_room().discharge(**changes, escort_present=False)
    assert isinstance(done, SessionCompleted)
    assert isinstance(alarm, Escalated)
    assert (alarm.because, alarm.emergency) == (done.deviations, False)
    assert done.deviations[1:] == ("emergency-open", "no-escort")
    assert done.deviations[0] in {"transported", "left-against-advice"}


def test_r22_another_emergency_after_the_response_is_open_again() -> None:
    room = emergency_room()
    room.respond()
    room.later(minutes=1)
    room.vitals(pressure=None, sedation=0)
    assert [each.rule for each in room.course.open_emergencies] == ["R-35"]


def test_r22_a_response_closes_the_emergencies_of_its_own_session_alone() -> None:
    room = emergency_room()
    room.do(record_adverse_event, RecordAdverseEvent(what="chest pain", symptoms=("chest_pain",), serious=False, happened_at=room.now))
    room.respond(1)
    assert [each.session for each in room.course.open_emergencies] == [None]
    room.respond(None)
    assert room.course.open_emergencies == ()


def test_r22_an_emergency_whose_cause_was_an_error_stays_until_a_clinician_ends_it() -> None:
    room = dosed_room()
    entry = entry_of(room.vitals(pressure=None, sedation=0))
    room.correct(entry)
    assert len(room.course.open_emergencies) == 1
    assert room.calls == ["escalated"]


@pytest.mark.parametrize(
    ("session", "minutes", "slug"), [(1, 121, "time-in-the-future"), (1, 99, "out-of-range"), (2, 120, "no-such-session")]
)
def test_r22_a_response_that_cannot_be_is_refused(session: int, minutes: int, slug: str) -> None:
    with pytest.raises(Refusal) as refused:
        emergency_room().respond(session, at=T0 + timedelta(minutes=minutes))
    assert refused.value.slug == slug


def test_a_stop_never_keeps_a_response_out_of_the_record() -> None:
    room = emergency_room()
    room.do(record_adverse_event, RecordAdverseEvent(session=1, what="fit", serious=True, happened_at=room.now))
    assert room.course.stops.holds
    assert isinstance(room.respond()[0], EmergencyResponded)


def test_r22_the_call_to_an_emergency_ends_with_its_recorded_end_and_comes_again_if_that_was_an_error() -> None:
    room = emergency_room()
    assert room.calls == ["escalated"]
    room.respond(resolved=False)
    assert room.calls == ["escalated"]
    entry = entry_of(room.respond())
    assert room.calls == []
    called = [event for event in room.correct(entry) if isinstance(event, AlertRaised)]
    assert [(alert.why, alert.emergency) for alert in called] == [("escalated", True)]


def test_r22_an_emergency_that_is_told_after_the_end_of_another_still_calls() -> None:
    room = emergency_room()
    room.later(minutes=1)
    room.respond()
    command = RecordAdverseEvent(session=1, what="fit", symptoms=("seizure",), serious=False, happened_at=room.now - timedelta(seconds=30))
    room.do(record_adverse_event, command)
    assert room.calls == ["escalated"]
    room.vitals()
    assert room.calls == ["escalated"]


def test_r22_no_dose_while_an_emergency_outside_any_session_is_open() -> None:
    room = checked_room()
    room.do(record_adverse_event, RecordAdverseEvent(what="chest pain", symptoms=("chest_pain",), serious=False, happened_at=room.now))
    assert rules(room.authorise()) == {("R-22", "emergency-open")}
    room.respond(None, resolved=False)
    assert rules(room.authorise()) == {("R-22", "emergency-open")}
    room.respond(None)
    assert isinstance(room.authorise()[0], DosingAuthorised)


def test_r22_no_dose_while_an_emergency_of_an_earlier_session_is_open() -> None:
    room = dosed_room()
    room.later(minutes=30)
    room.vitals(sedation=0)
    room.discharge(transported=True)
    room.later(days=7)
    room.schedule()
    room.check(session=2)
    assert rules(room.authorise(session=2)) == {("R-22", "emergency-open")}
    room.respond(1)
    assert isinstance(room.authorise(session=2)[0], DosingAuthorised)
