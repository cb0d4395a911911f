"""What is waited for after a dose: pressures taken again, a chaperone's checks, and entries that are made late.

Expectations: R-21, R-22, R-25 of domain.md 5c, PERMISSION AND FACT of the design; the numbers are the shipped policy's: a pressure again
after 15 minutes, after 5 where it is severe; a chaperone's check after 15 minutes, escalated after 20; late is more than 15 minutes, and
then leaves an hour for the rest. The dose is at T0.
"""

from datetime import timedelta

import pytest

from services.session.domain.adverse_event import RecordAdverseEvent, record_adverse_event
from services.session.domain.alerts import ALERT
from shared.events.base import EventData
from shared.events.session import AlertAcknowledged, AlertRaised, Escalated, SessionCompleted, VitalOverdue, VitalsRecorded
from shared.events.stay import ChaperoneChecked, ChaperoneCheckOverdue, RepeatPressureOverdue
from shared.pathway.alert import AcknowledgeAlert
from shared.pathway.refusal import Refusal
from tests.unit.alerting import without_alerts
from tests.unit.session.room import T0, Room, approved_room, dosed_room, finish_session, policy, remote_room


def minute(number: float) -> timedelta:
    return timedelta(minutes=number)


def at_minute(room: Room, number: float) -> Room:
    room.now = T0 + minute(number)
    return room


def kinds(events: list[EventData]) -> list[type[EventData]]:
    return [type(event) for event in events]


def settled(events: list[EventData]) -> int:
    return len([event for event in events if isinstance(event, AlertAcknowledged) and event.resolved])


# a pressure above the patient's limit is taken again


@pytest.mark.parametrize(
    ("pressure", "again"), [((140, 90), None), ((141, 80), 15), ((120, 91), 15), ((180, 120), 15), ((181, 80), 5), ((165, 121), 5)]
)
def test_r22_a_pressure_above_the_limit_is_due_again(pressure: tuple[int, int], again: int | None) -> None:
    room = at_minute(dosed_room(), 40)
    room.vitals(pressure=pressure)
    due = [at for name, at in room.course.deadlines.items() if name.startswith("repeat_pressure")]
    assert due == ([] if again is None else [room.now + minute(again)])


def test_r22_a_missing_repeat_is_said_once_and_the_next_pressure_settles_its_alert() -> None:
    room = at_minute(dosed_room(), 40)
    room.vitals(pressure=(150, 80))
    assert at_minute(room, 54.9).tick() == []
    said = at_minute(room, 55).tick()
    assert without_alerts(said) == [RepeatPressureOverdue(session=1, due_at=T0 + minute(55))]
    assert room.calls == ["repeat-pressure-overdue"]
    assert without_alerts(at_minute(room, 80).tick()) == []
    assert settled(room.vitals(pressure=(150, 80))) == 1
    assert room.calls == []
    # Still above the limit: due again, until one is not.
    assert [at for name, at in room.course.deadlines.items() if name.startswith("repeat")] == [room.now + minute(15)]
    room.vitals(pressure=(140, 90))
    assert not [name for name in room.course.deadlines if name.startswith("repeat")]


def test_r22_nothing_is_due_again_before_the_dose_or_after_the_discharge() -> None:
    room = approved_room()
    room.prepare()
    room.schedule()
    room.vitals(pressure=(170, 100))
    assert not [name for name in room.course.deadlines if name.startswith("repeat")]
    left = at_minute(dosed_room(), 40)
    left.vitals(pressure=(150, 80))
    left.discharge(left_against_advice=True)
    assert not [name for name in left.course.deadlines if name.startswith("repeat")]


def test_r22_a_pressure_in_checks_before_a_booster_settles_it_too() -> None:
    room = at_minute(dosed_room(), 40)
    room.vitals(pressure=(150, 80))
    room.later(minutes=5)
    room.check(pressure=(130, 80))
    assert not [name for name in room.course.deadlines if name.startswith("repeat")]


def test_r22_the_minutes_until_a_repeat_are_the_policys() -> None:
    room = at_minute(dosed_room(policy=policy(repeat_pressure_minutes=7, repeat_pressure_severe_minutes=3)), 40)
    room.vitals(pressure=(150, 80))
    room.vitals(pressure=(190, 80), taken_at=room.now)
    due = [at for name, at in room.course.deadlines.items() if name.startswith("repeat")]
    assert due == [room.now + minute(3)]


# a late entry shows that it was in time


def test_r21_a_pressure_in_time_that_is_entered_late_settles_both_alerts() -> None:
    room = at_minute(dosed_room(), 60)
    room.tick()
    assert room.calls == ["vital-overdue", "vital-overdue", "escalated"]
    later = at_minute(room, 300).vitals(taken_at=T0 + minute(41))
    assert settled(later) == 3
    assert room.calls == []
    assert without_alerts(later) == [later[0]]


