"""Events that could not be handled wait here with their sealed bytes and a reason, in order, stream by stream.

`parked`: failed, or behind one that failed. `held`: its predecessor has not come yet. Other streams flow.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal

from aiokafka.structs import ConsumerRecord
from bson import Binary
from pymongo import ASCENDING, IndexModel, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection

from shared.clock import system_now
from shared.events.codec import Sealed, read_envelope
from shared.log.batcher import Batcher
from shared.pathway.refusal import Refusal
from shared.transport.arrival import Arrival, Lane

WAITING: Final = ("parked", "held", "replay")
"""States in which an event still has its effect before it."""

INDEXES: Final = (
    IndexModel([("lane", ASCENDING), ("sequence", ASCENDING)], name="in_order"),
    IndexModel([("stream", ASCENDING), ("state", ASCENDING)], name="waiting_of_stream"),
    IndexModel([("state", ASCENDING), ("seen_at", ASCENDING)], name="waiting"),
)


class Parking:
    """Parked and held events of one service."""

    def __init__(self, collection: AsyncCollection[Any]) -> None:
        self._collection = collection
        self._asked: Batcher[str, bool] = Batcher(self._which_wait)
        self._lanes: set[Lane] | None = None
        """Lanes in which something may wait; None until they are read. Only who owns a lane's partition adds to it."""
        self._forgotten = 0

    def forget(self) -> None:
        """Trust only the store again: another process may have parked events meanwhile."""
        self._lanes = None
        self._forgotten += 1

    async def create_indexes(self) -> None:
        """Create what lanes and work lists are found by."""
        await self._collection.create_indexes(list(INDEXES))

    async def park(self, arrivals: Sequence[tuple[Arrival, str]]) -> None:
        """Park events with their reasons; parking one twice changes nothing."""
        await self._put("parked", arrivals)

    async def hold(self, arrivals: Sequence[Arrival]) -> None:
        """Hold events whose predecessor is missing."""
        await self._put("held", [(arrival, "predecessor-missing") for arrival in arrivals])

    async def park_unreadable(self, record: ConsumerRecord, reason: str) -> None:
        """Park bytes that are no event; they block no stream, since none is known to be theirs."""
        identity = f"{record.topic}/{record.partition}/{record.offset}"
        await self._collection.update_one(
            {"_id": identity},
            {
                "$setOnInsert": {
                    "lane": identity,
                    "source": "",
                    "stream": "",
                    "type": "",
                    "sequence": 0,
                    "topic": record.topic,
                    "partition": record.partition,
                    "offset": record.offset,
                    "raw_headers": [[name, Binary(value or b"")] for name, value in record.headers],
                    "data": Binary(record.value or b""),
                    "state": "parked",
                    "reason": reason,
                    "attempts": 1,
                    "seen_at": system_now(),
                }
            },
            upsert=True,
        )

    async def waiting(self, lanes: Collection[Lane]) -> tuple[set[Lane], set[Lane]]:
        """Return the lanes in which an event is parked, and those in which one is held."""
        suspect = await self._suspect(lanes)
        blocked: set[Lane] = set()
        held: set[Lane] = set()
        if not suspect:
            return blocked, held
        found = self._collection.find(
            {"lane": {"$in": [_lane(lane) for lane in suspect]}, "state": {"$in": list(WAITING)}},
            projection={"_id": 0, "source": 1, "stream": 1, "state": 1},
        )
        async for row in found:
            (held if row["state"] == "held" else blocked).add((row["source"], row["stream"]))
        if self._lanes is not None:
            self._lanes -= suspect - blocked - held
        return blocked, held

    async def _suspect(self, lanes: Collection[Lane]) -> set[Lane]:
        """Return those lanes in which something may wait: mostly none, and then the store need not be asked."""
        known = self._lanes
        if known is None:
            forgotten = self._forgotten
            found = self._collection.find({"state": {"$in": list(WAITING)}}, projection={"_id": 0, "source": 1, "stream": 1})
            known = {(row["source"], row["stream"]) async for row in found}
            if forgotten == self._forgotten:
                self._lanes = known
        return known.intersection(lanes)

    async def next_held(self, expected: Mapping[Lane, int]) -> list[Arrival]:
        """Return the held events whose turn has come: those at the expected sequence of their lane."""
        if not expected:
            return []
        wanted = [{"lane": _lane(lane), "sequence": sequence, "state": "held"} for lane, sequence in expected.items()]
        return [_arrival(row) async for row in self._collection.find({"$or": wanted})]

    async def all_held(self, limit: int = 500) -> list[Arrival]:
        """Return held events, oldest first."""
        return [_arrival(row) async for row in self._collection.find({"state": "held"}).sort([("seen_at", ASCENDING)]).limit(limit)]

    async def settle(self, arrivals: Sequence[Arrival], state: Literal["replayed", "released"]) -> None:
        """Mark parked events as `replayed`, or held ones as `released`, because their effect is done."""
        if arrivals:
            waited = ["held"] if state == "released" else ["parked", "replay"]
            await self._collection.update_many(
                {"_id": {"$in": [arrival.key for arrival in arrivals]}, "state": {"$in": waited}},
                {"$set": {"state": state, "settled_at": system_now()}},
            )

    async def failed_again(self, arrival: Arrival, reason: str) -> None:
        """Record that a replay failed."""
        await self._collection.update_one({"_id": arrival.key}, {"$set": {"state": "parked", "reason": reason}, "$inc": {"attempts": 1}})

    async def to_replay(self, partitions: Collection[tuple[str, int]]) -> list[Lane]:
        """Return the lanes of these partitions whose first waiting event was asked to be replayed."""
        found = self._collection.find({"state": "replay"})
        return [(row["source"], row["stream"]) async for row in found if (row["topic"], row["partition"]) in partitions]

    async def first_waiting(self, lane: Lane) -> Arrival | None:
        """Return the first event that is parked in the lane."""
        found = self._collection.find({"lane": _lane(lane), "state": {"$in": ["parked", "replay"]}})
        rows = await found.sort([("sequence", ASCENDING)]).limit(1).to_list()
        return _arrival(rows[0]) if rows else None

    async def waits(self, stream: str) -> bool:
        """Whether anything is held or parked for the stream."""
        return await self._asked.submit(stream)

    async def _which_wait(self, streams: Sequence[str]) -> list[bool]:
        wanted = {"stream": {"$in": list(streams)}, "state": {"$in": list(WAITING)}}
        found = {row["stream"] async for row in self._collection.find(wanted, projection={"_id": 0, "stream": 1, "state": 1})}
        return [stream in found for stream in streams]

    async def counts(self) -> dict[str, int]:
        """Return how many events are parked and held."""
        return {state: await self._collection.count_documents({"state": state}) for state in WAITING}

    async def rows(self, limit: int = 500) -> list[dict[str, Any]]:
        """Return what waits, oldest first, without any of its data."""
        found = self._collection.find({"state": {"$in": list(WAITING)}}, projection={"data": 0, "raw_headers": 0, "headers": 0})
        return [
            {
                "id": row["_id"],
                "stream": row["stream"],
                "source": row["source"],
                "type": row["type"],
                "sequence": row["sequence"],
                "state": row["state"],
                "reason": row["reason"],
                "attempts": row["attempts"],
                "at": row["seen_at"].isoformat(),
            }
            async for row in found.sort([("seen_at", ASCENDING)]).limit(limit)
        ]

    async def ask_replay(self, identity: str) -> None:
        """Ask the consumer to replay the event and what is parked behind it; raises Refusal if it is not the first."""
        row = await self._first_of_lane(identity)
        if row["source"] == "":
            raise Refusal("unreadable-cannot-be-replayed", "These bytes are no event of the contract: discard them with a reason.")
        await self._collection.update_one({"_id": identity}, {"$set": {"state": "replay"}})

    async def discard(self, identity: str, reason: str) -> None:
        """Give up an event with a reason; what is parked behind it is replayed."""
        row = await self._first_of_lane(identity)
        await self._collection.update_one(
            {"_id": identity}, {"$set": {"state": "discarded", "discard_reason": reason, "settled_at": system_now()}}
        )
        if row["source"]:
            following = await self.first_waiting((row["source"], row["stream"]))
            if following is not None:
                await self._collection.update_one({"_id": following.key}, {"$set": {"state": "replay"}})

    async def oldest_held_seconds(self) -> float:
        """Return for how long the oldest held event waits; 0 if none does."""
        rows = await self._collection.find({"state": "held"}).sort([("seen_at", ASCENDING)]).limit(1).to_list()
        return (system_now() - rows[0]["seen_at"]).total_seconds() if rows else 0.0

    async def _first_of_lane(self, identity: str) -> dict[str, Any]:
        row: dict[str, Any] | None = await self._collection.find_one({"_id": identity, "state": {"$in": ["parked", "replay"]}})
        if row is None:
            raise Refusal("not-parked", "Nothing of this id is parked.")
        earlier = {"lane": row["lane"], "state": {"$in": ["parked", "replay"]}, "sequence": {"$lt": row["sequence"]}}
        if await self._collection.find_one(earlier) is not None:
            raise Refusal("not-first", "An earlier event of the same stream is parked; replay or discard that one first.")
        return row

    async def _put(self, state: str, arrivals: Sequence[tuple[Arrival, str]]) -> None:
        if not arrivals:
            return
        writes: list[UpdateOne] = []
        for arrival, reason in arrivals:
            writes.append(UpdateOne({"_id": arrival.key}, {"$setOnInsert": _row(arrival, state, reason)}, upsert=True))
            if state == "parked":
                # What was held may fail when its turn comes. What was settled comes again only as a redelivery.
                writes.append(UpdateOne({"_id": arrival.key, "state": "held"}, {"$set": {"state": state, "reason": reason}}))
        if self._lanes is not None:
            self._lanes.update(arrival.lane for arrival, _ in arrivals)
        await self._collection.bulk_write(writes, ordered=False)


def _lane(lane: Lane) -> str:
    return f"{lane[0]}|{lane[1]}"


def _row(arrival: Arrival, state: str, reason: str) -> dict[str, Any]:
    return {
        "lane": _lane(arrival.lane),
        "source": arrival.envelope.source,
        "stream": arrival.envelope.subject,
        "type": arrival.envelope.type,
        "sequence": arrival.envelope.sequence,
        "topic": arrival.topic,
        "partition": arrival.partition,
        "offset": arrival.offset,
        "headers": dict(arrival.sealed.headers),
        "data": Binary(arrival.sealed.data),
        "state": state,
        "reason": reason,
        "attempts": 1,
        "seen_at": system_now(),
    }


def _arrival(row: Mapping[str, Any]) -> Arrival:
    sealed = Sealed(row["headers"], bytes(row["data"]))
    return Arrival(read_envelope(sealed.headers), sealed, row["topic"], row["partition"], row["offset"])
