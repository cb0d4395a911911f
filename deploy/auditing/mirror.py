"""A mirror of the ledger: its tiles, its entries and its checkpoint as static files, brought up to date by fetching what is missing.

The checkpoint is written last, so a directory always holds all that its checkpoint covers. A checkpoint that does not go on from
the one in the directory is never put in its place: it is kept beside it, as evidence.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final

from deploy.local.failure import StackError
from deploy.local.private import write_text
from services.audit.domain.checkpoint import Checkpoint, open_checkpoint
from services.audit.domain.note import NoteRefused, VerifierKey
from services.audit.domain.proofs import ProofRefused, plan_consistency, verify_consistency
from services.audit.domain.tiles import (
    HASH_BYTES,
    BundlePlace,
    MalformedTile,
    Tile,
    TilePlace,
    bundles_of,
    decode_bundle,
    read_tile,
    tiles_of,
)

AT_ONCE: Final = 8
REFUSED: Final = "checkpoint.refused"

Fetch = Callable[[str], Awaitable[bytes]]
"""Path of a file of the log -> its content."""
Progress = Callable[[int, int], None]
"""(files fetched, files to fetch)."""
Place = TilePlace | BundlePlace


async def mirror(directory: Path, fetch: Fetch, key: VerifierKey, progress: Progress, checkpoint: str = "checkpoint") -> Checkpoint:
    """Bring a directory up to the log's newest checkpoint; returns it. Raises StackError, also if the log was forked or put back."""
    note = await fetch(checkpoint)
    new = _open(note, key, "the ledger's checkpoint")
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    old = await asyncio.to_thread(_held, directory, key)
    if old is not None and new.size < old.size:
        raise await _refuse(directory, note, f"the ledger was put back: it has {new.size} entries now, and had {old.size}")
    wanted: list[Place] = [*tiles_of(new.size), *bundles_of(new.size)]
    await _fetch_missing(directory, fetch, await asyncio.to_thread(_missing, directory, wanted), progress)
    if old is not None and not await asyncio.to_thread(_goes_on, directory, old, new):
        raise await _refuse(directory, note, f"the ledger was forked: its first {old.size} entries are not those of the checkpoint here")
    await asyncio.to_thread(write_text, directory / "checkpoint", note.decode())
    await asyncio.to_thread(_drop_partial, directory, {directory / place.path for place in wanted})
    return new


async def _fetch_missing(directory: Path, fetch: Fetch, missing: list[Place], progress: Progress) -> None:
    waiting, done = iter(missing), 0
    progress(done, len(missing))

    async def keep_fetching() -> None:
        nonlocal done
        for place in waiting:
            content = await fetch(place.path)
            _check(place, content)
            await asyncio.to_thread(_write, directory / place.path, content)
            done += 1
            progress(done, len(missing))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(keep_fetching())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _refuse(directory: Path, note: bytes, words: str) -> StackError:
    await asyncio.to_thread(write_text, directory / REFUSED, note.decode())
    return StackError(f"{words}. The checkpoint is kept as evidence: {directory / REFUSED}")


def _held(directory: Path, key: VerifierKey) -> Checkpoint | None:
    try:
        note = (directory / "checkpoint").read_bytes()
    except FileNotFoundError:
        return None
    return _open(note, key, str(directory / "checkpoint"))


def _open(note: bytes, key: VerifierKey, what: str) -> Checkpoint:
    try:
        return open_checkpoint(note, key).checkpoint
    except NoteRefused as refused:
        raise StackError(f"{what} does not hold with this key: {refused.reason}") from None


def _missing(directory: Path, wanted: Iterable[Place]) -> list[Place]:
    return [place for place in wanted if not _is_there(directory / place.path, place)]


def _is_there(path: Path, place: Place) -> bool:
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return False
    return size == place.width * HASH_BYTES if isinstance(place, TilePlace) else size > 0


def _check(place: Place, content: bytes) -> None:
    try:
        if isinstance(place, TilePlace):
            read_tile(place, content)
        else:
            decode_bundle(content, place.width)
    except MalformedTile as malformed:
        raise StackError(f"the ledger gave something else for {place.path}: {malformed.reason}") from None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)


def _goes_on(directory: Path, old: Checkpoint, new: Checkpoint) -> bool:
    """Whether the new tree begins with the old one, by the tiles here, of which those that were here before were not fetched again."""
    if old.size == 0:
        return True
    plan = plan_consistency(old.size, new.size)
    tiles: dict[TilePlace, Tile] = {place: read_tile(place, (directory / place.path).read_bytes()) for place in plan.tiles}
    try:
        verify_consistency(old.size, new.size, plan.prove(tiles), old.root, new.root)
    except ProofRefused:
        return False
    return True


def _drop_partial(directory: Path, wanted: set[Path]) -> None:
    """Remove partial tiles of earlier sizes: what they hold is in the wider ones."""
    for folder in [*(directory / "tile").rglob("*.p")]:
        for file in folder.iterdir():
            if file not in wanted:
                file.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
