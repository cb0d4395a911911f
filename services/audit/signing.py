"""The signer: one instance, by lease, signs what was appended at most a second ago.

It goes on from the last checkpoint only if everything kept still leads to it: the signature, the tree, the tiles and the last
entries. What contradicts it is not signed over: the signer says so, looks again now and then, and appending goes on meanwhile.
A checkpoint is in the store before anyone sees it, and there is one for each size.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pymongo import ASCENDING
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from services.audit.checkpoints import Checkpoints, KeptCheckpoint
from services.audit.domain.checkpoint import Checkpoint
from services.audit.domain.note import VerifierKey, key_of
from services.audit.domain.tiles import TILE_WIDTH, Edge, Tile, TilePlace
from services.audit.domain.tree import leaf_hash
from services.audit.tiles import Inconsistent, KeptTiles
from shared.log.store import is_transient
from shared.telemetry.logs import Logger
from shared.telemetry.metrics import Metrics
from shared.transport.ending import asked_to_end
from shared.transport.lease import Lease, LeaseLost

SIGN_EVERY_SECONDS: Final = 0.25
LOOK_AGAIN_SECONDS: Final = 5.0
"""After a refusal to sign."""
ENTRIES_AT_ONCE: Final = 4096


@dataclass(frozen=True, slots=True)
class LogKey:
    """What the log signs with; `origin` is its name."""

    origin: str
    private: Ed25519PrivateKey

    @classmethod
    def of_seed(cls, origin: str, seed: bytes) -> "LogKey":
        """Return the key of a seed of 32 bytes."""
        return cls(origin, Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def public(self) -> VerifierKey:
        """What others verify with."""
        return key_of(self.origin, self.private)


@dataclass(frozen=True, slots=True)
class _Signed:
    """How far the signer is: the edge of the tree of the last checkpoint, and its last leaf hash."""

    edge: Edge
    last_leaf: bytes | None = None


class _Overtaken(Exception):
    """Another instance signed since: it held the lease, or still thinks so."""


class Signer:
    """Signs checkpoints while it holds the lease; `beside` is what runs as long, such as asking witnesses."""

    def __init__(
        self,
        entries: AsyncCollection[dict[str, Any]],
        tiles: KeptTiles,
        checkpoints: Checkpoints,
        lease: Lease,
        key: LogKey,
        now: Callable[[], datetime],
        metrics: Metrics,
        log: Logger,
        beside: Sequence[Callable[[], Awaitable[None]]] = (),
    ) -> None:
        self._entries = entries
        self._tiles = tiles
        self._checkpoints = checkpoints
        self._lease = lease
        self._key = key
        self._now = now
        self._metrics = metrics
        self._log = log
        self._beside = beside
        self._stopping = asyncio.Event()
        self._up_to_date: float | None = None
        """When nothing was left to sign; None while another instance signs."""
        self._largest = 0
        """The size of the largest checkpoint that this process knows of."""
        self.refusal: str | None = None
        """Why nothing is signed, a stable slug; None while all is well, or another instance signs."""
        metrics.ledger_unsigned_seconds.set_function(self._unsigned_seconds)

    async def run(self) -> None:
        """Sign whenever the lease can be had, until asked to stop. Store trouble: pause, and start at the last checkpoint."""
        pause = 0.1
        while not (self._stopping.is_set() or asked_to_end()):
            try:
                if await self._lease.acquire(self._stopping) is None:
                    break
                await self._lead()
                pause = 0.1
            except* LeaseLost:
                self._up_to_date = None
                self._tell(None)
                self._log.warning("another instance signs now")
            except* PyMongoError as group:
                if not all(isinstance(error, PyMongoError) and is_transient(error) for error in group.exceptions):
                    raise
                self._log.warning("the signer waits for the store")
            await self._wait(pause)
            pause = min(pause * 2, 2.0)
        with suppress(PyMongoError):
            await self._lease.release()

    async def stop(self) -> None:
        """End after the checkpoint at hand."""
        self._stopping.set()

    async def _lead(self) -> None:
        if self._up_to_date is None:
            self._up_to_date = time.monotonic()
        async with asyncio.TaskGroup() as group:
            others = [group.create_task(_run(work)) for work in (self._lease.renew, *self._beside)]
            await self._sign_until_told()
            for other in others:
                other.cancel()

    async def _sign_until_told(self) -> None:
        signed: _Signed | None = None
        while not (self._stopping.is_set() or asked_to_end()):
            pause = SIGN_EVERY_SECONDS
            try:
                signed = signed or await self._resume()
                before, signed = signed, await self._sign_next(signed)
                if signed.edge.size - before.edge.size == ENTRIES_AT_ONCE:
                    pause = 0.0
                else:
                    self._up_to_date = time.monotonic()
                self._tell(None)
            except _Overtaken:
                signed = None
            except Inconsistent as why:
                signed, pause = None, LOOK_AGAIN_SECONDS
                self._tell(why.reason)
                self._log.error("the ledger is inconsistent; nothing is signed", reason=why.reason, entry=why.index)
            await self._wait(pause)

    async def _resume(self) -> _Signed:
        """Return where the last checkpoint stands, once everything kept leads to it."""
        last = await self._checkpoints.latest()
        if self._largest > (0 if last is None else last.size):
            # Other entries could be signed in their place, by whoever took the checkpoints away.
            raise Inconsistent("checkpoint-missing", self._largest)
        if last is None:
            return _Signed(Edge())
        last.check(self._key.public)
        edge = await self._tiles.edge(last.size)
        if edge.tree != last.tree:
            raise Inconsistent("entries-do-not-give-the-checkpoint", await self._first_changed(last.size))
        place = TilePlace(0, (last.size - 1) // TILE_WIDTH, (last.size - 1) % TILE_WIDTH + 1)
        tile = (await self._tiles.read([place]))[place]
        self._has_signed(last.size)
        return _Signed(edge, tile.hashes[-1])

    async def _sign_next(self, signed: _Signed) -> _Signed:
        """Sign what was appended since, if there is any."""
        size = signed.edge.size
        found = await self._after(size)
        if size:
            self._check_last(signed, found.pop(0) if found else None)
        if not found:
            return signed
        edge, full, last_leaf = await asyncio.to_thread(_grow, signed.edge, found)
        await self._check_last_checkpoint(signed.edge)
        await self._tiles.keep(full)
        tree = edge.tree
        note = Checkpoint(self._key.origin, tree.size, tree.root).signed(self._key.private)
        kept = await self._checkpoints.keep(KeptCheckpoint(tree, str(note), self._now()))
        kept.check(self._key.public)
        if kept.tree != tree:
            raise Inconsistent("two-roots-of-one-size", size)
        self._has_signed(tree.size)
        return _Signed(edge, last_leaf)

    async def _after(self, size: int) -> list[dict[str, Any]]:
        """Return the last entry that was signed and those after it."""
        wanted = {"_id": {"$gte": max(size - 1, 0)}}
        found = self._entries.find(wanted, projection=["entry", "leaf"]).sort([("_id", ASCENDING)])
        return await found.limit(ENTRIES_AT_ONCE + (1 if size else 0)).to_list()

    @staticmethod
    def _check_last(signed: _Signed, entry: dict[str, Any] | None) -> None:
        index = signed.edge.size - 1
        if entry is None or entry["_id"] != index:
            raise Inconsistent("entry-missing", index)
        if leaf_hash(bytes(entry["entry"])) != signed.last_leaf:
            raise Inconsistent("entry-changed", index)

    async def _check_last_checkpoint(self, edge: Edge) -> None:
        later = await self._checkpoints.from_size(max(edge.size, 1), 2)
        if edge.size:
            if not later or later[0].tree != edge.tree:
                raise Inconsistent("checkpoint-missing-or-changed", edge.size)
            later = later[1:]
        if later:
            raise _Overtaken

    async def _first_changed(self, size: int) -> int | None:
        """Return the first of the last entries whose bytes are not those that were appended, if their kept hash tells."""
        wanted = {"_id": {"$gte": size - size % TILE_WIDTH, "$lt": size}}
        async for entry in self._entries.find(wanted, projection=["entry", "leaf"]).sort([("_id", ASCENDING)]):
            if leaf_hash(bytes(entry["entry"])) != bytes(entry["leaf"]):
                return int(entry["_id"])
        return None

    def _has_signed(self, size: int) -> None:
        self._largest = size
        self._metrics.ledger_signed_entries.set(size)

    def _tell(self, refusal: str | None) -> None:
        self.refusal = refusal
        self._metrics.ledger_refused.set(0 if refusal is None else 1)

    def _unsigned_seconds(self) -> float:
        return 0.0 if self._up_to_date is None else time.monotonic() - self._up_to_date

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


def _grow(edge: Edge, entries: Sequence[dict[str, Any]]) -> tuple[Edge, list[Tile], bytes]:
    """Hash entries that follow on the edge; raises Inconsistent for one that is missing, or is not what was appended."""
    leaves: list[bytes] = []
    for index, entry in enumerate(entries, edge.size):
        if entry["_id"] != index:
            raise Inconsistent("entry-missing", index)
        leaf = leaf_hash(bytes(entry["entry"]))
        if leaf != bytes(entry["leaf"]):
            raise Inconsistent("entry-changed", index)
        leaves.append(leaf)
    grown, full = edge.extend(leaves)
    return grown, full, leaves[-1]


async def _run(work: Callable[[], Awaitable[None]]) -> None:
    await work()
