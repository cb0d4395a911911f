"""The relay on the embedded broker: what it publishes, and in what order.

Expectations: every commit is published, each stream in order, the sealed bytes untouched, whatever is killed or lost meanwhile;
duplicates on the wire are allowed, losses are not (design, section 3; fault rows F3, F4, F10-F12, F17)."""

import asyncio
import re
from datetime import datetime
from typing import Any

import pytest

from tests import toy
from tests.faults.injected import commits_of, events_of, produce, read_topic, wire
from tests.integration.relay.relayed import leads, lease_of, published, until_place_saved, until_published


async def test_events_leave_as_cloudevents_with_the_bytes_of_the_commit(stage: toy.Stage) -> None:
    """Rules: CloudEvents 1.0.2 section 3.1 and its Kafka binding, binary mode; headers are read here by hand."""
    case = await stage.case("one", "two")
    async with toy.relaying(stage.intake):
        await until_published(stage, {case: 3})
    records = await read_topic(stage.settings.kafka_bootstrap, stage.topic)
    stored = await events_of(stage.intake, case)
    assert [record.value for record in records] == [event.data for event in stored]
    for record, event in zip(records, stored, strict=True):
        names = [name for name, _ in record.headers]
        assert len(set(names)) == len(names)
        headers = {name: value.decode("utf-8") for name, value in record.headers}
        assert all(name.startswith("ce_") or name in {"content-type", "kapcare_epoch"} for name in names)
        assert all(re.fullmatch(r"ce_[a-z0-9]{1,20}", name) for name in names if name.startswith("ce_"))
        assert headers["ce_specversion"] == "1.0"
        assert headers["ce_id"]
        assert re.fullmatch(r"urn:[a-z0-9][a-z0-9-]{0,31}:.+", headers["ce_source"])  # an absolute URI (RFC 8141)
        assert re.fullmatch(r"kapcare\.intake\.[A-Z][A-Za-z]+\.v[1-9]", headers["ce_type"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", headers["ce_time"])  # RFC 3339
        assert datetime.fromisoformat(headers["ce_time"]).tzinfo is not None
        assert headers["content-type"] == "application/vnd.kapcare.sealed"
        assert record.key == headers["ce_subject"].encode()
        assert {name: value for name, value in headers.items() if name != "kapcare_epoch"} == dict(event.headers)
    assert len({dict(record.headers)["ce_id"] for record in records}) == 3
    assert {record.partition for record in records} == {records[0].partition}


async def test_many_streams_written_at_once_leave_in_order(stage: toy.Stage) -> None:
    async with toy.relaying(stage.intake) as relay:
        await toy.eventually(lambda: leads(relay))
        cases = await asyncio.gather(*(stage.case() for _ in range(20)))
        await asyncio.gather(*(toy.add_fact(stage.intake, case, f"fact-{number}") for number in range(10) for case in cases))
        found = await until_published(stage, dict.fromkeys(cases, 11))
    assert all(sequences == list(range(1, 12)) for sequences in found.values())  # nothing went wrong: no duplicates either


async def test_a_crash_after_the_acknowledgement_and_before_the_place_is_saved(stage: toy.Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async with toy.relaying(stage.intake):
        before = await stage.case("one")
        await until_published(stage, {before: 2})
    monkeypatch.setattr("shared.transport.relay.SAVE_EVERY_SECONDS", 3600.0)
    crashing = stage.intake.make_relay(())
    task = asyncio.create_task(crashing.run())
    case = await stage.case("one", "two")
    await until_published(stage, {case: 3})
    await toy.kill(task)
    monkeypatch.undo()
    async with toy.relaying(stage.intake), toy.consuming(stage.prescriber):
        await toy.add_fact(stage.intake, case, "three")
        await stage.ordered(case, "one", "two", "three")
        found = await published(stage)
    assert found[case].count(2) == 2  # twice on the wire
    assert len(await commits_of(stage.prescriber, case)) == 3  # once in effect


async def test_a_commit_made_while_no_relay_ran_is_published_with_its_first_headers(stage: toy.Stage) -> None:
    async with toy.relaying(stage.intake):
        await until_published(stage, {await stage.case(): 1})
        await until_place_saved(stage)
    case = await stage.case("while-away")
    async with toy.relaying(stage.intake):
        await until_published(stage, {case: 2}, seconds=5)


async def test_a_document_that_is_no_commit_ends_the_relay_instead_of_stalling_it(stage: toy.Stage) -> None:
    relay = stage.intake.make_relay(())
    task = asyncio.create_task(relay.run())
    await toy.eventually(lambda: leads(relay))
    await stage.intake.database["commits"].insert_one({"stream": "case-x", "version": 1, "cause": "by hand"})
    await asyncio.wait({task}, timeout=10)
    assert task.done()
    assert task.exception() is not None


async def test_the_cache_stands_before_the_place_is_saved(stage: toy.Stage) -> None:
    async with toy.relaying(stage.intake):
        case = await stage.case("one", "two")
        await until_published(stage, {case: 3})
    entry = await stage.intake.database["cases"].find_one({"_id": case})
    assert entry is not None
    assert (entry["last"]["version"], entry["last"]["status"], entry["last"]["clinic"]) == (3, "open", "riverside")


async def test_followers_are_told_in_order_and_before_the_place_is_saved(stage: toy.Stage) -> None:
    told: list[tuple[str, int]] = []

    async def follow(commits: Any) -> None:
        told.extend((commit.stream, commit.version) for commit in commits)

    failing_once = iter([RuntimeError])

    async def fail_once(_commits: Any) -> None:
        if next(failing_once, None) is not None:
            raise OSError("in a test")

    case = await stage.case("one", "two")
    async with toy.relaying(stage.intake, (follow, fail_once)):
        await toy.eventually(lambda: _told(told, case, 6))
    assert told == [(case, 1), (case, 2), (case, 3)] * 2  # at least once: again after the failure


async def _told(told: list[tuple[str, int]], case: str, count: int) -> bool:
    return sum(stream == case for stream, _ in told) >= count


async def test_an_idle_topic_shows_that_its_source_lives(stage: toy.Stage) -> None:
    async with toy.relaying(stage.intake), toy.consuming(stage.prescriber):
        await toy.eventually(stage.prescriber.views.oldest)
    assert await stage.parked() == []
    rows: list[Any] = await stage.prescriber.database["positions"].find().to_list()
    assert rows == []


async def test_a_record_written_to_the_topic_by_another_does_not_stop_the_relay(stage: toy.Stage) -> None:
    """Acknowledged offsets may have gaps, as with records of transactions or of another writer."""
    case = await stage.case("one")
    async with toy.relaying(stage.intake):
        await until_published(stage, {case: 2})
        await produce(stage.settings.kafka_bootstrap, stage.topic, [wire((await events_of(stage.intake, case))[1])] * 3)
        await toy.add_fact(stage.intake, case, "two")
        await until_published(stage, {case: 3})
    assert (await lease_of(stage))["place"]["epoch"] == 1
