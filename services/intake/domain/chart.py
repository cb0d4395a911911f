"""What the rules read: the facts and scores of a case as of one day, and questions asked of them. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property

from services.intake.domain.codes import SOBER_SINCE, Measure, condition_of, drug_classes, reads_like
from shared.events.clinical import Fact, Instrument, Sex, StatedInstrument, StatedScore
from shared.pathway.instruments import Scored
from shared.pathway.policy import PolicyValues


@dataclass(frozen=True, slots=True)
class Measured:
    """The latest value of a measure in its own unit, and the day it was taken, if known."""

    value: Decimal
    on: date | None


@dataclass(frozen=True)
class Chart:
    """A case on the day of its screening."""

    today: date
    birth_date: date
    sex: Sex
    facts: tuple[Fact, ...]
    """All that was ever said of the patient, oldest first."""
    scored: Mapping[Instrument, Scored]
    policy: PolicyValues
    stated: Mapping[StatedInstrument, StatedScore] = field(default_factory=dict)

    @property
    def age(self) -> int:
        """Full years."""
        return age_on(self.today, self.birth_date)

    def ever(self, item: str) -> tuple[str, ...]:
        """Codes that ever affirmed the item; a later "no" takes nothing back, so intake cannot argue an exclusion away."""
        return self._ever.get(item, ())

    def now(self, item: str) -> tuple[str, ...]:
        """Codes that affirm the item today, by the last word on each code."""
        return self._now.get(item, ())

    def is_current(self, fact: Fact) -> bool:
        """Whether the fact holds today."""
        return fact.active and (fact.ended is None or fact.ended > self.today)

    @cached_property
    def last_words(self) -> tuple[Fact, ...]:
        """The last fact stated for each code; statements, conditions and medications."""
        return tuple({(fact.kind, fact.system, fact.code): fact for fact in self.facts if fact.kind != "observation"}.values())

    def latest(self, measure: Measure) -> Measured | None:
        """Return the most recent value of the measure; of two on one day, the one stated later."""
        return self._latest.get(measure.loinc)

    @cached_property
    def medications(self) -> tuple[Fact, ...]:
        """The medications taken now."""
        return tuple(fact for fact in self.last_words if fact.kind == "medication" and self.is_current(fact))

    @cached_property
    def unread_conditions(self) -> tuple[Fact, ...]:
        """Conditions and allergies of the chart whose code stands for nothing here; those that are over only if their name warns."""
        return tuple(
            fact
            for fact in self.last_words
            if fact.kind == "condition" and not items_of(fact) and (self.is_current(fact) or named_items(fact))
        )

    def sober_since(self) -> date | None:
        """Return the first day without alcohol or drugs, as last stated."""
        return next((fact.on for fact in reversed(self.facts) if fact.system == "kapcare" and fact.code == SOBER_SINCE), None)

    @cached_property
    def _latest(self) -> Mapping[str, Measured]:
        latest: dict[str, Measured] = {}
        for fact in self.facts:
            if fact.value is None:
                continue
            measured, known = Measured(fact.value, fact.on), latest.get(fact.code)
            if known is None or _day(measured) >= _day(known):
                latest[fact.code] = measured
        return latest

    @cached_property
    def _ever(self) -> Mapping[str, tuple[str, ...]]:
        return _codes_by_item(fact for fact in self.facts if affirms(fact))

    @cached_property
    def _now(self) -> Mapping[str, tuple[str, ...]]:
        return _codes_by_item(fact for fact in self.last_words if self.is_current(fact))


def items_of(fact: Fact) -> tuple[str, ...]:
    """Return the items that a condition or a statement stands for, or the classes of a medication."""
    if fact.system == "kapcare":
        return (fact.code,)
    if fact.kind == "medication":
        return drug_classes(fact.code, fact.label)
    code = condition_of(fact.system, fact.code)
    return () if code is None else code.items


def named_items(fact: Fact) -> tuple[str, ...]:
    """Return the items of R-02 and R-03 that a condition's name speaks of; one in RxNorm is an allergy to that substance."""
    return reads_like(f"Allergy: {fact.label}" if fact.system == "rxnorm" else fact.label)


def is_named(fact: Fact) -> bool:
    """Whether someone who reads the fact can tell what it is: it has more than its code."""
    return fact.label not in (fact.code, nameless(fact.code))


def nameless(code: str) -> str:
    """Return how a medication is called whose code says nothing here and has no name beside it."""
    return f"RxNorm {code}"


def affirms(fact: Fact) -> bool:
    """A condition in the chart affirms even when it is over; a statement only if it is a yes, or was one until it ended."""
    return fact.kind != "statement" or fact.active or fact.ended is not None


def age_on(day: date, birth_date: date) -> int:
    """Return full years; who was born on 29 February has the birthday on 1 March in common years."""
    return day.year - birth_date.year - ((day.month, day.day) < (birth_date.month, birth_date.day))


def latest_day(now: datetime) -> date:
    """Return the date that has begun somewhere on Earth (UTC+14): a later one lies in the future everywhere."""
    return (now.astimezone(UTC) + timedelta(hours=14)).date()


def _codes_by_item(facts: Iterable[Fact]) -> dict[str, tuple[str, ...]]:
    codes: dict[str, dict[str, None]] = {}
    for fact in facts:
        for item in items_of(fact):
            codes.setdefault(item, {})[fact.code] = None
    return {item: tuple(found) for item, found in codes.items()}


def _day(measured: Measured) -> date:
    return measured.on or date.min
