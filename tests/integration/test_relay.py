"""The relay on the embedded broker. Expectations: every commit is published, each stream in order, the sealed bytes untouched, whatever
is killed or lost meanwhile; duplicates on the wire are allowed, losses are not (design, section 3; fault rows F3, F4, F10-F12, F17)."""

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient

from deploy.local.mongod import start_mongod
from deploy.local.ports import free_port
from shared.transport.lease import Lease, LeaseLost
from tests import toy
from tests.conftest import PrivateBroker
from tests.faults.injected import commits_of, events_of, failing, produce, read_topic, wire

StartBroker = Callable[[], Awaitable[PrivateBroker]]


@pytest_asyncio.fixture
async def stage(mongo_url: str, kafka_bootstrap: str) -> AsyncIterator[toy.Stage]:
    async with toy.stage_on(mongo_url, kafka_bootstrap) as made:
        yield made


async def published(stage: toy.Stage) -> dict[str, list[int]]:
    """The sequences in the topic, by stream, in the order of the wire."""
    found: dict[str, list[int]] = defaultdict(list)
    for record in await read_topic(stage.settings.kafka_bootstrap, stage.topic):
        found[record.key.decode()].append(int(dict(record.headers)["ce_sequence"]))
    return found


def first_times(sequences: list[int]) -> list[int]:
    return list(dict.fromkeys(sequences))


async def until_published(stage: toy.Stage, cases: dict[str, int], seconds: float = 30.0) -> dict[str, list[int]]:
    """Wait until each case's events 1..n are in the topic; they must be there in order, at first sight."""

    async def reached() -> Any:
        found = await published(stage)
        return found if all(len(set(found.get(case, []))) >= count for case, count in cases.items()) else None

    found: dict[str, list[int]] = await toy.eventually(reached, seconds, every=0.2)
    for case, count in cases.items():
        assert first_times(found[case]) == list(range(1, count + 1))
    return found


async def lease_of(stage: toy.Stage) -> Any:
    return await stage.intake.database["leases"].find_one({"_id": "relay"})


async def until_place_saved(stage: toy.Stage) -> Any:
    async def saved() -> Any:
        lease = await lease_of(stage)
        return lease if lease and lease["place"].get("token") and lease["place"]["acknowledged"] else None

    return await toy.eventually(saved)


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
        await toy.eventually(lambda: _leads(relay))
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


async def test_the_lease_goes_over_when_its_holder_dies_and_the_dead_ones_place_is_refused(stage: toy.Stage) -> None:
    first = stage.intake.make_relay(())
    task = asyncio.create_task(first.run())
    case = await stage.case("one")
    await until_published(stage, {case: 2})
    await until_place_saved(stage)
    holder = (await lease_of(stage))["holder"]
    await toy.kill(task)
    second = stage.intake.make_relay(())
    another = asyncio.create_task(second.run())
    await toy.add_fact(stage.intake, case, "two")
    await until_published(stage, {case: 3})
    assert (await lease_of(stage))["holder"] != holder
    with pytest.raises(LeaseLost):
        await first._lease.save_place({"token": None})
    assert (await until_place_saved(stage))["place"]["token"] is not None
    await second.stop()
    await toy.finish(another)


async def test_a_holder_that_stood_still_steps_back_and_both_publish_in_order(stage: toy.Stage) -> None:
    first = stage.intake.make_relay(())
    task = asyncio.create_task(first.run())
    case = await stage.case("one")
    await until_published(stage, {case: 2})
    await stage.intake.database["leases"].update_one({"_id": "relay"}, {"$set": {"holder": "another"}})
    await toy.add_fact(stage.intake, case, "two")
    await until_published(stage, {case: 3})  # it may go on publishing, it may not go on leading
    await toy.eventually(lambda: _stepped_back(first))
    await stage.intake.database["leases"].update_one({"_id": "relay"}, {"$set": {"holder": "", "until": None}})
    await toy.eventually(lambda: _leads(first))
    await toy.add_fact(stage.intake, case, "three")
    await until_published(stage, {case: 4})
    await first.stop()
    await toy.finish(task)


async def _stepped_back(relay: Any) -> bool:
    return not relay.caught_up


async def _leads(relay: Any) -> bool:
    return bool(relay.caught_up)


async def test_an_instance_that_waits_for_the_lease_ends_at_once_when_asked(stage: toy.Stage) -> None:
    async with toy.relaying(stage.intake) as leader:
        await toy.eventually(lambda: _leads(leader))
        standby = stage.intake.make_relay(())
        task = asyncio.create_task(standby.run())
        await asyncio.sleep(0.5)
        await standby.stop()
        await asyncio.wait_for(task, 3)


