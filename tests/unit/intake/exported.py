"""Cases at every stage of intake, and what is exported of them."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

from services.intake.domain.answer import AnswerInstrument
from services.intake.domain.consent import STOPS
from services.intake.domain.correct import CorrectEntry, correct_entry
from services.intake.domain.screen import CompleteScreening, complete_screening
from services.intake.domain.state import Case
from services.intake.domain.state_facts import StatedFact
from services.intake.fhir_export import export
from shared.events.base import CorrectionKind
from shared.events.clinical import Instrument
from shared.fhir.record import bundle_of
from shared.pathway.stop import PlaceHold, WithdrawConsent
from tests.unit.fhir.checks import check
from tests.unit.intake.cases import NOW, TODAY, after, answer, at, fold, ready, referred, screen, state

CASE, PATIENT = "case-" + "0" * 32, "patient-" + "f" * 32
SECRET = "she told me in confidence"


def exported(case: Case) -> dict[str, Any]:
    bundle = bundle_of(export)(CASE, "north", PATIENT, case)
    check(bundle)
    return json.loads(json.dumps(bundle))  # type: ignore[no-any-return]


def screened_out() -> Case:
    case = state(ready(), alcohol_use_disorder=True)
    return fold(case, [screen(case)])


def full() -> Case:
    """A simulated patient who answered every instrument, and was screened."""
    dast = StatedFact(kind="observation", system="loinc", code="82667-7", unit="{score}", value=Decimal(2), on=TODAY)
    case = state(ready(indication="ptsd"), dast)
    answers: tuple[tuple[Instrument, list[int]], ...] = (("phq-9", [1] * 9), ("pcl-5", [2] * 20), ("c-ssrs", [1, 1, 0, 0, 0, 0]))
    for instrument, given in answers:
        case = answer(case, instrument, given, hours_ago=0)
    return replace(fold(case, [screen(case)]), simulated=True)


def every_stage() -> list[Case]:
    held = after(ready(), STOPS.place, PlaceHold(reason="other", note=SECRET))
    withdrawn = after(ready(), STOPS.withdraw, WithdrawConsent(withdrawn_at=NOW))
    noted = fold(ready(), complete_screening(ready(), CompleteScreening(note=SECRET), at()))
    risky = answer(answer(ready(), "phq-9", [0] * 8 + [2]), "c-ssrs", [1, 1, 0, 0, 0, 1])
    stages = [Case(), referred(), held, withdrawn, noted, risky, screened_out(), fold(risky, [screen(risky)]), full()]
    return [*stages, *corrected_cases()]


def corrected_cases() -> list[Case]:
    """The full case with every entry marked, by each kind of error; and with every instrument amended."""
    kinds: tuple[CorrectionKind, ...] = ("entered_in_error", "wrong_patient")
    cases = []
    for kind in kinds:
        case = full()
        for number, entry in enumerate(reversed(case.entries)):
            case = correct(case, number, CorrectEntry(entry=str(entry.entry), kind=kind, reason=SECRET))
        cases.append(case)
    amended = full()
    for number, answered in enumerate(entry.answered for entry in full().counting if entry.answered is not None):
        again = AnswerInstrument(instrument=answered.instrument, answers=(1,) * len(answered.answers), answered_at=NOW)
        amended = correct(amended, number, CorrectEntry(entry=str(answered.entry), kind="amended", reason=SECRET, answers=again))
    return [*cases, amended]


def correct(case: Case, number: int, command: CorrectEntry) -> Case:
    return fold(case, correct_entry(case, command, at(seed=f"http:test/correction-{number}")))
