"""Stating facts: the answers to the contraindication questionnaire, and what a clinician adds."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from services.intake.domain import rules
from services.intake.domain.chart import Chart, latest_day
from services.intake.domain.codes import CONDITIONS, MEASURES, MEDICATIONS, QUESTIONS, SOBER_SINCE, Measure
from services.intake.domain.state import Case, Referral
from shared.events import intake
from shared.events.base import EventData, Slug
from shared.events.clinical import Fact
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request

SYSTEMS: Mapping[str, tuple[str, ...]] = {
    "condition": ("snomed", "rxnorm"),
    "medication": ("rxnorm",),
    "observation": ("loinc",),
    "statement": ("kapcare",),
}
"""Which code systems each kind of fact is stated in; a condition in RxNorm is an allergy to that substance."""


class StatedFact(Request):
    """One fact as typed in; `unit` is UCUM, `on` and `ended` are days."""

    kind: Literal["condition", "medication", "observation", "statement"]
    code: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    system: Literal["snomed", "rxnorm", "loinc", "kapcare"]
    label: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    active: bool = True
    value: Annotated[Decimal, Field(max_digits=9, decimal_places=4)] | None = None
    unit: Annotated[str, StringConstraints(min_length=1, max_length=20)] | None = None
    on: date | None = None
    ended: date | None = None


class StateFacts(Request):
    """Yes or no to items of the questionnaire, and dated or measured facts beside them."""

    answers: Annotated[dict[Slug, bool], Field(max_length=100)] = {}
    facts: Annotated[tuple[StatedFact, ...], Field(max_length=200)] = ()
    simulated: bool = False


def state_facts(case: Case, command: StateFacts, context: Context) -> list[EventData]:
    """Record the facts; one that would have excluded the patient holds a case that is screened already."""
    referral = case.require_referral()
    facts = (*answers_as_facts(command.answers), *facts_as_stated(command.facts, context.now))
    if not facts:
        raise Refusal("nothing-stated", "State at least one answer or fact.")
    events: list[EventData] = [intake.FactsStated(facts=facts, simulated=command.simulated)]
    if case.outcome is not None and case.outcome.kind == "completed":
        events.extend(_hold_if_excluding(referral, facts, context))
    return events


def answers_as_facts(answers: Mapping[str, bool]) -> tuple[Fact, ...]:
    """Return the answers to the questionnaire as statements; raise Refusal for an item it does not have."""
    for item in answers:
        if item not in QUESTIONS:
            raise Refusal("unknown-statement", "An answer names an item that the questionnaire does not have.")
    return tuple(
        Fact(kind="statement", system="kapcare", code=item, label=QUESTIONS[item], active=yes) for item, yes in answers.items()
    )


def facts_as_stated(stated: Iterable[StatedFact], now: datetime) -> tuple[Fact, ...]:
    """Return the facts in the units intake keeps; raise Refusal naming the place of one that cannot be."""
    return tuple(_fact(each, f"facts[{place}]", now) for place, each in enumerate(stated))


def in_kept_unit(measure: Measure, value: Decimal, unit: str | None) -> Decimal | None:
    """Return the value in the measure's own unit; None if the unit is not read or the value not plausible."""
    factor = measure.factors.get(unit)
    if factor is None or not value.is_finite():
        return None
    kept = value * factor
    return kept.quantize(Decimal("0.0001")).normalize() + 0 if measure.lowest <= kept <= measure.highest else None


def _fact(stated: StatedFact, path: str, now: datetime) -> Fact:
    if stated.system not in SYSTEMS[stated.kind]:
        raise Refusal("wrong-code-system", f"{path}.system: a {stated.kind} is stated in {' or '.join(SYSTEMS[stated.kind])}.")
    for name, day in (("on", stated.on), ("ended", stated.ended)):
        if day is not None and day > latest_day(now):
            raise Refusal("time-in-the-future", f"{path}.{name} lies in the future.")
    if stated.kind == "statement":
        _require_known_statement(stated, path)
    if stated.kind == "observation":
        return _observation(stated, path, now)
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
        raise Refusal("unknown-statement", f"{path}.code names an item that the questionnaire does not have.")
    if stated.code == SOBER_SINCE and stated.on is None:
        raise Refusal("day-missing", f"{path}.on: {SOBER_SINCE} needs the day.", rule="R-05")


def _observation(stated: StatedFact, path: str, now: datetime) -> Fact:
    measure = MEASURES.get(stated.code)
    if measure is None:
        raise Refusal("unknown-observation", f"{path}.code is no observation that screening uses.")
    kept = None if stated.value is None else in_kept_unit(measure, stated.value, stated.unit)
    if kept is None:
        raise Refusal(
            "value-out-of-range",
            f"{path}.value: {measure.name} is {measure.lowest} to {measure.highest} {measure.unit}, or in another unit that is read.",
            rule="R-12" if measure.loinc == "82667-7" else "R-06",
        )
    day = stated.on or now.date()
    return Fact(kind="observation", code=stated.code, system="loinc", label=measure.name, value=kept, unit=measure.unit, on=day)


def _display(stated: StatedFact) -> str:
    if stated.kind == "statement":
        return QUESTIONS.get(stated.code, "Sober since")
    code = CONDITIONS.get((stated.system, stated.code)) or MEDICATIONS.get((stated.system, stated.code))
    return stated.code if code is None else code.display


def _hold_if_excluding(referral: Referral, facts: tuple[Fact, ...], context: Context) -> list[EventData]:
    chart = Chart(
        today=context.now.date(),
        birth_date=referral.birth_date,
        sex=referral.sex,
        facts=facts,
        scored={},
        policy=context.policy.values,
    )
    items = [finding.item for finding in rules.excluding(rules.findings(chart)) if finding.rule != "R-01"]
    if not items:
        return []
    note = f"Stated after the screening was completed: {', '.join(items)}."
    return [
        intake.SafetyHoldPlaced(hold=context.new_id("hold"), reason="clinical_concern", note=note, placed_at=context.now)
    ]
