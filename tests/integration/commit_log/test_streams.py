"""Streams as they stand: holes, forged caches, erased keys, group commit, size."""

import asyncio
import uuid
from typing import Any

import pytest
from bson import Binary
from pymongo import AsyncMongoClient, monitoring

from shared.events import intake
from shared.events.base import EventData
from shared.events.clinical import Fact
from shared.events.codec import TooLarge
from shared.log.errors import StreamBroken
from shared.pathway.context import Context
from shared.service.definition import Origin
from shared.service.runtime import Runtime
from shared.vault.port import KeyMissing
from tests import toy
from tests.faults.injected import commits_of
from tests.integration.commit_log.decided import assert_sound, http, states


async def test_a_hole_stops_the_stream_and_no_other(runtime: Runtime) -> None:
    broken, sound = await toy.begin_case(runtime), await toy.begin_case(runtime)
    for code in ("one", "two", "three"):
        await toy.add_fact(runtime, broken, code)
    await runtime.database["commits"].delete_one({"stream": broken, "version": 3})
    elsewhere = Runtime(runtime.definition, runtime.settings, runtime.client, runtime.log)
    results = await asyncio.gather(toy.add_fact(elsewhere, broken, "four"), toy.add_fact(elsewhere, sound, "fine"), return_exceptions=True)
    assert isinstance(results[0], StreamBroken)
    assert results[1] == 2
    with pytest.raises(StreamBroken):
        await elsewhere.load(broken)
    assert len(await commits_of(runtime, broken)) == 3


async def test_a_commit_replaced_by_hand_is_not_folded_over(runtime: Runtime) -> None:
    """Memory holds a state whose last commit is no longer the stored one: the stream is folded again from the first."""
    case = await toy.begin_case(runtime)
    await toy.add_fact(runtime, case, "kept")
    await toy.add_fact(runtime, case, "taken-back")
    await runtime.database["commits"].delete_one({"stream": case, "version": 3})
    assert (await runtime.load(case)).state.facts == ("kept",)
    await toy.add_fact(Runtime(runtime.definition, runtime.settings, runtime.client, runtime.log), case, "other")
    await assert_sound(runtime, case, ["kept", "other"])


async def fold_with_cache(runtime: Runtime, case: str) -> Any:
    """What a process sees that has nothing in memory, only the cache."""
    return await Runtime(runtime.definition, runtime.settings, runtime.client, runtime.log).load(case)


async def test_the_cache_may_be_absent_stale_or_of_another_fingerprint(runtime: Runtime) -> None:
    case = await toy.begin_case(runtime)
    await toy.add_fact(runtime, case, "one")
    cases = runtime.database["cases"]
    assert (await fold_with_cache(runtime, case)).state.facts == ("one",)  # absent
    await runtime.streams.keep_cache({case: 1_000_000})
    lagging = await cases.find_one({"_id": case})
    assert lagging is not None
    assert lagging["last"]["version"] == 2
    await toy.add_fact(runtime, case, "two")
    assert (await fold_with_cache(runtime, case)).state.facts == ("one", "two")  # lagging
    await runtime.streams.keep_cache({case: 1_000_000})
    await cases.replace_one({"_id": case}, lagging)
    assert (await fold_with_cache(runtime, case)).state.facts == ("one", "two")  # put back
    await cases.update_one({"_id": case}, {"$set": {"last.fingerprint": "another"}})
    assert (await fold_with_cache(runtime, case)).state.facts == ("one", "two")
    await runtime.streams.keep_cache({case: 1_000_000})
    healed = await cases.find_one({"_id": case})
    assert healed is not None
    assert healed["last"]["fingerprint"] != "another"
    assert healed["last"]["version"] == 3


async def test_the_cache_is_really_read(runtime: Runtime) -> None:
    """Otherwise the tests of forged caches would prove nothing: from the cached version on, only later commits are read."""
    case = await toy.begin_case(runtime)
    for number in range(5):
        await toy.add_fact(runtime, case, f"fact-{number}")
    await runtime.streams.keep_cache({case: 1_000_000})
    await runtime.database["commits"].delete_one({"stream": case, "version": 2})
    assert (await fold_with_cache(runtime, case)).version == 6


