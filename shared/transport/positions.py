"""How far each lane (source, stream) has come in this service: order and duplicates are told by it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pymongo import UpdateOne
from pymongo.asynchronous.collection import AsyncCollection

from shared.events.access import STREAM_PREFIX
from shared.transport.arrival import Lane

REMEMBERED_LANES: Final = 200_000


@dataclass(frozen=True, slots=True)
class Position:
    """The last event of a lane that was handled, passed or parked."""

    sequence: int = 0
    event: str = ""


@dataclass(frozen=True, slots=True)
class Effects:
    """Documents that events led to, and that name these events: a lane has come as far as they say, at no further write.

    `source`, `sequence` and `event` are the fields that name the event; its stream is the document's `stream`.
    """

    collection: AsyncCollection[Any]
    source: str
    sequence: str
    event: str


class Positions:
    """Positions in the store, remembered while this process owns the partitions they come from.

    Only what no effect tells is written: an event that was passed over or parked.
    """

    def __init__(self, collection: AsyncCollection[Any], effects: Effects) -> None:
        self._collection = collection
        self._effects = effects
        self._remembered: dict[Lane, Position] = {}
        self._forgotten = 0
        """How often all was forgotten: what was read before that is not remembered after it."""

    def forget(self) -> None:
        """Trust only the store again: another process may have moved on."""
        self._remembered.clear()
        self._forgotten += 1

    async def read(self, lanes: Collection[Lane]) -> dict[Lane, Position]:
        """Return the lanes' positions; a lane never heard of stands at 0."""
        if len(self._remembered) > REMEMBERED_LANES:
            self.forget()
        known = {lane: self._remembered[lane] for lane in lanes if lane in self._remembered}
        absent = [lane for lane in lanes if lane not in known]
        if absent:
            forgotten = self._forgotten
            found = dict.fromkeys(absent, Position()) | await self._stored(absent)
            if forgotten == self._forgotten:
                self._remembered.update(found)
            known.update(found)
        return known

    async def write(self, moved: Mapping[Lane, Position], told: Collection[Lane] = ()) -> None:
        """Move positions forward, in one write; a slower process never moves one back.

        Lanes that are `told` of by a stored effect are remembered, not written.
        """
        writes = [_write(lane, position) for lane, position in moved.items() if lane not in told]
        if writes:
            await self._collection.bulk_write(writes, ordered=False)
        # What was forgotten meanwhile is not taken up again: another process may have moved it further.
        self._remembered.update((lane, position) for lane, position in moved.items() if lane in self._remembered)

    async def taken(self) -> dict[str, int]:
        """Return how many events of each source were taken, over all streams but those that tell of accesses."""
        effects = self._effects
        named = [
            {"$match": {effects.sequence: {"$exists": True}}},
            {"$project": {"source": f"${effects.source}", "stream": 1, "sequence": f"${effects.sequence}"}},
        ]
        pipeline: list[dict[str, Any]] = [
            {"$project": {"source": 1, "stream": 1, "sequence": "$last.sequence"}},
            {"$unionWith": {"coll": effects.collection.name, "pipeline": named}},
            {"$group": {"_id": {"source": "$source", "stream": "$stream"}, "sequence": {"$max": "$sequence"}}},
            {"$match": {"_id.stream": {"$not": {"$regex": f"^{STREAM_PREFIX}"}}}},
            {"$group": {"_id": "$_id.source", "events": {"$sum": "$sequence"}}},
        ]
        return {row["_id"]: row["events"] async for row in await self._collection.aggregate(pipeline)}

    async def _stored(self, lanes: Collection[Lane]) -> dict[Lane, Position]:
        effects = self._effects
        found: dict[Lane, Position] = {}
        wanted = {effects.source: {"$in": sorted({source for source, _ in lanes})}, "stream": {"$in": [stream for _, stream in lanes]}}
        async for stored in self._collection.find({"_id": {"$in": [_id(lane) for lane in lanes]}}):
            found[(stored["source"], stored["stream"])] = Position(stored["last"]["sequence"], stored["last"]["event"])
        async for told in effects.collection.find(wanted, projection=["stream", effects.source, effects.sequence, effects.event]):
            lane = (_field(told, effects.source), told["stream"])
            position = Position(_field(told, effects.sequence), _field(told, effects.event))
            if position.sequence > found.get(lane, Position()).sequence:
                found[lane] = position
        return {lane: found[lane] for lane in lanes if lane in found}


def _write(lane: Lane, position: Position) -> UpdateOne:
    # Documents compare field by field, so the higher sequence wins and brings its event along.
    last = {"sequence": position.sequence, "event": position.event}
    return UpdateOne({"_id": _id(lane)}, {"$max": {"last": last}, "$setOnInsert": {"source": lane[0], "stream": lane[1]}}, upsert=True)


def _field(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for name in path.split("."):
        value = value[name]
    return value


def _id(lane: Lane) -> str:
    return f"{lane[0]}|{lane[1]}"
