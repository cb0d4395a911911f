"""Order and once: duplicates, gaps, forks (design, section 3; fault rows F19 and F20; bad input B29)."""

import asyncio
from typing import Any

from tests import toy
from tests.faults.injected import commits_of, events_of, wire
from tests.integration.consumer.sent import BEHIND, MISSING, changed, send, was_logged


async def test_duplicates_have_one_effect(stage: toy.Stage) -> None:
    case = await stage.case("one", "two")
    records = [wire(event) for event in await events_of(stage.intake, case)]
    await send(stage, *records, *records, records[1], records[2], records[2], *records)
    async with toy.consuming(stage.prescriber):
        await stage.ordered(case, "one", "two")
        await send(stage, *records)
        after = await stage.case("after")
        await send(stage, *[wire(event) for event in await events_of(stage.intake, after)])
        await stage.ordered(after, "after")
    assert await stage.order(case) == ["one", "two"]
    assert len(await commits_of(stage.prescriber, case)) == 2
    assert await stage.parked() == []


async def test_a_gap_is_held_named_and_released_when_it_comes(stage: toy.Stage, logged: list[Any]) -> None:
    case, other = await stage.case("one", "two", "three"), await stage.case("fine")
    referred, one, two, three = await events_of(stage.intake, case)
    await send(stage, wire(referred), wire(two), wire(three), *[wire(event) for event in await events_of(stage.intake, other)])
    async with toy.consuming(stage.prescriber):
        await stage.ordered(other, "fine")
        await stage.waits_as(case, (3, "held", MISSING), (4, "held", MISSING))
        assert await stage.order(case) == []
        assert await stage.prescriber.parking.waits(case)
        assert not await stage.prescriber.parking.waits(other)
        await toy.eventually(lambda: was_logged(logged, "an event is missing"))
        await send(stage, wire(one))
        await stage.ordered(case, "one", "two", "three")
        await stage.waits_as(case)
    assert not await stage.prescriber.parking.waits(case)


async def test_a_gap_is_released_after_a_restart(stage: toy.Stage) -> None:
    case = await stage.case("one", "two", "three")
    referred, one, two, three = await events_of(stage.intake, case)
    await send(stage, wire(referred), wire(three), wire(two))
    async with toy.consuming(stage.prescriber):
        await stage.waits_as(case, (3, "held", MISSING), (4, "held", MISSING))
    await send(stage, wire(one))
    async with toy.consuming(stage.another_prescriber()):
        await stage.ordered(case, "one", "two", "three")
        await stage.waits_as(case)


async def test_what_was_held_is_released_when_its_predecessor_came_just_before_a_crash(stage: toy.Stage) -> None:
    """The predecessor's position is stored, but the crash came before the held ones were taken up."""
    case = await stage.case("one", "two")
    referred, one, two = await events_of(stage.intake, case)
    await send(stage, wire(referred), wire(two))
    async with toy.consuming(stage.prescriber):
        await stage.waits_as(case, (3, "held", MISSING))
    crashing = stage.another_prescriber()
    consumer = crashing.make_consumer(None)
    reached = asyncio.Event()

    async def crash(_moved: Any) -> None:
        reached.set()
        await asyncio.sleep(60)

    consumer._release_held = crash  # type: ignore[assignment, method-assign]
    task = asyncio.create_task(consumer.run())
    await send(stage, wire(one))
    await asyncio.wait_for(reached.wait(), 20)
    await toy.kill(task)
    async with toy.consuming(stage.another_prescriber()):
        await stage.ordered(case, "one", "two")
        await stage.waits_as(case)


async def test_hundreds_held_in_one_stream_are_released_in_order(stage: toy.Stage) -> None:
    case = await stage.case("first")
    codes = [f"fact-{number}" for number in range(520)]
    await toy.add_facts(stage.intake, case, codes)
    referred, first, *rest = await events_of(stage.intake, case)
    await send(stage, wire(referred), *[wire(event) for event in rest])
    async with toy.consuming(stage.prescriber):
        await toy.eventually(lambda: _held(stage, len(rest)))
        await send(stage, wire(first))
        await stage.ordered(case, "first", *codes, seconds=40)


async def _held(stage: toy.Stage, count: int) -> bool:
    return (await stage.prescriber.parking.counts())["held"] == count


async def test_a_fork_stops_its_stream_with_an_alarm(stage: toy.Stage, logged: list[Any]) -> None:
    """Same source, stream and sequence, another id: two histories, and nobody here can say which one is true."""
    case, other = await stage.case("one", "two"), await stage.case("fine")
    referred, one, two = await events_of(stage.intake, case)
    await send(stage, wire(referred), wire(one), changed(one, id="another.0"), wire(two))
    await send(stage, *[wire(event) for event in await events_of(stage.intake, other)])
    async with toy.consuming(stage.prescriber):
        await stage.ordered(other, "fine")
        await stage.waits_as(case, (2, "parked", "another-event-of-the-same-sequence"), (3, "parked", BEHIND))
        assert await was_logged(logged, "two events share a sequence")
    assert await stage.order(case) == ["one"]


async def test_a_discarded_fork_does_not_come_back_with_a_redelivery(stage: toy.Stage) -> None:
    case = await stage.case("one")
    referred, one = await events_of(stage.intake, case)
    fork = changed(one, id="another.0")
    await send(stage, wire(referred), wire(one), fork)
    async with toy.consuming(stage.prescriber):
        await stage.waits_as(case, (2, "parked", "another-event-of-the-same-sequence"))
        await stage.prescriber.parking.discard("urn:kapcare:intake/another.0", "written by a test")
        await send(stage, wire(referred), wire(one), fork)
        after = await stage.case("after")
        await send(stage, *[wire(event) for event in await events_of(stage.intake, after)])
        await stage.ordered(after, "after")
        assert await stage.parked(case) == []
