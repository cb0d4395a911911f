"""Appending on a real mongod: once each, in order, without holes, each entry with the one before it in its case."""

import asyncio
import random
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from deploy.bench.ledger_log import BEGIN
from services.audit.domain.entry import read_entry
from services.audit.domain.query import Order, Page, Query, Range
from services.audit.domain.tree import leaf_hash
from services.audit.ledger import AnotherFormat
from services.audit.reactions import KeepEveryEvent
from services.audit.reading import Reader
from shared.events.codec import time_text
from shared.transport.arrival import Arrival
from tests.integration.ledger.kept import CASE, Kept, arrival, arrivals, case_names


async def indexes_and_sequences(kept: Kept) -> list[tuple[int, int]]:
    return [(entry["_id"], entry["sequence"]) async for entry in kept.ledger.read()]


async def chains_hold(kept: Kept) -> None:
    """Each entry names the entry before it of the same subject: recounted here from the entries in order."""
    last: dict[str, int] = {}
    async for entry in kept.ledger.read():
        read = read_entry(bytes(entry["entry"]))
        assert read.previous == last.get(read.headers["ce_subject"])
        assert bytes(entry["leaf"]) == leaf_hash(bytes(entry["entry"]))
        last[read.headers["ce_subject"]] = entry["_id"]


async def test_delivered_twice_kept_once(kept: Kept) -> None:
    events = [arrival(number) for number in range(1, 8)]
    await kept.ledger.append(events[:4])
    await kept.ledger.append(events[2:])
    await kept.ledger.append(events)
    assert await indexes_and_sequences(kept) == [(number - 1, number) for number in range(1, 8)]
    await chains_hold(kept)
    assert [read_entry(entry).headers for entry in await kept.entries()] == [event.sealed.headers for event in events]


async def test_two_appenders_leave_no_hole_and_break_no_chain(kept: Kept, another: Callable[[], Kept]) -> None:
    streams = case_names(6)

    async def append(process: Kept, service: str, some: list[str]) -> None:
        for number in range(1, 16):
            await process.ledger.append([arrival(number, stream, service) for stream in some])

    other = another()
    await asyncio.gather(append(kept, "intake", streams[:4]), append(other, "session", streams[2:]))
    assert [index for index, _ in await indexes_and_sequences(kept)] == list(range((4 + 4) * 15))
    await chains_hold(kept)
    fresh = another()
    await fresh.ledger.append([arrival(16, streams[0]), arrival(1, streams[0], "prescriber"), arrival(16, streams[5], "session")])
    await chains_hold(kept)


