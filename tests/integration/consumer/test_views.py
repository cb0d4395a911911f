"""How old the view of a source is: told by heartbeats, per partition, only as far as everything before them is handled."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from shared.clock import system_now
from shared.transport.heartbeat import Heartbeat, is_heartbeat, read_heartbeat
from shared.transport.views import partition_of
from tests import toy
from tests.faults.injected import Wire, commits_of, events_of, failing, produce, read_topic, wire
from tests.integration.consumer.sent import MISSING, send

SECOND = timedelta(seconds=1)
YOUNG = 2 * SECOND
"""Stages have a heartbeat every half second."""


async def age(stage: toy.Stage, case: str) -> timedelta | None:
    return (await stage.prescriber.views.ages(case, ("intake",))).get("intake")


async def young(stage: toy.Stage, case: str) -> bool:
    known = await age(stage, case)
    return known is not None and known < YOUNG


def case_in(partition: int) -> str:
    """A case whose key lies in this one of two partitions."""
    return next(case for case in (f"case-{number:032x}" for number in range(100)) if partition_of(case, 2) == partition)


def beat(seconds_ago: float) -> Wire:
    return Wire(None, b"", Heartbeat(system_now() - seconds_ago * SECOND, 2).to_headers("urn:kapcare:intake"))


async def test_the_partition_of_a_stream_is_where_its_events_lie(stage: toy.Stage) -> None:
    """The oracle is the producer's own choice: where a record with this key arrived."""
    cases = [await stage.case("one") for _ in range(8)]
    async with toy.relaying(stage.intake), toy.consuming(stage.prescriber):
        for case in cases:
            await stage.ordered(case, "one")
    records = await read_topic(stage.settings.kafka_bootstrap, stage.topic)
    seen = {record.key.decode(): record.partition for record in records if record.key}
    assert {partition_of(case, 2) for case in cases} == {0, 1}
    assert {case: partition_of(case, 2) for case in cases} == {case: seen[case] for case in cases}


async def test_a_source_that_falls_silent_grows_old_and_young_again_by_itself(stage: toy.Stage) -> None:
    case = await stage.case("one")
    assert await age(stage, case) is None
    async with toy.consuming(stage.prescriber):
        async with toy.relaying(stage.intake):
            await toy.eventually(lambda: young(stage, case))
        first = await age(stage, case)
        await asyncio.sleep(1.5)
        silent = await age(stage, case)
        assert first is not None
        assert silent is not None
        assert silent >= first + SECOND
        async with toy.relaying(stage.intake):
            await toy.eventually(lambda: young(stage, case))
    # Another instance, that consumes nothing itself, is told the same.
    assert (await stage.another_prescriber().views.ages(case, ("intake", "session"))).keys() == {"intake"}


async def test_a_partition_that_is_not_heard_is_not_made_young_by_another(stage: toy.Stage) -> None:
    await stage.prescriber.views.hear({("urn:kapcare:intake", 1): Heartbeat(system_now(), 2)})
    assert await age(stage, case_in(0)) is None
    assert await young(stage, case_in(1))
    await stage.prescriber.views.hear({("urn:kapcare:intake", 0): Heartbeat(system_now() - 60 * SECOND, 2)})
    old = await age(stage, case_in(0))
    assert old is not None
    assert 59 * SECOND < old < 120 * SECOND
    assert (await stage.prescriber.views.oldest())["urn:kapcare:intake"] >= 59 * SECOND


async def test_a_heartbeat_that_is_read_late_is_as_old_as_it_is(stage: toy.Stage) -> None:
    """A consumer that catches up reads heartbeats of long ago; they say what was known then."""
    case = case_in(0)
    await produce(stage.settings.kafka_bootstrap, stage.topic, [beat(300), beat(60)], partition=0)
    async with toy.consuming(stage.prescriber):
        await toy.eventually(stage.prescriber.views.oldest)
    known = await age(stage, case)
    assert known is not None
    assert 59 * SECOND < known < 120 * SECOND
    await stage.prescriber.views.hear({("urn:kapcare:intake", 0): Heartbeat(system_now() - 300 * SECOND, 2)})
    known = await age(stage, case)
    assert known is not None
    assert 59 * SECOND < known < 120 * SECOND