def test_r21_a_pressure_before_the_window_settles_nothing() -> None:
    room = at_minute(dosed_room(), 60)
    room.tick()
    room.vitals(taken_at=T0 + minute(29))
    assert len(room.calls) == 3


def test_r21_a_pressure_that_comes_too_late_is_what_was_waited_for_all_the_same() -> None:
    room = at_minute(dosed_room(), 50)
    room.tick()
    at_minute(room, 55).vitals()
    assert room.calls == []


def test_an_alert_that_someone_took_on_is_not_settled_again() -> None:
    room = at_minute(dosed_room(), 50)
    (raised,) = [event for event in room.tick() if isinstance(event, AlertRaised)]
    room.do(ALERT.acknowledge, AcknowledgeAlert(alert=raised.alert))
    assert settled(room.vitals()) == 0


def test_a_settled_alert_is_not_escalated_and_cannot_be_taken_on() -> None:
    room = at_minute(dosed_room(), 50)
    (raised,) = [event for event in room.tick() if isinstance(event, AlertRaised)]
    room.vitals()
    assert at_minute(room, 300).tick() == []
    with pytest.raises(Refusal) as refused:
        room.do(ALERT.acknowledge, AcknowledgeAlert(alert=raised.alert))
    assert refused.value.slug == "already-acknowledged"


# the chaperone of a remote session


def checks_due(room: Room) -> list[float]:
    return [(at - T0) / minute(1) for name, at in room.course.deadlines.items() if name.startswith("chaperone")]


def test_r25_the_first_check_is_due_after_the_dose_and_each_next_one_after_the_last() -> None:
    room = remote_room()
    assert checks_due(room) == [15]
    at_minute(room, 12).chaperone()
    assert checks_due(room) == [27]
    assert not [event for event in at_minute(room, 26.9).tick() if isinstance(event, ChaperoneCheckOverdue)]


def test_r25_a_missed_check_is_said_then_escalated_and_resolved_by_the_next() -> None:
    room = remote_room()
    assert without_alerts(at_minute(room, 15).tick()) == [ChaperoneCheckOverdue(session=1, due_at=T0 + minute(15), escalated=False)]
    assert without_alerts(at_minute(room, 19.9).tick()) == []
    assert without_alerts(at_minute(room, 20).tick()) == [
        ChaperoneCheckOverdue(session=1, due_at=T0 + minute(15), escalated=True),
        Escalated(
            session=1,
            emergency=False,
            rule="R-25",
            because=("chaperone-check-missing",),
            at=room.now,
            watch="chaperone_check_1_20260302t091500",
        ),
    ]
    assert room.calls == ["chaperone-check-overdue", "chaperone-check-overdue", "escalated"]
    assert settled(at_minute(room, 22).chaperone()) == 3
    assert room.calls == []
    assert checks_due(room) == [37]


def test_r25_a_check_in_time_that_is_entered_after_the_alarm_settles_it() -> None:
    room = at_minute(remote_room(), 16)
    room.tick()
    room.chaperone(at=T0 + minute(14))
    assert room.calls == []
    assert checks_due(room) == [29]


def test_r25_nothing_is_due_in_a_clinic_before_the_dose_or_after_the_discharge() -> None:
    assert checks_due(dosed_room()) == []
    room = approved_room()
    room.prepare()
    room.schedule(setting="home")
    room.chaperone()
    assert checks_due(room) == []
    left = at_minute(remote_room(), 14)
    left.discharge(left_against_advice=True)
    assert checks_due(left) == []


def test_r25_a_check_without_seeing_the_patient_settles_nothing_and_calls_a_clinician() -> None:
    room = at_minute(remote_room(), 10)
    checked, escalated, _alert = room.chaperone(visible=False)
    assert isinstance(checked, ChaperoneChecked)
    assert isinstance(escalated, Escalated)
    assert (escalated.emergency, escalated.because) == (False, ("not-visible",))
    assert checks_due(room) == [15]


def test_r25_r35_no_response_is_an_emergency() -> None:
    room = at_minute(remote_room(), 10)
    escalated = room.chaperone(responsive=False)[1]
    assert isinstance(escalated, Escalated)
    assert (escalated.emergency, escalated.rule) == (True, "R-35")
    assert [each.at for each in room.course.open_emergencies] == [room.now]


def test_r25_the_minutes_are_the_policys() -> None:
    room = remote_room(policy(chaperone_check_minutes=10, chaperone_escalate_minutes=12))
    said = [event for event in at_minute(room, 12).tick() if isinstance(event, ChaperoneCheckOverdue)]
    assert [event.escalated for event in said] == [False, True]


