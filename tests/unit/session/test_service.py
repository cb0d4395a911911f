"""The service as data: who may do what, what waits for the inbox, what is shown."""

import json
from datetime import timedelta

import pytest
from pydantic import ValidationError
from pydantic_core import to_json

from services.session.api import COMMANDS
from services.session.domain.authorise import AuthoriseDose
from services.session.domain.check import RecordChecks
from services.session.show import show_course
from shared.access.decide import ALLOWED
from shared.events import session
from shared.events.base import EventData
from tests.unit.session.room import Room, dosed_room, finish_session

BY_PATH = {command.path.removeprefix("/cases/{case}/"): command for command in COMMANDS}


def test_only_a_prescriber_or_a_medical_monitor_authorises_a_dose() -> None:
    assert ALLOWED[BY_PATH["authorisation"].permission] == {"prescriber", "medical_monitor"}


@pytest.mark.parametrize(
    "path",
    [
        "set-and-setting",
        "checks",
        "doses",
        "doses/end",
        "vitals",
        "adverse-events",
        "discharge",
        "chaperone-checks",
        "emergency-responses",
        "rems-forms",
        "corrections",
    ],
)
def test_care_is_recorded_by_those_in_the_room(path: str) -> None:
    assert ALLOWED[BY_PATH[path].permission] == {"therapist", "prescriber", "medical_monitor"}


def test_an_authorisation_waits_for_the_inbox_and_no_fact_does() -> None:
    assert {path for path, command in BY_PATH.items() if command.waits_for_inbox} == {"authorisation"}


def test_the_view_shows_each_session_in_the_order_of_its_events() -> None:
    room = dosed_room()
    finish_session(room)
    shown = json.loads(to_json(show_course(room.course)))
    (only,) = shown["sessions"]
    assert [line["event"] for line in only["timeline"]] == [
        "SessionScheduled",
        "PreDoseChecked",
        "DosingAuthorised",
        "SessionDosed",
        "VitalsRecorded",
        "VitalsRecorded",
        "SessionCompleted",
    ]
    assert shown["plan"]["doses"] == 2
    assert shown["doses_left"] == 1


def test_the_view_of_a_case_that_only_heard_of_a_dose_is_shown() -> None:
    room = Room()
    room.dose(session=None)
    shown = json.loads(to_json(show_course(room.course)))
    assert shown["plan"] is None
    assert shown["due"]["second_pressure_1_20260302t094000"] == (room.now + timedelta(minutes=50)).isoformat().replace("+00:00", "Z")
    assert [alert["why"] for alert in shown["alerts"]] == ["escalated"]


@pytest.mark.parametrize(
    "body",
    [
        '{"session": "1", "dose_mg": 200}',
        '{"session": 1, "dose_mg": 200, "dose": 5}',
        '{"session": 1, "dose_mg": 0}',
        '{"session": 1}',
    ],
)
def test_a_request_with_wrong_types_unknown_or_missing_fields_does_not_hold(body: str) -> None:
    with pytest.raises(ValidationError):
        AuthoriseDose.model_validate_json(body)


@pytest.mark.parametrize("pressure", ['{"systolic": "120", "diastolic": 80}', '{"systolic": 120, "diastolic": 80, "unit": "kPa"}'])
def test_a_pressure_holds_exact_types_and_nothing_else(pressure: str) -> None:
    body = (
        '{"session":1,"consent_reaffirmed":true,"consent_version":"consent-1","monitor":"m","escort_named":true,"fasting":true,'
        f'"weight_kg":70,"weighed_at":"2026-03-02T09:00:00Z","blood_pressure":{pressure},"checked_at":"2026-03-02T09:00:00Z"}}'
    )
    with pytest.raises(ValidationError):
        RecordChecks.model_validate_json(body)
    RecordChecks.model_validate_json(body.replace(pressure, '{"systolic": 120, "diastolic": 80}'))


@pytest.mark.parametrize("event", session.EVENTS, ids=lambda event: event.__name__)
def test_events_that_another_version_wrote_without_optional_fields_can_be_read(event: type[EventData]) -> None:
    """What was sealed without its empty fields must open again: every field that may be None has that default."""
    optional = [name for name, field in event.model_fields.items() if type(None) in getattr(field.annotation, "__args__", ())]
    assert all(not event.model_fields[name].is_required() for name in optional)
