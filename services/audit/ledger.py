"""Entries in MongoDB: one per event, numbered from 0 without a hole, in the order they were appended."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from bson import Binary
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError

from services.audit.domain.clear import clear_fields
from services.audit.domain.tree import Tree, leaf_hash
from shared.log.errors import StoreUnavailable
from shared.log.store import DUPLICATE_KEY
from shared.transport.arrival import Arrival

SAVE_TREE_EVERY_SECONDS: Final = 1.0
READ_AT_ONCE: Final = 5000
LATE_AFTER: Final = timedelta(hours=1)
"""An entry whose time lies so far before one already in the ledger is marked, so that a range of time is found without a full scan."""

INDEXES: Final = (
    IndexModel([("stream", ASCENDING), ("source", ASCENDING), ("sequence", ASCENDING)], unique=True, name="one_entry_per_event"),
    IndexModel([("stream", ASCENDING), ("_id", ASCENDING)], name="by_stream"),
    IndexModel([("patient", ASCENDING), ("_id", ASCENDING)], name="by_patient"),
    IndexModel([("clinic", ASCENDING), ("_id", ASCENDING)], name="by_clinic"),
    IndexModel([("actor", ASCENDING), ("_id", ASCENDING)], name="by_actor"),
    IndexModel([("type", ASCENDING), ("_id", ASCENDING)], name="by_type"),
    IndexModel([("newest", ASCENDING), ("_id", ASCENDING)], name="by_newest"),
    IndexModel([("late", ASCENDING), ("_id", ASCENDING)], name="by_late", partialFilterExpression={"late": True}),
    IndexModel([("source", ASCENDING), ("_id", ASCENDING)], name="by_source"),
    IndexModel([("policy", ASCENDING), ("_id", ASCENDING)], name="by_policy"),
    IndexModel([("roles", ASCENDING), ("_id", ASCENDING)], name="by_role", partialFilterExpression={"roles": {"$exists": True}}),
    IndexModel([("partners", ASCENDING), ("_id", ASCENDING)], name="by_partner", partialFilterExpression={"partners": {"$exists": True}}),
    IndexModel(
        [(name, ASCENDING) for name in ("outcome", "_id", "clinic", "type", "policy")],
        name="refused",
        partialFilterExpression={"outcome": "refused"},
    ),
    IndexModel([("event", ASCENDING)], name="by_event"),
)


class Ledger:
    """The append-only order of entries, and its tree."""

    def __init__(self, entries: AsyncCollection[dict[str, Any]], trees: AsyncCollection[dict[str, Any]]) -> None:
        self.entries = entries
        self._trees = trees
        self.tree = Tree()
        self._newest: datetime | None = None
        self._saved_size = -1
        self._prepared = False

    async def prepare(self) -> None:
        """Create indexes and bring the tree up to the entries; done once."""
        if self._prepared:
            return
        await self.entries.create_indexes(list(INDEXES))
        saved = await self._trees.find_one({"_id": "tree"})
        if saved is not None:
            self.tree = Tree(saved["size"], tuple(bytes(node) for node in saved["frontier"]))
        last = await self.entries.find_one(sort=[("_id", DESCENDING)], projection=["newest"])
        self._newest = None if last is None else last["newest"]
        await self._catch_up()
        self._prepared = True

    async def append(self, arrivals: Sequence[Arrival]) -> None:
        """Append events that are not yet entries, in order; durable on return. Raises StoreUnavailable."""
        await self.prepare()
        pending = list(arrivals)
        while pending:
            leaves = [leaf_hash(arrival.sealed.to_bytes()) for arrival in pending]
            documents: list[dict[str, Any]] = []
            newest = self._newest
            for arrival, leaf in zip(pending, leaves, strict=True):
                newest = arrival.envelope.time if newest is None else max(newest, arrival.envelope.time)
                documents.append(_entry(self.tree.size + len(documents), arrival, leaf, newest))
            try:
                await self.entries.insert_many(documents, ordered=True)
            except BulkWriteError as error:
                if any(failed["code"] != DUPLICATE_KEY for failed in error.details["writeErrors"]):
                    raise
                if error.details.get("writeConcernErrors"):
                    raise StoreUnavailable("The ledger's write was not confirmed.") from None
                # Another appender was first, or some of these are entries already: go on from what is there.
                await self._catch_up()
                pending = await self._not_yet_entries(pending)
            else:
                self.tree = self.tree.extend(leaves)
                self._newest = newest
                pending = []

    async def keep_tree(self) -> None:
        """Save the tree now and then, for ever, so that a start need not read every entry."""
        await self.prepare()
        while True:
            await asyncio.sleep(SAVE_TREE_EVERY_SECONDS)
            await self.save_tree()

    async def save_tree(self) -> None:
        """Save size, frontier and root; a smaller tree never replaces a larger one."""
        tree = self.tree
        if tree.size == self._saved_size:
            return
        document = {"size": tree.size, "frontier": [Binary(node) for node in tree.frontier], "root": tree.root.hex()}
        await self._trees.update_one({"_id": "tree", "size": {"$lt": tree.size}}, {"$set": document})
        await self._trees.update_one({"_id": "tree"}, {"$setOnInsert": document}, upsert=True)
        self._saved_size = tree.size

    async def read(self, wanted: dict[str, Any], after: int = -1, limit: int = 0) -> AsyncIterator[dict[str, Any]]:
        """Yield entries in ledger order that match, after an index."""
        query = {"$and": [{"_id": {"$gt": after}}, wanted]}
        async for entry in self.entries.find(query, batch_size=READ_AT_ONCE).sort([("_id", ASCENDING)]).limit(limit):
            yield entry

    async def _catch_up(self) -> None:
        leaves: list[bytes] = []
        began = time.monotonic()
        found = self.entries.find({"_id": {"$gte": self.tree.size}}, projection=["leaf", "newest"]).sort([("_id", ASCENDING)])
        async for entry in found:
            self._newest = entry["newest"]
            leaves.append(bytes(entry["leaf"]))
            if len(leaves) >= READ_AT_ONCE or time.monotonic() - began > 1.0:
                self.tree = self.tree.extend(leaves)
                leaves, began = [], time.monotonic()
        self.tree = self.tree.extend(leaves)

    async def _not_yet_entries(self, arrivals: Sequence[Arrival]) -> list[Arrival]:
        lanes = [
            {"source": arrival.envelope.source, "stream": arrival.envelope.subject, "sequence": arrival.envelope.sequence}
            for arrival in arrivals
        ]
        found = self.entries.find({"$or": lanes}, projection=["source", "stream", "sequence"])
        kept = {(entry["source"], entry["stream"], entry["sequence"]) async for entry in found}
        return [arrival for arrival in arrivals if (*arrival.lane, arrival.envelope.sequence) not in kept]


def _entry(index: int, arrival: Arrival, leaf: bytes, newest: datetime) -> dict[str, Any]:
    document = {
        "_id": index,
        **clear_fields(arrival.envelope),
        "newest": newest,
        "headers": dict(arrival.sealed.headers),
        "data": Binary(arrival.sealed.data),
        "leaf": Binary(leaf),
    }
    if newest - arrival.envelope.time > LATE_AFTER:
        document["late"] = True
    return document
