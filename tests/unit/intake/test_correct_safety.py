"""Correcting what safety stands on: screeners, holds, consent, and the patient a referral was made for."""

from datetime import timedelta

import pytest

from services.intake.domain.consent import STOPS, GiveConsent, give_consent
from services.intake.domain.state_facts import StateFacts
from shared.events import intake
from shared.events.base import CorrectionKind
from shared.pathway.refusal import Refusal
from shared.pathway.stop import LiftHold
from tests.unit.intake.cases import NOW, after, answer, at, fold, ready, screen, state
from tests.unit.intake.corrections import HIGH, ITEM9, answers_of, corrected, correcting, events_of, place_of, refused, screened


def test_r10_the_hold_of_a_corrected_screener_stays_until_a_clinician_lifts_it() -> None:
    case = answer(ready(), "c-ssrs", HIGH)
    (hold,) = case.stops.holds
    case = corrected(case, 6)
    assert case.stops.holds == {hold}
    refusal = screen(case)
    assert isinstance(refusal, intake.StepRefused)
    assert refusal.rule == "R-10"
    case = after(case, STOPS.lift, LiftHold(hold=hold, reason="the screener was another patient's"))
    assert isinstance(screen(case), intake.ScreeningCompleted)


def test_r10_amending_a_screener_to_high_holds_the_case_at_once() -> None:
    case = answer(ready(), "c-ssrs", [0] * 6)
    _, _, hold, _ = events_of(case, 6, "amended", answers=answers_of("c-ssrs", HIGH))
    assert isinstance(hold, intake.SafetyHoldPlaced)
    assert hold.reason == "suicide_risk"


def test_r10_correcting_a_lower_screener_brings_the_high_one_back() -> None:
    case = answer(answer(ready(), "c-ssrs", HIGH, hours_ago=2), "c-ssrs", [0] * 6)
    (hold,) = case.stops.holds
    case = after(case, STOPS.lift, LiftHold(hold=hold, reason="seen"))
    assert isinstance(screen(case), intake.ScreeningCompleted)
    refusal = screen(corrected(case, 7))
    assert isinstance(refusal, intake.StepRefused)
    assert refusal.facts == {"c-ssrs": "high"}


def test_r08_item_9_entered_in_error_demands_nothing_and_amended_to_positive_it_does() -> None:
    case = answer(ready(), "phq-9", ITEM9, hours_ago=0.5)
    assert case.screener_due
    assert not corrected(case, 6).screener_due
    case = answer(ready(), "phq-9", [0] * 9, hours_ago=0.5)
    assert intake.SuicideRiskScreenRequired(because="phq-9 item 9") in events_of(case, 6, "amended", answers=answers_of("phq-9", ITEM9))


def test_r20_a_consent_in_force_that_was_never_given_is_over_for_every_service() -> None:
    case = screened()
    marked, over, reopened = events_of(case, 1)
    assert isinstance(marked, intake.EntryCorrected)
    assert over == intake.ConsentWithdrawn(withdrawn_at=NOW - timedelta(hours=2), said_to="intake")
    assert isinstance(reopened, intake.ScreeningReopened)
    case = fold(case, [marked, over, reopened])
    refusal = screen(case)
    assert isinstance(refusal, intake.StepRefused)
    assert refusal.rule == "R-20"
    given_later = GiveConsent(version="2", scopes=("treatment", "disclosure_to_prescriber"), given_at=NOW - timedelta(hours=1.9))
    assert isinstance(screen(after(case, give_consent, given_later)), intake.ScreeningCompleted)


def test_r20_correcting_a_consent_that_a_later_one_replaced_ends_nothing() -> None:
    later = GiveConsent(version="2", scopes=("treatment", "disclosure_to_prescriber"), given_at=NOW)
    case = screened(after(ready(), give_consent, later))
    assert [type(event) for event in events_of(case, 1)] == [intake.EntryCorrected]
    assert refused(case, correcting(case, 1, "amended", facts=StateFacts(answers={"glaucoma": False}))).rule == "R-20"


@pytest.mark.parametrize("kind", ["entered_in_error", "wrong_patient"])
def test_a_referral_of_another_patient_closes_the_case_but_facts_are_still_recorded(kind: CorrectionKind) -> None:
    case = corrected(ready(), 0, kind)
    assert case.status == "entered_in_error"
    assert not case.stops.holds
    for go_on in (
        lambda: screen(case),
        lambda: give_consent(case, GiveConsent(version="2", scopes=("treatment",), given_at=NOW), at()),
    ):
        with pytest.raises(Refusal) as refusal:
            go_on()
        assert refusal.value.slug == "entered-in-error"
    case = answer(state(case, pregnancy=True), "c-ssrs", HIGH)
    assert case.status == "entered_in_error"
    assert len(case.stops.holds) == 1
    assert corrected(case, 4).status == "entered_in_error"


def test_r08_a_screener_entered_in_error_calls_a_person_again() -> None:
    case = answer(answer(ready(), "phq-9", ITEM9, hours_ago=0.9), "c-ssrs", [0] * 6, hours_ago=0.5)
    events = events_of(case, place_of(case, "c-ssrs"))
    assert [type(event) for event in events] == [intake.EntryCorrected, intake.SuicideRiskScreenRequired, intake.AlertRaised]
    case = fold(case, events)
    assert case.screener_due
    assert len({alert.id for alert in case.alerts.raised}) == len(case.alerts.raised) == 2
    # It is said once: another entry that changes nothing about it says nothing.
    assert [type(event) for event in events_of(case, place_of(case, "gad-7"))] == [intake.EntryCorrected]


def test_r10_a_high_risk_that_counts_again_holds_again() -> None:
    case = answer(screened(), "c-ssrs", HIGH, hours_ago=0.9)
    (hold,) = case.stops.holds
    case = after(answer(case, "c-ssrs", [0] * 6, hours_ago=0.5), STOPS.lift, LiftHold(hold=hold, reason="seen by a psychiatrist"))
    events = events_of(case, max(place for place, entry in enumerate(case.entries) if entry.topic == "c-ssrs"))
    assert [type(event) for event in events] == [intake.EntryCorrected, intake.SafetyHoldPlaced, intake.AlertRaised]
    assert fold(case, events).stops.holds


def test_r08_an_amended_screener_too_early_for_the_item_has_alerts_with_names_of_their_own() -> None:
    case = answer(answer(ready(), "phq-9", ITEM9, hours_ago=0.9), "c-ssrs", [0] * 6, hours_ago=0.5)
    events = events_of(case, place_of(case, "c-ssrs"), "amended", answers=answers_of("c-ssrs", HIGH, hours_ago=3))
    raised = [event.alert for event in events if isinstance(event, intake.AlertRaised)]
    assert len(set(raised)) == len(raised) == 2


def test_r08_the_call_for_a_screener_ends_with_its_answer_and_with_the_answers_that_demanded_it() -> None:
    case = answer(ready(), "phq-9", ITEM9, hours_ago=2)
    assert [alert.why for alert in case.alerts.unacknowledged] == ["suicide-risk-screen-required"]
    assert answer(case, "c-ssrs", [0] * 6).alerts.unacknowledged == ()
    assert corrected(case, len(case.entries) - 1).alerts.unacknowledged == ()
