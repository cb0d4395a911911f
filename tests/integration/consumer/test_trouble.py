"""Store, rebalances, stops and zombies in the middle of batches (F5, F21, F23, F24)."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import TopicPartition

from shared.events import intake
from shared.events.base import EventData
from shared.log.errors import StoreUnavailable
from shared.pathway.context import Context
from shared.service.definition import Reactions
from shared.service.runtime import Runtime
from shared.transport.positions import Position, Positions
from shared.transport.reacting import reactions_in
from tests import toy
from tests.faults.injected import Wire, commits_of, events_of, failing, wire
from tests.integration.consumer.sent import send

FAULTS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "find-closed": (["find"], {"closeConnection": True}),
    "insert-unconfirmed": (["insert"], {"writeConcernError": {"code": 64, "errmsg": "no majority"}}),
    "update-closed": (["update"], {"closeConnection": True}),
    "all-stepped-down": (["find", "insert", "update"], {"errorCode": 189}),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_store_that_is_down_for_a_while_loses_and_parks_nothing(stage: toy.Stage, fault: str) -> None:
    commands, how = FAULTS[fault]
    cases = [await stage.case("one", "two") for _ in range(4)]
    async with toy.consuming(stage.prescriber) as consumer:
        await toy.eventually(lambda: _healthy(consumer))
        async with failing(stage.prescriber, commands, **how):
            await send(stage, *[wire(event) for case in cases for event in await events_of(stage.intake, case)])
            await asyncio.sleep(1.0)
            assert await stage.intake.database.client[stage.prescriber.database.name]["parked"].count_documents({}) == 0
        for case in cases:
            await stage.ordered(case, "one", "two")
        await toy.eventually(lambda: _healthy(consumer))
        assert await stage.parked() == []


async def _healthy(consumer: Any) -> bool:
    return bool(consumer.healthy)


async def test_positions_come_after_commits_and_before_offsets(stage: toy.Stage) -> None:
    """Of the case that was only referred nothing but a position tells; of the other one its commits do."""
    case, referred = await stage.case("one", "two"), await stage.case()
    service = stage.another_prescriber()
    consumer = service.make_consumer(None)
    seen: list[tuple[str, int, int]] = []

    def watched(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*arguments: Any) -> Any:
            commits = await service.database["commits"].count_documents({})
            positions = await service.database["positions"].count_documents({})
            if arguments and arguments[0]:
                seen.append((name, commits, positions))
            return await original(*arguments)

        return call

    consumer._positions.write = watched("positions", consumer._positions.write)  # type: ignore[method-assign]
    take = consumer._take

    async def watching_take(kafka: Any, polled: Any) -> None:
        kafka.commit = watched("offsets", type(kafka).commit.__get__(kafka))
        await take(kafka, polled)

    consumer._take = watching_take  # type: ignore[assignment, method-assign]
    await send(stage, *[wire(event) for each in (case, referred) for event in await events_of(stage.intake, each)])
    task = asyncio.create_task(consumer.run())
    await stage.ordered(case, "one", "two")
    await consumer.stop()
    await toy.finish(task)
    assert seen == [("positions", 2, 0), ("offsets", 2, 1)]


async def test_parking_that_fails_keeps_the_offset(stage: toy.Stage) -> None:
    case = await stage.case("defect")
    async with toy.consuming(stage.prescriber):
        async with failing(stage.prescriber, ["update"], errorCode=189):
            await send(stage, *[wire(event) for event in await events_of(stage.intake, case)])
            await asyncio.sleep(1.0)
        await stage.waits_as(case, (2, "parked", "reaction-failed-ZeroDivisionError"))


async def test_stopping_finishes_the_batch_within_ten_seconds(stage: toy.Stage) -> None:
    cases = [await stage.case("one", "two") for _ in range(10)]
    slow: Reactions = {**toy.REACTIONS, intake.FactsStated: _slowly}
    service = stage.another_prescriber(slow)
    consumer = service.make_consumer(None)
    task = asyncio.create_task(consumer.run())
    await send(stage, *[wire(event) for case in cases for event in await events_of(stage.intake, case)])
    await toy.eventually(lambda: _any_commit(service))
    began = time.monotonic()
    await consumer.stop()
    await asyncio.wait_for(task, 10)
    assert time.monotonic() - began < 10
    done = {case: await stage.order(case) for case in cases}
    stored = await stage.another_prescriber().positions.read({("urn:kapcare:intake", case) for case in cases})
    assert all(stored[("urn:kapcare:intake", case)].sequence in (0, 1 + len(order)) for case, order in done.items())
    async with toy.consuming(stage.another_prescriber()):
        for case in cases:
            await stage.ordered(case, "one", "two")


def _slowly(state: toy.ToyCase, event: Any, context: Context) -> list[EventData]:
    time.sleep(0.02)
    return toy.review_fact(state, event, context)


async def _any_commit(service: Runtime) -> bool:
    return await service.database["commits"].find_one({}) is not None


async def test_rebalances_in_the_middle_of_batches_lose_double_and_reorder_nothing(stage: toy.Stage) -> None:
    """500 events flow while other members join and leave, in order and by dying."""
    cases = [await stage.case() for _ in range(50)]
    for case in cases:
        await toy.add_facts(stage.intake, case, [f"fact-{number}" for number in range(9)])
    expected = [f"fact-{number}" for number in range(9)]
    events = {case: await events_of(stage.intake, case) for case in cases}
    flowing = asyncio.create_task(_flow(stage, [[wire(events[case][sequence]) for case in cases] for sequence in range(10)]))
    async with toy.consuming(stage.another_prescriber()):
        for turn in range(3):
            member = stage.another_prescriber().make_consumer(None)
            task = asyncio.create_task(member.run())
            await asyncio.sleep(1.2)
            if turn % 2:
                await toy.kill(task)
            else:
                await member.stop()
                await toy.finish(task)
        await flowing
        for case in cases:
            await stage.ordered(case, *expected)
    for case in cases:
        assert [commit.version for commit in await commits_of(stage.prescriber, case)] == list(range(1, 10))
    assert await stage.parked() == []


async def _flow(stage: toy.Stage, rounds: list[list[Wire]]) -> None:
    for few in rounds:
        await send(stage, *few)
        await asyncio.sleep(0.3)


async def test_a_zombie_that_comes_back_changes_nothing(stage: toy.Stage) -> None:
    """A member stands still with a batch in hand until another has taken over and gone on; then it wakes (F24)."""
    case = await stage.case("one", "two", "three")
    events = [wire(event) for event in await events_of(stage.intake, case)]
    zombie_service = stage.another_prescriber()
    zombie = zombie_service.make_consumer(None)
    stands, wake = asyncio.Event(), asyncio.Event()
    handle = zombie._handler.handle

    async def standing(arrivals: Any) -> Any:
        stands.set()
        await wake.wait()
        return await handle(arrivals)

    zombie._handler.handle = standing  # type: ignore[method-assign]
    task = asyncio.create_task(zombie.run())
    await send(stage, *events[:2])
    await asyncio.wait_for(stands.wait(), 20)
    async with toy.consuming(stage.another_prescriber()) as other:
        # The zombie's partitions go to the other one: its revocation is answered while its batch still stands.
        await _until_assigned(stage, other, events, case)
        wake.set()
        await asyncio.sleep(1.0)
        await zombie.stop()
        await toy.finish(task)
        await stage.ordered(case, "one", "two", "three")
    assert len(await commits_of(stage.prescriber, case)) == 3
    assert await stage.parked() == []


async def _until_assigned(stage: toy.Stage, _other: Any, events: list[Wire], case: str) -> None:
    await send(stage, *events[2:])
    await asyncio.sleep(3.0)


class _SlowCollection:
    """A collection whose reads can be made to wait."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection
        self.reading = asyncio.Event()
        self.go_on = asyncio.Event()

    async def find(self, query: Any) -> Any:
        self.reading.set()
        await self.go_on.wait()
        async for row in self._collection.find(query):
            yield row

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)


