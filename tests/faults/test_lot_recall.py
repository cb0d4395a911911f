"""A recall that is cut short goes on where it was: every case with the lot on hand is held once, also one dispensed to meanwhile."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest_asyncio

from services.prescriber.app import define
from services.prescriber.domain.lot import RecallLot, WithdrawRecall, recall_lot, withdraw_recall
from services.prescriber.lot_holds import LotHolds
from shared.clock import system_now
from shared.events.prescriber import SafetyHoldPlaced
from shared.events.supply import MedicationDispensed
from shared.log.commit import Cause
from shared.service.definition import Origin
from shared.service.recalls import RecalledLots
from shared.service.runtime import Runtime
from tests import toy
from tests.faults.injected import commits_of, failing

LOT = "lot-2026-7"
CASES = 12
DEFINITION = define(tuple, allow_loopback=True)


def cause() -> Cause:
    return Cause.http("test", "clinician", uuid.uuid4().hex, b"m" * 32)


@dataclass
class Pharmacy:
    """A prescriber service's store, and whatever process of it a test starts."""

    runtime: Runtime

    async def supplied(self, lot: str = LOT) -> str:
        """A case to which 200 mg of a lot were dispensed."""
        case = f"case-{uuid.uuid4().hex}"
        fill = MedicationDispensed(
            prescription="prescription-1",
            fill_number=1,
            milligrams=Decimal(200),
            doses=2,
            lot=lot,
            dispensed_on=system_now().date(),
            dispenser="Corner Pharmacy",
        )
        origin = Origin("riverside", f"patient-{uuid.uuid4().hex}")
        await self.runtime.decisions.run(case, lambda _state, _context: [fill], cause(), toy.CLINICIAN, origin=origin)
        await toy.keep_cache(self.runtime, case)
        return case

    async def recall(self) -> None:
        command = RecallLot(reason="Particles.", source="Manufacturer", recalled_at=system_now() - timedelta(hours=1))
        await self.runtime.decisions.run(
            f"lot-{LOT}", lambda lot, context: recall_lot(lot, command, context), cause(), toy.CLINICIAN, origin=Origin("network", "none")
        )

    async def process(self) -> LotHolds:
        """Another process, which has read what was recalled."""
        runtime = Runtime(DEFINITION, self.runtime.settings, self.runtime.client, self.runtime.log)
        await RecalledLots(runtime).refresh()
        return LotHolds(runtime)

    async def holds(self, case: str) -> int:
        """How often the case was held, from its commits."""
        opened = await self.runtime.open_events(await commits_of(self.runtime, case))
        return sum(isinstance(recorded.data, SafetyHoldPlaced) for recorded in opened)


@pytest_asyncio.fixture
async def pharmacy(mongo_url: str) -> AsyncIterator[Pharmacy]:
    async with toy.runtime_of(DEFINITION, toy.settings_for(mongo_url, "127.0.0.1:1", toy.unique())) as runtime:
        yield Pharmacy(runtime)


async def test_a_crash_between_the_recall_and_the_last_hold_leaves_no_case_out_and_holds_none_twice(pharmacy: Pharmacy) -> None:
    cases = [await pharmacy.supplied() for _ in range(CASES)]
    other = await pharmacy.supplied("another-lot")
    await pharmacy.recall()
    dying = await pharmacy.process()
    assert await dying.pending() == CASES
    hold, done = dying._hold, 0
    half = asyncio.Event()

    async def until_half(*arguments: Any) -> None:
        nonlocal done
        if done >= CASES // 2:
            half.set()
            await asyncio.sleep(60)
        done += 1
        await hold(*arguments)

    dying._hold = until_half  # type: ignore[assignment, method-assign]
    task = asyncio.create_task(dying.run())
    await asyncio.wait_for(half.wait(), 20)
    await asyncio.sleep(0.3)
    await toy.kill(task)
    assert sorted([await pharmacy.holds(case) for case in cases]) == [0] * (CASES // 2) + [1] * (CASES // 2)
    after = await pharmacy.process()
    assert await after.pending() == CASES // 2
    at_once = [asyncio.create_task(process.run()) for process in (after, await pharmacy.process())]
    try:

        async def settled() -> bool:
            return await after.pending() == 0

        await toy.eventually(settled)
    finally:
        for task in at_once:
            await toy.kill(task)
    assert [await pharmacy.holds(case) for case in cases] == [1] * CASES
    assert await pharmacy.holds(other) == 0


async def test_what_was_dispensed_by_an_instance_that_had_not_heard_is_found_by_the_next_look(pharmacy: Pharmacy) -> None:
    await pharmacy.recall()
    process = await pharmacy.process()
    task = asyncio.create_task(process.run())
    try:
        case = await pharmacy.supplied()

        async def held() -> bool:
            return await pharmacy.holds(case) == 1

        await toy.eventually(held)
    finally:
        await toy.kill(task)


async def test_a_case_of_an_earlier_release_is_found_although_its_index_names_no_lot(pharmacy: Pharmacy) -> None:
    case = await pharmacy.supplied()
    cache = pharmacy.runtime.database["cases"]
    await cache.update_one({"_id": case}, {"$unset": {"last.lots": ""}, "$set": {"last.fingerprint": "of-another-release"}})
    await pharmacy.recall()
    process = await pharmacy.process()
    assert await process.pending() == 0
    await process.place()
    assert await pharmacy.holds(case) == 1


async def test_a_withdrawn_recall_holds_no_further_case_and_lets_none_go(pharmacy: Pharmacy) -> None:
    first = await pharmacy.supplied()
    await pharmacy.recall()
    process = await pharmacy.process()
    await process.place()
    command = WithdrawRecall(reason="Another lot was meant.")
    await pharmacy.runtime.decisions.run(f"lot-{LOT}", lambda lot, context: withdraw_recall(lot, command, context), cause(), toy.CLINICIAN)
    second = await pharmacy.supplied()
    await (await pharmacy.process()).place()
    assert [await pharmacy.holds(case) for case in (first, second)] == [1, 0]
    assert len((await pharmacy.runtime.load(first)).state.stops.holds) == 1


async def test_a_store_that_fails_for_a_while_is_waited_for(pharmacy: Pharmacy) -> None:
    case = await pharmacy.supplied()
    await pharmacy.recall()
    process = await pharmacy.process()
    async with failing(pharmacy.runtime, ["insert"], errorCode=189, closeConnection=False):
        task = asyncio.create_task(process.run())
        await asyncio.sleep(0.5)
        assert await pharmacy.holds(case) == 0
    try:

        async def held() -> bool:
            return await pharmacy.holds(case) == 1

        await toy.eventually(held)
    finally:
        await toy.kill(task)


async def test_the_cases_of_a_lot_are_found_by_an_index(pharmacy: Pharmacy) -> None:
    plan = await pharmacy.runtime.database.command("explain", {"find": "cases", "filter": {"last.lots": {"$in": [LOT, "another"]}}})
    assert "'indexName': 'of_lot'" in str(plan["queryPlanner"]["winningPlan"])
