"""Which event of which service calls whom. The list is the one the clinics agreed on: suicide risk and vitals call clinicians, silence and
missed sessions call coordinators, an emergency is to be acknowledged within two minutes."""

from datetime import timedelta
from typing import Any

import pytest

from services.intake.domain import alerts as intake_alerts
from services.intake.domain.answer import AnswerInstrument, answer_instrument
from services.intake.domain.consent import STOPS
from services.integration.domain import alerts as integration_alerts
from services.integration.domain.measure import MeasureOutcome, measure_outcome
from services.prescriber.domain import alerts as prescriber_alerts
from services.prescriber.domain.deterioration import note_deterioration
from services.prescriber.domain.partners import alerts as partner_alerts
from services.prescriber.domain.reassign import passing_on
from services.prescriber.domain.review import opening
from services.prescriber.domain.state import Case as Review
from services.prescriber.domain.state import evolve_case
from services.session.domain import alerts as session_alerts
from services.session.domain.adverse_event import RecordAdverseEvent, record_adverse_event
from shared.events.base import AlertRaised, EventData
from shared.events.integration import OutcomeDeteriorated
from shared.pathway.stop import PlaceHold
from tests.unit.intake import cases
from tests.unit.integration_service.story import T0 as T0_OF_INTEGRATION
from tests.unit.integration_service.story import Story, dosed, phq9, screening
from tests.unit.prescriber import given
from tests.unit.session.room import T0, approved_room, checked_room, dosed_room

CALLS = {
    "kapcare.intake.SuicideRiskScreenRequired.v1": "therapist",
    "kapcare.intake.SafetyHoldPlaced.v1": "medical_monitor",
    "kapcare.intake.EmergencyAccessOpened.v1": "medical_monitor",
    "kapcare.intake.EmergencyAccessUnreviewed.v1": "medical_monitor",
    "kapcare.prescriber.ReviewOverdue.v1": "coordinator",
    "kapcare.prescriber.EligibilityRevoked.v1": "coordinator",
    "kapcare.prescriber.LateDecisionReceived.v1": "prescriber",
    "kapcare.prescriber.MessageQuarantined.v1": "admin",
    "kapcare.prescriber.DiversionSuspected.v1": "medical_monitor",
    "kapcare.prescriber.EndpointDisabled.v1": "admin",
    "kapcare.prescriber.ApprovingPartnerLeft.v1": "prescriber",
    "kapcare.session.PrescriberAsked.v1": "prescriber",
    "kapcare.prescriber.DeteriorationNoted.v1": "prescriber",
    "kapcare.session.VitalOverdue.v1": "medical_monitor",
    "kapcare.session.Escalated.v1": "medical_monitor",
    "kapcare.session.RepeatPressureOverdue.v1": "medical_monitor",
    "kapcare.session.ChaperoneCheckOverdue.v1": "medical_monitor",
    "kapcare.session.RemsFormDue.v1": "medical_monitor",
    "kapcare.session.RemsFormOverdue.v1": "medical_monitor",
    "kapcare.session.ReclearanceDue.v1": "coordinator",
    "kapcare.session.ApprovalExpiring.v1": "coordinator",
    "kapcare.prescriber.SafetyHoldPlaced.v1": "medical_monitor",
    "kapcare.session.DoseFoundUncovered.v1": "medical_monitor",
    "kapcare.integration.IntegrationOverdue.v1": "coordinator",
    "kapcare.integration.MeasurementOverdue.v1": "coordinator",
    "kapcare.integration.OutcomeDeteriorated.v1": "therapist",
    "kapcare.integration.SuicideRiskScreenRequired.v1": "therapist",
    "kapcare.integration.SafetyHoldPlaced.v1": "medical_monitor",
}
EMERGENCY, USUAL = timedelta(minutes=2), timedelta(minutes=30)


def calls(events: list[EventData]) -> list[tuple[str, str, timedelta]]:
    """Whom the events call, why, and how long they have."""
    return [(event.role, event.why, event.due_at - event.raised_at) for event in events if isinstance(event, AlertRaised)]


def test_the_whole_list() -> None:
    tables: list[Any] = [
        intake_alerts.ALERTS,
        prescriber_alerts.ALERTS,
        partner_alerts.ALERTS,
        session_alerts.ALERTS,
        integration_alerts.ALERTS,
    ]
    assert {event.TYPE: alarm.role for table in tables for event, alarm in table.items()} == CALLS


def test_r08_a_positive_item_9_calls_a_therapist() -> None:
    command = AnswerInstrument(instrument="phq-9", answers=(*[0] * 8, 1), answered_at=cases.NOW)
    assert calls(answer_instrument(cases.referred(), command, cases.at())) == [("therapist", "suicide-risk-screen-required", USUAL)]
    nothing = AnswerInstrument(instrument="phq-9", answers=(0,) * 9, answered_at=cases.NOW)
    assert calls(answer_instrument(cases.referred(), nothing, cases.at())) == []


