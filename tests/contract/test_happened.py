"""When what an event tells of happened: stated by people and devices, so it can be another time than that of the record.

Which field says so is expected by hand here, from what the events' own words say.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pydantic import AwareDatetime

from shared.events import intake, session
from shared.events.base import EventData
from shared.events.intake import ConsentGiven, ScoreStated
from shared.events.integration import OutcomeMeasured
from shared.events.registry import BY_TYPE
from shared.events.session import SessionDosed, VitalsRecorded
from shared.events.supply import MedicationDispensed

RECORDED = datetime(2026, 3, 2, 10, 30, 15, 123_456, tzinfo=UTC)
SAID = {
    "intake": {
        "ConsentGiven": "given_at",
        "ConsentWithdrawn": "withdrawn_at",
        "InstrumentAnswered": "answered_at",
        "ScoreStated": "score.answered_at",
        "EntryCorrected": "corrected_at",
        "EmergencyAccessEnded": "ended_at",
        "StopNoted": "at",
        "PolicyNoted": "adopted_at",
    },
    "prescriber": {
        "PrescriptionIssued": "issued_on",
        "MedicationDispensed": "dispensed_on",
        "MedicationAdministered": "given_at",
        "MedicationWasted": "wasted_at",
        "MedicationReturned": "returned_at",
        "EntryCorrected": "corrected_at",
        "LotRecalled": "recalled_at",
        "LotRecallWithdrawn": "withdrawn_at",
        "DeteriorationNoted": "measured_at",
        "OutdatedScreeningNoted": "outdated_at",
        "TransferNoted": "transferred_at",
        "ConsentWithdrawn": "withdrawn_at",
        "StopNoted": "at",
        "PolicyAdopted": "adopted_at",
    },
    "session": {
        "PreparationCompleted": "completed_at",
        "EnrolmentRecorded": "enrolled_on",
        "SetAndSettingRecorded": "recorded_at",
        "PreDoseChecked": "checked_at",
        "PrescriberAsked": "at",
        "SessionDosed": "given_at",
        "AdministrationEnded": "ended_at",
        "VitalsRecorded": "taken_at",
        "Escalated": "at",
        "AdverseEventRecorded": "happened_at",
        "ChaperoneChecked": "checked_at",
        "EmergencyResponded": "responded_at",
        "RemsFormSubmitted": "submitted_at",
        "SessionCompleted": "discharged_at",
        "EntryCorrected": "corrected_at",
        "IntegrationNoted": "held_at",
        "LotRecallNoted": "recalled_at",
        "LotRecallEndNoted": "withdrawn_at",
        "TransferAwaited": "transferred_at",
        "TransferNoted": "transferred_at",
        "ConsentWithdrawn": "withdrawn_at",
        "StopNoted": "at",
        "PolicyNoted": "adopted_at",
    },
    "integration": {
        "IntegrationHeld": "held_at",
        "IntegrationMissed": "at",
        "InsightNoted": "came_at",
        "MaintenanceBegan": "began_at",
        "GoalProgressed": "at",
        "GoalKept": "kept_at",
        "GoalLetGo": "let_go_at",
        "OutcomeMeasured": "measured_at",
        "OutcomeDeteriorated": "measured_at",
        "OutcomeNotFollowed": "at",
        "CareDischarged": "discharged_at",
        "PrescriberNoted": "decided_at",
        "TransferNoted": "transferred_at",
        "ConsentWithdrawn": "withdrawn_at",
        "StopNoted": "at",
        "PolicyNoted": "adopted_at",
    },
}
TO_COME = frozenset(
    {
        *("due_at", "due_by", "until", "expires_at", "review_by", "starts_at", "reconcile_by", "repeat_by", "reclear_by", "valid_until"),
        *("rest_expected_by", "expiry_warning_at", "rescheduled_to", "missed_after", "closes_at", "earlier_until", "ready_at"),
        *("follow_up_on", "due_on"),
    }
)
"""Times of what is to come."""
OF_THE_RECORD = frozenset(
    {
        *("recorded_at", "referred_at", "reopened_at", "renewed_at", "opened_at", "reviewed_at", "screened_at", "set_at", "changed_at"),
        *("raised_at", "acknowledged_at", "escalated_at", "noted_at", "noticed_at", "activated_at", "left_at", "added_at", "disabled_at"),
        *("received_at", "asked_at", "revoked_at", "closed_at", "authorised_at", "heard_at", "decided_at", "returned_at"),
        *("placed_at", "lifted_at"),
    }
)
"""Times of which the service says its own: what the event tells of is the record."""
OF_SOMETHING_ELSE = {
    ("DoseFoundUncovered", "given_at"),
    ("DoseFoundUncovered", "stopped_at"),
    ("IntegrationScheduled", "dosed_at"),
    ("IntegrationWithdrawn", "withdrawn_at"),
    ("OutcomeJudgedAnew", "measured_at"),
    ("ReclearanceDue", "since"),
    ("ReviewRecalled", "recalled_at"),
    ("ClearanceAnswered", "answered_at"),
    ("ScreeningCompleted", "completed_at"),
    ("IntegrationCompleted", "completed_at"),
    ("CourseCompleted", "completed_at"),
    ("ScreeningOutdated", "outdated_at"),
    ("CaseTransferred", "transferred_at"),
    ("PressureDecided", "measured_at"),
    ("SessionDosed", "ended_at"),
    ("PreDoseChecked", "weighed_at"),
    ("AdministrationEnded", "given_at"),
    ("PatientReferred", "birth_date"),
}
"""Times in events that happened when they were recorded, or at another time that they say."""


def times(event: type[EventData]) -> set[str]:
    kinds = (AwareDatetime, AwareDatetime | None, date, date | None)
    return {name for name, field in event.model_fields.items() if field.annotation in kinds}


def test_these_events_say_when_it_happened_and_no_other() -> None:
    expected = {f"kapcare.{service}.{name}.v1": field for service, said in SAID.items() for name, field in said.items()}
    assert {event.TYPE: event.HAPPENED for event in BY_TYPE.values() if event.HAPPENED is not None} == expected


@pytest.mark.parametrize("event", BY_TYPE.values(), ids=lambda event: event.TYPE)
def test_every_time_in_an_event_is_when_it_happened_or_is_known_to_be_another(event: type[EventData]) -> None:
    name = event.TYPE.split(".")[2]
    elsewhere = {field for named, field in OF_SOMETHING_ELSE if named == name}
    assert times(event) - {event.HAPPENED} - elsewhere <= TO_COME | OF_THE_RECORD


def noon_of(day: date) -> datetime:
    """Of a clinic in New York in winter: five hours behind UTC."""
    return datetime(day.year, day.month, day.day, 17, tzinfo=UTC)


def made(event: type[EventData], **said: Any) -> EventData:
    return event.model_construct(**said)


@pytest.mark.parametrize(
    ("event", "field"),
    [(SessionDosed, "given_at"), (VitalsRecorded, "taken_at"), (ConsentGiven, "given_at"), (OutcomeMeasured, "measured_at")],
)
def test_it_happened_when_the_event_says(event: type[EventData], field: str) -> None:
    before = RECORDED - timedelta(hours=9)
    assert made(event, **{field: before}).happened(RECORDED, noon_of) == datetime(2026, 3, 2, 1, 30, 15, 123_000, tzinfo=UTC)


def test_it_happened_when_a_part_of_the_event_says() -> None:
    class Answered:
        answered_at = datetime(2026, 2, 27, 8, tzinfo=UTC)

    assert made(ScoreStated, score=Answered()).happened(RECORDED, noon_of) == Answered.answered_at


@pytest.mark.parametrize(
    ("moment", "happened"),
    [
        (RECORDED, None),
        (RECORDED.replace(microsecond=123_999), None),
        (RECORDED.replace(microsecond=122_999), RECORDED.replace(microsecond=122_000)),
        (datetime.fromisoformat("2026-03-02T02:30:15.123-08:00"), None),
        (datetime.fromisoformat("2026-03-02T02:30:15.124-08:00"), RECORDED.replace(microsecond=124_000)),
    ],
)
def test_what_happened_in_the_millisecond_of_its_record_says_no_other_time(moment: datetime, happened: datetime | None) -> None:
    """Envelopes have milliseconds (RFC 3339 as kapcare writes it), in UTC."""
    assert made(SessionDosed, given_at=moment).happened(RECORDED, noon_of) == happened


@pytest.mark.parametrize(
    ("day", "recorded", "happened"),
    [
        (date(2026, 3, 2), datetime(2026, 3, 2, 16, 59, 59, tzinfo=UTC), None),
        (date(2026, 3, 2), datetime(2026, 3, 2, 17, tzinfo=UTC), None),
        (date(2026, 3, 2), datetime(2026, 3, 2, 17, 0, 1, tzinfo=UTC), datetime(2026, 3, 2, 17, tzinfo=UTC)),
        (date(2026, 3, 2), datetime(2026, 3, 3, 1, 30, tzinfo=UTC), datetime(2026, 3, 2, 17, tzinfo=UTC)),
        (date(2026, 3, 3), datetime(2026, 3, 3, 1, 30, tzinfo=UTC), None),
    ],
)
def test_a_day_stands_for_its_noon_at_the_clinic_and_never_for_what_is_to_come(
    day: date, recorded: datetime, happened: datetime | None
) -> None:
    assert made(MedicationDispensed, dispensed_on=day).happened(recorded, noon_of) == happened


def test_a_hold_did_not_happen_here_when_it_was_placed_elsewhere() -> None:
    """A hold carried from another case of the patient says since when that one is held; no dose of this one was given under it."""
    before = RECORDED - timedelta(days=2)
    assert made(session.StopNoted, kind="hold_placed", at=before, hold="hold-1").happened(RECORDED, noon_of) is None
    assert made(intake.SafetyHoldPlaced, hold="hold-1", placed_at=before, carried_from="case-2").happened(RECORDED, noon_of) is None
    assert made(session.StopNoted, kind="consent_withdrawn", at=before, hold=None).happened(RECORDED, noon_of) is not None


def test_an_event_that_does_not_say_what_it_may_say_happened_when_it_was_recorded() -> None:
    assert made(SessionDosed, given_at=None).happened(RECORDED, noon_of) is None