@pytest.mark.parametrize(
    "forgery",
    [
        {"version": 2},
        {"version": 1},
        {"version": 99},
        {"sequence": 1},
        {"sequence": 7},
        {"clinic": "elsewhere"},
        {"patient": "patient-2"},
        {"commit": "0" * 32},
        {"state": Binary(b"\0" * 64)},
        {"state": Binary(b"")},
    ],
    ids=lambda forgery: "-".join(f"{name}" for name in forgery),
)
async def test_a_forged_cache_changes_nothing(runtime: Runtime, forgery: dict[str, Any]) -> None:
    case = await toy.begin_case(runtime)
    for code in ("one", "two"):
        await toy.add_fact(runtime, case, code)
    true = await runtime.load(case)
    await runtime.streams.keep_cache({case: 1_000_000})
    await runtime.database["cases"].update_one({"_id": case}, {"$set": {f"last.{name}": value for name, value in forgery.items()}})
    seen = await fold_with_cache(runtime, case)
    assert seen == true
    elsewhere = Runtime(runtime.definition, runtime.settings, runtime.client, runtime.log)
    await toy.add_fact(elsewhere, case, "three")
    await assert_sound(runtime, case, ["one", "two", "three"])


async def test_a_cache_that_claims_a_version_to_come_heals_when_it_is_read(runtime: Runtime) -> None:
    """No true version would ever overwrite it, and work lists and deadlines would stand still."""
    case = await toy.begin_case(runtime)
    await toy.keep_cache(runtime, case)
    cases = runtime.database["cases"]
    await cases.update_one({"_id": case}, {"$set": {"last.version": 99, "last.status": "forged"}})
    await fold_with_cache(runtime, case)
    entry = await cases.find_one({"_id": case})
    assert entry is not None
    assert (entry["last"]["version"], entry["last"]["status"]) == (1, "open")


async def test_a_cached_state_of_an_older_version_is_not_passed_off_as_a_newer_one(runtime: Runtime) -> None:
    """Version and commit of now, sealed state of yesterday: each is genuine, their combination is not."""
    case = await toy.begin_case(runtime)
    await toy.add_fact(runtime, case, "one")
    await runtime.streams.keep_cache({case: 1_000_000})
    cases = runtime.database["cases"]
    yesterday = await cases.find_one({"_id": case})
    assert yesterday is not None
    await toy.add_fact(runtime, case, "two")
    await runtime.streams.keep_cache({case: 1_000_000})
    await cases.update_one({"_id": case}, {"$set": {"last.state": yesterday["last"]["state"]}})
    assert (await fold_with_cache(runtime, case)).state.facts == ("one", "two")


async def test_sealed_states_swapped_between_two_cases_are_not_believed(runtime: Runtime) -> None:
    one, two = await toy.begin_case(runtime), await toy.begin_case(runtime)
    await toy.add_fact(runtime, one, "of-one")
    await toy.add_fact(runtime, two, "of-two")
    await toy.keep_cache(runtime, one, two)
    cases = runtime.database["cases"]
    entries = {entry["_id"]: entry async for entry in cases.find()}
    await cases.update_one({"_id": one}, {"$set": {"last.state": entries[two]["last"]["state"]}})
    await cases.update_one({"_id": two}, {"$set": {"last.state": entries[one]["last"]["state"]}})
    assert (await fold_with_cache(runtime, one)).state.facts == ("of-one",)
    assert (await fold_with_cache(runtime, two)).state.facts == ("of-two",)


async def test_a_damaged_cache_entry_harms_nobody(runtime: Runtime) -> None:
    one, two = await toy.begin_case(runtime), await toy.begin_case(runtime)
    await toy.keep_cache(runtime, one, two)
    await runtime.database["cases"].update_one({"_id": one}, {"$unset": {"last.state": "", "last.fingerprint": "", "last.version": ""}})
    elsewhere = Runtime(runtime.definition, runtime.settings, runtime.client, runtime.log)
    loaded = await asyncio.gather(elsewhere.load(one), elsewhere.load(two))
    assert [item.version for item in loaded] == [1, 1]


async def test_wrapped_keys_swapped_between_two_cases_stop_these_two_alone(runtime: Runtime) -> None:
    cases = [await toy.begin_case(runtime) for _ in range(3)]
    vault = runtime.client[f"{runtime.settings.database_prefix}_vault"]["keys"]
    wrapped = {entry["_id"]: entry["wrapped"] async for entry in vault.find()}
    await vault.update_one({"_id": cases[0]}, {"$set": {"wrapped": wrapped[cases[1]]}})
    await vault.update_one({"_id": cases[1]}, {"$set": {"wrapped": wrapped[cases[0]]}})
    elsewhere = Runtime(runtime.definition, runtime.settings, runtime.client, runtime.log)
    loaded = await asyncio.gather(*(elsewhere.load(case) for case in cases), return_exceptions=True)
    assert isinstance(loaded[0], KeyMissing)
    assert isinstance(loaded[1], KeyMissing)
    assert not isinstance(loaded[2], BaseException)


