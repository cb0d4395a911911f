"""The discharge gate. Expectations: R-23, R-24, R-35 of domain.md 5c; the plan asks for 120 minutes and 140/90."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.session.domain.schedule import CancelSession, cancel_session
from shared.events.base import EventData
from shared.events.session import AlertRaised, CourseCompleted, CourseOpened, CourseWithheld, Escalated, SessionCompleted
from shared.pathway.refusal import Refusal
from tests.unit.session.room import (
    POLICY,
    T0,
    Room,
    approval,
    approved_room,
    checked_room,
    dosed_room,
    finish_session,
    hold,
    plan,
    policy,
    policy_on,
    rules,
    run_session,
    with_limits,
    withdrawal,
)


def monitored_room(minutes: float = 120, pressure: tuple[int, int] = (120, 80), **limits: Any) -> Room:
    """Dosed at T0, pressure taken at 40 minutes and now, so many minutes after the dose."""
    room = dosed_room(with_limits(140, 90, **limits))
    room.later(minutes=40)
    room.vitals(pressure=pressure)
    room.now = T0 + timedelta(minutes=minutes)
    room.vitals(pressure=pressure)
    return room


def completed(events: list[EventData]) -> SessionCompleted:
    assert isinstance(events[0], SessionCompleted), events
    return events[0]


def expect(decided: list[EventData], allowed: bool, refusal: tuple[str, str]) -> None:
    """Either the patient is discharged, or this one rule refuses."""
    if allowed:
        completed(decided)
    else:
        assert rules(decided) == {refusal}


def test_r23_the_gate_opens_when_everything_holds() -> None:
    room = monitored_room()
    done = completed(room.discharge())
    assert done == SessionCompleted(
        session=1,
        discharged_at=T0 + timedelta(minutes=120),
        assessed_by="monitor-1",
        minutes_since_dose=120,
        at_baseline=True,
        escort_present=True,
        no_driving_instruction=True,
        aftercare_contact="on-call-1",
        pressure_acceptable=False,
        recorded_at=room.now,
        entry=done.entry,
        policy_version=POLICY.version,
    )
    assert done.entry is not None


@pytest.mark.parametrize(("minutes", "opens"), [(120, True), (119.98, False)])
def test_r23_the_stay_lasts_as_long_as_the_plan_says(minutes: float, opens: bool) -> None:
    decided = monitored_room(minutes).discharge()
    expect(decided, opens, ("R-23", "stay-too-short"))


@pytest.mark.parametrize(("minutes", "opens"), [(60, True), (59.9, False)])
def test_r23_another_plan_may_say_another_stay(minutes: float, opens: bool) -> None:
    decided = monitored_room(minutes, stay=60).discharge()
    expect(decided, opens, ("R-23", "stay-too-short"))


def test_r23_the_stay_counts_from_the_last_dose() -> None:
    room = dosed_room()
    room.later(minutes=20)
    room.dose("50", booster=True)
    room.later(minutes=30)
    room.vitals()  # in the window of both doses
    room.now = T0 + timedelta(minutes=130)
    room.vitals()
    assert rules(room.discharge()) == {("R-23", "stay-too-short")}
    room.now = T0 + timedelta(minutes=140)
    assert completed(room.discharge()).minutes_since_dose == 120


@pytest.mark.parametrize(("pressure", "opens"), [((140, 90), True), ((141, 90), False), ((140, 91), False)])
def test_r23_the_last_pressure_is_at_or_below_the_patients_limit(pressure: tuple[int, int], opens: bool) -> None:
    decided = monitored_room(pressure=pressure).discharge()
    expect(decided, opens, ("R-23", "pressure-above-limit"))


def test_r23_a_pressure_above_the_limit_may_be_recorded_as_acceptable() -> None:
    assert completed(monitored_room(pressure=(150, 95)).discharge(pressure_acceptable=True)).deviations == ()


def test_r23_the_last_pressure_counts() -> None:
    room = monitored_room(110, pressure=(160, 100))
    room.vitals(pressure=(130, 80))
    room.later(minutes=10)
    completed(room.discharge())


@pytest.mark.parametrize("acceptable", [False, True])
def test_r23_a_pressure_from_before_the_dose_says_nothing(acceptable: bool) -> None:
    room = dosed_room()
    room.later(minutes=120)
    assert rules(room.discharge(pressure_acceptable=acceptable)) == {("R-23", "no-pressure-since-dose")}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"at_baseline": False}, ("R-23", "not-at-baseline")),
        ({"escort_present": False}, ("R-23", "no-escort")),
        ({"assessed_by": None}, ("R-23", "not-assessed")),
        ({"no_driving_instruction": False}, ("R-24", "no-driving-instruction")),
    ],
)
def test_r23_r24_each_condition_alone_keeps_the_gate_closed(changes: dict[str, Any], expected: tuple[str, str]) -> None:
    room = monitored_room()
    assert rules(room.discharge(**changes)) == {expected}
    assert room.course.require(1).phase == "dosed"


@pytest.mark.parametrize(("sedations", "opens"), [((), True), ((3,), False), ((3, 5), True), ((5, 4), False)])
def test_r35_sedation_that_was_recorded_must_be_recorded_as_resolved(sedations: tuple[int, ...], opens: bool) -> None:
    room = monitored_room(90)
    for sedation in sedations:
        room.later(minutes=10)
        room.vitals(sedation=sedation)
    room.now = T0 + timedelta(minutes=120)
    decided = room.discharge()
    expect(decided, opens, ("R-35", "sedation-not-resolved"))


def test_r23_a_prescriber_may_override_with_a_reason() -> None:
    room = monitored_room(90)
    events = room.discharge(1, "prescriber", override_reason="lives next door, seen well", escort_present=False)
    done = completed(events)
    assert done.override_reason == "lives next door, seen well"
    assert set(done.deviations) == {"stay-too-short", "no-escort"}


@pytest.mark.parametrize("role", ["therapist", "medical_monitor", "coordinator"])
def test_r23_nobody_else_may(role: str) -> None:
    assert rules(monitored_room(90).discharge(1, role, override_reason="seems fine")) == {("R-23", "stay-too-short")}


def test_r23_a_prescriber_without_a_reason_may_not() -> None:
    assert rules(monitored_room(90).discharge(1, "prescriber")) == {("R-23", "stay-too-short")}


def test_a_reason_without_need_overrides_nothing() -> None:
    done = completed(monitored_room().discharge(1, "prescriber", override_reason="just in case"))
    assert done.override_reason is None
    assert done.deviations == ()


def test_a_patient_who_left_against_advice_is_a_fact_and_calls_a_clinician() -> None:
    room = monitored_room(50)
    done, alarm, _alert = room.discharge(left_against_advice=True, assessed_by=None, escort_present=False)
    assert isinstance(done, SessionCompleted)
    assert done.deviations == ("left-against-advice", "stay-too-short", "no-escort", "not-assessed")
    assert isinstance(alarm, Escalated)
    assert alarm.because == done.deviations


def test_a_stop_never_keeps_a_discharge_out_of_the_record() -> None:
    for changes in ({}, {"left_against_advice": True}):
        room = monitored_room()
        room.hear(hold())
        room.hear(withdrawal())
        completed(room.discharge(**changes))


def test_a_patient_who_left_before_any_dose_was_recorded_is_a_fact_too() -> None:
    done = completed(checked_room().discharge(left_against_advice=True))
    assert done.minutes_since_dose is None


def test_a_session_without_a_dose_is_cancelled_not_discharged() -> None:
    with pytest.raises(Refusal) as refused:
        checked_room().discharge()
    assert refused.value.slug == "not-dosed"


def test_a_patient_is_discharged_once() -> None:
    room = monitored_room()
    room.discharge()
    for changes in ({}, {"left_against_advice": True}):
        with pytest.raises(Refusal) as refused:
            room.discharge(**changes)
        assert refused.value.slug == "already-discharged"


@pytest.mark.parametrize(
    ("minutes", "slug"), [(121, "time-in-the-future"), (-1, "out-of-range")], ids=["in the future", "before the last dose"]
)
def test_an_impossible_time_is_refused(minutes: int, slug: str) -> None:
    with pytest.raises(Refusal) as refused:
        monitored_room().discharge(discharged_at=T0 + timedelta(minutes=minutes))
    assert refused.value.slug == slug


def test_the_course_is_complete_with_the_discharge_after_its_last_dose() -> None:
    room = dosed_room()
    assert [type(event) for event in finish_session(room)] == [SessionCompleted]
    room.later(days=7)
    events = run_session(room, 2)
    assert events[1:] == [CourseCompleted(sessions=2, completed_at=room.now)]
    assert room.course.status == "completed"


def test_a_cancelled_session_is_not_one_of_the_course() -> None:
    room = dosed_room()
    finish_session(room)
    room.schedule()
    room.do(cancel_session, CancelSession(session=2, reason="patient-ill"))
    room.prepare()
    assert run_session(room, 3)[-1] == CourseCompleted(sessions=2, completed_at=room.now)


def test_a_course_with_a_further_approval_waiting_goes_on() -> None:
    room = dosed_room(plan(doses=1))
    room.hear(approval(request=2))
    assert [type(event) for event in finish_session(room)] == [SessionCompleted, CourseOpened]


def test_a_course_is_complete_although_a_withheld_approval_waits() -> None:
    room = dosed_room(plan(doses=1))
    room.hear(hold())
    assert isinstance(room.hear(approval(request=2))[0], CourseWithheld)
    assert [type(event) for event in finish_session(room)] == [SessionCompleted, CourseCompleted]


def test_a_dose_after_the_end_of_the_course_ends_it_again() -> None:
    room = dosed_room(plan(doses=1))
    finish_session(room)
    room.later(days=1)
    room.dose(session=None)
    assert room.course.status == "monitoring"
    assert isinstance(finish_session(room, 2, missing_pressure_reason="given unannounced")[-1], CourseCompleted)


# The three pressures of the REMS form, by every route (RM1; domain.md 5b.4)


@pytest.mark.parametrize(("minutes_before", "opens"), [(30, True), (30.1, False)])
def test_r23_the_last_pressure_is_taken_shortly_before_leaving(minutes_before: float, opens: bool) -> None:
    room = monitored_room(90)
    room.now = T0 + timedelta(minutes=150 - minutes_before)
    room.vitals()
    room.now = T0 + timedelta(minutes=150)
    expect(room.discharge(), opens, ("R-23", "no-pressure-before-leaving"))


def test_r23_how_shortly_is_the_policys() -> None:
    room = monitored_room()
    room.policy = policy(discharge_pressure_within_minutes=5)
    room.later(minutes=6)
    assert rules(room.discharge()) == {("R-23", "no-pressure-before-leaving")}


def without_second_pressure() -> Room:
    room = dosed_room()
    room.now = T0 + timedelta(minutes=120)
    room.vitals()
    return room


def test_r23_a_missing_second_pressure_needs_a_reason_and_is_no_trap() -> None:
    room = without_second_pressure()
    assert rules(room.discharge()) == {("R-23", "second-pressure-missing")}
    done = completed(room.discharge(missing_pressure_reason="the cuff broke"))
    assert (done.deviations, done.missing_pressure_reason, done.override_reason) == (
        ("second-pressure-missing",),
        "the cuff broke",
        None,
    )


def test_r23_a_missing_pressure_before_the_dose_needs_one_too() -> None:
    room = approved_room()
    room.dose(session=None)
    for minutes in (40, 120):
        room.now = T0 + timedelta(minutes=minutes)
        room.vitals()
    assert rules(room.discharge()) == {("R-23", "no-pressure-before-dose")}
    assert completed(room.discharge(missing_pressure_reason="an emergency dose")).deviations == ("no-pressure-before-dose",)


def test_r23_a_reason_where_no_pressure_is_missing_is_not_kept() -> None:
    done = completed(monitored_room().discharge(missing_pressure_reason="just in case"))
    assert (done.deviations, done.missing_pressure_reason) == ((), None)


def test_r23_a_reason_for_a_missing_pressure_excuses_nothing_else() -> None:
    room = dosed_room()
    room.now = T0 + timedelta(minutes=120)
    assert rules(room.discharge(missing_pressure_reason="the cuff broke")) == {("R-23", "no-pressure-since-dose")}


def test_r24_the_patient_is_told_whom_to_call() -> None:
    room = monitored_room()
    assert rules(room.discharge(aftercare_contact=None)) == {("R-24", "no-aftercare-contact")}
    assert completed(room.discharge(escort="escort-1")).escort == "escort-1"


@pytest.mark.parametrize(("signs", "opens"), [((), True), ((True,), False), ((True, False), True), ((False, True), False)])
def test_r35_dissociation_that_was_recorded_must_be_recorded_as_resolved(signs: tuple[bool, ...], opens: bool) -> None:
    room = monitored_room(90)
    for sign in signs:
        room.later(minutes=10)
        room.vitals(dissociation=sign)
    room.now = T0 + timedelta(minutes=120)
    expect(room.discharge(), opens, ("R-35", "dissociation-not-resolved"))


# Routes


def spray_room(stay: int, minutes: float) -> Room:
    limits = with_limits(140, 90, stay=stay).limits
    room = checked_room(plan(route="intranasal_esketamine", dose_mg_low=Decimal(56), dose_mg_high=Decimal(84), limits=limits))
    room.authorise("56")
    room.dose("56", route="intranasal_esketamine")
    for at in (40, minutes):
        room.now = T0 + timedelta(minutes=at)
        room.vitals()
    return room


@pytest.mark.parametrize(("stay", "minutes", "opens"), [(60, 119.9, False), (60, 120, True), (180, 179.9, False), (180, 180, True)])
def test_r23_after_esketamine_no_plan_shortens_the_labels_two_hours(stay: int, minutes: float, opens: bool) -> None:
    expect(spray_room(stay, minutes).discharge(), opens, ("R-23", "stay-too-short"))


def test_r23_by_another_route_the_site_chooses_where_no_prescriber_did() -> None:
    for minutes, opens in ((89.9, False), (90, True)):
        room = Room(policy_on("intramuscular", minimum_stay_minutes=90))
        room.dose(session=None, route="intramuscular")
        for at in (40, minutes):
            room.now = T0 + timedelta(minutes=at)
            room.vitals()
        expect(room.discharge(missing_pressure_reason="not known here"), opens, ("R-23", "stay-too-short"))


# What happened is recorded


def test_a_discharge_that_is_entered_hours_later_is_a_fact_that_calls_a_clinician() -> None:
    room = monitored_room(90)
    room.later(hours=5)
    done, alarm, alert = room.discharge(discharged_at=T0 + timedelta(minutes=90), at_baseline=False)
    assert isinstance(done, SessionCompleted)
    assert (done.late, done.deviations) == (True, ("stay-too-short", "not-at-baseline"))
    assert isinstance(alarm, Escalated)
    assert (alarm.because, alarm.emergency) == (done.deviations, False)
    assert isinstance(alert, AlertRaised)


@pytest.mark.parametrize(
    ("changes", "slug"),
    [
        ({"discharged_at": T0 + timedelta(minutes=121)}, "time-in-the-future"),
        ({"discharged_at": T0 - timedelta(minutes=1)}, "out-of-range"),
        ({"ready_at": T0 - timedelta(minutes=1)}, "out-of-range"),
        ({"ready_at": T0 + timedelta(minutes=121)}, "out-of-range"),
    ],
)
def test_r23_a_discharge_that_cannot_be_is_refused_under_the_rule(changes: dict[str, Any], slug: str) -> None:
    with pytest.raises(Refusal) as refused:
        monitored_room().discharge(**changes)
    assert (refused.value.slug, refused.value.rule) == (slug, "R-23")
