"""The mutations of the ledger bench: as many as asked for, shared among all cores, and what each of the two verifiers found of them."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from deploy.bench.jobs import Job, start_job
from deploy.bench.ledger import Say
from deploy.bench.verifiers import build_go_verifier
from deploy.local.failure import UnavailableError

AT_LEAST: Final = 500
"""Mutations for which a further process is worth its start."""
PATIENCE_SECONDS: Final = 120.0
PATIENCE_EACH_SECONDS: Final = 0.2
LOOK_EVERY_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Mutated:
    """What became of all mutations; `found` has those of each kind for each verifier, `missed` says each of the others in words."""

    seed: int
    kinds: Counter[str]
    found: Mapping[str, Counter[str]]
    missed: list[str]
    no_second: str | None
    """Why there was no second verifier."""
    seconds: float


async def mutate(count: int, seed: int, say: Say) -> Mutated:
    """Make the mutations from number `seed` on and ask both verifiers; raises StackError if they cannot be made."""
    # Apart from each other: where files are in memory alone, programs often may not be run.
    with TemporaryDirectory(prefix="kapcare-bench-") as programs, TemporaryDirectory(prefix="kapcare-bench-", dir=_memory()) as folder:
        say("building the second verifier")
        go, no_second = None, None
        try:
            go = await asyncio.to_thread(build_go_verifier, Path(programs))
        except UnavailableError as unavailable:
            no_second = str(unavailable)
        began = time.monotonic()
        results = await _judged(count, seed, Path(folder), go, say)
        seconds = time.monotonic() - began
    return Mutated(
        seed,
        sum((Counter(result["kinds"]) for result in results), Counter()),
        {name: sum((Counter(result["found"][name]) for result in results), Counter()) for name in results[0]["found"]},
        [missed for result in results for missed in result["missed"]],
        no_second,
        seconds,
    )


async def _judged(count: int, seed: int, folder: Path, go: Path | None, say: Say) -> list[dict[str, Any]]:
    workers = min(os.cpu_count() or 1, -(-count // AT_LEAST))
    begins = [seed + count * worker // workers for worker in range(workers + 1)]
    heard = [folder / f"progress-{worker}" for worker in range(workers)]
    async with AsyncExitStack() as ends:
        jobs: list[Job] = []
        for worker, progress in enumerate(heard):
            specification = {"first": begins[worker], "count": begins[worker + 1] - begins[worker], "progress": str(progress)}
            specification |= {"folder": str(folder / f"worker-{worker}"), "go": None if go is None else str(go)}
            jobs.append(await start_job("deploy.bench.mutating", specification, folder))
            ends.push_async_callback(jobs[-1].child.kill)
        telling = asyncio.create_task(_tell(heard, count, say))
        ends.callback(telling.cancel)
        patience = PATIENCE_SECONDS + count * PATIENCE_EACH_SECONDS
        return await asyncio.gather(*(job.finished(patience) for job in jobs))


async def _tell(heard: Sequence[Path], count: int, say: Say) -> None:
    while True:
        done = sum(int(progress.read_text()) for progress in heard if progress.exists())
        say(f"mutations: {done:,} of {count:,}")
        await asyncio.sleep(LOOK_EVERY_SECONDS)


def _memory() -> Path | None:
    """Where files are in memory alone, if this machine has such a place."""
    place = Path("/dev/shm")
    return place if os.access(place, os.W_OK) else None


def summarise(mutated: Mutated) -> dict[str, Any]:
    """Return everything as one JSON object; what there was no verifier for is null."""
    go = mutated.found.get("go")
    return {
        "mutations": mutated.kinds.total(),
        "mutations_found_kap_verify": mutated.found["kap_verify"].total(),
        "mutations_found_go": None if go is None else go.total(),
        "mutations_seed": mutated.seed,
        "mutations_s": round(mutated.seconds, 1),
        "mutations_by_kind": {
            kind: {"mutations": count, "kap_verify": mutated.found["kap_verify"][kind], "go": None if go is None else go[kind]}
            for kind, count in mutated.kinds.items()
        },
        "mutations_missed": mutated.missed,
        "no_second_verifier": mutated.no_second,
    }
