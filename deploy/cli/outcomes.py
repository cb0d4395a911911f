"""`kap outcomes`: what became of the patients who were treated, with the number followed beside every rate."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from deploy.cli.options import AsJson, Data
from deploy.cli.service_calls import calls_as
from deploy.local.data import DEFAULT_DATA
from deploy.local.private import write_text
from deploy.pictures.trajectories import Line, trajectories
from services.integration.domain.judge import SYMPTOM_SCALES

RATES: Final = {"response": "response", "remission": "remission", "deterioration": "worse"}
WITHHELD: Final = {
    "below-floor": "fewer patients than the policy's floor",
    "would-reveal-a-group-below-the-floor": "withheld: it would reveal a group below the floor",
}
Row = Mapping[str, Any]


def outcomes(
    instrument: Annotated[str, typer.Option(help=f"One of {', '.join(SYMPTOM_SCALES)}.")] = "phq-9",
    clinic: Annotated[str | None, typer.Option(help="Only this clinic.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Also draw the mean totals over time, as an SVG file.")] = None,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Report outcomes by clinic, partner, route and intent, as the medical director sees them."""
    query = {"instrument": instrument, **({} if clinic is None else {"clinic": clinic})}
    answer = asyncio.run(_outcomes(query, data))
    if picture is not None:
        write_text(picture, trajectories(f"{instrument.upper()}: mean total of those who were followed", lines_of(answer)))
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        for line in lines_in_words(answer):
            print(line)


def lines_of(answer: Row) -> list[Line]:
    """Return the trajectory of each group that is not withheld, or of the network where all groups are: mean totals, where they may be
    shown, with the number behind each.
    """
    rows = [(name, row) for name, row in _rows(answer) if "withheld" not in row]
    groups = [_line(name, row) for name, row in rows if name[1] not in {"clinic", "network"}]
    network = [_line(name, row) for name, row in rows if name[1] == "network"]
    return [line for line in groups if line.points] or [line for line in network if line.points]


def _line(name: tuple[str, ...], row: Row) -> Line:
    means = [(0, row["baseline"]), *((at["day"], at["mean"]) for at in row["follow_up"])]
    points = [(day, mean["mean"], mean["of"]) for day, mean in means if mean.get("mean") is not None]
    return Line(", ".join(part for part in name if part), points)


async def _outcomes(query: dict[str, str], data: Path) -> Row:
    async with calls_as("medical_director", data) as calls:
        return await calls.get("integration", "/outcomes", query)


def _rows(answer: Row) -> Iterator[tuple[tuple[str, str, str, str], Row]]:
    """Yield every group and total with its name: clinic, partner, route, intent."""
    for clinic in answer["clinics"]:
        for group in clinic["groups"]:
            yield (clinic["clinic"], group["partner"] or "no partner", group["route"] or "", group["intent"] or ""), group
        yield (clinic["clinic"], "clinic", "", ""), clinic["total"]
    if "network" in answer:
        yield ("all", "network", "", ""), answer["network"]


def lines_in_words(answer: Row) -> Iterator[str]:
    """Yield the report for people, line by line."""
    for name, row in _rows(answer):
        said = WITHHELD[row["withheld"]] if "withheld" in row else f"{row['treated']} treated, {_before(row['baseline'])}"
        yield f"{', '.join(part for part in name if part)}: {said}"
        for at in row.get("follow_up", ()):
            rates = "  ".join(f"{word} {_rate(at[rate]):14}" for rate, word in RATES.items())
            missing = ", ".join(f"{number} {reason.replace('_', ' ')}" for reason, number in at["not_followed"].items())
            yield f"  day {at['day']:4}  followed {at['followed']:5}  {rates}  not followed: {missing or 'nobody'}"
    yield f"{answer['instrument']}, days after the last dose; policy {answer['policy_version']}; `-`: below the floor."
    if answer["simulated"]:
        yield "Contains answers that were simulated."
    if answer["erased"]:
        yield f"{answer['erased']} cases were erased and are in no number."


def _before(baseline: Row) -> str:
    return "mean before -" if baseline.get("mean") is None else f"mean before {baseline['mean']} of {baseline['of']}"


def _rate(rate: Row) -> str:
    if "withheld" in rate:
        return "-"
    return "none" if rate["rate"] is None else f"{rate['rate']:.0%} ({rate['n']}/{rate['of']})"
