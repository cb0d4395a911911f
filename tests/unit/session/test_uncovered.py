"""A stop heard only after the dose it should have stopped is a deviation and calls a medical monitor (R-10, R-14, R-15, R-20)."""

from datetime import timedelta

import pytest

from services.session.domain.stops import withdraw_consent
from shared.events import integration, prescriber, session
from shared.events.base import AlertRaised, EventData
from shared.events.session import SessionDosed, StopNoted
from shared.events.stay import DoseFoundUncovered
from shared.pathway.stop import WithdrawConsent
from tests.unit.session.room import T0, Room, consent, dosed_room, lifting, plan, withdrawal

SECOND = timedelta(seconds=1)
DOSED = T0
"""When the room's dose was given."""


def placed(at_seconds: float, hold: str = "hold-x") -> integration.SafetyHoldPlaced:
    return integration.SafetyHoldPlaced(hold=hold, reason="suicide_risk", placed_at=DOSED + at_seconds * SECOND)


def late_room() -> Room:
    """A dose was given under cover of everything; ten seconds later."""
    room = dosed_room()
    room.later(seconds=10)
    return room


def found(events: list[EventData]) -> list[DoseFoundUncovered]:
    return [event for event in events if isinstance(event, DoseFoundUncovered)]


def called(events: list[EventData]) -> list[tuple[str, str]]:
    return [(event.role, event.why) for event in events if isinstance(event, AlertRaised)]


@pytest.mark.parametrize(("seconds", "late"), [(-1, True), (0, True), (1, False)])
def test_r10_a_hold_placed_not_after_the_dose_and_heard_after_it_is_a_deviation(seconds: int, late: bool) -> None:
    said = late_room().hear(placed(seconds))
    assert isinstance(said[0], StopNoted)
    expected = DoseFoundUncovered(
        session=1, given_at=DOSED, because="hold_placed", hold="hold-x", stopped_at=DOSED + seconds * SECOND, heard_at=DOSED + 10 * SECOND
    )
    assert found(said) == ([expected] if late else [])
    assert called(said) == ([("medical_monitor", "dose-found-uncovered")] if late else [])


@pytest.mark.parametrize(("seconds", "late"), [(-1, True), (0, True), (1, False)])
def test_r20_a_withdrawal_not_after_the_dose_and_heard_after_it_is_a_deviation(seconds: int, late: bool) -> None:
    said = late_room().hear(withdrawal(DOSED + seconds * SECOND))
    assert [event.because for event in found(said)] == (["consent_withdrawn"] if late else [])
    assert len(called(said)) == late


def test_a_withdrawal_that_is_recorded_here_too_late_is_one_as_well() -> None:
    room = late_room()
    said = room.do(withdraw_consent, WithdrawConsent(withdrawn_at=DOSED - SECOND))
    assert [event.stopped_at for event in found(said)] == [DOSED - SECOND]


def test_an_earlier_withdrawal_is_said_also_where_a_later_one_was_heard_first() -> None:
    """The later one makes the earlier one nothing new as a stop; the dose lies between them."""
    room = late_room()
    assert found(room.hear(prescriber.ConsentWithdrawn(withdrawn_at=DOSED + SECOND, said_to="prescriber"))) == []
    assert [event.stopped_at for event in found(room.hear(withdrawal(DOSED - SECOND)))] == [DOSED - SECOND]


def test_a_patient_who_consented_again_before_the_dose_was_covered() -> None:
    room = late_room()
    room.hear(consent(version="consent-1", given_at=DOSED - SECOND))
    assert found(room.hear(withdrawal(DOSED - 2 * SECOND))) == []
    other = late_room()
    other.hear(consent(version="consent-1", given_at=DOSED + SECOND))
    assert len(found(other.hear(withdrawal(DOSED - 2 * SECOND)))) == 1


def test_a_dose_that_was_recorded_as_stopped_is_not_said_again() -> None:
    room = dosed_room()
    room.hear(placed(1))
    room.later(minutes=5)
    again = room.dose(booster=True)
    assert isinstance(again[0], SessionDosed)
    assert "safety-hold" in again[0].deviations
    assert found(room.hear(placed(2, "hold-y"))) == []


def test_every_dose_since_the_stop_is_named_once_however_often_it_is_heard() -> None:
    room = late_room()
    room.authorise("100", booster=True)
    room.dose("100", booster=True)
    assert [event.given_at for event in found(room.hear(placed(-1)))] == [DOSED, DOSED + 10 * SECOND]
    assert room.hear(placed(-1)) == []


def test_a_hold_whose_lifting_was_heard_first_is_said_all_the_same() -> None:
    """When it was lifted is not known any more; a person looks."""
    room = late_room()
    room.hear(lifting())
    assert len(found(room.hear(placed(-1)))) == 1


@pytest.mark.parametrize(("seconds", "late"), [(-1, True), (0, True), (1, False)])
def test_r14_a_revocation_or_a_decline_from_before_the_dose_is_a_deviation(seconds: int, late: bool) -> None:
    at = DOSED + seconds * SECOND
    revoked = prescriber.EligibilityRevoked(request=1, reason="new-finding", revoked_by="p", revoked_at=at)
    declined = prescriber.EligibilityDeclined(
        request=2, reasons=("risk",), partner="in-house", decided_by="p", decided_at=at, policy_version="1"
    )
    for event, why in ((revoked, "approval_revoked"), (declined, "approval_declined")):
        said = late_room().hear(event)
        assert isinstance(said[0], session.CourseClosed)
        assert [each.because for each in found(said)] == ([why] if late else [])


def test_r15_an_expiry_that_the_plan_told_is_said_with_the_dose_alone() -> None:
    """The plan names its end: a dose after it is a deviation when it is recorded."""
    room = dosed_room(plan(expires_at=T0 + timedelta(hours=1)))
    room.later(hours=2)
    late = room.dose(booster=True)
    assert isinstance(late[0], SessionDosed)
    assert "plan-expired" in late[0].deviations
    assert found(room.hear(prescriber.EligibilityExpired(request=1, expires_at=T0 + timedelta(hours=1)))) == []


def test_it_stands_in_the_timeline_of_its_session() -> None:
    from services.session.show import show_course

    room = late_room()
    room.hear(placed(-1))
    timeline = show_course(room.course)["sessions"][0]["timeline"]
    assert [line["because"] for line in timeline if line["event"] == "DoseFoundUncovered"] == ["hold_placed"]