@pytest.mark.parametrize(("answers", "called"), [((0, 0, 0, 1, 0, 0), True), ((1, 1, 1, 0, 0, 1), False)])
def test_r10_a_high_risk_calls_a_medical_monitor_at_once(answers: tuple[int, ...], called: bool) -> None:
    command = AnswerInstrument(instrument="c-ssrs", answers=answers, answered_at=cases.NOW)
    expected = [("medical_monitor", "suicide-risk-high", EMERGENCY)] if called else []
    assert calls(answer_instrument(cases.referred(), command, cases.at())) == expected


def test_a_hold_that_a_clinician_places_calls_nobody() -> None:
    assert calls(STOPS.place(cases.referred(), PlaceHold(reason="suicide_risk"), cases.at())) == []


def test_a_silent_organisation_calls_a_coordinator_once() -> None:
    case = Review()
    for event in opening(given.partners)(evolve_case(case, given.CONSENT), given.screened(), given.context()):
        case = evolve_case(case, event)
    said = passing_on(given.partners)(case, given.context(now=given.NOW + timedelta(hours=72)))
    assert calls(said) == [("coordinator", "review-overdue", USUAL)]


def test_r21_a_missing_pressure_calls_a_medical_monitor_and_so_does_its_escalation() -> None:
    room = dosed_room()
    room.later(minutes=50)
    assert calls(room.tick()) == [("medical_monitor", "vital-overdue", USUAL)]
    room.later(minutes=10)
    assert calls(room.tick()) == [("medical_monitor", "vital-overdue", USUAL), ("medical_monitor", "escalated", USUAL)]


@pytest.mark.parametrize(
    ("vitals", "times"),
    [
        ({"pressure": (181, 80)}, [USUAL]),
        ({"pressure": (180, 80)}, []),
        ({"sedation": 0}, [EMERGENCY]),
        ({"sedation": 1}, []),
        ({"pressure": (181, 80), "sedation": 0}, [EMERGENCY, USUAL]),
    ],
)
def test_r22_r35_what_vitals_escalate_calls_a_medical_monitor(vitals: dict[str, Any], times: list[timedelta]) -> None:
    assert calls(dosed_room().vitals(**vitals)) == [("medical_monitor", "escalated", time) for time in times]


def test_r22_emergency_symptoms_call_at_once() -> None:
    room = approved_room()
    command = RecordAdverseEvent(what="seizure", symptoms=("seizure",), serious=True, happened_at=T0)
    assert calls(room.do(record_adverse_event, command)) == [("medical_monitor", "escalated", EMERGENCY)]


def test_checks_a_dose_that_nothing_covered_and_leaving_against_advice_call_a_medical_monitor() -> None:
    usual = [("medical_monitor", "escalated", USUAL)]
    room = checked_room()
    assert calls(room.check(pressure=(181, 80))) == [*usual, ("prescriber", "asked-before-a-dose", USUAL)]
    assert calls(room.dose()) == usual
    assert calls(room.discharge(left_against_advice=True)) == usual


def test_a_missed_integration_session_calls_a_coordinator() -> None:
    story = Story()
    story.hear(dosed())
    assert calls(story.on_day(2.9).tick()) == []
    assert calls(story.on_day(3).tick()) == [("coordinator", "integration-overdue", USUAL)]


def test_r29_an_outcome_that_nobody_measured_calls_a_coordinator_and_one_that_got_worse_a_therapist_and_a_prescriber() -> None:
    story = Story()
    story.hear(screening(phq_9=10))
    story.hear(dosed(given_at=T0_OF_INTEGRATION + timedelta(hours=1)))
    story.on_day(1).hold()
    story.on_day(13).hold("follow-up-1-day-14")
    assert calls(story.on_day(21).tick()) == []
    assert calls(story.on_day(22).tick()) == [("coordinator", "outcome-overdue", USUAL)]
    worse = story.do(measure_outcome, MeasureOutcome(instrument="phq-9", answers=phq9(15), measured_at=story.now))
    assert calls(worse) == [("therapist", "deterioration", USUAL)]
    said = next(event for event in worse if isinstance(event, OutcomeDeteriorated))
    assert calls(note_deterioration(Review(), said, given.context())) == [("prescriber", "deterioration", USUAL)]


def test_r08_r10_suicide_risk_in_an_outcome_calls_as_it_does_at_intake() -> None:
    story = Story()
    story.hear(dosed())
    assert calls(story.do(measure_outcome, MeasureOutcome(instrument="phq-9", answers=phq9(6, 1), measured_at=story.now))) == [
        ("therapist", "suicide-risk-screen-required", USUAL)
    ]
    high = MeasureOutcome(instrument="c-ssrs", answers=(0, 0, 0, 1, 0, 0), measured_at=story.now)
    assert calls(story.do(measure_outcome, high)) == [("medical_monitor", "suicide-risk-high", EMERGENCY)]
