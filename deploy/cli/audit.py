"""`kap audit`: what the ledger proves, lacks and holds."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deploy.cli.options import AsJson, Data
from deploy.cli.service_calls import calls_as
from deploy.local.data import DEFAULT_DATA

app = typer.Typer(help="Ask the tamper-evident ledger.", no_args_is_help=True)

COLUMNS = ("index", "time", "type", "case", "patient", "clinic", "actor")


@app.command()
def verify(as_json: AsJson = False, data: Data = DEFAULT_DATA) -> None:
    """Have the ledger verify itself; a failure ends with exit code 1."""
    answer = asyncio.run(_verification(data))
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        print(f"{'verified' if answer['verified'] else 'NOT VERIFIED'}: {answer['size']} entries, root {answer['root']}")
        if answer.get("first_bad") is not None:
            print(f"altered: entry {answer['first_bad']} is not what was recorded")
        if answer.get("root_holds") is False:
            print("altered: the entries do not give the root that was kept")
        _print_gaps(answer)
    if not answer["verified"]:
        raise typer.Exit(1)


@app.command()
def gaps(as_json: AsJson = False, data: Data = DEFAULT_DATA) -> None:
    """Say which events the services have and the ledger lacks; a gap, or a service that cannot be asked, ends with exit code 1."""
    answer = asyncio.run(_verification(data))
    if as_json:
        print(json.dumps({name: answer.get(name, []) for name in ("gaps", "unreachable")}, indent=2))
    else:
        _print_gaps(answer)
    if answer["gaps"] or answer.get("unreachable"):
        raise typer.Exit(1)


@app.command()
def events(
    case: Annotated[str | None, typer.Option(help="Only this case.")] = None,
    patient: Annotated[str | None, typer.Option(help="Only this patient (pseudonym).")] = None,
    clinic: Annotated[str | None, typer.Option(help="Only this clinic.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only what this actor did.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Only this type of event.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="Not before this time (ISO 8601).")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Before this time (ISO 8601).")] = None,
    cursor: Annotated[str | None, typer.Option(help="Go on where an earlier answer ended.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=1000)] = 100,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """List events of the ledger."""
    asked: dict[str, str | None] = {"case": case, "patient": patient, "clinic": clinic, "actor": actor, "type": kind}
    asked |= {"from": since, "to": until, "cursor": cursor, "limit": str(limit)}
    answer = asyncio.run(_events({name: value for name, value in asked.items() if value is not None}, data))
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    rows = answer["events"]
    columns = [column for column in COLUMNS if any(column in row for row in rows)]
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(str(row.get(column) or "") for column in columns))
    Console(soft_wrap=True).print(table)
    following = answer.get("next")
    if following is not None:
        print(f"more: --cursor {following}")


@app.command()
def export(
    file: Annotated[Path | None, typer.Option("--to-file", help="Write there instead of to standard output.")] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Write the whole ledger as one JSON object a line, for verification with other software."""
    asyncio.run(_export(file, data))


async def _verification(data: Path) -> dict[str, Any]:
    async with calls_as("auditor", data) as calls:
        return await calls.get("audit", "/ledger/verification")


async def _events(query: dict[str, str], data: Path) -> dict[str, Any]:
    async with calls_as("auditor", data) as calls:
        return await calls.get("audit", "/ledger/events", query)


async def _export(file: Path | None, data: Path) -> None:
    target = file.open("wb") if file else sys.stdout.buffer
    try:
        async with calls_as("auditor", data) as calls, calls.response("GET", "audit", "/ledger/export") as answer:
            async for chunk in answer.content.iter_chunked(65_536):
                target.write(chunk)
    finally:
        target.flush()
        if file:
            target.close()


def _print_gaps(answer: dict[str, Any]) -> None:
    for gap in answer["gaps"]:
        print(f"gap: {json.dumps(gap)}")
    for service in answer.get("unreachable", []):
        print(f"not compared: {service} could not be asked what it has")
    if not answer["gaps"] and not answer.get("unreachable"):
        print("no gaps")
