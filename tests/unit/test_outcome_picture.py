"""The picture of trajectories. Expectations: what the command is asked to show (title, axes, legend, patients at each time), for eyes that
see no colours and for screen readers."""

from typing import Any
from xml.etree import ElementTree as Tree

from deploy.cli.outcome_picture import Line, draw
from deploy.cli.outcomes import lines_of

SVG = "{http://www.w3.org/2000/svg}"
LINES = [
    Line("riverside, north, sublingual, psychedelic", [(0, 17.2, 40), (14, 9.1, 36), (30, 8.2, 30)]),
    Line("hillside, a<b & c, intramuscular", [(0, 15.0, 20), (30, 9.2, 10)]),
]


def drawn(lines: list[Line]) -> Tree.Element:
    return Tree.fromstring(draw("PHQ-9: mean total", lines))


def words(root: Tree.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def test_it_has_a_title_axes_a_legend_and_the_patients_behind_every_point() -> None:
    root = drawn(LINES)
    said = words(root)
    assert {"PHQ-9: mean total", "days after the last dose", "mean total, in points", "before", "day 14", "day 30"} <= set(said)
    assert {"● riverside, north, sublingual, psychedelic", "■ hillside, a<b & c, intramuscular"} <= set(said)
    assert {"40", "36", "30", "20", "10"} <= set(said)


def test_it_says_in_words_what_it_shows() -> None:
    root = drawn(LINES)
    assert root.get("role") == "img"
    ids = {root.findtext(f"{SVG}title"): "title", root.findtext(f"{SVG}desc"): "description"}
    assert str(root.get("aria-labelledby")).split() == list(ids.values())
    assert "hillside, a<b & c, intramuscular: before treatment 15 (20 patients), day 30 9.2 (10 patients)" in str(
        root.findtext(f"{SVG}desc")
    )


def test_lines_differ_in_more_than_colour() -> None:
    lines = [Line(str(number), [(0, 10.0, 5), (14, 9.0, 5)]) for number in range(5)]
    drawn_lines = list(drawn(lines).iter(f"{SVG}polyline"))
    assert len({line.get("stroke-dasharray") for line in drawn_lines}) == 5
    assert len({line.get("stroke") for line in drawn_lines}) == 5


def test_a_mean_is_drawn_at_its_height_and_nothing_is_drawn_through_a_day_that_is_withheld() -> None:
    (line,) = drawn([Line("a", [(0, 20.0, 9), (14, 0.0, 9)])]).iter(f"{SVG}polyline")
    first, last = (float(point.split(",")[1]) for point in str(line.get("points")).split())
    axis = {text.text: float(text.get("y", "0")) - 4 for text in drawn([Line("a", [(0, 20.0, 9), (14, 0.0, 9)])]).iter(f"{SVG}text")}
    assert (first, last) == (axis["20"], axis["0"])
    broken = [str(line.get("points")).split() for line in drawn(LINES).iter(f"{SVG}polyline")]
    assert [len(points) for points in broken] == [3, 1, 1]


def test_nothing_to_show_says_so() -> None:
    assert "No group is large enough to be shown." in words(drawn([]))


def test_only_groups_that_may_be_shown_become_lines() -> None:
    def group(**changes: Any) -> dict[str, Any]:
        means = {14: {"of": 8, "mean": 9.5}, 30: {"withheld": "below-floor"}, 90: {"of": 0, "mean": None}}
        shown = {"partner": "north", "route": "sublingual", "intent": None, "treated": 9, "baseline": {"of": 9, "mean": 17.0}}
        return {**shown, "follow_up": [{"day": day, "mean": mean} for day, mean in means.items()], **changes}

    hidden = {"partner": "south", "route": None, "intent": None, "withheld": "below-floor"}
    answer = {"clinics": [{"clinic": "riverside", "groups": [group(), hidden], "total": group()}], "network": group()}
    assert lines_of(answer) == [Line("riverside, north, sublingual", [(0, 17.0, 9), (14, 9.5, 8)])]
