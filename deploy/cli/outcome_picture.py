"""Trajectories as an SVG picture: mean totals over time, one line for each group, with the number of patients behind every point.

Groups differ in colour, dash and marker, so that none of them is needed to tell two apart; a title and a description say in words
what is drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as Tree

WIDTH: Final = 900
LEFT, RIGHT, TOP, PLOT_HEIGHT, ROW = 90, 30, 60, 320, 46
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Okabe and Ito's palette, which holds for colour-blind readers."""
DASHES: Final = ("", "8 4", "2 3", "10 3 2 3", "5 5")
MARKERS: Final = "●■▲◆✚"
TICKS: Final = 5


@dataclass(frozen=True, slots=True)
class Line:
    """One group: (day after the last dose, mean total, patients), 0 for before treatment."""

    name: str
    points: Sequence[tuple[int, float, int]]


def draw(title: str, lines: Sequence[Line]) -> str:
    """Return the SVG document."""
    days = sorted({day for line in lines for day, _, _ in line.points})
    highest = max((mean for line in lines for _, mean, _ in line.points), default=1.0)
    top = max(TICKS, -(-int(highest + 1) // TICKS) * TICKS)
    below = TOP + PLOT_HEIGHT
    height = below + 70 + ROW * len(lines)
    root = Tree.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {WIDTH} {height}",
            "role": "img",
            "aria-labelledby": "title description",
            "font-family": "sans-serif",
            "font-size": "13",
        },
    )
    Tree.SubElement(root, "title", {"id": "title"}).text = title
    Tree.SubElement(root, "desc", {"id": "description"}).text = _in_words(lines)
    Tree.SubElement(root, "rect", {"width": str(WIDTH), "height": str(height), "fill": "#ffffff"})
    _text(root, LEFT, 30, title, size=17)

    def x(day: int) -> float:
        # By order and not by length: half a year would press the first weeks into one another.
        return LEFT + 40 + (WIDTH - LEFT - RIGHT - 80) * days.index(day) / max(1, len(days) - 1)

    def y(mean: float) -> float:
        return below - PLOT_HEIGHT * mean / top

    for step in range(TICKS + 1):
        value = top * step / TICKS
        Tree.SubElement(root, "line", {**_ends(LEFT, y(value), WIDTH - RIGHT, y(value)), "stroke": "#d0d0d0"})
        _text(root, LEFT - 8, y(value) + 4, f"{value:g}", anchor="end")
    for day in days:
        Tree.SubElement(root, "line", {**_ends(x(day), below, x(day), below + 5), "stroke": "#000000"})
        _text(root, x(day), below + 20, "before" if day == 0 else f"day {day}", anchor="middle")
    _text(root, (LEFT + WIDTH - RIGHT) / 2, below + 42, "days after the last dose", anchor="middle")
    _text(root, 24, TOP + PLOT_HEIGHT / 2, "mean total, in points", anchor="middle", turned=True)
    for number, line in enumerate(lines):
        for run in _unbroken(line, days):
            _draw_line(root, number, [(x(day), y(mean)) for day, mean in run])
        # The legend and the number behind each point, in a row of their own below the time axis.
        row, colour = below + 76 + ROW * number, COLOURS[number % len(COLOURS)]
        _text(root, LEFT, row, f"{MARKERS[number % len(MARKERS)]} {line.name}", colour=colour)
        _text(root, LEFT - 8, row + 18, "patients", anchor="end", size=12)
        for day, _, of in line.points:
            _text(root, x(day), row + 18, str(of), anchor="middle", size=12)
    if not lines:
        _text(root, (LEFT + WIDTH - RIGHT) / 2, TOP + PLOT_HEIGHT / 2, "No group is large enough to be shown.", anchor="middle")
    return Tree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _unbroken(line: Line, days: Sequence[int]) -> list[list[tuple[int, float]]]:
    """Cut the line where a day is withheld: nothing is drawn through what is not shown."""
    runs: list[list[tuple[int, float]]] = []
    for day, mean, _ in line.points:
        follows = runs and days.index(day) == days.index(runs[-1][-1][0]) + 1
        if follows:
            runs[-1].append((day, mean))
        else:
            runs.append([(day, mean)])
    return runs


def _draw_line(root: Tree.Element, number: int, points: Sequence[tuple[float, float]]) -> None:
    colour = COLOURS[number % len(COLOURS)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    drawn = {"points": path, "fill": "none", "stroke": colour, "stroke-width": "2", "stroke-dasharray": DASHES[number % len(DASHES)]}
    Tree.SubElement(root, "polyline", drawn)
    for x, y in points:
        _text(root, x, y + 5, MARKERS[number % len(MARKERS)], anchor="middle", colour=colour)


def _in_words(lines: Sequence[Line]) -> str:
    said = (
        f"{line.name}: "
        + ", ".join(f"{'before treatment' if day == 0 else f'day {day}'} {mean:g} ({of} patients)" for day, mean, of in line.points)
        for line in lines
    )
    return "; ".join(said) + "." if lines else "No group is large enough to be shown."


def _ends(x1: float, y1: float, x2: float, y2: float) -> dict[str, str]:
    return {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}


def _text(
    root: Tree.Element,
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    colour: str = "#000000",
    size: int | None = None,
    turned: bool = False,
) -> None:
    said = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "fill": colour}
    if size is not None:
        said["font-size"] = str(size)
    if turned:
        said["transform"] = f"rotate(-90 {x:.1f} {y:.1f})"
    Tree.SubElement(root, "text", said).text = words
