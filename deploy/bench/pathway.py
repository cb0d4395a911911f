"""The pathway bench: POST screening -> commit -> Kafka -> prescriber's commit -> Kafka -> ledger, by three builds in turn."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.bench.builds import BUILDS, Build, Evidence
from deploy.bench.figures import Calibration, Groups, Latency, Measured, Round, percentile
from deploy.bench.ground import FETCH_MAX_WAIT_MS, Ground, Running
from deploy.bench.jobs import start_job
from deploy.local.failure import StackError
from deploy.topics import PARTITIONS
from shared.events.access import InstanceStarted
from shared.events.topics import topic_of

WINDOW = 256
STARTED: Final = {"type": InstanceStarted.TYPE}
"""What the ledger holds beside the events of cases while nobody reads: that processes started."""
LATENCY_RATE = 100.0
WRITERS = 64
WARM_UP_CASES = 500
MOST_CASES = 60_000
LEDGER_POLL_SECONDS = 0.05
PATIENCE_SECONDS = 60.0
PREPARATION_PATIENCE_SECONDS = 600.0
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    rounds: int
    seconds: float
    profiles: Path | None = None


async def measure(options: Options, say: Say) -> list[Round]:
    """Measure every build in every round, each round beginning with another one; raises StackError if work is lost or doubled."""
    rates: dict[str, float] = {}
    rounds: list[Round] = []
    async with Ground(options.profiles) as ground:
        for number in range(options.rounds):
            first = number % len(BUILDS)
            measured: dict[str, Measured] = {}
            calibration = calibrate()
            say(f"round {number + 1}: group commit")
            groups = await _measure_groups(ground, options, number)
            for build in (*BUILDS[first:], *BUILDS[:first]):
                measured[build.name] = await _Turn(ground, build, options, number, say).run(rates)
            rounds.append(Round(calibration, groups, measured))
    return rounds


def calibrate() -> Calibration:
    """Time a loop that does nothing: how fast this machine is just now."""
    started = time.perf_counter()
    for _ in range(2_000_000):
        pass
    return Calibration(time.perf_counter() - started)


async def _measure_groups(ground: Ground, options: Options, number: int) -> Groups:
    ways = ("grouped", "one_by_one")
    specification = {
        "mongo": ground.mongo,
        "database": f"groups{number}",
        "order": ways if number % 2 == 0 else ways[::-1],
        "writers": WRITERS,
        "seconds": options.seconds / 2,
    }
    job = await start_job("deploy.bench.group_commit", specification, ground.folder)
    return Groups(**await job.finished(PATIENCE_SECONDS + 4 * options.seconds))


class _Turn:
    """One build in one round."""

    def __init__(self, ground: Ground, build: Build, options: Options, number: int, say: Say) -> None:
        self._ground = ground
        self._build = build
        self._options = options
        self._number = number
        self._tell = say
        self._posted: list[str] = []
        self._entries = 0

    async def run(self, rates: dict[str, float]) -> Measured:
        """Start it, warm it up, measure throughput, then latency, check what it stored, and end it."""
        self._say("starting")
        async with self._ground.running(self._build) as running:
            rate = await self._full_speed(running, WARM_UP_CASES, "warming up")
            count = min(MOST_CASES, int(max(rate, rates.get(self._build.name, 0.0)) * self._options.seconds) + WINDOW)
            before = _cpu_seconds(running)
            rates[self._build.name] = await self._full_speed(running, count, "full speed", before)
            cpu = {name: (after - before[name]) * 1000 / count for name, after in _cpu_seconds(running).items()}
            latency = await self._latency(running)
            self._say("checking what is stored")
            for evidence in self._build.evidence:
                await self._check(running, evidence)
        return Measured(count, rates[self._build.name], latency, cpu)

    def _say(self, text: str) -> None:
        self._tell(f"round {self._number + 1}: {self._build.title}: {text}")

    async def _prepare(self, running: Running, count: int) -> list[str]:
        try:
            async with asyncio.timeout(PREPARATION_PATIENCE_SECONDS):
                cases = await self._build.prepare(count, running.target)
        except (TimeoutError, OSError) as error:
            raise StackError(f"{self._build.title}: {count:,} cases were not prepared: {type(error).__name__}") from None
        await self._until_kept(running, count * self._build.entries_of_preparation)
        self._posted += cases
        return cases

    async def _full_speed(self, running: Running, count: int, what: str, cpu_before: dict[str, float] | None = None) -> float:
        """Return the cases per second from the first request until the ledger holds all that followed from the last."""
        self._say(f"preparing {count:,} cases")
        cases = await self._prepare(running, count)
        if cpu_before is not None:
            cpu_before.update(_cpu_seconds(running))
        self._say(f"{what}: {count:,} cases, {WINDOW} at once")
        job = await start_job("deploy.bench.load", self._load(running, cases), self._ground.folder)
        posting = asyncio.create_task(job.finished(PATIENCE_SECONDS + 10 * self._options.seconds))
        ended = await self._until_kept(running, count * self._build.entries_of_screening, posting)
        answers = await posting
        return float(count / (ended - answers["started"]))

    async def _latency(self, running: Running) -> Latency:
        """Post at Poisson times and compare when each answer and each event arrived."""
        count = max(1, int(LATENCY_RATE * self._options.seconds))
        cases = await self._prepare(running, count)
        self._say(f"hand-off: {LATENCY_RATE:.0f} cases/s")
        patience = PATIENCE_SECONDS + 2 * self._options.seconds
        watch = {
            "bootstrap": running.bootstrap,
            "topic": topic_of("intake"),
            "partitions": PARTITIONS,
            "fetch_max_wait_ms": FETCH_MAX_WAIT_MS,
            "cases": cases,
            "patience": patience,
        }
        observer = await start_job("deploy.bench.observer", watch, self._ground.folder)
        load = await start_job("deploy.bench.load", self._load(running, cases, LATENCY_RATE, self._number), self._ground.folder)
        answers = await load.finished(patience)
        _require_accepted(answers)
        arrived = (await observer.finished(patience + 5))["arrived"]
        missing = len(cases) - len(arrived)
        if missing:
            raise StackError(f"{self._build.title}: {missing} of {len(cases)} events did not arrive")
        await self._until_kept(running, count * self._build.entries_of_screening)
        handoff = sorted((arrived[case] - answers["answered"][case]) * 1000 for case in cases)
        post = sorted((answers["answered"][case] - answers["posted"][case]) * 1000 for case in cases)
        return Latency(percentile(handoff, 50), percentile(handoff, 99), percentile(post, 50), percentile(post, 99))

    def _load(self, running: Running, cases: Sequence[str], rate: float | None = None, seed: int = 0) -> Mapping[str, Any]:
        return {
            "port": running.target.port,
            "token": running.target.token,
            "body": self._build.body.decode(),
            "cases": cases,
            "window": WINDOW,
            "rate": rate,
            "seed": seed,
        }

    async def _until_kept(self, running: Running, more: int, posting: asyncio.Task[dict[str, Any]] | None = None) -> float:
        """Wait until the ledger holds that many more entries; returns when. Raises StackError if it cannot come to that."""
        self._entries += more
        entries = running.databases["audit"]["entries"]
        patience = time.monotonic() + PATIENCE_SECONDS + 10 * self._options.seconds
        while (kept := await entries.estimated_document_count() - await entries.count_documents(STARTED)) < self._entries:
            for child in running.children.values():
                if not child.running:
                    raise await child.died()
            if posting is not None and posting.done():
                _require_accepted(posting.result())
            if time.monotonic() > patience:
                raise StackError(f"{self._build.title}: the ledger holds {kept:,} entries; {self._entries:,} were expected")
            await asyncio.sleep(LEDGER_POLL_SECONDS)
        return time.monotonic()

    async def _check(self, running: Running, evidence: Evidence) -> None:
        """Raise StackError unless each case has exactly one document."""
        pipeline: list[dict[str, Any]] = [
            {"$match": dict(evidence.matching)},
            {"$group": {"_id": evidence.case, "documents": {"$sum": 1}}},
        ]
        found = await running.databases[evidence.role][evidence.collection].aggregate(pipeline)
        documents = {row["_id"]: row["documents"] async for row in found}
        lost = len(set(self._posted) - documents.keys())
        doubled = sum(1 for number in documents.values() if number != 1)
        foreign = len(documents.keys() - set(self._posted))
        if lost or doubled or foreign:
            where = f"{self._build.title}, {evidence.role}.{evidence.collection} {dict(evidence.matching)}"
            raise StackError(f"{where}: of {len(self._posted):,} cases {lost} are lost, {doubled} doubled, {foreign} unknown")


def _require_accepted(answers: Mapping[str, Any]) -> None:
    refused: Mapping[str, str] = answers["refused"]
    if refused:
        raise StackError(f"{len(refused)} requests were refused, one with {next(iter(refused.values()))}")


def _cpu_seconds(running: Running) -> dict[str, float]:
    """Return the processor time that each process has used so far; nothing where the system does not tell."""
    used: dict[str, float] = {}
    for name, child in running.children.items():
        try:
            fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        used[name] = (int(fields[11]) + int(fields[12])) / CLOCK_TICKS
    return used
