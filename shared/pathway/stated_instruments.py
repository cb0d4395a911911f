"""Instruments of which only the score is recorded: their items are under licence, or their terms are not known (domain.md 2.6).

No item text ships, nothing is scored here, and no total is ever imputed or brought into range. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from shared.events.clinical import StatedInstrument, StatedScore
from shared.pathway.refusal import Refusal

MDQ_QUESTIONS_FROM: Final = 2
"""From this many symptoms on the MDQ asks whether several happened at the same time, and how serious the trouble was [U]."""


@dataclass(frozen=True, slots=True)
class StatedForm:
    """A row of the table: totals go from 0 to `highest`; `loinc` is the code of the total, None where none is verified."""

    title: str
    highest: int
    loinc: str | None
    rule: str | None
    licence: str


STATED_FORMS: Mapping[StatedInstrument, StatedForm] = {
    "dast-10": StatedForm(
        "Drug Abuse Screening Test, 10 items", 10, "82667-7", "R-12", "(c) 1982 Skinner / CAMH: non-commercial use with credit"
    ),
    "mdq": StatedForm("Mood Disorder Questionnaire", 13, None, "R-13", "(c) Hirschfeld"),
    "madrs": StatedForm(
        "Montgomery-Asberg Depression Rating Scale, clinician-rated", 60, None, None, "(c) Montgomery and Asberg 1978; terms not known"
    ),
    "cadss": StatedForm("Clinician-Administered Dissociative States Scale, 23 items of 0 to 4", 92, None, None, "terms not known"),
    "meq-30": StatedForm("Mystical Experience Questionnaire, 30 items", 150, None, None, "terms not known"),
}
"""Ranges: DAST-10, MDQ, MADRS and CADSS [V] as their items add up; MEQ-30 [U], for 30 items of 0 to 5. LOINC: domain.md 3.2."""


def require_possible(score: StatedScore) -> None:
    """Raise Refusal with the rule's id for a total that the instrument cannot have, and for an MDQ that lacks a question it asks."""
    form = STATED_FORMS[score.instrument]
    if not 0 <= score.total <= form.highest:
        raise Refusal("out-of-range", f"The total of {score.instrument} is 0 to {form.highest}.", rule=form.rule)
    if score.instrument != "mdq":
        if score.same_time is not None or score.trouble is not None:
            raise Refusal("malformed", "same_time and trouble are questions of the MDQ alone.", rule=form.rule)
    elif score.total >= MDQ_QUESTIONS_FROM and (score.same_time is None or score.trouble is None):
        raise Refusal("score-incomplete", f"An MDQ of {MDQ_QUESTIONS_FROM} or more needs same_time and trouble.", rule=form.rule)
