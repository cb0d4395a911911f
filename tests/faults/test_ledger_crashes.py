"""The writer of the ledger ends between entry, tile and checkpoint (fault F8): all is derived again, and no size has two roots."""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient

from deploy.bench.ledger_log import write
from services.audit import kap_verify
from services.audit.checkpoints import Checkpoints, KeptCheckpoint
from services.audit.domain.checkpoint import open_checkpoint
from services.audit.domain.tiles import Tile
from services.audit.tiles import KeptTiles
from tests.integration.ledger.kept import KEY, Kept, arrivals, everything_signed_holds, files, signing

ROOT = Path(__file__).parents[2]


@pytest_asyncio.fixture(loop_scope="session")
async def another(mongo_url: str, database: str) -> AsyncIterator[Callable[[], Kept]]:
    """Makes another process over the same ledger."""
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo_url, w="majority", journal=True, readConcernLevel="majority", tz_aware=True) as client:
        yield lambda: Kept(client[database])
        await client.drop_database(database)


class Crash(BaseException):
    """The process ends here."""


class DiesKeepingTiles(KeptTiles):
    """Dies once it has kept so many of the tiles that it was given together."""

    def __init__(self, kept: Kept, written: int) -> None:
        super().__init__(kept.database["tiles"], kept.database["entries"])
        self._written = written

    async def keep(self, tiles: Any) -> None:
        some: list[Tile] = list(tiles)
        if some:
            await super().keep(some[: self._written])
            raise Crash


class DiesKeepingCheckpoints(Checkpoints):
    """Dies before it keeps a checkpoint, or just after; shows what it would have signed."""

    def __init__(self, kept: Kept, *, after: bool) -> None:
        super().__init__(kept.database["checkpoints"])
        self._after = after
        self.about_to_keep: list[KeptCheckpoint] = []

    async def keep(self, checkpoint: KeptCheckpoint) -> KeptCheckpoint:
        self.about_to_keep.append(checkpoint)
        if self._after:
            await super().keep(checkpoint)
        raise Crash


POINTS: dict[str, Callable[[Kept], dict[str, Any]]] = {
    "between entries and tiles": lambda kept: {"tiles": DiesKeepingTiles(kept, 0)},
    "between one tile and the next": lambda kept: {"tiles": DiesKeepingTiles(kept, 1)},
    "between a tile and its parent": lambda kept: {"tiles": DiesKeepingTiles(kept, 3)},
    "between tiles and checkpoint": lambda kept: {"checkpoints": DiesKeepingCheckpoints(kept, after=False)},
    "after the checkpoint": lambda kept: {"checkpoints": DiesKeepingCheckpoints(kept, after=True)},
}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("signed_before", [0, 200, 300])
async def test_a_crash_at_each_point_leaves_nothing_that_contradicts(
    another: Callable[[], Kept], point: str, signed_before: int, tmp_path: Path
) -> None:
    events = arrivals(1400)
    before = another()
    await before.append(events[:signed_before])
    if signed_before:
        await before.sign()
    await before.append(events[signed_before:1100])
    dying = another()
    parts = POINTS[point](dying)
    with pytest.raises((Crash, BaseExceptionGroup)):
        await dying.signer(**parts).run()
    shown = await dying.checkpoints.latest()
    await everything_signed_holds(dying)

    after = another()
    async with signing(after.signer()):
        await after.append(events[1100:])
        await after.signed(1400)
    await everything_signed_holds(after)
    sizes = [checkpoint.size async for checkpoint in after.checkpoints.read()]
    assert len(sizes) == len(set(sizes))
    if shown is not None:  # what somebody may have seen is still there, word by word
        assert shown.text in [checkpoint.text async for checkpoint in after.checkpoints.read()]
    write(await files(after, 1400), tmp_path)
    assert kap_verify.main(["tiles", str(tmp_path), "--key", str(KEY.public)]) == 0


async def test_entries_that_came_meanwhile_make_a_tree_of_another_size(another: Callable[[], Kept]) -> None:
    """A checkpoint was made and never kept: nobody saw it, and the next one is of what is there by then."""
    events = arrivals(40)
    dying = another()
    await dying.append(events[:30])
    checkpoints = DiesKeepingCheckpoints(dying, after=False)
    with pytest.raises((Crash, BaseExceptionGroup)):
        await dying.signer(checkpoints=checkpoints).run()
    after = another()
    await after.append(events[30:])
    last = await after.sign()
    made = open_checkpoint(checkpoints.about_to_keep[0].note.encode(), KEY.public).checkpoint
    assert (made.size, last.size) == (30, 40)
    assert made.root == (await after.log()).edge(30)[0].tree.root


async def test_killed_again_and_again_the_ledger_holds(another: Callable[[], Kept], mongo_url: str, database: str, tmp_path: Path) -> None:
    """SIGKILL to a process that appends and signs, at moments that nobody chose; what it said was appended is there."""
    chance, seen = random.Random(3), [0]
    shown: list[str] = []
    for _ in range(3):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.ledger_process", mongo_url, database),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        try:
            await asyncio.wait_for(process.stdout.readline(), 40)
            await asyncio.sleep(chance.uniform(0.3, 1.2))
        finally:
            process.kill()
        said, errors = await process.communicate()
        assert b"inconsistent" not in errors, errors
        seen.extend(int(line) for line in said.split())
        last = await another().checkpoints.latest()
        shown.extend([] if last is None else [last.text])
    after = another()
    assert await after.database["entries"].count_documents({}) >= max(seen) > 0
    last = await after.sign()
    await everything_signed_holds(after)
    assert set(shown) <= {checkpoint.text async for checkpoint in after.checkpoints.read()}
    write(await files(after, last.size), tmp_path)
    assert kap_verify.main(["tiles", str(tmp_path), "--key", str(KEY.public)]) == 0
