"""Checks that were an error, and the authorisations that rest on them. Expectations: R-19, R-20, and PERMISSION AND FACT."""

from decimal import Decimal

from services.session.domain.check import RecordChecks
from services.session.domain.stated_pressure import StatedPressure
from shared.events.session import (
    AlertRaised,
    DosingAuthorised,
    EntryCorrected,
    Escalated,
    SessionDosed,
)
from tests.unit.session.corrections import only_dose
from tests.unit.session.room import (
    T0,
    checked_room,
    dosed_room,
    rules,
)

HIGH = StatedPressure(systolic=160, diastolic=95)
CHECKED = set(RecordChecks.model_fields)


# Checks and authorisations


def test_r19_an_authorisation_lapses_with_the_checks_it_rests_on() -> None:
    room = checked_room()
    room.authorise()
    (checks,) = room.course.require(1).checks
    assert [type(event) for event in room.correct(checks.entry)] == [EntryCorrected]
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
