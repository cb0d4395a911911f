"""`kap policy`: the thresholds in force, why a case was decided as it was, and what another policy would have changed."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.cli.options import AsJson, Data
from deploy.cli.service_calls import NotThere, calls_as
from deploy.local.data import DEFAULT_DATA
from deploy.local.failure import StackError
from shared.pathway.policy import Document, read_document

app = typer.Typer(help="Thresholds as data: what is in force, why, and what would change.", no_args_is_help=True)

DECIDING = ("intake", "prescriber", "session", "integration")
"""Services that hold the policy, and whose past decisions can be decided again."""

File = Annotated[
    Path, typer.Argument(help="A policy document, as shared/pathway/network_default.json is one.", exists=True, dir_okay=False)
]


@app.command()
def show(as_json: AsJson = False, data: Data = DEFAULT_DATA) -> None:
    """Show the document in force; services that hold different versions end with exit code 1."""
    held = asyncio.run(_held(data))
    in_force = {service: answer["in_force"]["version"] for service, answer in held.items()}
    if as_json:
        print(json.dumps({"in_force": in_force, "document": held["prescriber"]["in_force"]}, indent=2))
    else:
        document = Document.model_validate(held["prescriber"]["in_force"])
        print(f"{document.version}, owned by {document.owner}, valid from {document.valid_from:%Y-%m-%d}")
        _print_rows(document)
        for service, version in in_force.items():
            print(f"{service}: {version}")
    if len(set(in_force.values())) > 1:
        raise typer.Exit(1)


@app.command()
def check(file: File) -> None:
    """Say whether a document is whole, and what is wrong with it, without a stack."""
    document = _read(file)
    print(f"{document.version}: {len(document.values)} values, owned by {document.owner}")
    for note in _notes(document):
        print(f"note: {note}")


@app.command()
def adopt(
    file: File,
    name: Annotated[str, typer.Option("--as", help="The medical director's name, as it stands under the document.")],
    data: Data = DEFAULT_DATA,
) -> None:
    """Adopt a document for the network; every service decides by it within a moment."""
    document = _read(file)
    asyncio.run(_adopt({"document": document.model_dump(mode="json"), "adopted_by": name}, data))
    print(f"adopted: {document.version}, in force from {document.valid_from:%Y-%m-%d %H:%M %Z}")


@app.command()
def explain(case: Annotated[str, typer.Argument(help="The case.")], as_json: AsJson = False, data: Data = DEFAULT_DATA) -> None:
    """Print facts, rules and result of each decision of a case; one that does not come out the same again ends with exit code 1."""
    decisions = asyncio.run(_explained(case, data))
    if as_json:
        print(json.dumps({"case": case, "decisions": decisions}, indent=2))
    else:
        _print_decisions(decisions)
    if not all(decision["reproduced"] for decision in decisions):
        raise typer.Exit(1)


@app.command()
def replay(
    policy: Annotated[
        Path | None,
        typer.Option("--policy", help="The proposed document; without one, each decision under its own.", exists=True, dir_okay=False),
    ] = None,
    since: Annotated[str | None, typer.Option("--from", help="Decisions from this time on (ISO 8601).")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Decisions before this time (ISO 8601).")] = None,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Decide past cases and refusals again, changing nothing, and print which come out differently."""
    document = None if policy is None else _read(policy).model_dump(mode="json")
    asked = {"document": document, "since": since, "until": until}
    tallies = asyncio.run(_replayed({name: value for name, value in asked.items() if value is not None}, data))
    if as_json:
        print(json.dumps({tally["service"]: tally for tally in tallies}, indent=2))
    else:
        _print_tallies(tallies)
    # Under its own policy a decision must come out as it did; under another one, what differs is the answer to the question.
    if policy is None and any(tally["different"] for tally in tallies):
        raise typer.Exit(1)


