"""What each case waits for, since when and on whom.

Expectations come from the care pathway: whose act comes next, and what it needs first.
"""

from datetime import timedelta
from typing import Any

from services.intake.domain.correct import CorrectEntry, correct_entry
from services.intake.domain.state import Case as Intake
from services.integration.domain.discharge import DischargeFromCare, discharge_from_care
from services.integration.domain.measure import MeasureOutcome, measure_outcome
from services.prescriber.domain.clearance import AnswerClearances, answering
from services.prescriber.domain.decide import decide
from services.prescriber.domain.review import opening
from services.prescriber.domain.state import Case as Review
from services.prescriber.domain.state import evolve_case
from services.prescriber.domain.stops import STOPS as PRESCRIBER_STOPS
from services.session.domain.schedule import CancelSession, cancel_session
from services.session.domain.state import Course
from shared.events import intake
from shared.events.prescriber import IN_HOUSE
from shared.http.worklist import ENDED
from shared.pathway.stop import PlaceHold
from shared.pathway.waiting import Waiting
from tests.unit.intake import cases
from tests.unit.integration_service.story import Story, course_over, dosed, phq9
from tests.unit.prescriber import given
from tests.unit.session.room import (
    T0,
    Room,
    approval,
    approved_room,
    checked_room,
    dosed_room,
    finish_session,
    hold,
    lifting,
    plan,
    revocation,
    withdrawal,
)

HOLD = Waiting("hold", None, "medical_monitor")


def step(state: Intake | Review | Course | Any) -> tuple[str, str] | None:
    waiting = state.waits_for
    return None if waiting is None else (waiting.what, waiting.on)


# intake


def test_a_referral_waits_for_consent_then_answers_then_the_screening() -> None:
    case = Intake()
    assert step(case) is None
    case = cases.referred()
    assert case.waits_for == Waiting("consent", cases.NOW, "therapist")
    case = cases.consent(case)
    assert case.waits_for == Waiting("questionnaire", cases.NOW - timedelta(hours=2), "coordinator")
    case = cases.state(case, **cases.NO_TO_ALL)
    assert step(case) == ("instruments", "coordinator")
    case = cases.ready()
    assert case.waits_for == Waiting("screening", cases.NOW - timedelta(hours=1), "therapist")
    assert step(cases.fold(case, [cases.screen(case)])) is None


def test_consent_that_does_not_cover_disclosure_is_still_waited_for() -> None:
    assert step(cases.consent(cases.referred(), "treatment")) == ("consent", "therapist")


def test_r08_the_screener_comes_before_all_else() -> None:
    case = cases.answer(cases.referred(), "phq-9", [0] * 8 + [1])
    assert case.waits_for == Waiting("suicide_risk_screen", cases.NOW - timedelta(hours=1), "therapist")


def test_a_hold_and_a_withdrawal_are_waited_for_at_intake() -> None:
    held = cases.answer(cases.ready(), "c-ssrs", [0, 0, 0, 1, 0, 0])
    assert held.waits_for == HOLD
    withdrawn = cases.fold(cases.ready(), [intake.ConsentWithdrawn(withdrawn_at=cases.NOW, said_to="intake")])
    assert withdrawn.waits_for == Waiting("consent", cases.NOW, "therapist")


def test_who_is_screened_out_waits_for_nothing_and_who_is_deferred_for_another_screening() -> None:
    deferred = cases.state(cases.ready(), alcohol_use_disorder=True)
    assert step(cases.fold(deferred, [cases.screen(deferred)])) == ("screening", "therapist")
    out = cases.state(cases.ready(), aneurysmal_vascular_disease=True)
    assert step(cases.fold(out, [cases.screen(out)])) is None


# prescriber


def review(partners: Any = given.nobody) -> Review:
    return told(evolve_case(Review(), given.CONSENT), opening(partners), given.screened())


def told(case: Review, decision: Any, command: Any, minutes: float = 0) -> Review:
    for event in decision(case, command, given.context(now=given.NOW + timedelta(minutes=minutes))):
        case = evolve_case(case, event)
    return case


def test_a_review_waits_on_the_networks_prescribers_or_on_the_partner() -> None:
    assert step(Review()) is None
    assert review().waits_for == Waiting("prescriber_decision", given.NOW, "prescriber")
    assert step(review(given.partners)) in {("prescriber_decision", "north"), ("prescriber_decision", "south")}


