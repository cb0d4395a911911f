"""Entries in MongoDB: one per event, numbered from 0 without a hole, in the order they were appended.

An entry's bytes are made once, when it is appended, and kept as they are; the fields beside them are for finding it.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from bson import Binary
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError

from services.audit.domain.clear import clear_fields
from services.audit.domain.entry import EntryTooLarge, entry_bytes, read_entry
from services.audit.domain.tree import leaf_hash
from shared.events.base import Envelope
from shared.events.codec import read_envelope
from shared.log.errors import StoreUnavailable
from shared.log.store import DUPLICATE_KEY
from shared.transport.arrival import Arrival, Lane

READ_AT_ONCE: Final = 5000
REMEMBERED_STREAMS: Final = 100_000
LATEST: Final = 100_000
"""Entries among which it is looked, at each start, for what an earlier release appended."""
LATE_AFTER: Final = timedelta(hours=1)
"""An entry that was recorded so long before the newest one already in the ledger is marked as `late`, and one of what happened so long
before it, or after, is `apart`: `before` or `after`. So a range of time is found without a full scan."""

ANOTHER_FORMAT: Final = (
    "This ledger was written before entries had the transparency log's format: drop the audit database and run"
    " `./kap replay --topic-refill` for each service, which kept every commit."
)

INDEXES: Final = (
    IndexModel([("stream", ASCENDING), ("source", ASCENDING), ("sequence", ASCENDING)], unique=True, name="one_entry_per_event"),
    IndexModel([("stream", ASCENDING), ("_id", ASCENDING)], name="by_stream"),
    IndexModel([("patient", ASCENDING), ("_id", ASCENDING)], name="by_patient"),
    IndexModel([("clinic", ASCENDING), ("_id", ASCENDING)], name="by_clinic"),
    IndexModel([("actor", ASCENDING), ("_id", ASCENDING)], name="by_actor"),
    IndexModel([("type", ASCENDING), ("_id", ASCENDING)], name="by_type"),
    IndexModel([("newest", ASCENDING), ("_id", ASCENDING)], name="by_newest"),
    IndexModel([("late", ASCENDING), ("_id", ASCENDING)], name="by_late", partialFilterExpression={"late": True}),
    IndexModel(
        [("apart", ASCENDING), ("happened", ASCENDING), ("_id", ASCENDING)],
        name="by_happened",
        partialFilterExpression={"apart": {"$exists": True}},
    ),
    IndexModel([("source", ASCENDING), ("_id", ASCENDING)], name="by_source"),
    IndexModel([("policy", ASCENDING), ("_id", ASCENDING)], name="by_policy"),
    IndexModel([("roles", ASCENDING), ("_id", ASCENDING)], name="by_role", partialFilterExpression={"roles": {"$exists": True}}),
    IndexModel([("partners", ASCENDING), ("_id", ASCENDING)], name="by_partner", partialFilterExpression={"partners": {"$exists": True}}),
    IndexModel([("about", ASCENDING), ("_id", ASCENDING)], name="by_about", partialFilterExpression={"about": {"$exists": True}}),
    IndexModel([("purpose", ASCENDING), ("_id", ASCENDING)], name="by_purpose", partialFilterExpression={"purpose": {"$exists": True}}),
    IndexModel([("address", ASCENDING), ("_id", ASCENDING)], name="by_address", partialFilterExpression={"address": {"$exists": True}}),
    IndexModel(
        [(name, ASCENDING) for name in ("outcome", "_id", "clinic", "type", "policy")],
        name="refused",
        partialFilterExpression={"outcome": "refused"},
    ),
    IndexModel([("event", ASCENDING)], name="by_event"),
)


class AnotherFormat(Exception):
    """The kept entries are not of this format, so there is nothing to append to."""


class Ledger:
    """The append-only order of entries."""

    def __init__(self, entries: AsyncCollection[dict[str, Any]]) -> None:
        self.entries = entries
        self.size = 0
        """How many entries this process knows of."""
        self._newest: datetime | None = None
        self._last: dict[str, int] = {}
        """The last entry of streams, among those that this process knows of; streams may be left out."""
        self._prepared = False

    async def prepare(self) -> None:
        """Create indexes and find the end; done once. Raises AnotherFormat."""
        if self._prepared:
            return
        first = await self.entries.find_one(sort=[("_id", ASCENDING)])
        if first is not None and "entry" not in first:
            raise AnotherFormat(ANOTHER_FORMAT)
        await self.entries.create_indexes(list(INDEXES))
        last = await self.entries.find_one(sort=[("_id", DESCENDING)])
        if last is not None:
            await self._say_when_it_happened(int(last["_id"]))
            self.size, self._newest = last["_id"] + 1, last["newest"]
        self._prepared = True

    async def append(self, arrivals: Sequence[Arrival]) -> dict[str, str]:
        """Append events that are not yet entries, in order; durable on return. Raises StoreUnavailable.

        Returns the reason of each that can be no entry, by its key; later events of its lane are left alone then.
        """
        await self.prepare()
        failures: dict[str, str] = {}
        pending = list(arrivals)
        while pending:
            await self._remember_last({arrival.envelope.subject for arrival in pending})
            documents = self._documents(pending, failures)
            try:
                if documents:
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
                for document in documents:
                    self._take(document)
                pending = []
        return failures

    async def has(self, source: str, stream: str, sequence: int) -> bool:
        """Return whether the event of this place is an entry."""
        return await self.entries.find_one({"source": source, "stream": stream, "sequence": sequence}, projection=["_id"]) is not None

    async def count(self) -> int:
        """Return how many entries there are, whoever appended them."""
        last = await self.entries.find_one(projection=["_id"], sort=[("_id", DESCENDING)])
        return 0 if last is None else int(last["_id"]) + 1

    async def read(self, *, after: int = -1, before: int | None = None) -> AsyncIterator[dict[str, Any]]:
        """Yield whole entries in ledger order, between two indexes."""
        async for entry in self.entries.find({"_id": _indexes(after + 1, before)}, batch_size=READ_AT_ONCE).sort([("_id", ASCENDING)]):
            yield entry

    async def _say_when_it_happened(self, last: int) -> None:
        """Make the fields of entries that an earlier release kept without them, from their bytes, as verification does.

        Looked for among the latest, where an instance of that release may have appended beside this one.
        """
        without: dict[str, Any] = {"happened": {"$exists": False}}
        if await self.entries.find_one({**without, "_id": {"$gt": last - LATEST}}, projection=["_id"]) is None:
            return
        changes: list[UpdateOne] = []
        async for entry in self.entries.find(without, projection=["entry", "newest"], batch_size=READ_AT_ONCE):
            envelope = read_envelope(read_entry(bytes(entry["entry"])).headers)
            found = {"happened": clear_fields(envelope)["happened"], **order_in_time(envelope, entry["newest"])}
            changes.append(UpdateOne({"_id": entry["_id"]}, {"$set": found}))
            if len(changes) == READ_AT_ONCE:
                await self.entries.bulk_write(changes, ordered=False)
                changes = []
        if changes:
            await self.entries.bulk_write(changes, ordered=False)

    async def _remember_last(self, streams: Collection[str]) -> None:
        if len(self._last) > REMEMBERED_STREAMS:
            self._last.clear()
        absent = [stream for stream in streams if stream not in self._last]
        if not absent:
            return
        # Sorted downwards and grouped by the first, MongoDB reads one key for each stream.
        latest: list[dict[str, Any]] = [
            {"$match": {"stream": {"$in": absent}, "_id": {"$lt": self.size}}},
            {"$sort": {"stream": DESCENDING, "_id": DESCENDING}},
            {"$group": {"_id": "$stream", "last": {"$first": "$_id"}}},
        ]
        async for row in await self.entries.aggregate(latest):
            self._last[row["_id"]] = row["last"]

    def _documents(self, arrivals: Sequence[Arrival], failures: dict[str, str]) -> list[dict[str, Any]]:
        documents: list[dict[str, Any]] = []
        last: dict[str, int] = {}
        stopped: set[Lane] = set()
        newest = self._newest
        for arrival in arrivals:
            envelope = arrival.envelope
            if arrival.lane in stopped or arrival.key in failures:
                stopped.add(arrival.lane)
                continue
            previous = last.get(envelope.subject, self._last.get(envelope.subject))
            try:
                entry = entry_bytes(arrival.sealed.headers, previous, arrival.sealed.data)
            except EntryTooLarge:
                failures[arrival.key] = "entry-too-large"
                stopped.add(arrival.lane)
                continue
            newest = envelope.time if newest is None else max(newest, envelope.time)
            index = last[envelope.subject] = self.size + len(documents)
            documents.append(_document(index, arrival, entry, newest))
        return documents

    def _take(self, entry: dict[str, Any]) -> None:
        self.size, self._newest = entry["_id"] + 1, entry["newest"]
        self._last[entry["stream"]] = entry["_id"]

    async def _catch_up(self) -> None:
        found = self.entries.find({"_id": {"$gte": self.size}}, projection=["stream", "newest"]).sort([("_id", ASCENDING)])
        async for entry in found:
            self._take(entry)

    async def _not_yet_entries(self, arrivals: Sequence[Arrival]) -> list[Arrival]:
        lanes = [
            {"source": arrival.envelope.source, "stream": arrival.envelope.subject, "sequence": arrival.envelope.sequence}
            for arrival in arrivals
        ]
        found = self.entries.find({"$or": lanes}, projection=["source", "stream", "sequence"])
        kept = {(entry["source"], entry["stream"], entry["sequence"]) async for entry in found}
        return [arrival for arrival in arrivals if (*arrival.lane, arrival.envelope.sequence) not in kept]


def order_in_time(envelope: Envelope, newest: datetime) -> dict[str, Any]:
    """Return what finds an entry by time; `newest` is the latest time that any entry up to it was recorded at."""
    found: dict[str, Any] = {"newest": newest}
    if newest - envelope.time > LATE_AFTER:
        found["late"] = True
    before = newest - (envelope.happened or envelope.time)
    if abs(before) > LATE_AFTER:
        found["apart"] = "before" if before > LATE_AFTER else "after"
    return found


def _document(index: int, arrival: Arrival, entry: bytes, newest: datetime) -> dict[str, Any]:
    envelope = arrival.envelope
    return {
        "_id": index,
        **clear_fields(envelope),
        **order_in_time(envelope, newest),
        "entry": Binary(entry),
        "leaf": Binary(leaf_hash(entry)),
    }


def _indexes(first: int, before: int | None) -> dict[str, int]:
    return {"$gte": first} if before is None else {"$gte": first, "$lt": before}
