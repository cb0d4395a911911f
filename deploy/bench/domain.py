"""What a decision costs in domain code alone: fold a long history, then decide on it. No I/O, one process, one core."""

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial, reduce
from typing import Any

from services.intake.domain.answer import AnswerInstrument, answer_instrument
from services.intake.domain.codes import ONLY_IF_NOT_MALE, QUESTIONS
from services.intake.domain.consent import GiveConsent, give_consent
from services.intake.domain.screen import CompleteScreening, complete_screening
from services.intake.domain.state import Case, evolve
from services.intake.domain.state_facts import StateFacts, state_facts
from shared.events import intake
from shared.events.base import EventData
from shared.events.clinical import Instrument
from shared.pathway.context import Actor, Context
from shared.pathway.policy import read_policy

EVENTS = 200
FORMS: tuple[tuple[Instrument, Sequence[int]], ...] = (("phq-9", (1,) * 8 + (0,)), ("gad-7", (1,) * 7), ("audit-c", (1, 0, 0)))
Command = Callable[[Case, Context], list[EventData]]
BEGAN = datetime(2026, 1, 5, 15, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Decided:
    """Milliseconds for a case of EVENTS events, and the rounds they are the median of."""

    fold_ms: float
    decide_ms: float
    rounds: int

    @property
    def decision_ms(self) -> float:
        """Fold the whole history and decide: what a decision costs on a case that no memory and no cache knows."""
        return self.fold_ms + self.decide_ms


def measure(rounds: int) -> Decided:
    """Measure the completion of a screening on a case of EVENTS events; raises AssertionError if it does not come to be completed."""
    history = _history()
    assert len(history) == EVENTS, "the history is as long as is said"
    case = reduce(evolve, history, Case())
    context = _context(EVENTS)
    assert isinstance(complete_screening(case, CompleteScreening(), context)[0], intake.ScreeningCompleted)
    gc.freeze()
    fold = _median(rounds, lambda: reduce(evolve, history, Case()))
    decide = _median(rounds, lambda: complete_screening(case, CompleteScreening(), context))
    return Decided(fold * 1000, decide * 1000, rounds)


def _median(rounds: int, work: Callable[[], Any]) -> float:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _context(minute: int) -> Context:
    return Context(BEGAN + timedelta(minutes=minute), Actor("therapist-1"), read_policy(), f"http:bench/{minute}")


def _history() -> Sequence[EventData]:
    """A referral, consent, and a long time of instruments answered and questions answered again."""
    referred = intake.PatientReferred(
        origin="json", birth_date=BEGAN.date().replace(year=1980), sex="male", indication="depression", referred_at=BEGAN
    )
    events: list[EventData] = [referred]
    case = evolve(Case(), referred)
    asked = [question for question in QUESTIONS if question not in ONLY_IF_NOT_MALE]
    commands: list[Command] = [_consent, partial(_state, dict.fromkeys(asked, False))]
    for number in range(EVENTS - 3):
        if number % 4 == 3:
            commands.append(partial(_state, {asked[number % len(asked)]: False}))
        else:
            commands.append(partial(_answer, *FORMS[number % len(FORMS)]))
    for minute, command in enumerate(commands, start=1):
        for event in command(case, _context(minute)):
            events.append(event)
            case = evolve(case, event)
    return events


def _consent(case: Case, context: Context) -> list[EventData]:
    command = GiveConsent(version="v1", scopes=("treatment", "disclosure_to_prescriber"), given_at=context.now)
    return give_consent(case, command, context)


def _state(answers: dict[str, bool], case: Case, context: Context) -> list[EventData]:
    return state_facts(case, StateFacts(answers=answers), context)


def _answer(instrument: Instrument, answers: Sequence[int], case: Case, context: Context) -> list[EventData]:
    return answer_instrument(case, AnswerInstrument(instrument=instrument, answers=tuple(answers), answered_at=context.now), context)