def test_a_clearance_waits_on_the_clinic_and_then_on_the_prescriber_again() -> None:
    case = told(
        review(),
        lambda state, command, context: decide(state, command, context, by=IN_HOUSE),
        given.decision("needs_clearance", items=["liver"]),
        minutes=5,
    )
    assert case.waits_for == Waiting("clearance", given.NOW + timedelta(minutes=5), "coordinator")
    answers = AnswerClearances.model_validate_json('{"answers": [{"item": "liver", "cleared": true, "note": "fine"}]}')
    case = told(case, answering(given.nobody), answers, minutes=9)
    assert case.waits_for == Waiting("prescriber_decision", given.NOW + timedelta(minutes=9), "prescriber")


def test_a_stopped_review_waits_for_the_stop_to_end() -> None:
    assert told(review(), PRESCRIBER_STOPS.place, PlaceHold(reason="other")).waits_for == HOLD
    withheld = told(Review(), opening(given.nobody), given.screened())
    assert (withheld.status, step(withheld)) == ("withheld", ("consent", "therapist"))


def test_a_decided_review_waits_for_nothing() -> None:
    def by_prescriber(state: Any, command: Any, context: Any) -> Any:
        return decide(state, command, context, by=IN_HOUSE)

    assert step(told(review(), by_prescriber, given.decision())) is None
    assert step(told(review(), by_prescriber, given.decision("ineligible"))) is None


# session


def test_a_course_waits_for_preparation_then_a_date_then_the_session_then_the_discharge() -> None:
    assert step(Course()) is None
    room = approved_room(plan(doses=1))
    assert room.course.waits_for == Waiting("preparation", T0, "therapist")
    room.later(minutes=5)
    room.prepare()
    prepared_at = room.now
    assert room.course.waits_for == Waiting("scheduling", prepared_at, "coordinator")
    room.schedule()
    assert room.course.waits_for == Waiting("session", prepared_at, "therapist")
    room.check()
    room.authorise()
    room.dose()
    assert room.course.waits_for == Waiting("discharge", room.now, "medical_monitor")
    finish_session(room)
    assert step(room.course) is None


def test_after_a_discharge_the_next_date_is_waited_for_since_then() -> None:
    room = dosed_room()
    finish_session(room)
    assert room.course.waits_for == Waiting("scheduling", room.now, "coordinator")


def test_a_stopped_course_waits_for_the_stop_to_end_but_never_keeps_a_dosed_patient_off_the_list() -> None:
    room = approved_room()
    room.hear(hold())
    assert room.course.waits_for == HOLD
    room.hear(lifting())
    room.hear(withdrawal(T0))
    assert room.course.waits_for == Waiting("consent", T0, "therapist")
    dosed_one = dosed_room()
    dosed_one.hear(hold())
    assert step(dosed_one.course) == ("discharge", "medical_monitor")


def test_an_approval_that_was_withheld_waits_for_consent() -> None:
    room = Room()
    room.hear(approval())
    assert step(room.course) == ("consent", "therapist")


# integration


def test_integration_waits_for_its_sessions_then_the_outcome() -> None:
    story = Story()
    assert step(story.state) is None
    story.hear(dosed())
    assert story.state.waits_for == Waiting("integration_session", story.now, "therapist")
    story.on_day(1).hold()
    story.on_day(14).hold("follow-up-1-day-14")
    assert story.state.waits_for == Waiting("outcome", story.now, "therapist")
    story.measure("phq-9", phq9(6))
    assert step(story.state) is None
    story.hear(course_over())
    assert (story.state.status, step(story.state)) == ("completed", None)


def test_a_patient_who_was_discharged_from_care_is_waited_for_no_more() -> None:
    story = Story()
    story.hear(dosed())
    story.do(discharge_from_care, DischargeFromCare(because="moved", discharged_at=story.now))
    assert step(story.state) is None
    assert story.state.status in ENDED


def test_r08_a_screener_that_an_outcome_demands_comes_first() -> None:
    story = Story()
    story.hear(dosed())
    story.on_day(1).do(measure_outcome, MeasureOutcome(instrument="phq-9", answers=phq9(6, 1), measured_at=story.now))
    assert story.state.waits_for == Waiting("suicide_risk_screen", story.now, "therapist")


def test_a_case_that_was_entered_in_error_is_over_and_waits_for_nothing() -> None:
    case = cases.referred()
    name = case.entries[0].entry
    assert name is not None
    command = CorrectEntry(entry=name, kind="wrong_patient", reason="two patients of one name")
    case = cases.fold(case, correct_entry(case, command, cases.at()))
    assert step(case) is None
    assert case.status in ENDED


def test_a_session_in_the_diary_without_an_approval_waits_to_be_cancelled() -> None:
    room = checked_room()
    room.hear(revocation())
    assert room.course.waits_for == Waiting("cancellation", None, "coordinator")
    room.do(cancel_session, CancelSession(session=1, reason="approval-revoked"))
    assert step(room.course) is None
