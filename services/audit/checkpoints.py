"""Signed checkpoints in MongoDB. `_id` is the size, so there are never two of one size; each is there before anyone sees it."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import Binary
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from services.audit.domain.checkpoint import Checkpoint, open_checkpoint
from services.audit.domain.note import NoteRefused, VerifierKey
from services.audit.domain.tree import Tree
from services.audit.tiles import Inconsistent


@dataclass(frozen=True, slots=True)
class KeptCheckpoint:
    """A checkpoint as it is kept: the tree it is of, the note that the log signed, and the lines of witnesses who co-signed it."""

    tree: Tree
    note: str
    at: datetime
    cosignatures: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """How many entries it covers."""
        return self.tree.size

    @property
    def text(self) -> str:
        """The note with all its signatures, as it is shown."""
        return self.note + "".join(self.cosignatures)

    def check(self, log: VerifierKey) -> Checkpoint:
        """Verify the signature and that the tree is the one that was signed; raises Inconsistent."""
        try:
            signed = open_checkpoint(self.note.encode(), log).checkpoint
        except NoteRefused as refused:
            raise Inconsistent(f"checkpoint-{refused.reason}") from None
        if (signed.size, signed.root) != (self.tree.size, self.tree.root):
            raise Inconsistent("checkpoint-of-another-tree")
        return signed


class Checkpoints:
    """Keeps and finds checkpoints."""

    def __init__(self, collection: AsyncCollection[dict[str, Any]]) -> None:
        self._collection = collection

    async def prepare(self) -> None:
        """Create what finds the co-signed ones."""
        cosigned = IndexModel([("cosigned", ASCENDING), ("_id", ASCENDING)], name="cosigned", partialFilterExpression={"cosigned": True})
        await self._collection.create_indexes([cosigned])

    async def keep(self, checkpoint: KeptCheckpoint) -> KeptCheckpoint:
        """Keep a checkpoint, durable on return; returns the one of its size that is kept, which another signer may have made."""
        document = {
            "_id": checkpoint.size,
            "note": checkpoint.note,
            "root": Binary(checkpoint.tree.root),
            "frontier": [Binary(node) for node in checkpoint.tree.frontier],
            "at": checkpoint.at,
            "cosignatures": [],
        }
        try:
            await self._collection.insert_one(document)
        except DuplicateKeyError:
            kept = await self._collection.find_one({"_id": checkpoint.size})
            if kept is not None:
                return _read(kept)
        return checkpoint

    async def latest(self, *, cosigned: bool = False) -> KeptCheckpoint | None:
        """Return the largest checkpoint, or the largest that a witness co-signed."""
        wanted = {"cosigned": True} if cosigned else {}
        found = await self._collection.find_one(wanted, sort=[("_id", DESCENDING)])
        return None if found is None else _read(found)

    async def from_size(self, size: int, count: int) -> list[KeptCheckpoint]:
        """Return the first checkpoints that are not smaller than this."""
        found = self._collection.find({"_id": {"$gte": size}}).sort([("_id", ASCENDING)]).limit(count)
        return [_read(one) async for one in found]

    async def read(self) -> AsyncIterator[KeptCheckpoint]:
        """Yield every checkpoint, from the smallest to the largest."""
        async for one in self._collection.find().sort([("_id", ASCENDING)]):
            yield _read(one)

    async def add_cosignature(self, size: int, witness: str, line: str) -> None:
        """Keep the line by which a witness co-signed the checkpoint of this size; its first one stays."""
        by = {"_id": size, "cosignatures.by": {"$ne": witness}}
        await self._collection.update_one(by, {"$push": {"cosignatures": {"by": witness, "line": line}}, "$set": {"cosigned": True}})


def _read(document: Mapping[str, Any]) -> KeptCheckpoint:
    tree = Tree(document["_id"], tuple(bytes(node) for node in document["frontier"]))
    return KeptCheckpoint(tree, document["note"], document["at"], tuple(one["line"] for one in document["cosignatures"]))
