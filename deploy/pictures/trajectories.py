"""Mean totals over time, one line for each group, with the number of patients behind every point."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from deploy.pictures.chart import lines, svg

DASHES: Final = ("1,0", "8,4", "2,3", "10,3,2,3", "5,5")
"""So that colour is not needed to tell lines apart."""


@dataclass(frozen=True, slots=True)
class Line:
    """One group: (day after the last dose, mean total, patients), 0 for before treatment."""

    name: str
    points: Sequence[tuple[int, float, int]]


def trajectories(title: str, groups: Sequence[Line]) -> str:
    """Return the picture; nothing is drawn through a day that is withheld."""
    days = sorted({day for group in groups for day, _, _ in group.points})
    chart = lines(
        title,
        "days after the last dose (0: before treatment); beside each point the number of patients",
        "mean total, in points",
        description=_in_words(groups),
        no_data_text="No group is large enough to be shown.",
        print_labels=True,
        range=(0, max((mean for group in groups for _, mean, _ in group.points), default=1) + 1),
        x_labels=days,
    )
    for number, group in enumerate(groups):
        chart.add(group.name, list(_points(group, days)), stroke_style={"width": 2, "dasharray": DASHES[number % len(DASHES)]})
    return svg(chart)


def _points(group: Line, days: Sequence[int]) -> Iterator[dict[str, Any]]:
    known = {day: (mean, patients) for day, mean, patients in group.points}
    for day in days:
        mean, patients = known.get(day, (None, None))
        yield {"value": (day, mean), "label": "" if patients is None else f"{patients}"}


def _in_words(groups: Sequence[Line]) -> str:
    said = (
        f"{group.name}: "
        + ", ".join(f"{'before treatment' if day == 0 else f'day {day}'} {mean:g} ({of} patients)" for day, mean, of in group.points)
        for group in groups
    )
    return "; ".join(said) + "." if groups else "No group is large enough to be shown."
