"""A failing reaction parks its stream alone; replay and discard go on in order (F22)."""

import asyncio
from typing import Any

import pytest

from shared.events import intake
from shared.events.base import EventData
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.service.definition import Reactions
from tests import toy
from tests.faults.injected import commits_of, events_of, wire
from tests.integration.consumer.sent import BEHIND, send


def mended() -> Reactions:
    def react(state: toy.ToyCase, event: Any, context: Context) -> list[EventData]:
        if event.facts[0].code != "defect":
            return toy.review_fact(state, event, context)
        return toy.review_fact(state, event.model_copy(update={"facts": (event.facts[0].model_copy(update={"code": "mended"}),)}), context)

    return {**toy.REACTIONS, intake.FactsStated: react}


async def test_a_defect_parks_its_stream_and_a_replay_after_the_fix_goes_in_order(stage: toy.Stage) -> None:
    case, other = await stage.case("one", "defect", "two", "three"), await stage.case("fine")
    await send(stage, *[wire(event) for name in (case, other) for event in await events_of(stage.intake, name)])
    failed = (3, "parked", "reaction-failed-ZeroDivisionError")
    async with toy.consuming(stage.prescriber):
        await stage.ordered(other, "fine")
        await stage.waits_as(case, failed, (4, "parked", BEHIND), (5, "parked", BEHIND))
        assert await stage.order(case) == ["one"]
        assert await stage.prescriber.parking.waits(case)
        identity = await _identity(stage, case, 3)
        with pytest.raises(Refusal) as refusal:
            await stage.prescriber.parking.ask_replay(await _identity(stage, case, 4))
        assert refusal.value.slug == "not-first"
        await stage.prescriber.parking.ask_replay(identity)  # not mended yet: it fails again, and stays the first
        await toy.eventually(lambda: _attempts(stage, identity, 2))
        await stage.waits_as(case, failed, (4, "parked", BEHIND), (5, "parked", BEHIND))
    async with toy.consuming(stage.another_prescriber(mended())):
        await stage.prescriber.parking.ask_replay(identity)
        await stage.ordered(case, "one", "mended", "two", "three")
        await stage.waits_as(case)
        await toy.add_fact(stage.intake, case, "four")
        await send(stage, wire((await events_of(stage.intake, case))[-1]))
        await stage.ordered(case, "one", "mended", "two", "three", "four")


async def _identity(stage: toy.Stage, case: str, sequence: int) -> str:
    rows = [row for row in await stage.prescriber.parking.rows() if (row["stream"], row["sequence"]) == (case, sequence)]
    identity: str = rows[0]["id"]
    return identity


async def _attempts(stage: toy.Stage, identity: str, count: int) -> bool:
    return any(row["id"] == identity and row["attempts"] == count for row in await stage.prescriber.parking.rows())


async def test_a_discard_with_a_reason_lets_those_behind_go_on(stage: toy.Stage) -> None:
    case = await stage.case("defect", "two")
    await toy.add_facts(stage.intake, case, ["defect", "four"])
    await send(stage, *[wire(event) for event in await events_of(stage.intake, case)])
    async with toy.consuming(stage.prescriber):
        await stage.waits_as(
            case,
            (2, "parked", "reaction-failed-ZeroDivisionError"),
            *[(sequence, "parked", BEHIND) for sequence in (3, 4, 5)],
        )
        with pytest.raises(Refusal) as refusal:
            await stage.prescriber.parking.discard(await _identity(stage, case, 3), "not the first")
        assert refusal.value.slug == "not-first"
        await stage.prescriber.parking.discard(await _identity(stage, case, 2), "a test's defect")
        await stage.waits_as(case, (4, "parked", "reaction-failed-ZeroDivisionError"), (5, "parked", BEHIND))
        assert await stage.order(case) == ["two"]
        await stage.prescriber.parking.discard(await _identity(stage, case, 4), "another")
        await stage.ordered(case, "two", "four")
    kept = await stage.prescriber.database["parked"].find({"state": "discarded"}).sort("sequence", 1).to_list()
    assert [(row["sequence"], row["discard_reason"]) for row in kept] == [(2, "a test's defect"), (4, "another")]


