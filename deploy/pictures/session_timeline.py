"""One dosing session over time: pressures, pulse, saturation and breathing around the dose, and what happened when."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from deploy.pictures.chart import DASHED, lines, svg

Line = Mapping[str, Any]
VITALS: Final = (
    ("systolic mmHg", "blood_pressure", "systolic"),
    ("diastolic mmHg", "blood_pressure", "diastolic"),
    ("heart rate per min", "heart_rate", None),
    ("oxygen saturation %", "oxygen_saturation", None),
    ("breaths per min", "respiratory_rate", None),
)
MARKED: Final = {
    "SessionDosed": "dose",
    "AdverseEventRecorded": "adverse event",
    "Escalated": "escalation",
    "VitalOverdue": "pressure missing",
    "SessionCompleted": "discharge",
}
"""Events that stand as an upright line, by the word for them."""
HIGHEST: Final = 200
"""Where upright lines end, unless a pressure lies above it."""


def session_timeline(session: Mapping[str, Any], hold_above: Mapping[str, int] | None = None) -> str:
    """Return the picture of one session as the session service shows it; `hold_above` is the patient's limit in mmHg.

    Minutes count from the first dose, or from the first entry where none was given. What was corrected is left out.
    """
    entries: Sequence[Line] = [line for line in session["timeline"] if not line.get("corrected")]
    doses = [line for line in entries if line["event"] == "SessionDosed"]
    begins = _moment(min((line["at"] for line in doses or entries), default="2000-01-01T00:00:00+00:00", key=_moment))
    chart = lines(
        f"Session {session['session']}: {_given(doses)}",
        f"minutes from the first dose, {begins:%Y-%m-%d %H:%M %Z}" if doses else f"minutes from {begins:%Y-%m-%d %H:%M %Z}",
        "as named at the left",
        description=_in_words(entries, begins),
    )
    tops = [HIGHEST]
    for name, field, part in VITALS:
        points = [(_minutes(line, begins), value) for line, value in _values(entries, field, part)]
        if points:
            chart.add(name, points)
            tops += [value for _, value in points]
    if hold_above is not None and entries:
        minutes = [_minutes(line, begins) for line in entries]
        for limit in (hold_above["systolic"], hold_above["diastolic"]):
            chart.add(f"limit {limit} mmHg", [(min(minutes), limit), (max(minutes), limit)], show_dots=False, stroke_style=DASHED)
    for word, minutes_of_it in _marks(entries, begins).items():
        upright = [point for minute in minutes_of_it for point in ((minute, 0), (minute, max(tops)), (None, None))]
        when = ", ".join(f"{minute:.0f}" for minute in minutes_of_it)
        chart.add(f"{word} at {when} min", upright, show_dots=False, stroke_style={"width": 2, "dasharray": "2, 3"})
    return svg(chart)


def _in_words(entries: Sequence[Line], begins: datetime) -> str:
    """Say each line of the picture, the first one first."""
    said = []
    for line in sorted(entries, key=lambda each: _moment(each["at"])):
        words = [MARKED[line["event"]]] if line["event"] in MARKED else []
        words += [f"{name} {value}" for name, field, part in VITALS for _, value in _values([line], field, part)]
        if words:
            said.append(f"{_minutes(line, begins):.0f} min: {', '.join(words)}")
    return "; ".join(said)


def _given(doses: Sequence[Line]) -> str:
    if not doses:
        return "no dose"
    return " and ".join(f"{dose['dose_mg']} mg {str(dose['route']).replace('_', ' ')}" for dose in doses)


def _values(entries: Sequence[Line], field: str, part: str | None) -> Iterator[tuple[Line, int]]:
    """Yield each line that holds this vital sign, in the order of time."""
    for line in sorted(entries, key=lambda each: _moment(each["at"])):
        value = line.get(field)
        if value is not None:
            yield line, value if part is None else value[part]


def _marks(entries: Sequence[Line], begins: datetime) -> Mapping[str, list[float]]:
    """Return the minutes at which each kind of event happened."""
    marks: dict[str, list[float]] = {}
    for line in entries:
        if line["event"] in MARKED:
            marks.setdefault(MARKED[line["event"]], []).append(_minutes(line, begins))
    return marks


def _minutes(line: Line, begins: datetime) -> float:
    return (_moment(line["at"]) - begins).total_seconds() / 60


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
