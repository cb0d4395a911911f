"""`kap parked`, `kap replay`, `kap discard`: events that could not be handled, and what becomes of them."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table

from deploy.cli.options import AsJson, Data
from deploy.cli.service_calls import ServiceCalls, calls_as
from deploy.local.data import DEFAULT_DATA
from deploy.local.failure import StackError

COLUMNS = ("service", "id", "stream", "type", "sequence", "state", "attempts", "at", "reason")

OneService = Annotated[str, typer.Option("--service", help="The service that parked it.")]


def parked(
    service: Annotated[str | None, typer.Option(help="Only this service.")] = None,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """List the events that wait for a decision."""
    rows = asyncio.run(_parked(service, data))
    if as_json:
        print(json.dumps({"parked": rows}, indent=2))
    elif rows:
        Console(soft_wrap=True).print(_table(rows))
    else:
        print("nothing is parked")


def replay(
    service: OneService,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="The parked events to try again.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Try all of them again.")] = False,
    topic_refill: Annotated[bool, typer.Option("--topic-refill", help="Publish all of the service's events again instead.")] = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Handle parked events again, or publish a service's events again."""
    if [bool(ids), everything, topic_refill].count(True) != 1:
        raise typer.BadParameter("say which: IDs, or --all, or --topic-refill")
    asyncio.run(_refill(service, data) if topic_refill else _replay(service, ids, data))


def discard(
    service: OneService,
    identifier: Annotated[str, typer.Argument(metavar="ID", help="The parked event.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept for the auditors.")],
    data: Data = DEFAULT_DATA,
) -> None:
    """Give up a parked event for good."""
    asyncio.run(_discard(service, identifier, reason, data))


async def _parked(service: str | None, data: Path) -> list[dict[str, Any]]:
    async with calls_as("admin", data) as calls:
        return [row for name in ([service] if service else calls.stack.services) for row in await _parked_of(calls, name)]


async def _parked_of(calls: ServiceCalls, service: str) -> list[dict[str, Any]]:
    answer = await calls.get(service, "/operations/parked")
    return [{"service": service, **row} for row in answer["parked"]]


async def _replay(service: str, ids: list[str] | None, data: Path) -> None:
    async with calls_as("admin", data) as calls:
        wanted = ids or [row["id"] for row in await _parked_of(calls, service)]
        failed = 0
        for identifier in wanted:
            try:
                await calls.post(service, f"/operations/parked/{quote(identifier)}/replay")
            except StackError as error:
                failed += 1
                print(f"{identifier}: {error}")
            else:
                print(f"{identifier}: asked to be replayed, and in order what is parked behind it")
    if failed:
        raise StackError(f"{failed} of {len(wanted)} could not be replayed")
    if not wanted:
        print("nothing is parked")


async def _refill(service: str, data: Path) -> None:
    async with calls_as("admin", data) as calls:
        await calls.post(service, "/operations/refill")
    print(f"{service} publishes its events again")


async def _discard(service: str, identifier: str, reason: str, data: Path) -> None:
    async with calls_as("admin", data) as calls:
        await calls.post(service, f"/operations/parked/{quote(identifier)}/discard", {"reason": reason})
    print(f"{identifier}: discarded")


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(*COLUMNS, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(str(row.get(column, "")) for column in COLUMNS))
    return table