async def test_what_was_discarded_or_replayed_is_not_parked_again_by_a_redelivery(stage: toy.Stage) -> None:
    """Positions are lost (put back by hand), and everything comes again."""
    case = await stage.case("defect", "two")
    records = [wire(event) for event in await events_of(stage.intake, case)]
    await send(stage, *records)
    async with toy.consuming(stage.prescriber):
        await stage.waits_as(case, (2, "parked", "reaction-failed-ZeroDivisionError"), (3, "parked", BEHIND))
        await stage.prescriber.parking.discard(await _identity(stage, case, 2), "a test's defect")
        await stage.ordered(case, "two")
    await stage.prescriber.database["positions"].delete_many({})
    await send(stage, *records)
    async with toy.consuming(stage.another_prescriber()):
        after = await stage.case("after")
        await send(stage, *[wire(event) for event in await events_of(stage.intake, after)])
        await stage.ordered(after, "after")
        assert await stage.parked(case) == []
    assert await stage.order(case) == ["two"]


async def test_a_reaction_that_refuses_what_it_has_seen_is_not_parked_when_redelivered(stage: toy.Stage) -> None:
    """The effect was stored, then came the crash, and no position tells: deciding again on the state after it is no failure."""

    def once(state: toy.ToyCase, event: Any, context: Context) -> list[EventData]:
        if event.facts[0].code in state.order:
            raise Refusal("already-there", "This was reviewed.")
        return toy.review_fact(state, event, context)

    service = stage.another_prescriber({**toy.REACTIONS, intake.FactsStated: once})
    case = await stage.case("one", "two")
    consumer = service.make_consumer(None)
    reached = asyncio.Event()

    async def crash(*_arguments: Any) -> None:
        reached.set()
        await asyncio.sleep(60)

    consumer._positions.write = crash  # type: ignore[assignment, method-assign]
    await send(stage, *[wire(event) for event in await events_of(stage.intake, case)])
    task = asyncio.create_task(consumer.run())
    await asyncio.wait_for(reached.wait(), 20)
    await toy.kill(task)
    await service.database["commits"].update_many({}, {"$unset": {"reaction_to": ""}})
    async with toy.consuming(stage.another_prescriber({**toy.REACTIONS, intake.FactsStated: once})):
        await toy.add_fact(stage.intake, case, "three")
        await send(stage, wire((await events_of(stage.intake, case))[-1]))
        await stage.ordered(case, "one", "two", "three")
        assert await stage.parked() == []


async def test_an_erased_case_parks_and_others_flow(stage: toy.Stage) -> None:
    case, other = await stage.case("one"), await stage.case("fine")
    records = [wire(event) for name in (case, other) for event in await events_of(stage.intake, name)]
    await stage.prescriber.vault.destroy(case)
    await send(stage, *records)
    async with toy.consuming(stage.prescriber):
        await stage.ordered(other, "fine")
        await stage.waits_as(case, (2, "parked", "no-key-for-the-case"))
    assert await commits_of(stage.prescriber, case) == []


async def test_a_broken_stream_parks_and_others_flow(stage: toy.Stage) -> None:
    case, other = await stage.case("one", "two", "three"), await stage.case("fine")
    events = [wire(event) for event in await events_of(stage.intake, case)]
    await send(stage, *events[:3])
    async with toy.consuming(stage.prescriber):
        await stage.ordered(case, "one", "two")
    await stage.prescriber.database["commits"].delete_one({"stream": case, "version": 1})
    await send(stage, events[3], *[wire(event) for event in await events_of(stage.intake, other)])
    async with toy.consuming(stage.another_prescriber()):
        await stage.ordered(other, "fine")
        await stage.waits_as(case, (4, "parked", "stream-stopped"))
