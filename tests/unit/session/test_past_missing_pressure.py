"""R-21 in past decisions: when the pressure after a dose was due, and what was said when it was missing.

Expectations: about 40 minutes (Spravato label 2019), 10 minutes of tolerance and 10 of grace in the shipped policy.
"""

import pytest

from services.session.domain.transfer import take_transfer
from tests.unit.session.recorded import MOVED, RecordedRoom, changed, dosed, other_policy, same, steps
from tests.unit.session.room import POLICY

WATCHED = ("watched", "R-21 due after 40 min", "R-21 counts from 30 to 50 min", "R-21 escalates after 60 min")


def missed() -> RecordedRoom:
    """Nobody took the pressure after the dose: said at 50 minutes, escalated at 60."""
    room = dosed()
    for minutes in (50, 10):
        room.later(minutes=minutes)
        room.tick()
    return room


def test_r21_the_times_after_a_dose_are_the_policys() -> None:
    room = dosed()
    assert (room.last().step, room.last().result) == ("watch the pressure after a dose", WATCHED)
    same(room)
    ((step, times),) = changed(room, second_pressure_tolerance_minutes=5, second_pressure_escalate_minutes=10)
    assert (step, times) == (
        "watch the pressure after a dose",
        ("watched", "R-21 due after 40 min", "R-21 counts from 35 to 45 min", "R-21 escalates after 55 min"),
    )


def test_r21_a_missing_pressure_is_said_and_escalated_the_same_again() -> None:
    room = missed()
    assert steps(room)[-2:] == [("miss the pressure after a dose", "said"), ("miss the pressure after a dose", "escalated")]
    same(room)


@pytest.mark.parametrize(("tolerance", "grace", "said", "escalated"), [(10, 10, True, True), (11, 9, False, True), (10, 11, True, False)])
def test_r21_more_patience_would_have_said_nothing_yet(tolerance: int, grace: int, said: bool, escalated: bool) -> None:
    other = other_policy(second_pressure_tolerance_minutes=tolerance, second_pressure_escalate_minutes=grace)
    first, second = (past for past in missed().past() if past.step == "miss the pressure after a dose")
    assert first.again(other) == (("said",) if said else ("not missing yet",))
    assert second.again(other) == (("escalated",) if escalated else ("not missing yet",))


def test_r21_less_patience_would_have_escalated_at_once_what_was_only_said() -> None:
    first = next(past for past in missed().past() if past.step == "miss the pressure after a dose")
    assert first.again(other_policy(second_pressure_tolerance_minutes=0, second_pressure_escalate_minutes=10)) == ("said", "escalated")


def test_r21_what_is_missing_goes_by_the_policy_of_the_dose_whatever_was_adopted_since() -> None:
    room = dosed()
    room.adopt("adopted-later", second_pressure_tolerance_minutes=30)
    room.later(minutes=50)
    room.tick()
    assert (room.last().step, room.last().policy_version) == ("miss the pressure after a dose", POLICY.version)
    same(room)


def test_r21_two_doses_whose_pressures_are_missing_are_two_decisions() -> None:
    room = dosed()
    room.later(minutes=5)
    room.adopt("adopted-later", second_pressure_tolerance_minutes=20)
    room.dose("50", booster=True)
    room.later(minutes=80)
    room.tick()
    said = [past for past in room.past() if past.step == "miss the pressure after a dose"]
    assert [(past.policy_version, past.result) for past in said] == [
        (POLICY.version, ("said", "escalated")),
        ("adopted-later", ("said", "escalated")),
    ]
    same(room)


def test_r21_two_doses_recorded_of_the_same_moment_wait_for_one_pressure() -> None:
    room = dosed()
    room.dose("50", booster=True)
    room.later(minutes=50)
    room.tick()
    assert steps(room)[-2:] == [("watch the pressure after a dose", "watched"), ("miss the pressure after a dose", "said")]
    same(room)
    assert room.last().again(other_policy(second_pressure_tolerance_minutes=11)) == ("not missing yet",)


def test_r21_what_was_said_already_is_not_said_again_where_the_policy_moves_the_time() -> None:
    """A dose that no approval covered is watched by the policy's times: 35 + 10 + 10 minutes are over when 40 + 10 + 10 are."""
    room = RecordedRoom()
    room.dose(session=None)
    for minutes in (50, 10):
        room.later(minutes=minutes)
        room.tick()
    same(room)
    assert room.last().again(other_policy(second_pressure_after_minutes=35)) == ("escalated",)


def test_r21_what_is_missing_goes_by_the_clinic_of_the_dose_wherever_the_patient_went_since() -> None:
    """The ticker comes after the patient left the room and the clinic; hillside has no tolerance, so it would have escalated too."""
    room = dosed()
    room.take(take_transfer(room.course, MOVED, room.context()))
    room.later(minutes=55)
    room.discharge(left_against_advice=True)
    room.tick()
    assert room.history[-1].envelope.clinic == "hillside"
    assert (room.last().result, room.last().clinic) == (("said",), "riverside")
    same(room)
    assert room.last().again(room.policy_of(POLICY.version, "hillside")) == ("said", "escalated")