async def test_a_stream_of_no_kind_fails_alone(runtime: Runtime) -> None:
    case = await toy.begin_case(runtime)
    elsewhere = Runtime(runtime.definition, runtime.settings, runtime.client, runtime.log)
    results = await asyncio.gather(elsewhere.load("partner-unknown-here"), elsewhere.load(case), return_exceptions=True)
    assert isinstance(results[0], KeyError)
    assert not isinstance(results[1], BaseException)


async def test_an_erased_key_silences_the_case_and_is_never_made_again(runtime: Runtime) -> None:
    key = uuid.uuid4().hex
    case, begun = f"case-{uuid.uuid4().hex}", http(key)
    origin = Origin("riverside", "patient-1")
    await runtime.decisions.run(case, states("begun"), begun, toy.CLINICIAN, origin=origin)
    await runtime.streams.keep_cache({case: 1_000_000})
    await runtime.vault.destroy(case)
    for process in (runtime, Runtime(runtime.definition, runtime.settings, runtime.client, runtime.log)):
        with pytest.raises(KeyMissing):
            await process.load(case)
        for cause in (begun, http()):
            with pytest.raises(KeyMissing):
                await process.decisions.run(case, states("again"), cause, toy.CLINICIAN, origin=origin)
    assert len(await commits_of(runtime, case)) == 1
    await runtime.database["commits"].delete_many({"stream": case})
    with pytest.raises(KeyMissing):  # not even a case without commits
        await runtime.decisions.run(case, states("again"), http(), toy.CLINICIAN, origin=origin)


class _Inserts(monitoring.CommandListener):
    """Sees which streams each insert carries."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name == "insert" and event.command["insert"] == "commits":
            self.batches.append([document["stream"] for document in event.command["documents"]])

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


async def test_writers_that_wait_share_inserts_with_at_most_one_commit_of_a_stream(mongo_url: str) -> None:
    seen = _Inserts()
    settings = toy.settings_for(mongo_url, "127.0.0.1:1", toy.unique())
    async with toy.runtime_of(toy.INTAKE, settings, event_listeners=[seen]) as runtime:
        cases = await asyncio.gather(*(toy.begin_case(runtime) for _ in range(10)))
        seen.batches.clear()
        writes = [(case, f"fact-{number}") for number in range(5) for case in cases]
        await asyncio.gather(*(toy.add_fact(runtime, case, code) for case, code in writes))
        for case in cases:
            await assert_sound(runtime, case, [f"fact-{number}" for number in range(5)])
    assert all(len(set(batch)) == len(batch) for batch in seen.batches)
    assert len(seen.batches) < sum(len(batch) for batch in seen.batches) / 2


async def test_an_event_that_is_too_large_is_refused_alone(runtime: Runtime) -> None:
    case, other = await toy.begin_case(runtime), await toy.begin_case(runtime)

    def huge(_state: toy.ToyCase, _context: Context) -> list[EventData]:
        few = tuple(Fact(kind="statement", code="x" * 2000, system="kapcare", label="y" * 2000) for _ in range(20))
        return [intake.FactsStated(facts=few)]

    results = await asyncio.gather(
        runtime.decisions.run(case, huge, http(), toy.CLINICIAN), toy.add_fact(runtime, other, "fine"), return_exceptions=True
    )
    assert isinstance(results[0], TooLarge)
    assert results[1] == 2
    assert len(await commits_of(runtime, case)) == 1


async def test_nothing_clinical_is_stored_in_the_clear(runtime: Runtime) -> None:
    """Whatever a decision says in event data, the databases hold it sealed: commits, cache and keys as raw bytes."""
    case = await toy.begin_case(runtime)
    canary = f"canary{uuid.uuid4().hex}"
    await toy.add_fact(runtime, case, canary)
    await runtime.streams.keep_cache({case: 1_000_000})
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(runtime.settings.mongo_url) as client:
        names = [name for name in await client.list_database_names() if name.startswith(runtime.settings.database_prefix)]
        collections: list[Any] = [client[name][collection] for name in names for collection in await client[name].list_collection_names()]
        documents = [document for collection in collections for document in await collection.find().to_list()]
    assert len(documents) >= 4
    assert not any(canary in repr(document) for document in documents)
