"""Doses are facts: recorded whatever allowed them. Expectations: the design's PERMISSION AND FACT, and R-20."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from services.session.domain.dose import RecordDose
from shared.events.base import EventData
from shared.events.session import CourseCompleted, Escalated, SessionDosed
from shared.pathway.refusal import Refusal
from tests.unit.alerting import without_alerts
from tests.unit.session.room import (
    T0,
    Room,
    approval,
    approved_room,
    checked_room,
    consent,
    decline,
    dosed_room,
    finish_session,
    hold,
    plan,
    withdrawal,
)


def deviations(events: list[EventData]) -> set[str]:
    """What nothing covered; each deviation must also call a clinician, and nothing else may."""
    dosed = events[0]
    assert isinstance(dosed, SessionDosed)
    alarms = [event for event in events if isinstance(event, Escalated)]
    assert [alarm.because for alarm in alarms] == ([dosed.deviations] if dosed.deviations else [])
    assert all(alarm.rule == "R-20" and not alarm.emergency for alarm in alarms)
    return set(dosed.deviations)


def authorised_room() -> Room:
    room = checked_room()
    room.authorise()
    return room


def test_an_authorised_dose_has_no_deviation() -> None:
    events = authorised_room().dose(given_by="monitor-1")
    assert deviations(events) == set()
    (dosed,) = events
    assert isinstance(dosed, SessionDosed)
    assert (dosed.dose_mg, dosed.mg_per_kg) == (Decimal(200), Decimal("2.86"))
    assert (dosed.route, dosed.intent) == ("sublingual", "psycholytic")
    assert (dosed.given_at, dosed.given_by, dosed.booster) == (T0, "monitor-1", False)


def test_who_records_is_who_gave_unless_another_is_named() -> None:
    dosed = authorised_room().dose()[0]
    assert isinstance(dosed, SessionDosed)
    assert dosed.given_by == "actor-1"


@pytest.mark.parametrize(
    ("changes", "deviation"),
    [({"dose_mg": Decimal(199)}, "dose-differs"), ({"booster": True}, "not-a-booster"), ({"intent": "psychedelic"}, "intent-differs")],
)
def test_what_differs_from_the_authorisation_is_named(changes: dict[str, Any], deviation: str) -> None:
    room = authorised_room()
    body: dict[str, Any] = {"dose_mg": Decimal(200), **changes}
    assert deviations(room.dose(str(body.pop("dose_mg")), **body)) == {deviation}


def test_r18_a_lozenge_s_milligrams_injected_reach_the_anaesthetic_range() -> None:
    # 200 mg / 70 kg = 2.86 mg/kg, above 2.0
    assert deviations(authorised_room().dose(route="intramuscular")) == {"route-differs", "anaesthetic-range"}


def test_a_dose_without_authorisation_is_recorded() -> None:
    assert deviations(checked_room().dose()) == {"not-authorised"}


def test_a_dose_given_before_its_authorisation_was_not_authorised() -> None:
    room = checked_room()
    room.later(minutes=10)
    room.authorise()
    assert deviations(room.dose(given_at=T0 + timedelta(minutes=9))) == {"not-authorised"}


def test_an_authorisation_covers_one_dose() -> None:
    room = authorised_room()
    assert deviations(room.dose()) == set()
    room.later(minutes=15)
    assert deviations(room.dose("50", booster=True)) == {"not-authorised"}


def test_an_authorised_booster_has_no_deviation() -> None:
    room = dosed_room()
    room.later(minutes=15)
    room.authorise("50", booster=True)
    assert deviations(room.dose("50", booster=True)) == set()


def test_a_second_dose_is_named_as_one() -> None:
    room = dosed_room()
    room.later(minutes=15)
    room.authorise("50", booster=True)
    assert deviations(room.dose("50")) == {"second-dose"}


def test_checks_made_again_after_the_authorisation_ask_for_a_new_one() -> None:
    room = authorised_room()
    room.later(minutes=5)
    room.check(pressure=(170, 100))
    room.later(minutes=1)
    assert deviations(room.dose()) == {"not-authorised", "pressure-above-limit"}


def test_checks_made_in_the_very_minute_of_the_authorisation_but_after_it_ask_for_a_new_one() -> None:
    room = authorised_room()
    room.check(escort_named=False)
    assert "not-authorised" in deviations(room.dose())


def test_r20_consent_to_another_version_after_the_checks_does_not_cover_the_dose() -> None:
    room = authorised_room()
    room.hear(consent(version="consent-2", given_at=T0))
    assert deviations(room.dose()) == {"consent-version"}


def test_r20_consent_to_another_version_given_after_the_dose_changes_nothing_about_it() -> None:
    room = authorised_room()
    room.later(minutes=10)
    room.hear(consent(version="consent-2", given_at=T0 + timedelta(minutes=10)))
    assert deviations(room.dose(given_at=T0 + timedelta(minutes=5))) == set()


def test_a_dose_charted_late_is_judged_by_the_checks_before_it() -> None:
    room = authorised_room()
    room.later(minutes=30)
    room.check(monitor=None, escort_named=False, weight_kg=Decimal(80))
    dosed = room.dose(given_at=T0 + timedelta(minutes=5))
    assert deviations(dosed) == set()
    assert dosed[0].model_dump()["mg_per_kg"] == Decimal("2.86")


def test_r22_a_dose_charted_late_is_not_one_after_the_emergency() -> None:
    room = authorised_room()
    room.later(minutes=30)
    room.vitals(sedation=0)
    assert deviations(room.dose(given_at=T0 + timedelta(minutes=5))) == set()
    assert "emergency" in deviations(room.dose("50", booster=True))


def test_r27_a_dose_charted_late_is_judged_by_the_doses_before_it() -> None:
    """Doses at T0, 13 weeks later, and the day after; the one in the middle is charted last."""
    room = dosed_room(plan(doses=9, expires_at=T0 + timedelta(days=300)))
    finish_session(room)
    room.now = T0 + timedelta(weeks=13, days=1)
    assert "reclearance-needed" in deviations(room.dose(session=None))
    room.discharge(2, left_against_advice=True)
    assert "reclearance-needed" in deviations(room.dose(session=None, given_at=T0 + timedelta(weeks=13)))
    room.later(days=1)
    assert "reclearance-needed" not in deviations(room.dose(session=None))


def test_an_authorisation_under_an_earlier_plan_does_not_cover() -> None:
    room = authorised_room()
    room.later(minutes=5)
    room.hear(approval(plan(), request=2, decided_at=room.now))
    assert deviations(room.dose()) == {"not-authorised"}


def test_yesterdays_checks_do_not_cover() -> None:
    room = authorised_room()
    room.now = datetime(2026, 3, 3, 5, 0, tzinfo=UTC)  # midnight in New York
    assert deviations(room.dose()) == {"no-checks", "authorisation-lapsed"}


@pytest.mark.parametrize(("stop", "why"), [(hold(), "safety-hold"), (withdrawal(), "consent-withdrawn")])
def test_a_stop_never_keeps_a_dose_out_of_the_record(stop: EventData, why: str) -> None:
    room = authorised_room()
    room.hear(stop)
    assert deviations(room.dose()) == {why}


def test_a_dose_after_a_decline_is_recorded() -> None:
    room = authorised_room()
    room.hear(decline())
    assert deviations(room.dose()) == {"not-approved"}


@pytest.mark.parametrize(("before_expiry", "expected"), [(timedelta(seconds=1), set()), (timedelta(0), {"plan-expired"})])
def test_a_dose_after_the_plan_expired_is_recorded(before_expiry: timedelta, expected: set[str]) -> None:
    expires_at = T0 + timedelta(hours=1)
    room = checked_room(plan(expires_at=expires_at))
    room.authorise()
    room.now = expires_at
    assert deviations(room.dose(given_at=expires_at - before_expiry)) == expected


@pytest.mark.parametrize("session", [None, 7])
def test_a_dose_nobody_scheduled_opens_a_session_of_its_own(session: int | None) -> None:
    room = approved_room()
    events = room.dose(session=session)
    assert deviations(events) == {"not-scheduled", "not-prepared", "no-checks", "not-authorised"}
    assert room.course.require(1).phase == "dosed"
    assert room.course.status == "monitoring"


def test_the_first_word_on_a_stream_can_be_a_dose() -> None:
    room = Room()
    assert deviations(room.dose(session=None)) == {
        "consent-missing",
        "not-approved",
        "not-scheduled",
        "not-prepared",
        "no-checks",
        "not-authorised",
    }


def test_a_dose_beyond_the_plan_is_recorded() -> None:
    room = dosed_room(plan(doses=1))
    finish_session(room)
    assert "doses-used-up" in deviations(room.dose(session=None))


def test_a_booster_uses_no_further_dose_of_the_plan_and_a_second_dose_does() -> None:
    room = dosed_room()
    room.dose("50", booster=True)
    assert room.course.doses_left == 1
    room.dose("50")
    assert room.course.doses_left == 0


def test_a_dose_charted_after_the_discharge_belongs_to_its_session() -> None:
    room = dosed_room()
    finish_session(room)
    assert "session-closed" in deviations(room.dose("50", booster=True, given_at=T0 + timedelta(minutes=20)))
    assert room.course.require(1).phase == "completed"


def test_a_dose_given_after_the_discharge_opens_another_session() -> None:
    room = dosed_room()
    finish_session(room)
    room.later(minutes=1)
    assert {"not-scheduled"} <= deviations(room.dose())
    assert room.course.require(1).phase == "completed"
    assert room.course.require(2).phase == "dosed"


def test_a_last_dose_charted_after_the_discharge_still_ends_the_course() -> None:
    room = approved_room(plan(doses=1))
    room.prepare()
    room.schedule()
    room.later(minutes=30)
    room.discharge(left_against_advice=True)
    events = room.dose(given_at=T0 + timedelta(minutes=5))
    assert isinstance(without_alerts(events)[-1], CourseCompleted)


def test_a_dose_in_a_cancelled_session_opens_it_again() -> None:
    from services.session.domain.schedule import CancelSession, cancel_session

    room = authorised_room()
    room.do(cancel_session, CancelSession(session=1, reason="patient-ill"))
    assert deviations(room.dose()) == {"session-closed"}
    assert room.course.require(1).phase == "dosed"


def test_a_dose_beside_a_running_session_is_named() -> None:
    room = dosed_room()
    assert "another-session-running" in deviations(room.dose(session=None))


@pytest.mark.parametrize(
    ("given_at", "slug"),
    [
        (T0 + timedelta(seconds=1), "time-in-the-future"),
        (datetime(1999, 12, 31, tzinfo=UTC), "out-of-range"),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), "out-of-range"),
    ],
)
def test_only_an_impossible_time_is_refused(given_at: datetime, slug: str) -> None:
    with pytest.raises(Refusal) as refused:
        authorised_room().dose(given_at=given_at)
    assert refused.value.slug == slug


@pytest.mark.parametrize("milligrams", ["0", "-1", '"NaN"', "100000000", "1.001"])
def test_milligrams_are_positive_and_possible(milligrams: str) -> None:
    body = f'{{"session":1,"dose_mg":{milligrams},"route":"sublingual","given_at":"2026-03-02T09:00:00Z"}}'
    with pytest.raises(ValidationError):
        RecordDose.model_validate_json(body)


def test_mg_per_kg_stays_unknown_without_a_weight() -> None:
    room = Room()
    room.hear(consent())
    dosed = room.dose(session=None)[0]
    assert isinstance(dosed, SessionDosed)
    assert dosed.mg_per_kg is None