@pytest.mark.parametrize(("number", "slug"), [(10.1, "time-in-the-future"), (-24 * 60, "out-of-range")])
def test_r25_a_check_at_an_impossible_time_is_refused_under_the_rule(number: float, slug: str) -> None:
    room = at_minute(remote_room(), 10)
    with pytest.raises(Refusal) as refused:
        room.chaperone(at=T0 + minute(number))
    assert (refused.value.slug, refused.value.rule) == (slug, "R-25")


# Paper records entered after a downtime


def paper_room(setting: str = "clinic") -> Room:
    """A session was prepared and checked; what followed at ten o'clock is entered at six in the evening."""
    room = approved_room()
    room.prepare()
    room.schedule(setting=setting)
    room.check()
    room.authorise()
    return at_minute(room, 540)


def test_a_day_on_paper_raises_no_overdue_alert_at_all() -> None:
    room = paper_room()
    room.dose(given_at=T0 + minute(60))
    assert room.tick() == []
    room.later(minutes=2)
    room.vitals(taken_at=T0 + minute(100), pressure=(150, 95))
    assert room.tick() == []
    room.vitals(taken_at=T0 + minute(115))
    room.vitals(taken_at=T0 + minute(205))
    room.later(minutes=30)
    left = room.discharge(discharged_at=T0 + minute(210))
    assert isinstance(left[0], SessionCompleted)
    assert (left[0].deviations, left[0].late) == ((), True)
    room.later(days=1)
    assert room.tick() == []
    assert [call for call in room.calls if call != "escalated"] == []  # the dose itself was not covered then


def test_a_remote_day_on_paper_raises_no_overdue_alert_either() -> None:
    room = paper_room("home")
    room.dose(given_at=T0 + minute(60))
    for number in (75, 90, 105, 120):
        room.later(minutes=3)
        assert room.tick() == []
        room.chaperone(at=T0 + minute(number))
    room.vitals(taken_at=T0 + minute(100))
    room.discharge(discharged_at=T0 + minute(130), left_against_advice=True)
    room.later(days=1)
    assert not [event for event in room.tick() if isinstance(event, ChaperoneCheckOverdue | VitalOverdue)]


def test_what_is_still_missing_an_hour_after_a_late_dose_is_said() -> None:
    room = paper_room()
    room.dose(given_at=T0 + minute(60))
    room.later(minutes=59.9)
    assert without_alerts(room.tick()) == []
    room.later(minutes=0.1)
    assert [event.escalated for event in room.tick() if isinstance(event, VitalOverdue)] == [False, True]


@pytest.mark.parametrize(("minutes_ago", "late"), [(15, False), (15.1, True)])
def test_r35_vitals_that_are_hours_old_are_escalated_but_page_nobody_at_once(minutes_ago: float, late: bool) -> None:
    room = at_minute(dosed_room(), 60)
    recorded, escalated, alert = room.vitals(pressure=None, sedation=0, taken_at=room.now - minute(minutes_ago))
    assert isinstance(recorded, VitalsRecorded)
    assert isinstance(escalated, Escalated)
    assert isinstance(alert, AlertRaised)
    assert (recorded.late, escalated.late, alert.emergency) == (late, late, not late)
    assert escalated.emergency
    assert (recorded.taken_at, recorded.recorded_at) == (room.now - minute(minutes_ago), room.now)


def test_r22_an_adverse_event_of_hours_ago_pages_nobody_at_once_either() -> None:
    room = at_minute(dosed_room(), 60)
    command = RecordAdverseEvent(session=1, what="fit", symptoms=("seizure",), serious=False, happened_at=T0)
    alerts = [event for event in room.do(record_adverse_event, command) if isinstance(event, AlertRaised)]
    assert [alert.emergency for alert in alerts] == [False]
    assert room.course.open_emergencies


def test_a_live_session_waits_no_longer_because_something_else_was_entered_late() -> None:
    room = at_minute(dosed_room(), 45)
    room.vitals(pressure=None, heart_rate=80, taken_at=T0 + minute(5))
    assert room.pressures_due == [T0 + minute(50)]


def test_the_minutes_that_make_an_entry_late_are_the_policys() -> None:
    room = at_minute(dosed_room(policy=policy(late_entry_minutes=5, late_entry_grace_minutes=10)), 40)
    recorded = room.vitals(taken_at=T0 + minute(34))[0]
    assert isinstance(recorded, VitalsRecorded)
    assert recorded.rest_expected_by == room.now + minute(10)


def test_a_fact_after_the_discharge_is_recorded() -> None:
    room = dosed_room()
    finish_session(room)
    room.later(minutes=30)
    assert kinds(room.vitals()) == [VitalsRecorded]
    assert kinds(room.chaperone()) == [ChaperoneChecked]
