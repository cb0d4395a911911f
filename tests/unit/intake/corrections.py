"""Corrections of entries: what a caller states, and what comes of it."""

from datetime import timedelta
from typing import Any

import pytest

from services.intake.domain.answer import AnswerInstrument
from services.intake.domain.correct import CorrectEntry, correct_entry
from services.intake.domain.state import Case
from shared.events import intake
from shared.events.base import CorrectionKind, EventData
from shared.events.clinical import Finding, Instrument
from shared.pathway.instruments import Answers
from shared.pathway.refusal import Refusal
from tests.unit.intake.cases import NOW, at, fold, ready, screen

ITEM9 = [0] * 8 + [1]
HIGH = [0, 0, 0, 1, 0, 0]


def correcting(case: Case, place: int, kind: CorrectionKind = "entered_in_error", **replacement: Any) -> CorrectEntry:
    name = case.entries[place].entry
    assert name is not None
    return CorrectEntry(entry=name, kind=kind, reason="typed into the wrong chart", **replacement)


def events_of(case: Case, place: int, kind: CorrectionKind = "entered_in_error", **replacement: Any) -> list[EventData]:
    return correct_entry(case, correcting(case, place, kind, **replacement), at(seed="http:test/correction"))


def corrected(case: Case, place: int, kind: CorrectionKind = "entered_in_error", **replacement: Any) -> Case:
    return fold(case, events_of(case, place, kind, **replacement))


def refused(case: Case, command: CorrectEntry) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        correct_entry(case, command, at())
    return refusal.value


def answers_of(instrument: Instrument, answers: Answers, hours_ago: float = 1) -> AnswerInstrument:
    return AnswerInstrument(instrument=instrument, answers=tuple(answers), answered_at=NOW - timedelta(hours=hours_ago))


def place_of(case: Case, instrument: str) -> int:
    return next(place for place, entry in enumerate(case.entries) if entry.answered and entry.answered.instrument == instrument)


def totals(case: Case) -> dict[str, int | None]:
    return {answered.instrument: answered.total for answered in case.answered}


def screened(case: Case | None = None) -> Case:
    case = case or ready()
    return fold(case, [screen(case)])


def found_by_screening(case: Case) -> tuple[Finding, ...]:
    event = screen(case)
    assert isinstance(event, intake.ScreeningCompleted)
    return event.summary.findings
