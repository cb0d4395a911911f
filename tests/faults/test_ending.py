"""Background work ends when it is asked to, also when a cancellation is swallowed on the way, as the database driver may do while it
waits for a reply: otherwise a relay that lost its lease, or its broker, would stand still for ever and look alive."""

import asyncio
from typing import Any

import pytest

from shared.service.runtime import Background
from shared.service.tasks import Tasks
from shared.telemetry.logs import configure_logs
from shared.transport.lease import LeaseLost
from tests import toy


class _Swallowing:
    """Calls through, and loses a cancellation that comes before that; once it is to `wait`, the next call waits for one."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.swallowed = 0
        self.wait = False
        self.waiting = False

    async def __call__(self, *arguments: Any) -> Any:
        try:
            self.waiting = self.wait
            await asyncio.sleep(3600 if self.wait else 0.05)
        except asyncio.CancelledError:
            self.swallowed += 1
            self.wait = False
        return await self._call(*arguments)


@pytest.mark.parametrize("part", ["place", "ticker"])
async def test_a_relay_whose_helpers_miss_a_cancellation_still_stops_and_starts_again(
    mongo_url: str, kafka_bootstrap: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.transport.relay.SAVE_EVERY_SECONDS", 0.0)
    monkeypatch.setattr("shared.transport.ticker.LOOK_EVERY_SECONDS", 0.0)
    async with toy.stage_on(mongo_url, kafka_bootstrap) as stage:
        relay = stage.intake.make_relay(())
        ticker: Any = getattr(relay._ticker, "__self__")  # noqa: B009 - the bound method's ticker
        swallowing = _Swallowing(relay._save if part == "place" else ticker.tick_due)
        if part == "place":
            relay._save = swallowing  # type: ignore[method-assign]
        else:
            ticker.tick_due = swallowing
        task = asyncio.create_task(relay.run())
        await toy.eventually(lambda: _leads(relay))
        await asyncio.sleep(0.2)
        await stage.intake.database["leases"].update_one({"_id": "relay"}, {"$set": {"holder": "another"}})
        await toy.eventually(lambda: _steps_back(relay))
        await stage.intake.database["leases"].update_one({"_id": "relay"}, {"$set": {"holder": "", "until": None}})
        await toy.eventually(lambda: _leads(relay))
        swallowing.wait = True
        await toy.eventually(lambda: _is_waiting(swallowing))
        await relay.stop()
        await asyncio.wait_for(task, 10)
        assert swallowing.swallowed >= 1


async def _is_waiting(swallowing: _Swallowing) -> bool:
    return swallowing.waiting


async def _leads(relay: Any) -> bool:
    return bool(relay.caught_up)


async def _steps_back(relay: Any) -> bool:
    return not relay.caught_up


async def test_a_service_ends_although_a_task_misses_its_first_cancellation() -> None:
    tasks = Tasks(configure_logs("test", "CRITICAL"))
    missed = 0

    async def stubborn() -> None:
        nonlocal missed
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                missed += 1
                if missed > 1:
                    raise

    tasks.start("stubborn", Background(stubborn))
    await asyncio.sleep(0.05)
    await asyncio.wait_for(tasks.stop(0.2), 5)
    assert missed == 2


async def test_a_lost_lease_is_noticed_by_whoever_renews_it(mongo_url: str) -> None:
    async with toy.runtime_of(toy.INTAKE, toy.settings_for(mongo_url, "127.0.0.1:1", toy.unique(), lease_seconds=0.3)) as runtime:
        relay = runtime.make_relay(())
        await relay._lease.acquire(asyncio.Event())
        await runtime.database["leases"].update_one({"_id": "relay"}, {"$set": {"holder": "another"}})
        with pytest.raises(LeaseLost):
            await asyncio.wait_for(relay._lease.renew(), 5)
