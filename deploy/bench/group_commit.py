"""Group commit beside one insert for each commit: the same documents, the same indexes, the same writers at once. A job of its own."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from pymongo import AsyncMongoClient

from deploy.bench import sample
from deploy.bench.jobs import do_job
from deploy.local.failure import StackError
from shared.events.base import Envelope
from shared.events.codec import Sealed, seal
from shared.events.intake import ScreeningCompleted
from shared.events.topics import source_of
from shared.log.commit import Commit
from shared.log.store import Appended, CommitStore
from shared.vault.port import CaseKey

Write = Callable[[Commit], Awaitable[object]]


async def work(specification: Mapping[str, Any], ready: Callable[[], None]) -> Mapping[str, Any]:
    """Return the commits per second of both ways, each checked against the documents that are there."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        specification["mongo"], w="majority", journal=True, readConcernLevel="majority", tz_aware=True
    )
    ready()
    sealed = _sealed_event()
    rates: dict[str, float] = {}
    async with client:
        database = client[specification["database"]]
        for way in specification["order"]:
            store = CommitStore(database[way])
            await store.create_indexes()

            async def grouped(commit: Commit, store: CommitStore = store) -> None:
                if not isinstance(await store.append(commit), Appended):
                    raise StackError("a commit was not appended")

            async def one_by_one(commit: Commit, store: CommitStore = store) -> None:
                await store.collection.insert_one(commit.to_document())

            write: Write = grouped if way == "grouped" else one_by_one
            await _write_for(min(0.5, specification["seconds"]), specification["writers"], write, sealed)
            before = await store.collection.count_documents({})
            written, took = await _write_for(specification["seconds"], specification["writers"], write, sealed)
            if await store.collection.count_documents({}) - before != written:
                raise StackError(f"{way}: {written} commits were acknowledged, and another number is stored")
            rates[way] = written / took
        await client.drop_database(specification["database"])
    return rates


async def _write_for(seconds: float, writers: int, write: Write, sealed: Sealed) -> tuple[int, float]:
    """Let the writers write one commit after the other; returns how many, and the seconds it took."""
    started = time.monotonic()
    written = 0

    async def keep_writing() -> None:
        nonlocal written
        while time.monotonic() - started < seconds:
            await write(_commit(sealed))
            written += 1

    await asyncio.gather(*(keep_writing() for _ in range(writers)))
    return written, time.monotonic() - started


def _sealed_event() -> Sealed:
    now = datetime.now(UTC)
    event = ScreeningCompleted(summary=sample.summary(now), completed_at=now, policy_version="bench")
    envelope = Envelope(
        id=f"{uuid.uuid4().hex}.0",
        source=source_of("intake"),
        type=event.TYPE,
        subject=_case(),
        time=now,
        sequence=6,
        clinic=sample.CLINIC,
        patient=f"patient-{uuid.uuid4().hex}",
        actor="bench",
        correlation=uuid.uuid4().hex,
    )
    return seal(event, envelope, CaseKey(b"k" * 32))


def _commit(sealed: Sealed) -> Commit:
    return Commit(
        id=uuid.uuid4().hex,
        stream=_case(),
        version=6,
        first_sequence=6,
        cause=f"http:bench/bench/{uuid.uuid4().hex}",
        receipt=True,
        request_mac=b"m" * 32,
        actor="bench",
        at=datetime.now(UTC),
        trace=None,
        events=(sealed,),
    )


def _case() -> str:
    return f"case-{uuid.uuid4().hex}"


if __name__ == "__main__":
    do_job(work)
