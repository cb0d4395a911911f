"""The consumer on the embedded broker. Expectations: each event has its effect once, in order within its stream; what cannot be
handled parks with what follows it in its stream, and nothing else waits (design, section 3; fault rows F5, F19-F24; bad input B28-B29)."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
import structlog
from aiokafka import TopicPartition
from structlog.testing import LogCapture

from shared.events import intake
from shared.events.base import EventData
from shared.events.codec import Sealed
from shared.log.errors import StoreUnavailable
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.service.definition import Reactions
from shared.service.runtime import Runtime
from shared.transport.positions import Position, Positions
from tests import toy
from tests.faults.injected import Wire, commits_of, events_of, failing, produce, wire

MISSING = "predecessor-missing"
BEHIND = "behind-a-parked-event"


@pytest_asyncio.fixture
async def stage(mongo_url: str, kafka_bootstrap: str) -> AsyncIterator[toy.Stage]:
    async with toy.stage_on(mongo_url, kafka_bootstrap) as made:
        yield made


@pytest.fixture
def logged(stage: toy.Stage) -> list[Any]:
    """What the stage's services log from here on."""
    capture = LogCapture()
    for runtime in (stage.intake, stage.prescriber):
        runtime.log = structlog.wrap_logger(None, processors=[capture])
    entries: list[Any] = capture.entries
    return entries


async def send(stage: toy.Stage, *records: Wire) -> None:
    await produce(stage.settings.kafka_bootstrap, stage.topic, records)


def changed(event: Sealed, **headers: str | None) -> Wire:
    return wire(event, {f"ce_{name}": value for name, value in headers.items()})


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
        await toy.eventually(lambda: _logged(logged, "an event is missing"))
        await send(stage, wire(one))
        await stage.ordered(case, "one", "two", "three")
        await stage.waits_as(case)
    assert not await stage.prescriber.parking.waits(case)


async def _logged(entries: list[Any], begins: str) -> bool:
    return any(entry["event"].startswith(begins) and entry["log_level"] == "error" for entry in entries)


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
        assert await _logged(logged, "two events share a sequence")
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


def poison(event: Sealed) -> dict[str, tuple[Wire, str]]:
    """Records that are no event of the contract, with the reason each is parked for."""
    headers = {**event.headers, "kapcare_epoch": "1"}
    pairs = [(name, value.encode()) for name, value in headers.items()]
    return {
        "no-headers": (wire(event, headers=[]), "not-a-cloudevent-1.0"),
        "null-value": (wire(event, value=None), "no-data"),
        "not-utf-8": (wire(event, headers=[*pairs, ("ce_note", b"\xff\xfe")]), "header-not-utf-8"),
        "null-header": (wire(event, headers=[*pairs, ("ce_note", None)]), "header-not-utf-8"),
        "twice-the-same-id": (wire(event, headers=[*pairs, ("ce_id", headers["ce_id"].encode())]), "repeated-header"),
        "spec-0.3": (changed(event, specversion="0.3"), "not-a-cloudevent-1.0"),
        "content-type": (wire(event, {"content-type": "application/cloudevents+avro"}), "content-type"),
        "no-id": (changed(event, id=None), "attribute-missing"),
        "empty-patient": (changed(event, patient=""), "attribute-missing"),
        "wrong-source": (changed(event, source="urn:kapcare:session"), "source-does-not-own-topic"),
        "foreign-source": (changed(event, source="https://elsewhere.example/x"), "source-does-not-own-topic"),
        "other-key": (wire(event, key=b"case-another"), "key-is-not-the-stream"),
        "no-key": (wire(event, key=None), "key-is-not-the-stream"),
        "sequence-0": (changed(event, sequence="0" * 20), "sequence"),
        "sequence-negative": (changed(event, sequence="-0000000000000000001"), "sequence"),
        "sequence-short": (changed(event, sequence="2"), "sequence"),
        "sequence-beyond-64-bits": (changed(event, sequence="9" * 20), "sequence"),
        "sequence-other-digits": (changed(event, sequence="\u0660" * 19 + "\u0662"), "sequence"),
        "time-without-zone": (changed(event, time="2026-01-01T00:00:00"), "time"),
        "time-impossible": (changed(event, time="2026-02-30T00:00:00Z"), "time"),
        "header-name-with-nul": (wire(event, headers=[*pairs, ("x\0y", b"1")]), "header-name"),
        "header-name-empty": (wire(event, headers=[*pairs, ("", b"1")]), "header-name"),
        "header-name-operator": (wire(event, headers=[*pairs, ("$set", b"1")]), "header-name"),
    }


async def test_poison_is_parked_with_its_reason_and_the_rest_flows(stage: toy.Stage) -> None:
    """The poisons speak of sequence 3, with 1 and 2 not yet there: whatever would hold or park them must stand the bytes."""
    case = await stage.case("one", "two")
    referred, one, two = await events_of(stage.intake, case)
    poisons = poison(two)
    await send(stage, *[record for record, _ in poisons.values()], wire(referred), wire(one), wire(two))
    async with toy.consuming(stage.prescriber):
        await stage.ordered(case, "one", "two")
        parked = await stage.parked("")
        assert sorted(reason for _, _, reason in parked) == sorted(reason for _, reason in poisons.values())
        assert await stage.parked(case) == []
        row = (await stage.prescriber.parking.rows())[0]
        with pytest.raises(Refusal):
            await stage.prescriber.parking.ask_replay(row["id"])
        await stage.prescriber.parking.discard(row["id"], "written by a test")
        assert len(await stage.parked("")) == len(parked) - 1


