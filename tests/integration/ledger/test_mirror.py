"""A mirror of a ledger that is served: complete, brought up to date by what is missing, and never over a fork (faults F35, F36)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.auditing.mirror import mirror
from deploy.auditing.verifier import verify
from deploy.bench.ledger_log import Log
from deploy.local.failure import StackError
from services.audit.domain.checkpoint import Checkpoint
from tests.integration.ledger.kept import KEY, ORIGIN, arrivals
from tests.integration.ledger.served import Auditor, auditing


@pytest_asyncio.fixture(loop_scope="session")
async def auditor(mongo_url: str, kafka_bootstrap: str) -> AsyncIterator[Auditor]:
    async with auditing(mongo_url, kafka_bootstrap) as made:
        yield made


class Served:
    """A log's files as a dictionary, or a service; counts what is fetched, and may break off."""

    def __init__(self, files: dict[str, bytes] | Auditor, breaks_after: int | None = None) -> None:
        self._files = files
        self._breaks_after = breaks_after
        self.fetched: Counter[str] = Counter()

    async def __call__(self, path: str) -> bytes:
        if self._breaks_after is not None and self.fetched.total() >= self._breaks_after:
            raise StackError("the connection broke")
        self.fetched[path] += 1
        return self._files[path] if isinstance(self._files, dict) else await self._files.fetch(path)


def nobody(_done: int, _wanted: int) -> None:
    """Looks on."""


async def mirrored(directory: Path, served: Served) -> Checkpoint:
    return await mirror(directory, served, KEY.public, nobody)


def content(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def log(size: int, seed: int = 4, begin: Log | None = None, keep: int = 0) -> Log:
    entries = Log.made_up(seed, size).entries
    return Log([*(begin.entries[:keep] if begin else ()), *entries[keep:]], KEY.private, ORIGIN)


async def test_a_ledger_is_taken_along_and_brought_up_to_date(auditor: Auditor, tmp_path: Path) -> None:
    events = arrivals(1300)
    done = 0
    for size in (100, 256, 700, 1300):
        await auditor.kept.append(events[done:size])
        await auditor.kept.signed(size)
        served = Served(auditor)
        assert (await mirrored(tmp_path, served)).size == size
        whole = (await auditor.kept.log()).files(size)
        assert content(tmp_path) == whole
        assert max(served.fetched.values()) == 1
        full_before = {path for path in Log.made_up(1, done).files(done) if ".p/" not in path and path != "checkpoint"} if done else set()
        assert served.fetched.keys() == whole.keys() - full_before
        told = await verify("tiles", tmp_path, str(KEY.public))
        assert (told["verdict"], told["size"]) == ("holds", size)
        done = size
    again = Served(auditor)
    await mirrored(tmp_path, again)
    assert again.fetched == {"checkpoint": 1}


async def test_one_that_broke_off_goes_on_where_it_was(tmp_path: Path) -> None:
    files = log(2000).files(2000)
    with pytest.raises(StackError, match="the connection broke"):
        await mirrored(tmp_path, Served(files, breaks_after=7))
    await asyncio.sleep(0.3)  # files that were being written
    assert "checkpoint" not in content(tmp_path)
    there = set(content(tmp_path))
    served = Served(files)
    await mirrored(tmp_path, served)
    assert content(tmp_path) == files
    assert there
    assert served.fetched.keys() == files.keys() - there


async def test_a_damaged_tile_is_fetched_again(tmp_path: Path) -> None:
    files = log(600).files(600)
    await mirrored(tmp_path, Served(files))
    (tmp_path / "tile/0/001").write_bytes(files["tile/0/001"][:100])
    served = Served(files)
    await mirrored(tmp_path, served)
    assert served.fetched.keys() == {"checkpoint", "tile/0/001"}


async def test_a_ledger_that_was_put_back_is_refused_and_kept_as_evidence(tmp_path: Path) -> None:
    long = log(600)
    await mirrored(tmp_path, Served(long.files(600)))
    with pytest.raises(StackError, match="the ledger was put back: it has 400 entries now, and had 600"):
        await mirrored(tmp_path, Served(long.files(400)))
    kept = content(tmp_path)
    assert (kept["checkpoint"], kept["checkpoint.refused"]) == (long.checkpoint(600), long.checkpoint(400))


@pytest.mark.parametrize("kept_entries", [0, 300, 599])
async def test_a_fork_is_refused_and_kept_as_evidence(tmp_path: Path, kept_entries: int) -> None:
    """Its history is written anew from some entry on, and signed with the true key."""
    true = log(600)
    forked = log(900, seed=8, begin=true, keep=kept_entries)
    await mirrored(tmp_path, Served(true.files(600)))
    with pytest.raises(StackError, match="the ledger was forked: its first 600 entries are not those of the checkpoint here"):
        await mirrored(tmp_path, Served(forked.files(900)))
    kept = content(tmp_path)
    assert (kept["checkpoint"], kept["checkpoint.refused"]) == (true.checkpoint(600), forked.checkpoint(900))


async def test_another_root_of_the_same_size_is_a_fork(tmp_path: Path) -> None:
    true = log(600)
    await mirrored(tmp_path, Served(true.files(600)))
    with pytest.raises(StackError, match="the ledger was forked"):
        await mirrored(tmp_path, Served(log(600, seed=8, begin=true, keep=500).files(600)))


async def test_what_the_key_did_not_sign_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="does not hold with this key: not-signed-by-the-log"):
        await mirrored(tmp_path, Served(Log(log(5).entries, origin=ORIGIN).files(5)))
    assert content(tmp_path) == {}


@pytest.mark.parametrize("path", ["tile/0/000", "tile/entries/001", "tile/entries/002.p/88"])
async def test_a_file_that_is_none_is_refused(tmp_path: Path, path: str) -> None:
    files = log(600).files(600)
    with pytest.raises(StackError, match=f"the ledger gave something else for {path}"):
        await mirrored(tmp_path, Served({**files, path: files[path][:-1]}))


async def test_a_changed_entry_is_named_by_the_verifier(tmp_path: Path) -> None:
    files = log(600).files(600)
    at = files["tile/entries/001"].index(b"\n") + 5
    changed = bytearray(files["tile/entries/001"])
    changed[at] ^= 1
    await mirrored(tmp_path, Served({**files, "tile/entries/001": bytes(changed)}))
    told = await verify("tiles", tmp_path, str(KEY.public))
    assert (told["verdict"], told["reason"], told["index"]) == ("does not hold", "entry-changed", 256)
