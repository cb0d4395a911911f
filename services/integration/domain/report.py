"""The outcome report: what became of every patient who was treated, by clinic, partner, route and intent (R-29).

Beside each rate stand its denominator, how many were treated and followed, and why the rest were not. No number is shown that
stands for fewer patients than the policy's floor, and none from which such a number follows by subtraction: a total is
omitted when the groups that are withheld from beside it are but one, or fewer patients than the floor. Pure.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from services.integration.domain.follow_up import Treated

BASELINE: Final = 0
"""The day that stands for the time before treatment."""
MEANS: Final = ("mean", "mean_change")
RATES: Final = ("response", "remission", "deterioration")
BELOW_FLOOR: Final = "below-floor"
BY_SUBTRACTION: Final = "would-reveal-a-group-below-the-floor"

Place = tuple[int, str]
"""A figure of the table: day, and what it says."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A sum over so many patients: of points for a mean, of ones for a rate."""

    of: int = 0
    sum: int = 0

    def plus(self, other: "Figure") -> "Figure":
        """Return both together."""
        return Figure(self.of + other.of, self.sum + other.sum)


@dataclass(slots=True)
class Tally:
    """Everything that is counted of a group of patients."""

    treated: int = 0
    figures: dict[Place, Figure] = field(default_factory=dict)
    followed: Counter[int] = field(default_factory=Counter)
    not_followed: dict[int, Counter[str]] = field(default_factory=dict)

    def count(self, patient: Treated) -> None:
        """Count one patient."""
        self.treated += 1
        if patient.baseline is not None:
            self._add((BASELINE, "mean"), patient.baseline)
        for day, point in patient.points.items():
            reasons = self.not_followed.setdefault(day, Counter())
            outcome = point.outcome
            if outcome is None or outcome.total is None:
                reasons[point.reason or "unknown"] += 1
                continue
            self.followed[day] += 1
            said = {"mean": outcome.total, "mean_change": outcome.change, **{name: getattr(outcome, name) for name in RATES}}
            for name, value in said.items():
                if value is not None:
                    self._add((day, name), int(value))

    def plus(self, other: "Tally") -> "Tally":
        """Return both together."""
        places = {*self.figures, *other.figures}
        days = {*self.not_followed, *other.not_followed}
        return Tally(
            self.treated + other.treated,
            {place: self.of(place).plus(other.of(place)) for place in places},
            self.followed + other.followed,
            {day: self.not_followed.get(day, Counter()) + other.not_followed.get(day, Counter()) for day in days},
        )

    def of(self, place: Place) -> Figure:
        """Return a figure; of nobody where nothing was counted."""
        return self.figures.get(place, Figure())

    def _add(self, place: Place, value: int) -> None:
        self.figures[place] = self.of(place).plus(Figure(1, value))


Key = tuple[str, str, str]
"""Partner, route, intent; empty where it is not known."""


@dataclass(frozen=True, slots=True)
class Clinic:
    """The groups of one clinic, and the floor of its policy."""

    name: str
    floor: int
    groups: Mapping[Key, Tally]

    @property
    def total(self) -> Tally:
        """All groups together."""
        return together(self.groups.values())

    def withheld(self, place: Place | None) -> list[int]:
        """Return the sizes of the groups from which this figure (None: the number treated) is withheld."""
        sizes = (group.treated if place is None else group.of(place).of for group in self.groups.values())
        return [size for size in sizes if 0 < size < self.floor]

    def tells(self, place: Place | None) -> bool:
        """Whether the clinic's total may show this figure."""
        return may_stand_beside(self.withheld(place), self.floor)


def report(patients: Iterable[Treated], floors: Mapping[str, int], *, network: bool) -> dict[str, Any]:
    """Return the report of the patients, clinic by clinic; for the whole `network` with one total more."""
    groups: dict[str, dict[Key, Tally]] = {}
    for patient in patients:
        key = (patient.partner or "", patient.route or "", patient.intent or "")
        groups.setdefault(patient.clinic, {}).setdefault(key, Tally()).count(patient)
    clinics = [Clinic(name, floors[name], dict(sorted(found.items()))) for name, found in sorted(groups.items())]
    shown: dict[str, Any] = {"clinics": [_show_clinic(clinic) for clinic in clinics]}
    if network:
        shown["network"] = _show_network(clinics)
    return shown


def may_stand_beside(withheld: Sequence[int], floor: int) -> bool:
    """R-29: a total may stand beside groups that are withheld if they are none, or make up the floor together; one alone never does."""
    return not withheld or sum(withheld) >= floor


def together(tallies: Iterable[Tally]) -> Tally:
    """Return the tallies as one."""
    all_of_them = Tally()
    for tally in tallies:
        all_of_them = all_of_them.plus(tally)
    return all_of_them


def _show_clinic(clinic: Clinic) -> dict[str, Any]:
    return {
        "clinic": clinic.name,
        "floor": clinic.floor,
        "groups": [
            {"partner": partner or None, "route": route or None, "intent": intent or None, **_show_group(group, clinic.floor)}
            for (partner, route, intent), group in clinic.groups.items()
        ],
        "total": _show_total(clinic.total, clinic.floor, {place: clinic.tells(place) for place in _places(clinic.total)}),
    }


def _show_group(group: Tally, floor: int) -> dict[str, Any]:
    if group.treated < floor:
        return {"withheld": BELOW_FLOOR}
    return _show(group, {place: BELOW_FLOOR for place in _places(group) if place is not None and 0 < group.of(place).of < floor})


def _show_network(clinics: Sequence[Clinic]) -> dict[str, Any]:
    """Add up the clinics. What of their groups no total of theirs covers must not follow from this one either."""
    total, floor = together(clinic.total for clinic in clinics), max((clinic.floor for clinic in clinics), default=1)
    tells = {
        place: may_stand_beside([size for clinic in clinics if not clinic.tells(place) for size in clinic.withheld(place)], floor)
        for place in _places(total)
    }
    return _show_total(total, floor, tells)


def _show_total(total: Tally, floor: int, tells: Mapping[Place | None, bool]) -> dict[str, Any]:
    if total.treated < floor:
        return {"withheld": BELOW_FLOOR}
    if not tells[None]:
        return {"withheld": BY_SUBTRACTION}
    below = {place: BELOW_FLOOR for place in _places(total) if place is not None and 0 < total.of(place).of < floor}
    return _show(total, {**{place: BY_SUBTRACTION for place, told in tells.items() if place is not None and not told}, **below})


def _places(tally: Tally) -> list[Place | None]:
    """Every figure of a table, and None for the number treated."""
    return [None, (BASELINE, "mean"), *((day, name) for day in sorted(tally.not_followed) for name in (*MEANS, *RATES))]


def _show(tally: Tally, withheld: Mapping[Place, str]) -> dict[str, Any]:
    def figure(day: int, name: str) -> dict[str, Any]:
        place = (day, name)
        if place in withheld:
            return {"withheld": withheld[place]}
        found = tally.of(place)
        if name in MEANS:
            return {"of": found.of, "mean": round(found.sum / found.of, 1) if found.of else None}
        return {"of": found.of, "n": found.sum, "rate": round(found.sum / found.of, 3) if found.of else None}

    return {
        "treated": tally.treated,
        "baseline": figure(BASELINE, "mean"),
        "follow_up": [
            {
                "day": day,
                "followed": tally.followed[day],
                "not_followed": dict(sorted(reasons.items())),
                **{name: figure(day, name) for name in (*MEANS, *RATES)},
            }
            for day, reasons in sorted(tally.not_followed.items())
        ],
    }
