"""Correcting entries reopens the screening that stood on them: none stands on what was taken away."""

from typing import Any

import pytest

from services.intake.domain.entries import Entry
from services.intake.domain.screen import CompleteScreening, complete_screening
from services.intake.domain.state_facts import StateFacts
from shared.events import intake
from shared.events.base import CorrectionKind
from shared.pathway.refusal import Refusal
from tests.unit.intake.cases import NO_TO_ALL, NOTHING, NOW, answer, at, consent, fold, ready, referred, screen, state
from tests.unit.intake.corrections import answers_of, corrected, events_of, place_of, screened, totals


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("kind", ["entered_in_error", "wrong_patient"])
def test_the_same_commit_reopens_a_screening_that_rested_on_the_entry(place: int, kind: CorrectionKind) -> None:
    case = screened()
    events = events_of(case, place, kind)
    assert events[-1] == intake.ScreeningReopened(reason=kind, reopened_at=NOW)
    assert fold(case, events).outcome is None


def test_after_a_correction_the_case_is_referred_again_and_a_new_screening_is_published() -> None:
    case = corrected(screened(), 4, "amended", answers=answers_of("gad-7", [2] * 7))
    assert case.status == "referred"
    again = screen(case)
    assert isinstance(again, intake.ScreeningCompleted)
    assert [finding.item for finding in again.summary.findings] == ["anxiety_screen_positive"]
    assert fold(case, [again]).status == "screened"


def test_after_a_correction_screening_needs_what_was_taken_away() -> None:
    case = corrected(screened(), 4)
    with pytest.raises(Refusal, match="gad-7") as refusal:
        screen(case)
    assert refusal.value.rule == "R-07"
    with pytest.raises(Refusal) as refusal:
        screen(corrected(screened(), 2))
    assert refusal.value.slug == "questionnaire-incomplete"


def test_a_case_screened_out_on_an_error_is_screened_again() -> None:
    case = screened(state(ready(), pregnancy=True))
    assert case.status == "screened_out"
    case = corrected(case, 6)
    assert case.status == "referred"
    assert isinstance(screen(case), intake.ScreeningCompleted)


def test_what_the_screening_did_not_rest_on_leaves_it_as_it_is() -> None:
    older = answer(answer(referred(), "gad-7", [3] * 7, hours_ago=9), "phq-9", [0] * 9, hours_ago=9)
    case = state(consent(older), **NO_TO_ALL)
    for instrument, answers in NOTHING.items():
        case = answer(case, instrument, answers)
    case = screened(case)
    assert corrected(case, place_of(case, "gad-7")).status == "screened"  # superseded before the screening
    assert corrected(case, place_of(case, "phq-9")).status == "referred"  # R-08 reads each PHQ-9
    late = answer(case, "gad-7", [1] * 7, hours_ago=0)
    assert corrected(late, len(late.entries) - 1).status == "screened"  # came after the screening


def amendments(entry: Entry) -> list[dict[str, Any]]:
    if entry.kind == "consent":
        return []
    if entry.answered is None:
        return [{"facts": StateFacts(answers={"arteriovenous_malformation": malformed})} for malformed in (False, True)]
    size = len(entry.answered.answers)
    return [{"answers": answers_of(entry.answered.instrument, [each] * size)} for each in range(4)]


KINDS: tuple[CorrectionKind, ...] = ("entered_in_error", "wrong_patient")
CHANGES: list[tuple[int, CorrectionKind, dict[str, Any]]] = [
    *((place, kind, {}) for place in range(6) for kind in KINDS),
    *((place, "amended", replacement) for place, entry in enumerate(screened().entries) for replacement in amendments(entry)),
]


@pytest.mark.parametrize(("place", "kind", "replacement"), CHANGES)
def test_no_decision_stands_on_facts_that_changed_since(place: int, kind: CorrectionKind, replacement: dict[str, Any]) -> None:
    case = corrected(screened(), place, kind, **replacement)
    assert case.outcome is None
    try:
        (again,) = complete_screening(case, CompleteScreening(), at())
    except Refusal:
        return
    if isinstance(again, intake.ScreeningCompleted):
        assert {score.instrument: score.total for score in again.summary.scores} == totals(case)
        assert not any(fact.active and fact.code == "arteriovenous_malformation" for fact in case.facts)


def test_late_facts_amended_to_an_exclusion_hold_a_case_whose_screening_stands() -> None:
    case = state(screened(), hypertension=True)
    _, stated, hold, _ = events_of(case, 6, "amended", facts=StateFacts(answers={"arteriovenous_malformation": True}))
    assert isinstance(stated, intake.FactsStated)
    assert isinstance(hold, intake.SafetyHoldPlaced)