def _notes(document: Document) -> list[str]:
    """Return what may be meant so, and may have been forgotten."""
    zoned, placed = set(document.time_zones) - {"network"}, set(document.clinic_states)
    return [
        *(
            f"{clinic} has a time zone and no state: its reviews go to organisations whatever their licence"
            for clinic in sorted(zoned - placed)
        ),
        *(f"{clinic} has a state and no time zone: it goes by the network's" for clinic in sorted(placed - zoned)),
        *(
            f"{clinic} is a Part 2 program and has neither state nor time zone: is it spelt as in its tokens?"
            for clinic in sorted(set(document.part2_programs) - placed - zoned)
        ),
    ]


def _read(file: Path) -> Document:
    try:
        return read_document(file)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise StackError(f"{file}: {where}: {first['msg']}") from None
    except ValueError:
        raise StackError(f"{file} is not JSON") from None


async def _held(data: Path) -> dict[str, dict[str, Any]]:
    async with calls_as("medical_director", data) as calls:
        return {service: await calls.get(service, "/policy") for service in DECIDING}


async def _adopt(body: Mapping[str, Any], data: Path) -> None:
    async with calls_as("medical_director", data) as calls:
        await calls.post("prescriber", "/policy/adoption", body)


async def _explained(case: str, data: Path) -> list[dict[str, Any]]:
    async with calls_as("auditor", data) as calls:
        decisions: list[dict[str, Any]] = []
        for service in DECIDING:
            try:
                content = await calls.get(service, f"/cases/{quote(case, safe='')}/decisions")
            except NotThere:
                # The case has not come to this service yet.
                continue
            decisions += [{"service": service, **decision} for decision in content["decisions"]]
        if not decisions:
            raise StackError("no service knows a decision of this case")
        return sorted(decisions, key=lambda decision: decision["at"])


async def _replayed(asked: Mapping[str, Any], data: Path) -> list[dict[str, Any]]:
    async with calls_as("auditor", data) as calls:
        return [await calls.post(service, "/policy/replay", asked) for service in DECIDING]


def _print_rows(document: Document) -> None:
    table = Table("value", "", "mark", "source", box=None, pad_edge=False)
    for name, row in document.values.items():
        table.add_row(name, str(row.value), row.mark, escape(row.source))
        for override in row.overrides:
            where = " ".join(part for part in (override.clinic, override.route) if part)
            table.add_row(f"  in {where}", str(override.value), override.mark, escape(override.source))
    Console(soft_wrap=True).print(table)


def _print_decisions(decisions: Sequence[Mapping[str, Any]]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for decision in decisions:
        console.print(f"[bold]{escape(decision['step'])}[/] at {decision['at']}, {decision['service']}, by {decision['by']}")
        console.print(f"  policy {decision['policy_version']}, event {decision['event']}")
        for fact in decision["facts"]:
            console.print(f"  fact    {escape(fact['name'])}: {escape(fact['value'])}")
        outcome, *rules = decision["result"]
        for rule in rules:
            console.print(f"  rule    {escape(rule)}")
        console.print(f"  result  {escape(outcome)}")
        if decision["reproduced"]:
            console.print("  again   the same")
        else:
            again = ", ".join(decision["again"]) if decision["again"] else "its policy is not known here"
            console.print(f"  again   [red]DIFFERENT[/]: {escape(again)}")
        console.print()


def _print_tallies(tallies: Sequence[Mapping[str, Any]]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for tally in tallies:
        under = f"under {tally['under']}" if tally["under"] else "each under its own policy"
        different = tally["different"]
        console.print(f"{tally['service']}: {tally['decisions']} decisions {under}: {tally['same']} the same, {len(different)} different")
        if tally["unread_cases"]:
            console.print(f"  {tally['unread_cases']} cases were erased or cannot be read")
        for one in different:
            console.print(f"  {one['case']} {escape(one['step'])} at {one['at']}, under {one['under']}")
            gone = [word for word in one["was"] if word not in one["would_be"]]
            come = [word for word in one["would_be"] if word not in one["was"]]
            for sign, words in (("-", gone), ("+", come)):
                for word in words:
                    console.print(f"    {sign} {escape(word)}")
