"""The relay on the embedded broker: a place that was lost leads to a sweep of everything.

Expectations: every commit is published, each stream in order, the sealed bytes untouched, whatever is killed or lost meanwhile;
duplicates on the wire are allowed, losses are not (design, section 3; fault rows F3, F4, F10-F12, F17)."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from deploy.local.mongod import start_mongod
from deploy.local.ports import free_port
from tests import toy
from tests.faults.injected import failing
from tests.integration.relay.relayed import leads, until_place_saved, until_published

BOGUS: dict[str, Any] = {
    "absent": None,
    "not-hex": {"_data": "zz"},
    "too-short": {"_data": "82"},
    "no-data": {"other": 1},
    "not-a-string": {"_data": 5},
    "of-long-ago": {"_data": "8200000001000000012B0229296E04"},
}


@pytest.mark.parametrize("token", BOGUS)
async def test_a_place_that_is_lost_or_nonsense_leads_to_a_sweep_and_nothing_is_lost(stage: toy.Stage, token: str) -> None:
    async with toy.relaying(stage.intake):
        case = await stage.case("one")
        await until_published(stage, {case: 2})
        await until_place_saved(stage)
    await toy.add_fact(stage.intake, case, "two")
    await stage.intake.database["leases"].update_one({"_id": "relay"}, {"$set": {"place.token": BOGUS[token]}})
    async with toy.relaying(stage.intake):
        found = await until_published(stage, {case: 3})
        assert found[case].count(1) >= 2  # swept
        await toy.add_fact(stage.intake, case, "three")
        await until_published(stage, {case: 4})


@pytest.mark.parametrize("code", [136, 280, 286])
async def test_a_history_lost_under_way_leads_to_a_sweep(stage: toy.Stage, code: int) -> None:
    async with toy.relaying(stage.intake) as relay:
        case = await stage.case("one")
        await until_published(stage, {case: 2})
        async with failing(stage.intake, ["getMore"], 1, errorCode=code):
            await toy.add_fact(stage.intake, case, "two")
            await until_published(stage, {case: 3})
        await toy.add_fact(stage.intake, case, "three")
        await until_published(stage, {case: 4})
        await toy.eventually(lambda: leads(relay))


@pytest.mark.parametrize("how", [{"closeConnection": True}, {"errorCode": 189}], ids=["closed", "stepped-down"])
async def test_a_store_that_fails_for_a_while_is_waited_for(stage: toy.Stage, how: dict[str, Any]) -> None:
    async with toy.relaying(stage.intake) as relay:
        case = await stage.case("one")
        await until_published(stage, {case: 2})
        async with failing(stage.intake, ["getMore", "aggregate", "update", "findAndModify"], **how):
            await toy.add_fact(stage.intake, case, "two")
            await asyncio.sleep(1.0)
        await until_published(stage, {case: 3})
        await toy.eventually(lambda: leads(relay))


async def test_a_sweep_sees_what_a_majority_had_not_yet_when_it_began(tmp_path: Path, kafka_bootstrap: str) -> None:
    """A commit that is applied but not yet a majority's is in no majority read, and lies before the end of the oplog: between
    reading all and following what comes it must not be lost."""
    running = await start_mongod(tmp_path / "data", tmp_path / "log", free_port(), ["enableTestCommands=1"])
    try:
        async with toy.stage_on(running.url, kafka_bootstrap) as stage:
            case = await stage.case("one")
            client: AsyncMongoClient[dict[str, Any]]
            async with AsyncMongoClient(running.url) as client:
                await client.admin.command("configureFailPoint", "disableSnapshotting", mode="alwaysOn")
                try:
                    writing = asyncio.create_task(toy.add_fact(stage.intake, case, "two"))
                    await asyncio.sleep(0.5)
                    assert not writing.done()
                    relay = stage.intake.make_relay(())
                    opened = asyncio.Event()
                    watch = relay._watch

                    async def watching(*arguments: Any, **options: Any) -> Any:
                        stream = await watch(*arguments, **options)
                        opened.set()
                        return stream

                    relay._watch = watching  # type: ignore[method-assign]
                    relay._lease.acquire = _at_once  # type: ignore[assignment, method-assign]
                    relay._lease.renew = _for_ever  # type: ignore[method-assign]
                    relay._lease.save_place = _at_once  # type: ignore[assignment, method-assign]
                    task = asyncio.create_task(relay.run())
                    await asyncio.wait_for(opened.wait(), 10)
                    await until_published(stage, {case: 2})
                finally:
                    await client.admin.command("configureFailPoint", "disableSnapshotting", mode="off")
                    another: Any = client["another"]["writes"]
                    await another.insert_one({})  # the majority's point moves on with the next write
            await writing
            await until_published(stage, {case: 3}, seconds=10)
            await relay.stop()
            await toy.finish(task)
    finally:
        await running.kill()


async def _at_once(*_: Any) -> dict[str, Any]:
    return {}


async def _for_ever() -> None:
    await asyncio.sleep(3600)