async def test_a_heartbeat_in_a_broker_that_forgot_says_nothing(stage: toy.Stage) -> None:
    """It names the record it comes after; where that is not there, events may be missing that no one republished yet."""
    lost = Heartbeat(system_now(), 2, above=0)
    empty = Wire(None, b"", lost.to_headers("urn:kapcare:intake"))
    await produce(stage.settings.kafka_bootstrap, stage.topic, [empty], partition=0)
    await produce(stage.settings.kafka_bootstrap, stage.topic, [beat(0), empty], partition=1)
    async with toy.consuming(stage.prescriber):
        await toy.eventually(lambda: young(stage, case_in(1)))
        await asyncio.sleep(0.3)
    assert await age(stage, case_in(0)) is None


async def test_a_heartbeat_from_a_clock_that_runs_ahead_is_no_younger_than_now(stage: toy.Stage) -> None:
    case = case_in(0)
    await stage.prescriber.views.hear({("urn:kapcare:intake", 0): Heartbeat(system_now() + 3600 * SECOND, 2)})
    await asyncio.sleep(0.3)
    known = await age(stage, case)
    assert known is not None
    assert known >= timedelta(seconds=0.2)


async def test_nothing_is_heard_while_what_came_before_it_is_not_handled(
    stage: toy.Stage, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store refuses the reaction: the consumer waits, and the heartbeat behind the event says nothing yet."""
    monkeypatch.setattr("shared.log.store.RESEND_SECONDS", 0.5)
    case = await stage.case("one")
    await send(stage, *[wire(event) for event in await events_of(stage.intake, case)], beat(0), beat(0))
    async with failing(stage.prescriber, ["insert"], errorCode=189, closeConnection=False), toy.consuming(stage.prescriber):
        await toy.eventually(lambda: _waits_for_the_store(logged))
        assert await stage.order(case) == []
        assert await age(stage, case) is None
    async with toy.consuming(stage.prescriber):
        await stage.ordered(case, "one")


async def _waits_for_the_store(entries: list[Any]) -> bool:
    return any(entry["event"] == "consumer waits for the store" for entry in entries)


async def test_a_held_event_is_told_by_the_inbox_not_by_the_age(stage: toy.Stage) -> None:
    case = await stage.case("one", "two")
    referred, _, two = await events_of(stage.intake, case)
    await send(stage, wire(referred), wire(two), *[beat(0)] * 4)
    async with toy.consuming(stage.prescriber):
        await stage.waits_as(case, (3, "held", MISSING))
        assert await stage.prescriber.parking.waits(case)


async def test_a_source_that_is_never_idle_is_heard_all_the_same(stage: toy.Stage) -> None:
    """A busy partition says nothing of the others: heartbeats go on under load."""
    case = await stage.case()
    stop = asyncio.Event()

    async def busy() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            await toy.add_fact(stage.intake, case, f"f{number}")

    async with toy.relaying(stage.intake), toy.consuming(stage.prescriber):
        work = asyncio.create_task(busy())
        try:
            await toy.eventually(lambda: both_young(stage))
            await asyncio.sleep(3)  # longer than what was heard once stays young
            await toy.eventually(lambda: both_young(stage), 5)
        finally:
            stop.set()
            await work


async def both_young(stage: toy.Stage) -> bool:
    return all([await young(stage, case_in(partition)) for partition in (0, 1)])


async def test_a_relay_that_is_behind_does_not_say_that_it_is_not(stage: toy.Stage) -> None:
    """No event behind a heartbeat was committed before what it says: not even where each batch keeps the relay for a second.

    The commits themselves tell when they were made, moments before they were stored.
    """
    case = await stage.case("one")

    async def slow(_commits: Any) -> None:
        await asyncio.sleep(1.0)

    async with toy.relaying(stage.intake, (slow,)), toy.consuming(stage.prescriber):
        await toy.eventually(lambda: young(stage, case))
        for number in range(30):
            await toy.add_fact(stage.intake, case, f"f{number}")
            await asyncio.sleep(0.1)
        await stage.ordered(case, "one", *[f"f{number}" for number in range(30)])
    made = {event.headers["ce_id"]: commit.at for commit in await commits_of(stage.intake, case) for event in commit.events}
    checked = 0
    said: dict[int, Any] = {}
    for record in await read_topic(stage.settings.kafka_bootstrap, stage.topic, heartbeats=True):
        heard = read_heartbeat(record) if is_heartbeat(record) else None
        if heard is not None:
            said[record.partition] = heard.complete_to
        elif record.partition in said:
            checked += 1
            assert made[dict(record.headers)["ce_id"].decode()] > said[record.partition] - 0.2 * SECOND
    assert checked > 10
