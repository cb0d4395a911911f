"""Screening again: everything is asked anew, and until that is completed what was screened stands."""

from datetime import timedelta

import pytest

from services.intake.domain.answer import AnswerInstrument, answer_instrument
from services.intake.domain.correct import CorrectEntry, correct_entry
from services.intake.domain.renew import RenewScreening, renew_screening
from services.intake.domain.screen import CompleteScreening, complete_screening
from services.intake.domain.state import Case
from services.intake.domain.state_facts import StateFacts, state_facts
from shared.events import intake
from shared.pathway.refusal import Refusal
from tests.unit.intake.cases import NO_TO_ALL, NOTHING, NOW, at, fold, ready, referred, screen, state

LATER = NOW + timedelta(days=100)
RENEW = RenewScreening(reason="reclearance")


def screened() -> Case:
    return fold(ready(), [screen(ready())])


def renewing() -> Case:
    return fold(screened(), renew_screening(screened(), RENEW, at(LATER)))


def answered_again(case: Case, **answers: bool) -> Case:
    """Everything answered anew, an hour into the renewal."""
    now = LATER + timedelta(hours=1)
    case = fold(case, state_facts(case, StateFacts(answers={**NO_TO_ALL, **answers}), at(now, seed="http:test/facts-again")))
    for name, zeros in NOTHING.items():
        command = AnswerInstrument(instrument=name, answers=tuple(zeros), answered_at=now)
        case = fold(case, answer_instrument(case, command, at(now, seed=f"http:test/again-{name}")))
    return case


def test_everything_is_asked_anew_and_the_first_screening_stands() -> None:
    case = renewing()
    assert (case.status, case.outcome) == ("renewing", screened().outcome)
    assert set(case.unanswered) == set(referred().unanswered)
    assert set(case.unscored) == set(NOTHING)
    waiting = case.waits_for
    assert waiting is not None
    assert (waiting.what, waiting.since) == ("questionnaire", LATER)


def test_it_is_completed_only_on_new_answers() -> None:
    now = at(LATER + timedelta(hours=2))
    with pytest.raises(Refusal) as missing:
        complete_screening(renewing(), CompleteScreening(), now)
    assert missing.value.slug == "instrument-unscored"
    (event,) = complete_screening(answered_again(renewing()), CompleteScreening(), now)
    assert isinstance(event, intake.ScreeningCompleted)
    assert {score.answered_at for score in event.summary.scores} == {LATER + timedelta(hours=1)}, "the newest answers are disclosed"
    after = fold(answered_again(renewing()), [event])
    assert (after.status, after.renewing_since, after.waits_for) == ("screened", None, None)


def test_answers_from_before_the_renewal_that_are_recorded_late_do_not_count_for_it() -> None:
    command = AnswerInstrument(instrument="gad-7", answers=(0,) * 7, answered_at=LATER - timedelta(minutes=1))
    case = fold(renewing(), answer_instrument(renewing(), command, at(LATER + timedelta(hours=1))))
    assert "gad-7" in case.unscored


def test_what_excludes_is_held_at_once_and_ends_the_screening() -> None:
    """What is said while the first screening stands stops the steps that rest on it, as at any other time."""
    case = answered_again(renewing(), pregnancy=True)
    assert case.stops.holds
    lifted = fold(case, [intake.SafetyHoldLifted(hold=hold, reason="Seen.", lifted_at=LATER) for hold in case.stops.holds])
    (event,) = complete_screening(lifted, CompleteScreening(), at(LATER + timedelta(hours=2)))
    assert isinstance(event, intake.ScreenedOut)
    assert fold(lifted, [event]).status == "screened_out"


def test_a_correction_of_the_first_screening_reopens_it_and_the_renewal_goes_on() -> None:
    case = renewing()
    entry = next(each.entry for each in case.entries if each.kind == "instrument")
    assert entry is not None
    corrected = correct_entry(case, CorrectEntry(entry=entry, kind="entered_in_error", reason="Of another day."), at(LATER, seed="x"))
    assert any(isinstance(event, intake.ScreeningReopened) for event in corrected)
    after = fold(case, corrected)
    assert (after.outcome, after.renewing_since) == (None, LATER)
    assert set(after.unscored) == set(NOTHING)


@pytest.mark.parametrize(
    ("case", "slug"),
    [
        (Case(), "not-screened"),
        (ready(), "not-screened"),
        (renewing(), "already-renewing"),
        (fold(state(ready(), pregnancy=True), [screen(state(ready(), pregnancy=True))]), "screened-out"),
    ],
    ids=["unknown", "never screened", "under way", "screened out"],
)
def test_only_a_completed_screening_is_renewed(case: Case, slug: str) -> None:
    with pytest.raises(Refusal) as refused:
        renew_screening(case, RENEW, at(LATER))
    assert refused.value.slug == slug


def test_a_referral_that_should_not_be_is_not_screened_again() -> None:
    case = screened()
    entry = next(each.entry for each in case.entries if each.kind == "referral")
    assert entry is not None
    wrong = fold(case, correct_entry(case, CorrectEntry(entry=entry, kind="wrong_patient", reason="Namesake."), at(LATER, seed="x")))
    with pytest.raises(Refusal) as refused:
        renew_screening(wrong, RENEW, at(LATER))
    assert refused.value.slug == "entered-in-error"
