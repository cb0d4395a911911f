"""The picture of trajectories. Expectations: what the command is asked to show (title, axes, legend, patients at each time), for eyes that
see no colours and for screen readers."""

from typing import Any
from xml.etree import ElementTree as Tree

from deploy.cli.outcomes import lines_of
from deploy.pictures.trajectories import DASHES, Line, trajectories

SVG = "{http://www.w3.org/2000/svg}"
LINES = [
    Line("riverside, north, sublingual, psychedelic", [(0, 17.2, 40), (14, 9.1, 36), (30, 8.2, 30)]),
    Line("hillside, a<b & c, intramuscular", [(0, 15.0, 20), (30, 9.2, 10)]),
]


def drawn(lines: list[Line]) -> Tree.Element:
    return Tree.fromstring(trajectories("PHQ-9: mean total", lines))


def words(root: Tree.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def test_it_has_a_title_axes_a_legend_and_the_patients_behind_every_point() -> None:
    said = words(drawn(LINES))
    assert {"PHQ-9: mean total", "mean total, in points", "14", "30"} <= set(said)
    assert any(word.startswith("days after the last dose") for word in said)
    assert {line.name for line in LINES} <= set(said)
    assert {"40", "36", "20", "10"} <= set(said), "patients, not days or points"


def test_it_says_in_words_what_it_shows() -> None:
    root = drawn(LINES)
    assert root.get("role") == "img"
    (description,) = [each.text or "" for each in root.iter() if each.tag.endswith("desc") and "patients" in (each.text or "")]
    assert "hillside, a<b & c, intramuscular: before treatment 15 (20 patients), day 30 9.2 (10 patients)" in description


def test_nothing_is_drawn_through_a_day_that_is_withheld() -> None:
    drawn_through = [str(path.get("d")).split() for path in drawn(LINES).iter(f"{SVG}path") if "reactive" in str(path.get("class")).split()]
    assert [len(numbers) // 2 for numbers in drawn_through] == [3], "the second group has no mean on day 14, so only the first has a line"


def test_lines_differ_in_more_than_colour() -> None:
    lines = [Line(str(number), [(0, 10.0, 5), (14, 9.0, 5)]) for number in range(5)]
    text = trajectories("", lines)
    assert len({dash for dash in DASHES if f"stroke-dasharray:{dash}}}" in text}) == 5


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
