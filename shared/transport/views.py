"""How old this service's view of each source is, partition by partition: kept in the store, for every instance to ask.

A view is as old as the last moment up to which all that its source committed was handled here. What another instance consumes
counts too, so that any of them can answer a command; and what was handled before a restart was handled.
"""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, Final

from aiokafka.partitioner import DefaultPartitioner
from pymongo import UpdateOne
from pymongo.asynchronous.collection import AsyncCollection

from shared.clock import system_now
from shared.events.topics import source_of
from shared.transport.heartbeat import Heartbeat

Place = tuple[str, int]
"""(source, partition)."""

_PARTITION: Final = DefaultPartitioner()


class Views:
    """Ages are told by the store's clock alone, as leases are: instances need not agree on theirs.

    Only how late a heartbeat is when it is handled is told by the clocks of source and consumer. One that runs ahead of the
    other hides at most that much of the lateness; a source that falls silent grows old all the same.
    """

    def __init__(self, collection: AsyncCollection[Any]) -> None:
        self._collection = collection

    async def hear(self, beats: Mapping[Place, Heartbeat]) -> None:
        """Take note of heartbeats, once all before them is handled. An older one than is known says nothing."""
        now = system_now()
        writes: list[UpdateOne] = []
        for (source, partition), beat in beats.items():
            late_ms = max(0, round((now - beat.complete_to) / timedelta(milliseconds=1)))
            moment = {"$max": ["$complete_to", {"$subtract": ["$$NOW", late_ms]}]}
            seen = {"source": source, "partition": partition, "partitions": beat.partitions, "complete_to": moment}
            writes.append(UpdateOne({"_id": f"{source}/{partition}"}, [{"$set": seen}], upsert=True))
        await self._collection.bulk_write(writes, ordered=False)

    async def ages(self, stream: str, services: Collection[str]) -> dict[str, timedelta]:
        """Return, by service, how old the view of what it says about this stream is; one never heard is left out."""
        wanted = {source_of(service): service for service in services}
        rows = [row for row in await self._rows() if row["source"] in wanted]
        partitions = {row["source"]: row["partitions"] for row in sorted(rows, key=lambda row: int(row["partitions"]))}
        return {
            wanted[row["source"]]: timedelta(milliseconds=row["age"])
            for row in rows
            if row["partition"] == partition_of(stream, partitions[row["source"]])
        }

    async def oldest(self) -> dict[str, timedelta]:
        """Return, by source, the age of the partition that was heard longest ago."""
        ages: dict[str, timedelta] = {}
        for row in await self._rows():
            age = timedelta(milliseconds=row["age"])
            ages[row["source"]] = max(age, ages.get(row["source"], age))
        return ages

    async def _rows(self) -> list[dict[str, Any]]:
        age = {"$max": [0, {"$subtract": ["$$NOW", "$complete_to"]}]}
        wanted = {"$project": {"source": 1, "partition": 1, "partitions": 1, "age": age}}
        return await (await self._collection.aggregate([wanted])).to_list()


def partition_of(stream: str, partitions: int) -> int:
    """Return the partition that a stream's events come by: where the producer puts its key."""
    return int(_PARTITION(stream.encode(), list(range(partitions)), []))