async def test_sealed_bytes_that_do_not_open_park_their_stream_alone(stage: toy.Stage) -> None:
    cases = [await stage.case("one", "two") for _ in range(4)]
    events = {case: await events_of(stage.intake, case) for case in cases}
    flipped = bytearray(events[cases[0]][1].data)
    flipped[20] ^= 1
    await send(
        stage,
        *[wire(events[case][0]) for case in cases],
        wire(events[cases[0]][1], value=bytes(flipped)),
        wire(events[cases[1]][1], value=events[cases[0]][1].data),  # another case's data
        wire(events[cases[2]][1], value=b""),
        wire(events[cases[3]][1]),
        *[wire(events[case][2]) for case in cases],
    )
    async with toy.consuming(stage.prescriber):
        await stage.ordered(cases[3], "one", "two")
        for case in cases[:3]:
            await stage.waits_as(case, (2, "parked", "not-sealed-for-this-event"), (3, "parked", BEHIND))
            assert await stage.order(case) == []


async def test_a_heartbeat_of_nobody_is_passed_over(stage: toy.Stage) -> None:
    case = await stage.case("one")
    beat = b"kapcare.heartbeat.v1"
    await send(
        stage,
        Wire(None, b"", [("ce_type", beat), ("ce_source", None)]),  # type: ignore[list-item]
        Wire(b"case-1", None, [("ce_type", beat)]),
        Wire(None, b"", [("ce_type", beat), ("ce_source", b"\xff"), ("kapcare_epoch", b"x")]),
        Wire(None, b"", [("ce_type", beat), ("ce_source", b"urn:kapcare:session")]),
        *[wire(event) for event in await events_of(stage.intake, case)],
    )
    async with toy.consuming(stage.prescriber) as consumer:
        await stage.ordered(case, "one")
        assert set(consumer.heard) == {"urn:kapcare:intake"}
    assert await stage.parked() == []


async def test_an_unknown_major_of_a_known_type_parks_and_what_follows_it_waits_behind(stage: toy.Stage) -> None:
    case = await stage.case("one", "two", "three")
    referred, one, two, three = await events_of(stage.intake, case)
    await send(stage, wire(referred), wire(one), changed(two, type="kapcare.intake.FactsStated.v2"), wire(three))
    async with toy.consuming(stage.prescriber):
        await stage.waits_as(case, (3, "parked", "unknown-major-version"), (4, "parked", BEHIND))
    assert await stage.order(case) == ["one"]


async def test_an_unknown_type_only_moves_the_position(stage: toy.Stage) -> None:
    case = await stage.case("one", "two")
    referred, one, two = await events_of(stage.intake, case)
    await send(stage, wire(referred), changed(one, type="kapcare.intake.SomethingNew.v1"), wire(two))
    async with toy.consuming(stage.prescriber):
        await stage.ordered(case, "two")
    assert await stage.parked() == []


async def test_a_withdrawal_may_be_the_first_that_a_service_hears_of_a_case(stage: toy.Stage) -> None:
    case = await stage.case()
    await toy.withdraw(stage.intake, case)
    await send(stage, *[wire(event) for event in await events_of(stage.intake, case)])
    async with toy.consuming(stage.prescriber):
        await stage.ordered(case, "urn:kapcare:intake")
    loaded = await stage.prescriber.load(case)
    assert loaded.state.withdrawn
    assert (loaded.clinic, loaded.patient, loaded.version) == ("riverside", "patient-1", 1)


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
    """The effect was stored, then came the crash: deciding again on the state after it must not count as a failure."""

    def once(state: toy.ToyCase, event: Any, context: Context) -> list[EventData]:
        if event.facts[0].code in state.order:
            raise Refusal("already-there", "This was reviewed.")
        return toy.review_fact(state, event, context)

    service = stage.another_prescriber({**toy.REACTIONS, intake.FactsStated: once})
    case = await stage.case("one", "two")
    consumer = service.make_consumer(None)
    reached = asyncio.Event()

    async def crash(_moved: Any) -> None:
        reached.set()
        await asyncio.sleep(60)

    consumer._positions.write = crash  # type: ignore[assignment, method-assign]
    await send(stage, *[wire(event) for event in await events_of(stage.intake, case)])
    task = asyncio.create_task(consumer.run())
    await asyncio.wait_for(reached.wait(), 20)
    await toy.kill(task)
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
    case = await stage.case("one", "two")
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
    await send(stage, *[wire(event) for event in await events_of(stage.intake, case)])
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
    stored: list[Any] = await service.database["positions"].find().to_list()
    positions: dict[str, int] = {row["stream"]: row["last"]["sequence"] for row in stored}
    assert all(positions.get(case, 1) == 1 + len(order) for case, order in done.items())
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
    positions = Positions(slow)  # type: ignore[arg-type]
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
    mine, theirs = Positions(stage.prescriber.database["positions"]), Positions(stage.prescriber.database["positions"])
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
