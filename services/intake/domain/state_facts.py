"""Stating facts: the answers to the contraindication questionnaire, and what a clinician adds."""

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from services.intake.domain.chart import latest_day
from services.intake.domain.codes import DAST10, DRUG_NAMES, MEASURES, QUESTIONS, SOBER_SINCE, Measure, condition_of
from services.intake.domain.since_screening import since_screening
from services.intake.domain.state import Case
from shared.events import intake
from shared.events.base import EventData, Slug
from shared.events.clinical import Fact
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request

SYSTEMS: Mapping[str, tuple[str, ...]] = {
    "condition": ("snomed", "icd-10-cm", "rxnorm", "text"),
    "medication": ("rxnorm", "text"),
    "observation": ("loinc",),
    "statement": ("kapcare",),
}
"""Which code systems each kind of fact is stated in; a condition in RxNorm is an allergy to that substance. `text` has no code:
the label says what it is."""

KEPT = Decimal("0.0001")
"""Measured values are kept to four decimals, so that rounding brings none down to a limit it is above."""


class StatedFact(Request):
    """One fact as typed in; `unit` is UCUM, `on` and `ended` are days."""

    kind: Literal["condition", "medication", "observation", "statement"]
    code: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    system: Literal["snomed", "icd-10-cm", "rxnorm", "loinc", "kapcare", "text"]
    label: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    active: bool = True
    value: Annotated[Decimal, Field(max_digits=9, decimal_places=4)] | None = None
    unit: Annotated[str, StringConstraints(min_length=1, max_length=20)] | None = None
    on: date | None = None
    ended: date | None = None


class StateFacts(Request):
    """Yes or no to items of the questionnaire, and dated or measured facts beside them."""

    answers: Annotated[dict[Slug, bool], Field(default_factory=dict, max_length=100)]
    facts: Annotated[tuple[StatedFact, ...], Field(max_length=200)] = ()
    simulated: bool = False


def state_facts(case: Case, command: StateFacts, context: Context, replaces: str | None = None) -> list[EventData]:
    """Record the facts; what they change of a screening that stands is said (`since_screening`)."""
    case.require_referral()
    facts = (*answers_as_facts(command.answers), *facts_as_stated(command.facts, context))
    if not facts:
        raise Refusal("malformed", "State at least one answer or fact.")
    stated = intake.FactsStated(
        facts=facts, simulated=command.simulated, entry=context.new_id("entry"), replaces=replaces, recorded_at=context.now
    )
    return [stated, *since_screening(case, stated, context)]


def answers_as_facts(answers: Mapping[str, bool]) -> tuple[Fact, ...]:
    """Return the answers to the questionnaire as statements; raise Refusal for an item it does not have."""
    for item in answers:
        if item not in QUESTIONS:
            raise Refusal("malformed", "An answer names an item that the questionnaire does not have.")
    return tuple(Fact(kind="statement", system="kapcare", code=item, label=QUESTIONS[item], active=yes) for item, yes in answers.items())


def facts_as_stated(stated: Iterable[StatedFact], context: Context) -> tuple[Fact, ...]:
    """Return the facts in the units intake keeps; raise Refusal naming the place of one that cannot be."""
    return tuple(_fact(each, f"facts[{place}]", context) for place, each in enumerate(stated))


def in_kept_unit(measure: Measure, value: Decimal | None, unit: str | None, value_path: str, unit_path: str) -> Decimal:
    """Return the value in the measure's own unit; raise Refusal naming the path of a unit that is not read, or a value not plausible.

    Nothing is guessed: 1.8 is no height in centimetres, and a weight without its unit is no weight.
    """
    rule = "R-12" if measure is DAST10 else "R-06"
    factor = measure.factors.get(unit)
    if factor is None:
        units = ", ".join(name for name in measure.factors if name is not None)
        raise Refusal("out-of-range", f"{unit_path}: {measure.name} is read in {units}.", rule=rule)
    kept = value * factor if value is not None and value.is_finite() else None
    if kept is None or not measure.lowest <= kept <= measure.highest or (measure.whole and kept != kept.to_integral_value()):
        whole = " and whole" if measure.whole else ""
        raise Refusal(
            "out-of-range", f"{value_path}: {measure.name} is {measure.lowest} to {measure.highest} {measure.unit}{whole}.", rule=rule
        )
    return kept.quantize(KEPT)


def _fact(stated: StatedFact, path: str, context: Context) -> Fact:
    if stated.system not in SYSTEMS[stated.kind]:
        raise Refusal("malformed", f"{path}.system: a {stated.kind} is stated in {' or '.join(SYSTEMS[stated.kind])}.")
    for name, day in (("on", stated.on), ("ended", stated.ended)):
        if day is not None and day > latest_day(context.now):
            raise Refusal("time-in-the-future", f"{path}.{name} lies in the future.")
    if stated.on is not None and stated.ended is not None and stated.ended < stated.on:
        raise Refusal("out-of-range", f"{path}.ended lies before {path}.on.")
    if stated.kind == "statement":
        _require_known_statement(stated, path)
    if stated.system == "text" and stated.label is None:
        raise Refusal("malformed", f"{path}.label: what has no code needs a name.")
    if stated.kind == "observation":
        return _observation(stated, path, context)
    return Fact(
        kind=stated.kind,
        code=stated.code,
        system=stated.system,
        label=stated.label or _display(stated),
        active=stated.active,
        on=stated.on,
        ended=stated.ended,
    )


def _require_known_statement(stated: StatedFact, path: str) -> None:
    if stated.code not in QUESTIONS and stated.code != SOBER_SINCE:
        raise Refusal("malformed", f"{path}.code names an item that the questionnaire does not have.")
    if stated.code == SOBER_SINCE and stated.on is None:
        raise Refusal("malformed", f"{path}.on: {SOBER_SINCE} needs the day.", rule="R-05")


def _observation(stated: StatedFact, path: str, context: Context) -> Fact:
    measure = MEASURES.get(stated.code)
    if measure is None:
        raise Refusal("malformed", f"{path}.code is no observation that screening uses.")
    kept = in_kept_unit(measure, stated.value, stated.unit, f"{path}.value", f"{path}.unit")
    day = stated.on or context.today
    return Fact(kind="observation", code=stated.code, system="loinc", label=measure.name, value=kept, unit=measure.unit, on=day)


def _display(stated: StatedFact) -> str:
    if stated.kind == "statement":
        return QUESTIONS.get(stated.code, "Sober since")
    if stated.kind == "medication":
        return DRUG_NAMES.get(stated.code, stated.code)
    code = condition_of(stated.system, stated.code)
    return stated.code if code is None else code.display