async def test_positions_stand_a_rebalance_in_the_middle_of_a_read(stage: toy.Stage) -> None:
    known, unknown = ("urn:kapcare:intake", "case-known"), ("urn:kapcare:intake", "case-unknown")
    slow = _SlowCollection(stage.prescriber.database["positions"])
    positions = Positions(slow, reactions_in(stage.prescriber.database["commits"]))  # type: ignore[arg-type]
    slow.go_on.set()
    await positions.read([known])
    await positions.write({known: Position(3, "three")})
    slow.go_on.clear()
    slow.reading.clear()
    reading = asyncio.create_task(positions.read([known, unknown]))
    await slow.reading.wait()
    positions.forget()
    slow.go_on.set()
    assert await reading == {known: Position(3, "three"), unknown: Position()}


async def test_positions_forgotten_while_a_batch_was_in_hand_are_read_again(stage: toy.Stage) -> None:
    """What this process wrote last may be behind what the other owner of the partition wrote meanwhile."""
    lane = ("urn:kapcare:intake", "case-one")
    mine, theirs = stage.prescriber.positions, stage.another_prescriber().positions
    await mine.read([lane])
    mine.forget()  # the partition goes to the other process, and comes back
    await theirs.read([lane])
    await theirs.write({lane: Position(10, "ten")})
    mine.forget()
    await mine.write({lane: Position(5, "five")})  # the batch that was in hand
    assert await mine.read([lane]) == {lane: Position(10, "ten")}


async def test_a_restart_from_the_first_record_outlives_a_store_that_fails_just_then(mongo_url: str, kafka_bootstrap: str) -> None:
    """A source published all again under a new epoch; the group stands past its start, and the batch that shows it fails."""
    async with toy.stage_on(mongo_url, kafka_bootstrap, partitions=1) as stage:
        seen, case = await stage.case("seen"), await stage.case("one", "two")
        await send(stage, *[wire(event) for event in await events_of(stage.intake, seen)])
        async with toy.consuming(stage.prescriber):
            await stage.ordered(seen, "seen")
        again = [wire(event, {"kapcare_epoch": "2"}) for event in await events_of(stage.intake, case)]
        await send(stage, *again)
        service = stage.another_prescriber()
        consumer = service.make_consumer(None)
        take, failures = consumer._take, iter([StoreUnavailable("in a test")])

        async def take_and_fail(kafka: Any, polled: Any) -> None:
            last = TopicPartition(stage.topic, 0)
            if not consumer._known_epochs and last in polled:
                kafka.seek(last, 4)  # at "two", the last record: what lies before it was never taken
                consumer._known_epochs[last] = 1
                return
            await take(kafka, polled)
            known = consumer._known_epochs.values()
            if 2 in known and (failure := next(failures, None)) is not None:
                raise failure

        consumer._take = take_and_fail  # type: ignore[assignment, method-assign]
        task = asyncio.create_task(consumer.run())
        await stage.ordered(case, "one", "two")
        await consumer.stop()
        await toy.finish(task)
        assert next(failures, None) is None
