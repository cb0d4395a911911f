"""A course follows its case to another clinic, but not from under the hands of who monitors the patient."""

from services.session.domain.transfer import take_transfer
from shared.events import intake
from shared.events.base import EventData
from shared.events.session import SessionCompleted, TransferAwaited, TransferNoted
from shared.pathway.transfer import clinic_after
from tests.unit.session.room import T0, Room, approved_room, dosed_room, finish_session

MOVED = intake.CaseTransferred(from_clinic="riverside", to_clinic="hillside", reason="moved", transferred_at=T0)


def heard(room: Room) -> list[EventData]:
    return room.take(take_transfer(room.course, MOVED, room.context()))


def test_a_course_follows_at_once_while_no_session_runs() -> None:
    (noted,) = heard(approved_room())
    assert isinstance(noted, TransferNoted)
    assert clinic_after(noted) == "hillside"


def test_while_a_patient_is_under_a_dose_the_course_stays_until_the_discharge() -> None:
    room = dosed_room()
    (awaited,) = heard(room)
    assert isinstance(awaited, TransferAwaited)
    assert clinic_after(awaited) is None
    assert all(clinic_after(event) is None for event in room.vitals())
    before = len(room.course.sessions)
    events = finish_session(room)
    assert any(isinstance(event, SessionCompleted) for event in events)
    assert [event for event in events if isinstance(event, TransferNoted)] != []
    assert room.course.awaited_transfer is None
    assert len(room.course.sessions) == before


def test_without_a_transfer_a_discharge_moves_nothing() -> None:
    assert all(clinic_after(event) is None for event in finish_session(dosed_room()))
