"""Correcting entries of the session room: what counts afterwards is what would count had the marked entry never been.

Expectations: docs/decisions/0011 and PERMISSION AND FACT; the recounts are made from the list of what was said, not by the service.
"""

from datetime import timedelta
from decimal import Decimal
from functools import reduce
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from services.session.domain.adverse_event import RecordAdverseEvent, record_adverse_event
from services.session.domain.chaperone import RecordChaperoneCheck
from services.session.domain.check import RecordChecks
from services.session.domain.discharge import DischargePatient
from services.session.domain.dose import RecordDose
from services.session.domain.effects import dissociation, sedation
from services.session.domain.monitor import RecordVitals
from services.session.domain.prepare import RecordPreparation
from services.session.domain.state import Course, evolve
from services.session.domain.stated_pressure import StatedPressure
from services.session.show import show_course
from shared.events.base import EventData
from shared.events.session import (
    AlertAcknowledged,
    AlertRaised,
    CourseCompleted,
    DosingAuthorised,
    EntryCorrected,
    Escalated,
    SafetyHoldPlaced,
    SessionCompleted,
    SessionDosed,
    VitalOverdue,
    VitalsRecorded,
)
from shared.events.stay import ChaperoneCheckOverdue, RepeatPressureOverdue
from shared.pathway.refusal import Refusal
from tests.unit.alerting import without_alerts
from tests.unit.session.room import (
    T0,
    Room,
    approval,
    approved_room,
    checked_room,
    consent,
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


def vitals_body(**changes: Any) -> RecordVitals:
    return RecordVitals(
        **{"session": 1, "taken_at": T0 + timedelta(minutes=40), "blood_pressure": StatedPressure(systolic=120, diastolic=80), **changes}
    )


HIGH = StatedPressure(systolic=160, diastolic=95)
CHECKED = set(RecordChecks.model_fields)


def dose_body(**changes: Any) -> RecordDose:
    return RecordDose(**{"session": 1, "dose_mg": Decimal(200), "route": "sublingual", "given_at": T0, **changes})


def only_dose(room: Room, session: int = 1) -> str | None:
    (dose,) = room.course.require(session).doses
    return dose.entry


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
    assert (room.course.doses_left, room.course.doses_given) == (3, 1)


def test_a_dose_of_an_earlier_plan_that_was_amended_still_belongs_to_it() -> None:
    room = dosed_room()
    finish_session(room)
    first = only_dose(room)
    room.hear(approval(plan(doses=4), request=2))
    room.correct(first, "amended", dose=dose_body(dose_mg=Decimal(150)))
    assert (room.course.doses_left, room.course.doses_given) == (4, 1)


def test_r27_a_marked_dose_that_completed_the_course_takes_it_on() -> None:
    room = dosed_room(plan(doses=1))
    finish_session(room)
    room.correct(only_dose(room))
    assert (room.course.status, room.course.doses_left) == ("ready", 1)


# Checks and authorisations


def test_r19_an_authorisation_lapses_with_the_checks_it_rests_on() -> None:
    room = checked_room()
    room.authorise()
    (checks,) = room.course.require(1).checks
    assert kinds(room.correct(checks.entry)) == [EntryCorrected]
    assert room.course.require(1).authorisation is None
    assert rules(room.authorise()) == {("R-19", "no-checks")}
    dosed = room.dose()[0]
    assert isinstance(dosed, SessionDosed)
    assert set(dosed.deviations) == {"no-checks", "not-authorised"}


def test_r19_checks_that_it_does_not_rest_on_leave_an_authorisation() -> None:
    room = checked_room()
    (first,) = room.course.require(1).checks
    room.later(minutes=1)
    room.check()
    room.authorise()
    room.correct(first.entry)
    assert room.course.require(1).authorisation is not None
    (dosed,) = room.dose()
    assert isinstance(dosed, SessionDosed)


def test_r19_amended_checks_allow_no_dose_until_it_is_authorised_anew() -> None:
    room = checked_room()
    room.authorise()
    (checks,) = room.course.require(1).checks
    body = RecordChecks(
        session=1,
        consent_reaffirmed=True,
        consent_version="consent-1",
        monitor="monitor-1",
        monitor_adult=True,
        escort_named=True,
        fasting=True,
        weight_kg=Decimal(35),
        weighed_at=T0,
        blood_pressure=StatedPressure(systolic=120, diastolic=80),
        checked_at=T0,
    )
    room.correct(checks.entry, "amended", checks=body)
    assert room.course.require(1).authorisation is None
    # 200 mg for 35 kg is above the plan's 5 mg/kg.
    assert rules(room.authorise()) == {("R-18", "above-plan-per-kilogram")}


def test_a_replacement_takes_the_place_of_what_it_replaces() -> None:
    room = checked_room(pressure=(150, 95))
    (first,) = room.course.require(1).checks
    room.check(pressure=(120, 80))  # again in the same minute: the last word
    room.correct(first.entry, "amended", checks=RecordChecks(**{**first.model_dump(include=CHECKED), "blood_pressure": HIGH}))
    latest = room.course.require(1).latest_checks
    assert latest is not None
    assert latest.blood_pressure.systolic == 120


def test_r19_a_dose_given_on_checks_that_were_an_error_is_a_deviation_that_calls_a_clinician() -> None:
    room = dosed_room()
    (checks,) = room.course.require(1).checks
    _marked, deviation, alert = room.correct(checks.entry)
    assert isinstance(deviation, Escalated)
    assert (deviation.rule, deviation.because, deviation.emergency) == ("R-19", ("authorised-on-corrected-checks",), False)
    assert isinstance(alert, AlertRaised)


def test_a_marked_dose_gives_its_authorisation_back() -> None:
    room = dosed_room()
    room.correct(only_dose(room))
    assert isinstance(room.course.require(1).authorisation, DosingAuthorised)


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


# Any order of entries and corrections comes to what counts had the marked ones never been


class Told(Room):
    """A room that keeps what was said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[EventData] = []

    def take(self, events: list[EventData]) -> list[EventData]:
        self.said += events
        return super().take(events)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ("check", "authorise", "dose", "dose", "booster", "vitals", "vitals", "leave", "schedule", "prepare", "error", "error", "amend")
        ),
        st.integers(0, 20),
        st.integers(0, 3),
    ),
    max_size=22,
)
SAID_BY_THE_SERVICE = (VitalOverdue, RepeatPressureOverdue, AlertRaised, AlertAcknowledged, Escalated, CourseCompleted)


@settings(max_examples=120, deadline=None)
@given(STEPS)
def test_any_order_of_entries_and_corrections_counts_as_if_marked_ones_had_never_been(steps: list[tuple[str, int, int]]) -> None:
    room = Told()
    room.hear(consent())
    room.hear(approval(plan(doses=4)))
    for step, which, value in steps:
        room.later(minutes=7)
        try:
            _take(room, step, which, value)
        except Refusal:
            continue
        room.tick()
    marked = {event.entry for event in room.said if isinstance(event, EntryCorrected)}
    never = reduce(evolve, _without(room.said, marked), Course())
    quiet = reduce(evolve, (event for event in room.said if not isinstance(event, SAID_BY_THE_SERVICE)), Course())
    assert _counting(quiet) == _counting(never)
    # Counted by hand: a planned dose for each dose that is no booster, and one for boosters without any.
    given_in: dict[int, list[bool]] = {}
    for event in room.said:
        if isinstance(event, SessionDosed) and event.entry not in marked:
            given_in.setdefault(event.session, []).append(event.booster)
    assert room.course.doses_left == max(0, 4 - sum(max(1, boosters.count(False)) for boosters in given_in.values()))
    left = {event.session for event in room.said if isinstance(event, SessionCompleted) and event.entry not in marked}
    assert {session.number for session in room.course.running} == set(given_in) - left
    assert not (room.course.completed and (room.course.running or room.course.doses_left))
    cache = TypeAdapter(Course)
    assert cache.validate_json(cache.dump_json(room.course)) == room.course


def _take(room: Told, step: str, which: int, value: int) -> None:
    sessions = room.course.sessions
    number = sessions[which % len(sessions)].number if sessions else 1
    match step:
        case "schedule":
            room.schedule()
        case "prepare":
            room.prepare(psychoeducation=value > 0)
        case "check":
            room.check(number)
        case "authorise":
            room.authorise("200", number)
        case "dose" | "booster":
            room.dose("100", number if sessions else None, booster=step == "booster")
        case "vitals":
            room.vitals(number, (120 + 15 * value, 80), sedation=5 - value, taken_at=room.now - timedelta(minutes=which))
        case "leave":
            room.discharge(number, left_against_advice=True)
        case _:
            _correct(room, step, which, value)


def _correct(room: Told, step: str, which: int, value: int) -> None:
    marked = {event.entry for event in room.said if isinstance(event, EntryCorrected)}
    entries = [event for event in room.said if getattr(event, "entry", None) is not None and not isinstance(event, EntryCorrected)]
    standing = [event for event in entries if getattr(event, "entry") not in marked]  # noqa: B009
    if not standing:
        return
    event = standing[which % len(standing)]
    match event:
        case SessionDosed() if step == "amend":
            body = dose_body(session=event.session, given_at=room.now - timedelta(minutes=value), dose_mg=Decimal(50), booster=value == 1)
            room.correct(event.entry, "amended", dose=body)
        case VitalsRecorded() if step == "amend":
            room.correct(event.entry, "amended", vitals=vitals_body(session=event.session, taken_at=room.now, sedation=5 - value))
        case _:
            room.correct(getattr(event, "entry"))  # noqa: B009


def _without(said: list[EventData], marked: set[str]) -> list[EventData]:
    """What was said, had the marked entries never been: a replacement stands where the entry stood that it replaces."""
    kept: list[EventData] = []
    for event in said:
        if isinstance(event, (EntryCorrected, *SAID_BY_THE_SERVICE)):
            continue
        replaces = getattr(event, "replaces", None)
        places = [place for place, each in enumerate(kept) if replaces is not None and getattr(each, "entry", None) == replaces]
        kept.insert(places[0] + 1 if places else len(kept), event)
    return [event for event in kept if getattr(event, "entry", None) not in marked]


def _counting(course: Course) -> Any:
    """What counts of a course; an authorisation lapses with its checks instead, and is tested above."""
    sessions = [
        (
            session.number,
            # Without the dose that began it, nobody could have recorded anything in such a session.
            session.phase if session.scheduled is not None or session.doses else None,
            session.checks,
            session.doses,
            session.vitals,
            session.completed,
            session.pressures(),
            sedation(session),
            dissociation(session),
        )
        for session in course.sessions
        if session.scheduled is not None or session.doses or session.checks or session.vitals or session.completed is not None
    ]
    return course.doses_left, course.preparation, course.running and course.status, sessions, course.deadlines
