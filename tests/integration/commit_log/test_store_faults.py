"""Write concern errors, lost replies, a store that is down (F1, F2, F13 to F15)."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from deploy.local.mongod import start_mongod
from deploy.local.ports import free_port
from shared.log.errors import StoreUnavailable
from shared.service.runtime import Runtime
from tests import toy
from tests.faults.injected import LossyProxy, commits_of, failing
from tests.integration.commit_log.decided import NOT_PRIMARY, WRITE_CONCERN_FAILED, assert_sound, http, states


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
