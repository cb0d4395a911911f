"""Begin the demo: the stack, the partner organisation and the patients; at the end, what came of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
from rich.console import Console

from deploy.demo.calls import Calls, new_session
from deploy.demo.partner_office import PartnerOffice
from deploy.demo.progress import LiveTable, Silence
from deploy.demo.records import read_cohort, size_of_cohort
from deploy.demo.run import Demo, Watch
from deploy.demo.simulator import Person
from deploy.demo.summary import Report, report
from deploy.local.data import DataDirectory
from deploy.local.running import PORT_BASE
from deploy.local.stack import LocalStack


async def whole_demo(folder: Path, patients: int, seed: str, console: Console, *, live: bool) -> Report:
    """Start everything on a folder, carry so many patients to the end, stop everything."""
    known = size_of_cohort()
    if patients > known:
        console.print(f"The cohort has {known} patients: they come again under other identifiers, and answer differently.")
    people = [Person(number, record, seed) for number, record in enumerate(read_cohort(patients), start=1)]
    stack = LocalStack(folder, port_base=PORT_BASE, care_clock="movable", say=lambda line: console.print(line, markup=False))
    async with stack, partner_at_work(stack.data) as (office, session):
        work = asyncio.ensure_future(carry(Calls(stack.data, session), office, people, console if live else None))
        failure = asyncio.ensure_future(stack.failure())
        try:
            await asyncio.wait({work, failure}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise failure.result()
            return work.result()
        finally:
            work.cancel()
            failure.cancel()
            await asyncio.gather(work, failure, return_exceptions=True)


@asynccontextmanager
async def partner_at_work(data: DataDirectory) -> AsyncIterator[tuple[PartnerOffice, aiohttp.ClientSession]]:
    """The partner organisation's process beside the stack that is up on a folder, and a session for all calls."""
    async with new_session() as session:
        office = PartnerOffice(data, session)
        await office.start()
        try:
            yield office, session
        finally:
            await office.stop()


async def carry(calls: Calls, office: PartnerOffice, people: Sequence[Person], console: Console | None = None) -> Report:
    """Carry these patients through the stack that is up, shown live where there is a console."""
    began = time.monotonic()
    with ExitStack() as shown:
        watch: Watch = Silence() if console is None else shown.enter_context(LiveTable(console))
        demo = Demo(calls, office, people, watch)
        await demo.run()
    return await report(calls, demo.patients, await office.status(), time.monotonic() - began)
