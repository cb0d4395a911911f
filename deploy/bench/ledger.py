"""The ledger bench: from appending to a signed checkpoint on a real mongod, what auditors ask of a large ledger, and its verification.

In each round as many entries are hashed and written to a file with an fsync for each batch (the raw limit), and appended until a
durable checkpoint covers them. Then entries come at a steady rate, and it is measured how long each waits for its checkpoint. Then
the ledger is filled up, asked, taken along as files, and verified by kap_verify.py in a process of its own.
"""

import asyncio
import hashlib
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

from pydantic_core import to_json
from pymongo import AsyncMongoClient

from deploy.auditing.mirror import mirror
from deploy.auditing.verifier import verify
from deploy.bench.figures import percentile
from deploy.local.failure import StackError
from deploy.local.mongod import start_mongod
from deploy.local.ports import free_port
from services.audit.checkpoints import Checkpoints, KeptCheckpoint
from services.audit.domain.entry import entry_bytes
from services.audit.domain.query import Parameters, read_page
from services.audit.domain.tiles import BundlePlace, read_path
from services.audit.ledger import Ledger
from services.audit.reading import Reader
from services.audit.renderings import row_of
from services.audit.signing import LogKey, Signer
from services.audit.tiles import KeptTiles
from shared.clock import system_now
from shared.events.base import Envelope
from shared.events.codec import CONTENT_TYPE, Sealed, time_text
from shared.telemetry.logs import configure_logs
from shared.telemetry.metrics import Metrics
from shared.transport.arrival import Arrival
from shared.transport.lease import Lease

ORIGIN: Final = "bench.example/ledger"
AT_ONCE: Final = 500
DATA_BYTES: Final = 300
ROUNDS: Final = 5
STEADY_PER_S: Final = 1_200
STEADY_STEP_SECONDS: Final = 0.05
OPEN_CASES: Final = 500
EVENTS_OF_A_CASE: Final = 40
ASKED: Final = 100
"""Pages of each kind."""
PATIENCE_SECONDS: Final = 120.0
LEAST_ENTRIES: Final = 20_000
MILLION: Final = 1_000_000
BEGIN: Final = datetime(2026, 1, 5, 8, tzinfo=UTC)
EVERY: Final = timedelta(seconds=20)
"""Between one event and the next: a million of them take 231 days."""

Say = Callable[[str], None]


@dataclass
class Measured:
    """What was measured; lists hold one value for each round, or for each entry or page."""

    per_s: list[float] = field(default_factory=list)
    raw_per_s: list[float] = field(default_factory=list)
    waited_s: list[float] = field(default_factory=list)
    steady_per_s: float = 0.0
    pages_ms: dict[str, list[float]] = field(default_factory=dict)
    verify_s: float = 0.0
    entries: int = 0


