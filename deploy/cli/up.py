"""`kap up`: the whole stack until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from deploy.cli.options import Data
from deploy.local.data import DEFAULT_DATA
from deploy.local.failure import StackError
from deploy.local.running import PORT_BASE, CareClock

if TYPE_CHECKING:
    from deploy.local.stack import LocalStack


def up(
    port_base: Annotated[int, typer.Option(help="The services take the ports after this one.", min=1024, max=65_500)] = PORT_BASE,
    data: Data = DEFAULT_DATA,
    care_clock: Annotated[CareClock, typer.Option(help="`movable`: care time can be moved forward, to rehearse weeks.")] = "system",
) -> None:
    """Run the whole stack until Ctrl-C."""
    # Here, so that the other commands need not wait for the database's and the broker's libraries.
    from deploy.local.stack import LocalStack

    console = Console(highlight=False, soft_wrap=True)
    # What children log may look like markup.
    stack = LocalStack(data, port_base=port_base, care_clock=care_clock, say=partial(console.print, markup=False))
    failure = asyncio.run(_until_told_to_stop(stack, console))
    if failure is not None:
        raise failure
    console.print("everything has stopped")


async def _until_told_to_stop(stack: LocalStack, console: Console) -> StackError | None:
    running = asyncio.ensure_future(_run(stack, console))
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A second one interrupts the orderly stop; the children then end with this process.
        asyncio.get_running_loop().add_signal_handler(name, running.cancel)
    await asyncio.wait([running])
    return None if running.cancelled() else running.result()


async def _run(stack: LocalStack, console: Console) -> StackError:
    async with stack:
        _describe(stack, console)
        return await stack.failure()


def _describe(stack: LocalStack, console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("service")
    table.add_column("answers at")
    table.add_column("its API")
    for name, url in stack.running.services.items():
        table.add_row(name, url, f"{url}/docs")
    console.print()
    console.print(table)
    console.print()
    console.print(f"MongoDB   {stack.running.mongo}")
    console.print(f"Kafka     {stack.running.kafka}")
    console.print(f"data      {stack.data.root}")
    console.print(f"logs      {stack.data.logs}")
    console.print("a token   ./kap token --role coordinator --clinic riverside", markup=False)
    console.print("\nCtrl-C stops everything.")
