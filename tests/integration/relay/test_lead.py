"""The relay on the embedded broker: one instance at a time leads.

Expectations: every commit is published, each stream in order, the sealed bytes untouched, whatever is killed or lost meanwhile;
duplicates on the wire are allowed, losses are not (design, section 3; fault rows F3, F4, F10-F12, F17)."""

import asyncio
from typing import Any

import pytest

from shared.transport.lease import Lease, LeaseLost
from tests import toy
from tests.integration.relay.relayed import leads, lease_of, until_place_saved, until_published


async def test_the_lease_goes_over_when_its_holder_dies_and_the_dead_ones_place_is_refused(stage: toy.Stage) -> None:
    first = stage.intake.make_relay(())
    task = asyncio.create_task(first.run())
    case = await stage.case("one")
    await until_published(stage, {case: 2})
    await until_place_saved(stage)
    holder = (await lease_of(stage))["holder"]
    await toy.kill(task)
    second = stage.intake.make_relay(())
    another = asyncio.create_task(second.run())
    await toy.add_fact(stage.intake, case, "two")
    await until_published(stage, {case: 3})
    assert (await lease_of(stage))["holder"] != holder
    with pytest.raises(LeaseLost):
        await first._lease.save_place({"token": None})
    assert (await until_place_saved(stage))["place"]["token"] is not None
    await second.stop()
    await toy.finish(another)


async def test_a_holder_that_stood_still_steps_back_and_both_publish_in_order(stage: toy.Stage) -> None:
    first = stage.intake.make_relay(())
    task = asyncio.create_task(first.run())
    case = await stage.case("one")
    await until_published(stage, {case: 2})
    await stage.intake.database["leases"].update_one({"_id": "relay"}, {"$set": {"holder": "another"}})
    await toy.add_fact(stage.intake, case, "two")
    await until_published(stage, {case: 3})  # it may go on publishing, it may not go on leading
    await toy.eventually(lambda: _stepped_back(first))
    await stage.intake.database["leases"].update_one({"_id": "relay"}, {"$set": {"holder": "", "until": None}})
    await toy.eventually(lambda: leads(first))
    await toy.add_fact(stage.intake, case, "three")
    await until_published(stage, {case: 4})
    await first.stop()
    await toy.finish(task)


async def _stepped_back(relay: Any) -> bool:
    return not relay.caught_up


async def test_an_instance_that_waits_for_the_lease_ends_at_once_when_asked(stage: toy.Stage) -> None:
    async with toy.relaying(stage.intake) as leader:
        await toy.eventually(lambda: leads(leader))
        standby = stage.intake.make_relay(())
        task = asyncio.create_task(standby.run())
        await asyncio.sleep(0.5)
        await standby.stop()
        await asyncio.wait_for(task, 3)


async def test_of_two_that_want_the_lease_one_has_it(stage: toy.Stage) -> None:
    leases = [Lease(stage.intake.database["leases"], "only", 60.0) for _ in range(5)]
    taking = [asyncio.create_task(lease.acquire(asyncio.Event())) for lease in leases]
    done, waiting = await asyncio.wait(taking, timeout=1.0)
    assert len(done) == 1
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