class _TimedCheckpoints(Checkpoints):
    """Notes when each checkpoint was durable."""

    def __init__(self, collection: Any) -> None:
        super().__init__(collection)
        self.durable: list[tuple[int, float]] = []
        self._more = asyncio.Event()

    async def keep(self, checkpoint: KeptCheckpoint) -> KeptCheckpoint:
        kept = await super().keep(checkpoint)
        self.durable.append((kept.size, time.monotonic()))
        self._more.set()
        return kept

    async def reached(self, size: int) -> float:
        """Wait for the first checkpoint of at least this size; when it was durable."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.durable or self.durable[-1][0] < size:
                self._more.clear()
                await self._more.wait()
        return next(at for reached, at in self.durable if reached >= size)


async def measure(entries: int, say: Say) -> Measured:
    """Measure everything; raises StackError if the ledger that was measured does not hold."""
    measured = Measured(entries=entries)
    with TemporaryDirectory(prefix="kapcare-bench-") as folder:
        async with _bench(Path(folder)) as bench:
            share = min(20_000, entries // 10)
            for number in range(ROUNDS):
                say(f"round {number + 1} of {ROUNDS}: {share:,} entries, and the raw limit")
                await bench.one_round(share, Path(folder), measured)
            say("a steady rate")
            await bench.steady(min(10.0, entries / 4 / STEADY_PER_S), measured)
            await bench.fill_up(entries, say)
            say("asking for pages")
            await bench.ask(measured)
            directory = Path(folder) / "files"
            await bench.take_along(directory, say)
            say("kap_verify.py reads it all")
            began = time.monotonic()
            told = await verify("tiles", directory, str(bench.key.public))
            measured.verify_s = time.monotonic() - began
            if (told["verdict"], told.get("size")) != ("holds", entries):
                raise StackError(f"the ledger that was measured does not hold: {told['message']}")
    return measured


def summarise(measured: Measured) -> dict[str, Any]:
    """Return everything as one JSON object; `verify_million_s` is in proportion where there are fewer entries."""
    worst = {kind: percentile(sorted(pages), 99) for kind, pages in measured.pages_ms.items()}
    return {
        "entries_per_s": round(median(measured.per_s)),
        "checkpoint_age_p99_s": round(percentile(sorted(measured.waited_s), 99), 3),
        "verify_million_s": round(measured.verify_s * MILLION / measured.entries, 1),
        "query_p99_ms": round(max(worst.values()), 1),
        "raw_ratio": round(median(one / raw for one, raw in zip(measured.per_s, measured.raw_per_s, strict=True)), 3),
        "raw_per_s": round(median(measured.raw_per_s)),
        "steady_per_s": round(measured.steady_per_s),
        "verify_s": round(measured.verify_s, 1),
        "entries": measured.entries,
        "pages_p99_ms": {kind: round(value, 1) for kind, value in worst.items()},
        "rounds": ROUNDS,
    }


@asynccontextmanager
async def _bench(folder: Path) -> AsyncIterator["_Bench"]:
    async with AsyncExitStack() as ends:
        mongod = await start_mongod(folder / "mongo", folder / "mongod.log", free_port(), cache_gb=1.0)
        ends.push_async_callback(mongod.stop)
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            mongod.url, w="majority", journal=True, readConcernLevel="majority", tz_aware=True
        )
        ends.push_async_callback(client.close)
        bench = _Bench(client["bench_audit"])
        await bench.ledger.prepare()
        signing = asyncio.create_task(bench.signer.run())
        try:
            yield bench
        finally:
            await bench.signer.stop()
            await asyncio.wait({signing}, timeout=10)
            signing.cancel()
        await signing


class _Bench:
    """The parts of the audit service that are measured, in this process."""

    def __init__(self, database: Any) -> None:
        self.key = LogKey.of_seed(ORIGIN, os.urandom(32))
        self.ledger = Ledger(database["entries"])
        self.tiles = KeptTiles(database["tiles"], database["entries"])
        self.checkpoints = _TimedCheckpoints(database["checkpoints"])
        lease = Lease(database["leases"], "signer", 5.0)
        log = configure_logs("bench", "ERROR")
        self.signer = Signer(database["entries"], self.tiles, self.checkpoints, lease, self.key, system_now, Metrics("audit"), log)
        self._events = _events(random.Random(7))
        self._cases: list[Envelope] = []

    async def one_round(self, count: int, folder: Path, measured: Measured) -> None:
        """Append until a checkpoint covers it, and write the same number of the same bytes to a file."""
        batches = [self._batch(min(AT_ONCE, count - begin)) for begin in range(0, count, AT_ONCE)]
        await asyncio.sleep(0.5)  # what came before is signed
        began = time.monotonic()
        for batch in batches:
            await self.ledger.append(batch)
        measured.per_s.append(count / (await self.checkpoints.reached(self.ledger.size) - began))
        encoded = [[entry_bytes(one.sealed.headers, None, one.sealed.data) for one in batch] for batch in batches]
        measured.raw_per_s.append(count / await asyncio.to_thread(_write_raw, folder / "raw", encoded))

    async def steady(self, seconds: float, measured: Measured) -> None:
        """Append at a steady rate; how long after it was durable each entry was under a durable checkpoint."""
        step = round(STEADY_PER_S * STEADY_STEP_SECONDS)
        batches = [self._batch(step) for _ in range(max(2, round(seconds / STEADY_STEP_SECONDS)))]
        await asyncio.sleep(0.5)
        began = due = time.monotonic()
        durable: list[tuple[int, float]] = []
        for batch in batches:
            await asyncio.sleep(due - time.monotonic())
            due += STEADY_STEP_SECONDS
            await self.ledger.append(batch)
            durable.append((self.ledger.size, time.monotonic()))
        measured.steady_per_s = step * len(batches) / (durable[-1][1] - began)
        for size, at in durable:
            measured.waited_s.extend([max(0.0, await self.checkpoints.reached(size) - at)] * step)

    async def fill_up(self, entries: int, say: Say) -> None:
        """Append until there are so many, and wait until all of them are signed."""
        while self.ledger.size < entries:
            say(f"filling up: {self.ledger.size:,} of {entries:,} entries")
            for _ in range(20):
                await self.ledger.append(self._batch(min(AT_ONCE, entries - self.ledger.size)))
                if self.ledger.size == entries:
                    break
            await self.checkpoints.reached(self.ledger.size - 200 * AT_ONCE)
        await self.checkpoints.reached(entries)

    async def ask(self, measured: Measured) -> None:
        """Ask for pages anywhere in the ledger: the first of an answer, one amid it, the last."""
        chance, reader = random.Random(11), Reader(self.ledger.entries)
        for kind, query in _queries(chance, self._cases, self.ledger.size).items():
            pages = measured.pages_ms.setdefault(kind, [])
            for number in range(ASKED):
                asked = query(number)
                began = time.monotonic()
                found = await reader.page(*read_page(asked))
                to_json([row_of(entry) for entry in found])
                pages.append((time.monotonic() - began) * 1000)

    async def take_along(self, directory: Path, say: Say) -> None:
        """Write the ledger's files, as an auditor's mirror does."""

        async def fetch(path: str) -> bytes:
            if path == "checkpoint":
                last = await self.checkpoints.latest()
                assert last is not None, "all is signed"
                return last.text.encode()
            place = read_path(path)
            if isinstance(place, BundlePlace):
                return await self.tiles.bundle(place)
            return (await self.tiles.read([place]))[place].to_bytes()

        await mirror(directory, fetch, self.key.public, lambda done, of: say(f"taking it along: {done:,} of {of:,} files"))

    def _batch(self, count: int) -> list[Arrival]:
        batch = [next(self._events) for _ in range(count)]
        self._cases.extend(one.envelope for one in batch[::50])
        return batch


def _events(chance: random.Random) -> Iterator[Arrival]:
    """Yield events of many cases that go on at the same time, each with its sealed data."""
    open_cases: list[list[Any]] = []
    number = 0
    while True:
        if len(open_cases) < OPEN_CASES:
            open_cases.append([f"case-{chance.randbytes(16).hex()}", f"patient-{chance.randbytes(16).hex()}", chance.randrange(12), 0])
        case = open_cases[chance.randrange(len(open_cases))]
        case[3] += 1
        # Some come late, as after a service was down.
        late = timedelta(hours=chance.randrange(48)) if chance.random() < 0.001 else timedelta(0)
        yield _arrival(case[0], case[1], f"clinic-{case[2]}", case[3], BEGIN + number * EVERY - late, chance)
        number += 1
        if case[3] == EVENTS_OF_A_CASE:
            open_cases.remove(case)


def _arrival(case: str, patient: str, clinic: str, sequence: int, at: datetime, chance: random.Random) -> Arrival:
    identity, drawn = f"{case}.{sequence}", chance.random()
    # A third is entered within the hour, a fiftieth days later: the only ones that lie apart from when they happened.
    before = timedelta(days=30 * chance.random()) if drawn < 0.02 else timedelta(minutes=60 * chance.random()) if drawn < 1 / 3 else None
    happened = None if before is None else at - before
    kind = f"kapcare.intake.{('FactsStated', 'InstrumentAnswered', 'StopNoted', 'StepRefused')[chance.randrange(4)]}.v1"
    envelope = Envelope(
        id=identity,
        source="urn:kapcare:intake",
        type=kind,
        subject=case,
        time=at,
        sequence=sequence,
        clinic=clinic,
        patient=patient,
        actor=f"clinician-{chance.randrange(200)}",
        correlation=identity,
        happened=happened,
    )
    headers = {
        "content-type": CONTENT_TYPE,
        "ce_specversion": "1.0",
        "ce_id": identity,
        "ce_source": envelope.source,
        "ce_type": kind,
        "ce_subject": case,
        "ce_time": time_text(at),
        "ce_sequence": f"{sequence:020d}",
        "ce_clinic": clinic,
        "ce_patient": patient,
        "ce_actor": envelope.actor,
        "ce_correlationid": identity,
        **({} if happened is None else {"ce_happened": time_text(happened)}),
    }
    return Arrival(envelope, Sealed(headers, chance.randbytes(DATA_BYTES)), "kapcare.intake.v1", 0, 0)


def _queries(chance: random.Random, cases: Sequence[Envelope], size: int) -> Mapping[str, Callable[[int], Parameters]]:
    def any_case() -> Envelope:
        return chance.choice(cases)

    def asked(after: int | None = None, **filters: str) -> Parameters:
        return [*filters.items(), *([] if after is None else [("cursor", str(after))])]

    def anywhere() -> int | None:
        return chance.choice((None, chance.randrange(size), size - chance.randrange(1, 200)))

    def range_of_time(number: int, of: str = "") -> Parameters:
        begin = BEGIN + chance.randrange(size) * EVERY
        length = timedelta(days=(1, 7, 30, 365)[number % 4])
        within = round((begin - BEGIN) / EVERY) + chance.randrange(max(1, round(length / EVERY)))
        return asked(chance.choice((None, within)), **{f"{of}from": time_text(begin), f"{of}to": time_text(begin + length)})

    return {
        "case": lambda _: asked(case=any_case().subject),
        "patient": lambda _: asked(patient=any_case().patient),
        "clinic": lambda _: asked(anywhere(), clinic=any_case().clinic),
        "actor": lambda _: asked(anywhere(), actor=any_case().actor),
        "type": lambda _: asked(anywhere(), type=any_case().type),
        "time": range_of_time,
        "happened": lambda number: range_of_time(number, of="happened_"),
    }


def _write_raw(file: Path, batches: Sequence[Sequence[bytes]]) -> float:
    """Hash each entry, and write each batch with an fsync; returns the seconds it took."""
    began = time.monotonic()
    with file.open("wb") as out:
        for batch in batches:
            for entry in batch:
                hashlib.sha256(b"\x00" + entry).digest()
            out.write(b"".join(batch))
            out.flush()
            os.fsync(out.fileno())
    return time.monotonic() - began
