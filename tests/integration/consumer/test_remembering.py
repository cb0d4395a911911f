"""What a consumer remembers or reads off its effects instead of asking or writing: never at the price of order or once."""

from functools import partial
from typing import Any

from services.audit.ledger import Ledger
from services.audit.reactions import KeepEveryEvent
from shared.events import intake
from shared.events.base import EventData
from shared.events.clinical import Fact
from shared.pathway.context import Context
from shared.service.definition import Reactions
from shared.service.runtime import Runtime
from shared.transport.positions import Position
from tests import toy
from tests.faults.injected import events_of, wire
from tests.integration.consumer.sent import BEHIND, MISSING, send


async def test_positions_are_read_off_commits_and_only_what_was_passed_over_is_written(stage: toy.Stage) -> None:
    reacted, passed = await stage.case("one", "two"), await stage.case()
    async with toy.consuming(stage.prescriber):
        await send(stage, *[wire(event) for case in (reacted, passed) for event in await events_of(stage.intake, case)])
        await stage.ordered(reacted, "one", "two")
    rows: list[Any] = await stage.prescriber.database["positions"].find().to_list()
    assert passed in {row["stream"] for row in rows}
    assert max((row["last"]["sequence"] for row in rows if row["stream"] == reacted), default=1) == 1
    lane = ("urn:kapcare:intake", reacted)
    last = (await events_of(stage.intake, reacted))[-1].headers["ce_id"]
    elsewhere = stage.another_prescriber().positions
    assert await elsewhere.read({lane}) == {lane: Position(3, last)}
    assert await elsewhere.taken() == {"urn:kapcare:intake": 4}


async def test_after_a_restart_commits_alone_tell_duplicates_and_gaps(stage: toy.Stage) -> None:
    case = await stage.case("one", "two", "three", "four")
    records = [wire(event) for event in await events_of(stage.intake, case)]
    async with toy.consuming(stage.prescriber):
        await send(stage, *records[:3])
        await stage.ordered(case, "one", "two")
    async with toy.consuming(stage.another_prescriber()):
        await send(stage, *records[:3], records[4])
        await stage.waits_as(case, (5, "held", MISSING))
        await send(stage, records[3])
        await stage.ordered(case, "one", "two", "three", "four")
    assert await stage.parked() == []


async def test_the_ledger_knows_by_its_entries_what_it_has_taken(stage: toy.Stage) -> None:
    case = await stage.case("one", "two")
    records = [wire(event) for event in await events_of(stage.intake, case)]
    for delivered in (records[:2], records):
        service = stage.another_prescriber()
        ledger = Ledger(service.database["entries"])
        async with toy.consuming(service, KeepEveryEvent(ledger)):
            await send(stage, *delivered)
            await toy.eventually(partial(_holds, ledger, len(delivered)))
        assert await service.positions.taken() == {"urn:kapcare:intake": len(delivered)}
        assert await service.database["positions"].count_documents({}) == 0


async def _holds(ledger: Ledger, count: int) -> bool:
    return await ledger.entries.count_documents({}) == count


async def test_a_reaction_that_an_old_memory_would_skip_is_decided_on_what_is_stored(stage: toy.Stage) -> None:
    """Another process moved the stream on: on the memory of before there would be nothing to do."""

    def after_one_only(state: toy.ToyCase, event: Any, context: Context) -> list[EventData]:
        code = event.facts[0].code
        return toy.review_fact(state, event, context) if code != "two" or "one" in state.order else []

    reactions: Reactions = {**toy.REACTIONS, intake.FactsStated: after_one_only}
    service = stage.another_prescriber(reactions)
    case = await stage.case("zero", "two")
    zero, two = (await events_of(stage.intake, case))[1:]
    async with toy.consuming(service):
        await send(stage, wire((await events_of(stage.intake, case))[0]), wire(zero))
        await stage.ordered(case, "zero")
        assert service.streams.remembered(case) is not None
        await _commit_elsewhere(stage.another_prescriber(), case, "one")
        await send(stage, wire(two))
        await stage.ordered(case, "zero", "one", "two")


async def test_a_reaction_that_fails_on_an_old_memory_alone_parks_nothing(stage: toy.Stage) -> None:
    def needs_one(state: toy.ToyCase, event: Any, context: Context) -> list[EventData]:
        if event.facts[0].code == "two":
            state.order.index("one")
        return toy.review_fact(state, event, context)

    service = stage.another_prescriber({**toy.REACTIONS, intake.FactsStated: needs_one})
    case = await stage.case("zero", "two")
    referred, zero, two = await events_of(stage.intake, case)
    async with toy.consuming(service):
        await send(stage, wire(referred), wire(zero))
        await stage.ordered(case, "zero")
        await _commit_elsewhere(stage.another_prescriber(), case, "one")
        await send(stage, wire(two))
        await stage.ordered(case, "zero", "one", "two")
    assert await stage.parked() == []


async def _commit_elsewhere(service: Runtime, case: str, code: str) -> None:
    fact = intake.FactsStated(facts=(Fact(kind="statement", code=code, system="kapcare", label="toy"),))
    await toy.decide(service, case, lambda state, context: toy.review_fact(state, fact, context))


async def test_what_another_owner_parked_is_known_after_the_partition_moved(stage: toy.Stage) -> None:
    case, clear = await stage.case("one", "two"), await stage.case("one")
    mine, theirs = stage.prescriber.parking, stage.another_prescriber().parking
    lane, other = ("urn:kapcare:intake", case), ("urn:kapcare:intake", clear)
    assert await mine.waiting({lane, other}) == (set(), set())
    async with toy.consuming(stage.another_prescriber({intake.FactsStated: _defect})):
        await send(stage, *[wire(event) for event in await events_of(stage.intake, case)])
        await stage.waits_as(case, (2, "parked", "reaction-failed-ZeroDivisionError"), (3, "parked", BEHIND))
    mine.forget()
    assert await mine.waiting({lane, other}) == ({lane}, set())
    first = next(row["id"] for row in await theirs.rows() if row["sequence"] == 2)
    await theirs.discard(first, "a test's defect")
    await theirs.discard(next(row["id"] for row in await theirs.rows()), "another")
    assert await mine.waiting({lane, other}) == (set(), set())


def _defect(_state: toy.ToyCase, _event: Any, _context: Context) -> list[EventData]:
    raise ZeroDivisionError
