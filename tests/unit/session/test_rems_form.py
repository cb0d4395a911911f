"""The REMS form and its clock. Expectations: R-26 of domain.md 5c and the form's fields in 2.2 (RM1, RM2); days are the clinic's.

The shipped policy's clinic lies in New York: on 2 March 2026 its day ends at 5 UTC, from 8 March on (daylight saving) at 4 UTC.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from services.session.domain.dose import RecordDose
from services.session.domain.rems_form import RemsForm, rems_form
from services.session.domain.stated import StatedMedication
from services.session.show import show_rems_forms
from shared.events.session import AlertAcknowledged
from shared.events.stay import RemsFormDue, RemsFormOverdue, RemsFormSubmitted
from shared.pathway.refusal import Refusal
from shared.pathway.waiting import Waiting
from tests.unit.alerting import without_alerts
from tests.unit.session.room import T0, Room, dosed_room, esketamine_room, finish_session, hold, policy

WARNED_AT = datetime(2026, 3, 7, 5, tzinfo=UTC)
OVERDUE_AT = datetime(2026, 3, 10, 4, tzinfo=UTC)


def form_of(room: Room) -> RemsForm:
    form = rems_form(room.course, room.course.require(1))
    assert form is not None
    return form


def at(room: Room, moment: datetime) -> Room:
    room.now = moment
    return room


def left_room() -> Room:
    room = esketamine_room()
    finish_session(room)
    return room


# The clock


def test_r26_the_form_is_warned_of_on_day_5_and_overdue_from_day_8() -> None:
    room = left_room()
    second = timedelta(seconds=1)
    assert at(room, WARNED_AT - second).tick() == []
    assert without_alerts(at(room, WARNED_AT).tick()) == [RemsFormDue(session=1, due_on=date(2026, 3, 9))]
    assert room.course.waits_for == Waiting("rems_form", T0, "medical_monitor")
    assert without_alerts(at(room, OVERDUE_AT - second).tick()) == []
    assert without_alerts(at(room, OVERDUE_AT).tick()) == [RemsFormOverdue(session=1, due_on=date(2026, 3, 9))]
    assert room.calls == ["rems-form-due", "rems-form-overdue"]
    assert without_alerts(at(room, OVERDUE_AT + timedelta(days=30)).tick()) == []


def test_r26_a_dose_late_in_the_evening_counts_from_the_clinics_day() -> None:
    # 3 March, 4:30 UTC is still 2 March in New York.
    room = esketamine_room(at=datetime(2026, 3, 3, 4, 30, tzinfo=UTC))
    finish_session(room)
    assert room.course.deadlines["rems_form_1"] == WARNED_AT


def test_r26_the_submission_settles_both_and_is_kept() -> None:
    room = left_room()
    at(room, OVERDUE_AT).tick()
    events = room.submit_form(lots=("lot-7",), concomitant=())
    assert len([event for event in events if isinstance(event, AlertAcknowledged) and event.resolved]) == 2
    assert room.calls == []
    assert "rems_form_1" not in room.course.deadlines
    assert room.course.waits_for == Waiting("scheduling", T0 + timedelta(hours=2), "coordinator")
    (submitted, *_) = events
    assert isinstance(submitted, RemsFormSubmitted)
    assert (submitted.reference, submitted.submitted_at, submitted.submitted_by) == ("receipt-1", room.now, "actor-1")


def test_r26_a_form_that_was_submitted_in_time_and_entered_late_settles_the_alert() -> None:
    room = left_room()
    at(room, OVERDUE_AT).tick()
    room.submit_form(submitted_at=T0 + timedelta(days=1))
    assert room.calls == []


def test_r26_after_an_outage_both_are_said_at_once() -> None:
    said = at(left_room(), OVERDUE_AT).tick()
    assert [type(event) for event in without_alerts(said)] == [RemsFormDue, RemsFormOverdue]


def test_r26_a_submission_that_was_an_error_is_due_again() -> None:
    room = left_room()
    at(room, WARNED_AT).tick()
    submitted = room.submit_form()[0]
    assert isinstance(submitted, RemsFormSubmitted)
    assert room.calls == []
    said = at(room, WARNED_AT + timedelta(days=1)).correct(submitted.entry)
    assert [type(event) for event in without_alerts(said)][1:] == [RemsFormDue]
    assert room.calls == ["rems-form-due"]
    assert [type(event) for event in without_alerts(at(room, OVERDUE_AT).tick())] == [RemsFormOverdue]


def test_r26_the_days_are_the_policys() -> None:
    room = Room(policy(rems_form_due_days=3, rems_form_warn_days=1))
    room.dose("56", None, route="intranasal_esketamine")
    assert room.course.deadlines["rems_form_1"] == datetime(2026, 3, 3, 5, tzinfo=UTC)


@pytest.mark.parametrize("begin", [dosed_room, lambda: esketamine_room("inpatient")], ids=["another route", "inpatient"])
def test_r26_other_routes_and_inpatients_never_get_one(begin: Callable[[], Room]) -> None:
    room = begin()
    finish_session(room)
    assert rems_form(room.course, room.course.require(1)) is None
    assert without_alerts(at(room, OVERDUE_AT).tick()) == []
    with pytest.raises(Refusal) as refused:
        room.submit_form()
    assert (refused.value.slug, refused.value.rule) == ("no-rems-form", "R-26")


def test_r26_a_form_is_submitted_once_at_a_possible_time_and_a_stop_does_not_keep_it_out() -> None:
    room = left_room()
    for moment, slug in ((T0 - timedelta(minutes=1), "out-of-range"), (room.now + timedelta(minutes=1), "time-in-the-future")):
        with pytest.raises(Refusal) as refused:
            room.submit_form(submitted_at=moment)
        assert (refused.value.slug, refused.value.rule) == (slug, "R-26")
    room.hear(hold())
    room.submit_form()
    with pytest.raises(Refusal) as refused:
        room.submit_form()
    assert refused.value.slug == "already-submitted"


def test_r26_a_dose_that_was_an_error_owes_no_form() -> None:
    room = esketamine_room()
    at(room, WARNED_AT).tick()
    assert "rems-form-due" in room.calls
    (dose,) = room.course.require(1).doses
    room.correct(dose.entry)
    assert "rems-form-due" not in room.calls
    assert "rems_form_1" not in room.course.deadlines


# The content


def test_the_form_holds_what_the_record_has() -> None:
    room = esketamine_room()
    room.now = T0 + timedelta(minutes=38)
    room.vitals(pressure=(150, 85), sedation=4, cadss=20)
    room.now = T0 + timedelta(minutes=90)
    room.vitals(pressure=(131, 82), sedation=5, cadss=4)
    room.now = T0 + timedelta(minutes=125)
    room.vitals(pressure=(128, 80))
    room.discharge(ready_at=T0 + timedelta(minutes=100))
    form = form_of(room)
    assert (form.dosed_on, form.due_on, form.setting, form.monitored_by) == (date(2026, 3, 2), date(2026, 3, 9), "clinic", "monitor-1")
    assert (form.doses_mg, form.minutes_monitored, form.ready_after_minutes) == ((Decimal(56),), 125, 100)
    taken = [
        (each.at, each.pressure.systolic)
        for each in (form.pressure_before, form.pressure_after, form.pressure_at_completion)
        if each is not None
    ]
    assert taken == [(T0, 120), (T0 + timedelta(minutes=38), 150), (T0 + timedelta(minutes=125), 128)]
    assert (form.acceptable_before, form.acceptable_at_completion) == (True, True)
    for effect in (form.sedation, form.dissociation):
        assert effect is not None
        assert (effect.onset, effect.resolution) == (T0 + timedelta(minutes=38), T0 + timedelta(minutes=90))
    assert form.serious_adverse_event is False
    assert (form.concomitant, form.missing) == ((), ("lots",))


def test_the_form_names_what_is_missing() -> None:
    assert form_of(esketamine_room()).missing == (
        "lots",
        "minutes_monitored",
        "ready_after_minutes",
        "acceptable_at_completion",
        "pressure_after",
        "pressure_at_completion",
        "sedation",
        "dissociation",
    )


def test_what_the_form_said_beyond_the_record_completes_it_and_what_is_missing_stays_named() -> None:
    room = left_room()
    submitted = room.submit_form(lots=("lot-7",), concomitant=("benzodiazepine",))[0]
    assert isinstance(submitted, RemsFormSubmitted)
    assert submitted.missing == ("ready_after_minutes", "sedation", "dissociation")
    assert form_of(room).missing == submitted.missing
    assert (form_of(room).lots, form_of(room).concomitant) == (("lot-7",), ("benzodiazepine",))


def test_the_lot_and_the_medications_of_the_record_are_in_the_form() -> None:
    room = esketamine_room()
    for kind in ("benzodiazepine", "cannabis"):  # the form does not ask about cannabis
        room.check(medications_taken=(StatedMedication(kind="maoi"), StatedMedication(kind=kind)))
    assert form_of(room).concomitant == ("maoi",)
    (dose,) = room.course.require(1).doses
    body = RecordDose(session=1, dose_mg=Decimal(56), route="intranasal_esketamine", given_at=T0, lot="lot-9")
    room.correct(dose.entry, "amended", dose=body)
    assert form_of(room).lots == ("lot-9",)


def test_an_effect_that_did_not_end_is_named() -> None:
    room = esketamine_room()
    room.vitals(sedation=3, dissociation=True)
    assert form_of(room).missing[-2:] == ("sedation_resolution", "dissociation_resolution")


def test_the_view_shows_the_form_of_each_esketamine_session() -> None:
    (shown,) = show_rems_forms(left_room().course)["forms"]
    assert (shown["session"], shown["missing"][0]) == (1, "lots")
    assert show_rems_forms(dosed_room().course) == {"forms": []}