async def test_of_two_that_want_the_lease_one_has_it(stage: toy.Stage) -> None:
    leases = [Lease(stage.intake.database["leases"], "only", 60.0) for _ in range(5)]
    taking = [asyncio.create_task(lease.acquire(asyncio.Event())) for lease in leases]
    done, waiting = await asyncio.wait(taking, timeout=1.0)
    assert len(done) == 1
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


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
        await toy.eventually(lambda: _leads(relay))


@pytest.mark.parametrize("how", [{"closeConnection": True}, {"errorCode": 189}], ids=["closed", "stepped-down"])
async def test_a_store_that_fails_for_a_while_is_waited_for(stage: toy.Stage, how: dict[str, Any]) -> None:
    async with toy.relaying(stage.intake) as relay:
        case = await stage.case("one")
        await until_published(stage, {case: 2})
        async with failing(stage.intake, ["getMore", "aggregate", "update", "findAndModify"], **how):
            await toy.add_fact(stage.intake, case, "two")
            await asyncio.sleep(1.0)
        await until_published(stage, {case: 3})
        await toy.eventually(lambda: _leads(relay))


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


async def test_a_document_that_is_no_commit_ends_the_relay_instead_of_stalling_it(stage: toy.Stage) -> None:
    relay = stage.intake.make_relay(())
    task = asyncio.create_task(relay.run())
    await toy.eventually(lambda: _leads(relay))
    await stage.intake.database["commits"].insert_one({"stream": "case-x", "version": 1, "cause": "by hand"})
    await asyncio.wait({task}, timeout=10)
    assert task.done()
    assert task.exception() is not None


async def test_a_broker_that_was_killed_and_came_back_empty_is_refilled(mongo_url: str, private_broker: StartBroker) -> None:
    """First while commits flow (an acknowledged offset is not above the last one), then while idle (the end offset is below it)."""
    broker = await private_broker()
    async with toy.stage_on(mongo_url, broker.bootstrap) as stage, toy.relaying(stage.intake), toy.consuming(stage.prescriber):
        case = await stage.case("one")
        await stage.ordered(case, "one")
        await until_place_saved(stage)
        await broker.kill()
        await toy.add_fact(stage.intake, case, "two")  # accepted while the broker is away
        await broker.start()
        await toy.make_topics(broker.bootstrap, stage.settings.topic_prefix)
        await stage.ordered(case, "one", "two", seconds=40)
        await toy.eventually(lambda: _all_published(stage, case))  # the new one may have led the way, and made it known
        await until_place_saved(stage)
        await broker.restart()
        await toy.make_topics(broker.bootstrap, stage.settings.topic_prefix)
        await until_published(stage, {case: 3})
        await toy.add_fact(stage.intake, case, "three")
        await stage.ordered(case, "one", "two", "three", seconds=40)
        assert len(await commits_of(stage.prescriber, case)) == 3
        assert await stage.parked() == []


async def _all_published(stage: toy.Stage, case: str) -> bool:
    return set((await published(stage))[case]) == {1, 2, 3}


async def test_a_wipe_that_nobody_saw_is_noticed_at_the_next_start(mongo_url: str, private_broker: StartBroker) -> None:
    broker = await private_broker()
    async with toy.stage_on(mongo_url, broker.bootstrap) as stage:
        cases = [await stage.case("one") for _ in range(4)]
        async with toy.relaying(stage.intake):
            await until_published(stage, dict.fromkeys(cases, 2))
            await until_place_saved(stage)
        await broker.restart()
        await toy.make_topics(broker.bootstrap, stage.settings.topic_prefix)
        async with toy.relaying(stage.intake):
            await until_published(stage, dict.fromkeys(cases, 2))
        assert (await lease_of(stage))["place"]["epoch"] == 2


async def test_a_refill_by_hand_publishes_all_again_and_consumers_drop_it(stage: toy.Stage) -> None:
    async with toy.relaying(stage.intake) as relay, toy.consuming(stage.prescriber):
        await toy.eventually(lambda: _leads(relay))
        case = await stage.case("one", "two")
        await stage.ordered(case, "one", "two")
        relay.refill()
        await toy.eventually(lambda: _published_twice(stage, case))
        await toy.add_fact(stage.intake, case, "three")
        await stage.ordered(case, "one", "two", "three")
    assert len(await commits_of(stage.prescriber, case)) == 3
    assert await stage.parked() == []


async def _published_twice(stage: toy.Stage, case: str) -> bool:
    return (await published(stage))[case] == [1, 2, 3, 1, 2, 3]


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
