"""`kap demo`: the main job, on patients that nobody here invented."""

import asyncio
import json
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy.cli.options import AsJson
from deploy.demo.calls import Calls, new_session
from deploy.demo.partner_office import PartnerOffice
from deploy.demo.progress import LiveTable, Silence
from deploy.demo.records import read_cohort, size_of_cohort
from deploy.demo.run import Demo, Watch
from deploy.demo.simulator import Person
from deploy.demo.summary import Report, print_report, report
from deploy.local.failure import StackError
from deploy.local.running import PORT_BASE
from deploy.local.stack import LocalStack

SEED = "1"


def demo(
    patients: Annotated[int, typer.Option(help="How many patients.", min=1, max=500)] = 24,
    as_json: AsJson = False,
    seed: Annotated[str, typer.Option(help="What the simulator draws from; the same seed, the same course.")] = SEED,
    data: Annotated[
        Path | None, typer.Option(help="The stack's folder; begun again on it, the demo goes on.", show_default="a fresh one")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the fresh folder.")] = False,
) -> None:
    """Carry real FHIR patients from referral to integration on the embedded stack, with an outside prescriber."""
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    known = size_of_cohort()
    if patients > known:
        console.print(f"The cohort has {known} patients; they come again under other identifiers, answering differently.")
    folder = data or Path(tempfile.mkdtemp(prefix="kapcare-demo-"))
    try:
        shown = asyncio.run(_run(folder, patients, seed, console, live=not as_json and console.is_terminal))
    finally:
        if data is None and not keep:
            shutil.rmtree(folder, ignore_errors=True)
        elif data is None:
            console.print(f"kept: {folder}")
    if as_json:
        print(json.dumps(shown.to_json()))
    else:
        print_report(shown, console)
    wrong = shown.what_does_not_hold()
    if wrong is not None:
        raise StackError(f"the demo does not hold: {wrong}")


async def _run(folder: Path, patients: int, seed: str, console: Console, *, live: bool) -> Report:
    stack = LocalStack(folder, port_base=PORT_BASE, care_clock="movable", say=lambda line: console.print(line, markup=False))
    async with stack, new_session() as session:
        office = PartnerOffice(stack.data, session)
        await office.start()
        try:
            work = asyncio.ensure_future(carry(office, Calls(stack.data, session), patients, seed, console, live=live))
            failure = asyncio.ensure_future(stack.failure())
            done, _ = await asyncio.wait({work, failure}, return_when=asyncio.FIRST_COMPLETED)
            if work not in done:
                work.cancel()
                raise failure.result()
            failure.cancel()
            return work.result()
        finally:
            await office.stop()


async def carry(office: PartnerOffice, calls: Calls, patients: int, seed: str, console: Console, *, live: bool) -> Report:
    """Carry so many patients through the stack that is up, and say what came of it."""
    began = time.monotonic()
    people = [Person(number, record, seed) for number, record in enumerate(read_cohort(patients), start=1)]
    with ExitStack() as shown:
        watch: Watch = shown.enter_context(LiveTable(console)) if live else Silence()
        run = Demo(calls, office, people, watch)
        await run.run()
    return await report(calls, run.patients, await office.status(10), time.monotonic() - began)