async def test_chains_hold_however_events_are_batched_and_however_often_memory_is_lost(kept: Kept, another: Callable[[], Kept]) -> None:
    chance = random.Random(7)
    waiting, process = arrivals(300), kept
    while waiting:
        if chance.random() < 0.3:
            process = another()
        count = chance.randrange(1, 40)
        await process.ledger.append(waiting[:count])
        waiting = waiting[count if chance.random() < 0.8 else count // 2 :]
    assert await kept.database["entries"].count_documents({}) == 300
    await chains_hold(kept)


async def test_an_event_that_fits_no_entry_fails_alone_with_what_follows_it(kept: Kept) -> None:
    """65,535 bytes is what the length before an entry in a bundle can say (C2SP tlog-tiles)."""
    other = case_names(1)[0]
    events = [arrival(1), arrival(2, data=b"x" * 65_535), arrival(1, other), arrival(3), arrival(2, other)]
    handled = await KeepEveryEvent(kept.ledger).handle(events)
    assert handled.failures == {events[1].key: "entry-too-large"}
    assert set(handled.stored) == {events[2].key, events[4].key}
    found = [(entry["stream"], entry["sequence"]) async for entry in kept.ledger.read()]
    assert found == [(CASE, 1), (other, 1), (other, 2)]
    await chains_hold(kept)


async def test_a_ledger_of_before_this_format_is_refused_in_one_line(kept: Kept, another: Callable[[], Kept]) -> None:
    await kept.database["entries"].insert_one({"_id": 0, "stream": CASE, "headers": {}, "data": b"", "leaf": b""})
    with pytest.raises(AnotherFormat, match=r"drop the audit database and run `\./kap replay --topic-refill`") as refused:
        await another().ledger.prepare()
    assert "\n" not in str(refused.value)


async def test_what_was_cut_off_or_taken_away_stops_no_appending(kept: Kept, another: Callable[[], Kept]) -> None:
    await kept.ledger.append([arrival(number) for number in range(1, 6)])
    await kept.database["entries"].delete_many({"_id": {"$in": [1, 4]}})
    await kept.ledger.append([arrival(6)])
    await another().ledger.append([arrival(7)])
    assert await indexes_and_sequences(kept) == [(0, 1), (2, 3), (3, 4), (5, 6), (6, 7)]


def times_of(events: list[Arrival]) -> list[int]:
    return [round((event.envelope.time - BEGIN) / timedelta(minutes=1)) for event in events]


def moment_of(minute: int | None) -> datetime | None:
    return None if minute is None else BEGIN + timedelta(minutes=minute)


async def test_a_range_of_time_finds_each_entry_in_it_once_and_in_order_however_late_some_are(kept: Kept) -> None:
    """Against going through all of them."""
    chance = random.Random(11)
    events = [
        arrival(number, at=BEGIN + timedelta(minutes=number * 7 - chance.choice((0, 0, 0, 5, 59, 60, 61, 200, 900))))
        for number in range(1, 200)
    ]
    await kept.append(events, at_once=30)
    minutes = times_of(events)
    reader = Reader(kept.ledger.entries)
    bounds = [None, *(chance.randrange(-100, 1500) for _ in range(25)), *minutes[::40]]
    for since in bounds:
        for until in chance.sample(bounds, 6):
            wanted = [index for index, minute in enumerate(minutes) if is_within(minute, since, until)]
            await finds(reader, Query(recorded=Range(moment_of(since), moment_of(until))), wanted)


async def finds(reader: Reader, query: Query, wanted: list[int]) -> None:
    assert [entry["_id"] async for entry in reader.stream(query, 10_000)] == wanted
    orders: dict[Order, list[int]] = {"oldest": wanted, "newest": wanted[::-1]}
    for order, expected in orders.items():
        paged: list[int] = []
        while page := await reader.page(query, Page(cursor=paged[-1] if paged else None, limit=17, order=order)):
            paged += [entry["_id"] for entry in page]
        assert paged == expected
    assert [entry["_id"] async for entry in reader.whole(query, 90)] == [one for one in wanted if one < 90]


async def test_what_happened_in_a_range_of_time_is_found_whenever_it_was_recorded(kept: Kept) -> None:
    """Against going through all of them; some are said to have happened after they were recorded, as by a clock that is ahead."""
    chance = random.Random(13)
    recorded = [number * 7 - chance.choice((0, 0, 0, 59, 60, 61, 900)) for number in range(1, 200)]
    happened = [minute - chance.choice((0, 0, 0, 1, 59, 60, 61, 700, -59, -60, -61, -300)) for minute in recorded]
    events = []
    for number, (one, other) in enumerate(zip(recorded, happened, strict=True), 1):
        at, when = (BEGIN + timedelta(minutes=minute) for minute in (one, other))
        events.append(arrival(number, at=at) if at == when else arrival(number, at=at, happened=time_text(when)))
    await kept.append(events, at_once=30)
    reader = Reader(kept.ledger.entries)
    bounds = [None, *(chance.randrange(-400, 1700) for _ in range(20)), *happened[::40]]
    for since in bounds:
        for until in chance.sample(bounds, 4):
            within = Range(moment_of(since), moment_of(until))
            wanted = [index for index, minute in enumerate(happened) if is_within(minute, since, until)]
            await finds(reader, Query(happened=within), wanted)
            both = [index for index in wanted if is_within(recorded[index], 300, 900)]
            await finds(reader, Query(happened=within, recorded=Range(moment_of(300), moment_of(900))), both)


def is_within(minute: int, since: int | None, until: int | None) -> bool:
    return (since is None or minute >= since) and (until is None or minute < until)


async def test_entries_of_a_release_without_the_time_of_what_happened_are_found_by_when_they_were_recorded(
    kept: Kept, another: Callable[[], Kept]
) -> None:
    """Services may be of this release before the ledger is: what they said of it stands in the bytes."""
    events = [arrival(number, at=BEGIN + timedelta(hours=number if number != 4 else -5)) for number in range(1, 7)]
    events += [arrival(number, at=BEGIN, happened=time_text(BEGIN - timedelta(hours=9))) for number in (7, 8)]
    await kept.append(events)
    entries = kept.database["entries"]
    as_written = [entry async for entry in entries.find()]
    assert [entry.get("apart") for entry in as_written] == [None, None, None, "before", None, None, "before", "before"]
    for of_before in ({}, {"_id": {"$in": [3, 6]}}):  # an earlier release kept all, or appended beside this one
        await entries.update_many(of_before, {"$unset": {"happened": "", "apart": ""}})
        await another().ledger.prepare()
        assert [entry async for entry in entries.find()] == as_written
