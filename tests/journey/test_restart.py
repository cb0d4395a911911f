"""Everything is killed in mid-demo and started again on the same folder: nobody is lost, and nothing happens twice."""

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.begin import carry
from deploy.demo.calls import Calls, new_session
from deploy.demo.partner_office import PartnerOffice
from deploy.demo.progress import stage_of
from deploy.demo.run import Demo, Patient
from deploy.demo.simulator import Person
from deploy.demo.summary import Report, report
from deploy.local.ports import free_port
from deploy.local.stack import LocalStack
from tests.journey.conftest import UNHURRIED

pytestmark = pytest.mark.timeout(400)


STAGES = ("medical review", "in session")
"""Everything is killed when the first patient is there: while a partner decides, and while a patient is under a dose."""


class Lookout:
    """Says when the first patient is at a stage."""

    def __init__(self) -> None:
        self.reached = {stage: asyncio.Event() for stage in STAGES}

    def show(self, patients: Sequence[Patient], now: datetime | None) -> None:
        for patient in patients:
            stage = stage_of(patient)
            if now is not None and patient.end is None and stage in self.reached:
                self.reached[stage].set()


async def test_a_demo_survives_the_death_of_everything_twice(undisturbed: Report, people: list[Person], tmp_path: Path) -> None:
    data, port_base, lookout = tmp_path / "kap", free_port(), Lookout()

    def new_stack() -> LocalStack:
        return LocalStack(data, port_base=port_base, care_clock="movable", settings=UNHURRIED)

    async with new_session() as session:
        stack = new_stack()
        calls, office = Calls(stack.data, session), PartnerOffice(stack.data, session)
        demo = Demo(calls, office, people, lookout)
        work: asyncio.Task[None] | None = None
        for stage in STAGES:
            await stack.__aenter__()
            await office.start()
            work = work or asyncio.create_task(demo.run())
            await first_of(work, lookout.reached[stage].wait())
            await asyncio.gather(stack.kill(), office.kill())
            stack = new_stack()
        assert work is not None
        async with stack:
            await office.start()
            try:
                await work
                after = await report(calls, demo.patients, await office.status(), 0.0)
                # Another demo, begun on the same folder, finds everything done and does nothing.
                again = await carry(calls, office, people)
            finally:
                await office.stop()
    assert after.what_does_not_hold() is None
    assert after.outcomes == undisturbed.outcomes
    assert but_for_refusals(after) == but_for_refusals(undisturbed)
    # A service that comes back refuses a dose or an approval until it has heard the others again; it is asked once more then.
    assert after.events.get("StepRefused", 0) >= undisturbed.events.get("StepRefused", 0)
    assert len(set(after.case_ids)) == len(people)
    assert (again.outcomes, again.events, again.case_ids) == (after.outcomes, after.events, after.case_ids)


def but_for_refusals(report: Report) -> dict[str, int]:
    return {name: count for name, count in report.events.items() if name != "StepRefused"}


async def first_of(work: "asyncio.Task[None]", reached: Coroutine[Any, Any, Any]) -> None:
    """Wait for the stage; the work must not end before."""
    seen = asyncio.ensure_future(reached)
    await asyncio.wait({work, seen}, return_when=asyncio.FIRST_COMPLETED)
    assert not work.done(), work.result()
