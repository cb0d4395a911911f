"""The commit log against a real mongod. Expectations: one cause, one effect; versions and sequences contiguous from 1;
done means durable; a cache is never believed against the commits (design, section 2; fault rows F1, F2, F13-F15, F18, F37)."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from bson import Binary
from pymongo import AsyncMongoClient, monitoring

from deploy.local.mongod import start_mongod
from deploy.local.ports import free_port
from shared.events import intake
from shared.events.base import EventData
from shared.events.clinical import Fact
from shared.events.codec import TooLarge
from shared.log.commit import Cause
from shared.log.decisions import NothingDecided
from shared.log.errors import ReceiptReused, StaleVersion, StoreUnavailable, StreamBroken
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.service.definition import Origin
from shared.service.runtime import Runtime
from shared.vault.port import KeyMissing
from tests import toy
from tests.faults.injected import LossyProxy, commits_of, failing

MAC = b"m" * 32
NOT_PRIMARY = 10107
WRITE_CONCERN_FAILED = 64


@pytest_asyncio.fixture
async def runtime(mongo_url: str) -> AsyncIterator[Runtime]:
    async with toy.runtime_of(toy.INTAKE, toy.settings_for(mongo_url, "127.0.0.1:1", toy.unique())) as made:
        yield made


def http(key: str | None = None, mac: bytes = MAC) -> Cause:
    return Cause.http("test", "clinician", key or uuid.uuid4().hex, mac)


def states(*codes: str) -> Any:
    """A decision that states facts, one event each; refused when the first is known already."""

    def decide(state: toy.ToyCase, _context: Context) -> list[EventData]:
        if codes[0] in state.facts:
            raise Refusal("already-stated", "This fact is known.")
        return [intake.FactsStated(facts=(Fact(kind="statement", code=code, system="kapcare", label="toy"),)) for code in codes]

    return decide


async def assert_sound(runtime: Runtime, stream: str, effects: Sequence[str]) -> None:
    """The stored commits are contiguous, and their effects are these, once each."""
    commits = await commits_of(runtime, stream)
    assert [commit.version for commit in commits] == list(range(1, len(commits) + 1))
    sequences = [int(event.headers["ce_sequence"]) for commit in commits for event in commit.events]
    assert sequences == list(range(1, len(sequences) + 1))
    assert [commit.first_sequence for commit in commits] == [int(commit.events[0].headers["ce_sequence"]) for commit in commits]
    fresh = Runtime(runtime.definition, runtime.settings, runtime.client, runtime.log)
    loaded = await fresh.load(stream)
    assert sorted(loaded.state.facts) == sorted(effects)
    assert (await runtime.load(stream)).state == loaded.state


async def test_thirty_writers_on_one_stream_all_have_their_effect_once(runtime: Runtime) -> None:
    case = await toy.begin_case(runtime)
    codes = [f"fact-{number}" for number in range(30)]
    versions = await asyncio.gather(*(toy.add_fact(runtime, case, code) for code in codes))
    assert sorted(versions) == list(range(2, 32))
    await assert_sound(runtime, case, codes)


async def test_writers_of_several_processes_on_one_stream(runtime: Runtime) -> None:
    case = await toy.begin_case(runtime)
    others = [Runtime(runtime.definition, runtime.settings, runtime.client, runtime.log) for _ in range(4)]
    codes = [f"fact-{number}" for number in range(32)]
    await asyncio.gather(*(toy.add_fact(others[number % 4], case, code) for number, code in enumerate(codes)))
    await assert_sound(runtime, case, codes)


async def test_commits_of_several_events_keep_sequences_contiguous(runtime: Runtime) -> None:
    case = await toy.begin_case(runtime)
    codes = [[f"{number}-{part}" for part in range(1 + number % 4)] for number in range(12)]
    await asyncio.gather(*(runtime.decisions.run(case, states(*few), http(), toy.CLINICIAN) for few in codes))
    await assert_sound(runtime, case, [code for few in codes for code in few])


async def test_the_same_cause_at_once_and_later_is_one_commit(runtime: Runtime) -> None:
    case = await toy.begin_case(runtime)
    cause = http()
    first = await asyncio.gather(*(runtime.decisions.run(case, states("once"), cause, toy.CLINICIAN) for _ in range(8)))
    await toy.add_fact(runtime, case, "later")
    again = await runtime.decisions.run(case, states("once"), cause, toy.CLINICIAN)
    assert len({committed.commit.id for committed in (*first, again)}) == 1
    assert sum(not committed.replayed for committed in first) == 1
    assert again.replayed
    assert again.version == 2
    assert [recorded.envelope.id for recorded in again.recorded] == [recorded.envelope.id for recorded in first[0].recorded]
    await assert_sound(runtime, case, ["once", "later"])


async def test_a_case_that_begins_twice_at_once_begins_once(runtime: Runtime) -> None:
    case, cause, origin = f"case-{uuid.uuid4().hex}", http(), Origin("riverside", "patient-1")

    async def begin() -> str:
        committed = await runtime.decisions.run(case, states("begun"), cause, toy.CLINICIAN, origin=origin)
        return committed.commit.id

    assert len(set(await asyncio.gather(*(begin() for _ in range(8))))) == 1
    await assert_sound(runtime, case, ["begun"])


async def test_a_retry_gets_its_first_answer_when_its_decision_would_now_be_empty(runtime: Runtime) -> None:
    case = await toy.begin_case(runtime)
    cause = http()

    def decide(state: toy.ToyCase, context: Context) -> list[EventData]:
        return [] if "new" in state.facts else states("new")(state, context)

    first = await runtime.decisions.run(case, decide, cause, toy.CLINICIAN)
    again = await runtime.decisions.run(case, decide, cause, toy.CLINICIAN)
    assert again.replayed
    assert again.commit.id == first.commit.id
    with pytest.raises(NothingDecided):
        await runtime.decisions.run(case, decide, http(), toy.CLINICIAN)


async def test_the_same_receipt_on_another_stream_has_no_second_effect(runtime: Runtime) -> None:
    one, two = await toy.begin_case(runtime), await toy.begin_case(runtime)
    cause = http()
    first = await runtime.decisions.run(one, states("fact"), cause, toy.CLINICIAN)
    again = await runtime.decisions.run(two, states("fact"), cause, toy.CLINICIAN)
    assert again.replayed
    assert again.commit.id == first.commit.id
    await assert_sound(runtime, two, [])


async def test_receipts_on_two_streams_at_once_have_one_effect(runtime: Runtime) -> None:
    cases = [await toy.begin_case(runtime) for _ in range(6)]
    cause = http()
    all_of_them = await asyncio.gather(*(runtime.decisions.run(case, states("fact"), cause, toy.CLINICIAN) for case in cases))
    assert len({committed.commit.id for committed in all_of_them}) == 1
    assert [code for case in cases for code in (await runtime.load(case)).state.facts] == ["fact"]


async def test_the_same_key_for_another_request_is_refused(runtime: Runtime) -> None:
    case = await toy.begin_case(runtime)
    await runtime.decisions.run(case, states("fact"), http("key"), toy.CLINICIAN)
    other = http("key", mac=b"x" * 32)
    for decide in (states("another"), states("fact")):
        with pytest.raises(ReceiptReused):
            await runtime.decisions.run(case, decide, other, toy.CLINICIAN)
    with pytest.raises(ReceiptReused):
        await runtime.decisions.run(case, states("another"), other, toy.CLINICIAN, if_match=1)
    await assert_sound(runtime, case, ["fact"])


async def test_a_stale_if_match_is_refused_and_its_retry_is_not(runtime: Runtime) -> None:
    case = await toy.begin_case(runtime)
    cause = http()
    first = await runtime.decisions.run(case, states("one"), cause, toy.CLINICIAN, if_match=1)
    with pytest.raises(StaleVersion) as stale:
        await runtime.decisions.run(case, states("two"), http(), toy.CLINICIAN, if_match=1)
    assert stale.value.current == 2
    again = await runtime.decisions.run(case, states("one"), cause, toy.CLINICIAN, if_match=1)
    assert again.commit.id == first.commit.id


async def test_of_writers_with_the_same_if_match_one_wins(runtime: Runtime) -> None:
    case = await toy.begin_case(runtime)
    results = await asyncio.gather(
        *(runtime.decisions.run(case, states(f"fact-{number}"), http(), toy.CLINICIAN, if_match=1) for number in range(10)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, StaleVersion) for result in results) == 9
    assert len(await commits_of(runtime, case)) == 2


@pytest.mark.parametrize("times", [1, 3])
async def test_a_write_concern_error_is_resolved_to_done_once(runtime: Runtime, times: int) -> None:
    """The documents are inserted although the answer is an error: neither success nor failure may be assumed."""
    cases = [await toy.begin_case(runtime) for _ in range(3)]
    async with failing(runtime, ["insert"], times, writeConcernError={"code": WRITE_CONCERN_FAILED, "errmsg": "no majority"}):
        committed = await asyncio.gather(*(runtime.decisions.run(case, states("fact"), http(), toy.CLINICIAN) for case in cases))
    for case, one in zip(cases, committed, strict=True):
        assert not one.replayed
        stored = await commits_of(runtime, case)
        assert [commit.id for commit in stored[1:]] == [one.commit.id]
        await assert_sound(runtime, case, ["fact"])


async def test_a_write_concern_error_beside_a_taken_version(runtime: Runtime) -> None:
    """One insert with a duplicate key and an unknown outcome together: each finds its own way."""
    case, other = await toy.begin_case(runtime), await toy.begin_case(runtime)
    elsewhere = Runtime(runtime.definition, runtime.settings, runtime.client, runtime.log)
    await runtime.load(case)
    await toy.add_fact(elsewhere, case, "first")
    async with failing(runtime, ["insert"], 2, writeConcernError={"code": WRITE_CONCERN_FAILED, "errmsg": "no majority"}):
        await asyncio.gather(toy.add_fact(runtime, case, "second"), toy.add_fact(runtime, other, "third"))
    await assert_sound(runtime, case, ["first", "second"])
    await assert_sound(runtime, other, ["third"])


@pytest.mark.parametrize(
    "how",
    [
        {"closeConnection": True},
        {"errorCode": NOT_PRIMARY},
        {"errorCode": 11602},  # interrupted: the primary steps down
        {"errorCode": 189, "errorLabels": ["RetryableWriteError"]},  # stepped down
    ],
    ids=["closed", "not-primary", "interrupted", "stepped-down"],
)
@pytest.mark.parametrize("times", [1, 4])
async def test_a_store_that_fails_for_a_moment_is_waited_for(runtime: Runtime, how: dict[str, Any], times: int) -> None:
    case = await toy.begin_case(runtime)
    async with failing(runtime, ["insert"], times, **how):
        await toy.add_fact(runtime, case, "fact")
    await assert_sound(runtime, case, ["fact"])


@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_a_lost_reply_is_asked_again_and_has_one_commit(mongo_url: str, lost: int) -> None:
    """The insert happens, its reply never arrives. The driver asks once more by itself; then it is ours to ask."""
    port = int(mongo_url.partition("127.0.0.1:")[2].partition("/")[0])
    async with LossyProxy(port).running() as proxy:
        url = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"
        async with toy.runtime_of(toy.INTAKE, toy.settings_for(url, "127.0.0.1:1", toy.unique())) as runtime:
            case = await toy.begin_case(runtime)
            proxy.replies_to_lose = lost
            committed = await runtime.decisions.run(case, states("fact"), http(), toy.CLINICIAN)
            assert proxy.lost == lost
            assert [commit.id for commit in (await commits_of(runtime, case))[1:]] == [committed.commit.id]
            await assert_sound(runtime, case, ["fact"])


async def test_a_store_that_stays_down_is_said_so_within_a_bound_and_a_retry_has_one_effect(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.log.store.RESEND_SECONDS", 1.0)
    case = await toy.begin_case(runtime)
    cause = http()
    began = time.monotonic()
    async with failing(runtime, ["insert"], closeConnection=True):
        with pytest.raises(StoreUnavailable):
            await runtime.decisions.run(case, states("fact"), cause, toy.CLINICIAN)
    assert time.monotonic() - began < 10
    await runtime.decisions.run(case, states("fact"), cause, toy.CLINICIAN)
    await assert_sound(runtime, case, ["fact"])


async def test_a_store_that_was_killed_is_back_with_all_that_was_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.log.store.RESEND_SECONDS", 1.0)
    monkeypatch.setattr("shared.log.decisions.TURN_SECONDS", 1.0)
    running = await start_mongod(tmp_path / "data", tmp_path / "log", free_port())
    try:
        settings = toy.settings_for(running.url, "127.0.0.1:1", toy.unique())
        async with toy.runtime_of(toy.INTAKE, settings) as runtime:
            case = await toy.begin_case(runtime)
            codes = [f"fact-{number}" for number in range(20)]
            writes = [asyncio.create_task(toy.add_fact(runtime, case, code, key=code)) for code in codes]
            await asyncio.wait(writes, return_when=asyncio.FIRST_COMPLETED)
            await running.kill()
            results = await asyncio.wait_for(asyncio.gather(*writes, return_exceptions=True), 60)
            acknowledged = [code for code, result in zip(codes, results, strict=True) if isinstance(result, int)]
            assert acknowledged
            running = await start_mongod(tmp_path / "data", tmp_path / "log", running.port)
            stored = await runtime.load(case)
            assert set(acknowledged) <= set(stored.state.facts)
            await asyncio.gather(*(toy.add_fact(runtime, case, code, key=code) for code in codes))
            await assert_sound(runtime, case, codes)
    finally:
        await running.kill()


async def test_a_cancelled_caller_does_not_cancel_the_others(runtime: Runtime) -> None:
    cases = [await toy.begin_case(runtime) for _ in range(10)]
    async with failing(runtime, ["insert"], 2, blockConnection=True, blockTimeMS=300):
        callers = [asyncio.create_task(toy.add_fact(runtime, case, "fact")) for case in cases]
        await asyncio.sleep(0.15)
        for caller in callers[::2]:
            caller.cancel()
        results = await asyncio.gather(*callers, return_exceptions=True)
        await runtime.store.drain()
    assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])
    assert results[1::2] == [2] * 5
    for case in cases:  # the cancelled ones were in the same batches
        await assert_sound(runtime, case, ["fact"])


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
    assert lagging["version"] == 2
    await toy.add_fact(runtime, case, "two")
    assert (await fold_with_cache(runtime, case)).state.facts == ("one", "two")  # lagging
    await runtime.streams.keep_cache({case: 1_000_000})
    await cases.replace_one({"_id": case}, lagging)
    assert (await fold_with_cache(runtime, case)).state.facts == ("one", "two")  # put back
    await cases.update_one({"_id": case}, {"$set": {"fingerprint": "another"}})
    assert (await fold_with_cache(runtime, case)).state.facts == ("one", "two")
    await runtime.streams.keep_cache({case: 1_000_000})
    healed = await cases.find_one({"_id": case})
    assert healed is not None
    assert healed["fingerprint"] != "another"
    assert healed["version"] == 3


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
    await runtime.database["cases"].update_one({"_id": case}, {"$set": forgery})
    seen = await fold_with_cache(runtime, case)
    assert seen == true
    elsewhere = Runtime(runtime.definition, runtime.settings, runtime.client, runtime.log)
    await toy.add_fact(elsewhere, case, "three")
    await assert_sound(runtime, case, ["one", "two", "three"])


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
    await cases.update_one({"_id": case}, {"$set": {"state": yesterday["state"]}})
    assert (await fold_with_cache(runtime, case)).state.facts == ("one", "two")


async def test_sealed_states_swapped_between_two_cases_are_not_believed(runtime: Runtime) -> None:
    one, two = await toy.begin_case(runtime), await toy.begin_case(runtime)
    await toy.add_fact(runtime, one, "of-one")
    await toy.add_fact(runtime, two, "of-two")
    await toy.keep_cache(runtime, one, two)
    cases = runtime.database["cases"]
    entries = {entry["_id"]: entry async for entry in cases.find()}
    await cases.update_one({"_id": one}, {"$set": {"state": entries[two]["state"]}})
    await cases.update_one({"_id": two}, {"$set": {"state": entries[one]["state"]}})
    assert (await fold_with_cache(runtime, one)).state.facts == ("of-one",)
    assert (await fold_with_cache(runtime, two)).state.facts == ("of-two",)


async def test_a_damaged_cache_entry_harms_nobody(runtime: Runtime) -> None:
    one, two = await toy.begin_case(runtime), await toy.begin_case(runtime)
    await toy.keep_cache(runtime, one, two)
    await runtime.database["cases"].update_one({"_id": one}, {"$unset": {"state": "", "fingerprint": "", "version": ""}})
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
