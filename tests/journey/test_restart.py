"""Everything is killed in mid-demo and started again on the same folder: nobody is lost, and nothing happens twice."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

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
from tests.journey.hands import Hands

pytestmark = pytest.mark.timeout(400)


class Lookout:
    """Says when the first patient is under a dose, and when a review is with the prescriber."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self.seen = asyncio.Event()

    def show(self, patients: Sequence[Patient], now: datetime | None) -> None:
        if now is not None and any(patient.end is None and stage_of(patient) == self._stage for patient in patients):
            self.seen.set()


@pytest.mark.parametrize("stage", ["medical review", "in session"])
async def test_a_demo_survives_the_death_of_everything(
    stage: str, undisturbed: tuple[Report, Hands], people: list[Person], tmp_path: Path
) -> None:
    port_base = free_port()
    lookout = Lookout(stage)
    first = LocalStack(tmp_path / "kap", port_base=port_base, care_clock="movable")
    async with new_session() as session:
        calls = Calls(first.data, session)
        office = PartnerOffice(first.data, session)
        demo = Demo(calls, office, people, lookout)
        await first.__aenter__()
        await office.start()
        work = asyncio.ensure_future(demo.run())
        seen = asyncio.ensure_future(lookout.seen.wait())
        await asyncio.wait({work, seen}, return_when=asyncio.FIRST_COMPLETED)
        assert not work.done(), work.result()
        await asyncio.gather(first.kill(), office.kill())
        async with LocalStack(tmp_path / "kap", port_base=port_base, care_clock="movable"):
            await office.start()
            try:
                await work
                after = await report(calls, demo.patients, await office.status(), 0.0)
                # Another demo, begun on the same folder, finds everything done and does nothing.
                again = await carry(calls, office, people)
            finally:
                await office.stop()
    expected, _ = undisturbed
    assert after.what_does_not_hold() is None
    assert (after.outcomes, after.events) == (expected.outcomes, expected.events)
    assert len(set(after.case_ids)) == len(people)
    assert (again.outcomes, again.events, again.case_ids) == (after.outcomes, after.events, after.case_ids)
