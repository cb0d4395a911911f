"""A store that neither answers nor closes: its process stands still. Expectations: callers are told within a bound, nothing is lost,
and whoever tries again with the same key has one effect (design, section 2)."""

import asyncio
import os
import signal
import time
import uuid
from pathlib import Path

import pytest
from pymongo.errors import PyMongoError

from deploy.local.mongod import start_mongod
from deploy.local.ports import free_port
from shared.log.errors import StoreUnavailable, TooContended
from shared.log.store import is_transient
from shared.service.runtime import Runtime
from tests import toy
from tests.faults.injected import commits_of


async def test_a_store_that_stands_still_is_given_up_within_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.log.store.RESEND_SECONDS", 1.0)
    monkeypatch.setattr("shared.log.decisions.TURN_SECONDS", 1.0)
    running = await start_mongod(tmp_path / "data", tmp_path / "log", free_port())
    try:
        settings = toy.settings_for(running.url, "127.0.0.1:1", toy.unique())
        async with toy.runtime_of(toy.INTAKE, settings, heartbeatFrequencyMS=1000, connectTimeoutMS=1000) as runtime:
            case, key = await toy.begin_case(runtime), uuid.uuid4().hex
            os.kill(running.child.pid, signal.SIGSTOP)
            began = time.monotonic()
            callers = [asyncio.create_task(toy.add_fact(runtime, case, "fact", key=key)) for _ in range(3)]
            results = await asyncio.wait_for(asyncio.gather(*callers, return_exceptions=True), 60)
            assert time.monotonic() - began < 60
            assert all(_told(result) for result in results), results
            os.kill(running.child.pid, signal.SIGCONT)
            await toy.eventually(lambda: _written(runtime, case, key))
            assert [commit.version for commit in await commits_of(runtime, case)] == [1, 2]
    finally:
        os.kill(running.child.pid, signal.SIGCONT)
        await running.kill()


def _told(result: object) -> bool:
    return isinstance(result, StoreUnavailable | TooContended) or (isinstance(result, PyMongoError) and is_transient(result))


async def _written(runtime: Runtime, case: str, key: str) -> bool:
    try:
        return await toy.add_fact(runtime, case, "fact", key=key) == 2
    except (PyMongoError, StoreUnavailable, TooContended) as error:
        if not _told(error):
            raise
        return False
