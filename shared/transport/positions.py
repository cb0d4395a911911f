"""How far each lane (source, stream) has come in this service: order and duplicates are told by it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pymongo import UpdateOne
from pymongo.asynchronous.collection import AsyncCollection

from shared.transport.arrival import Lane

REMEMBERED_LANES: Final = 200_000


@dataclass(frozen=True, slots=True)
class Position:
    """The last event of a lane that was handled, passed or parked."""

    sequence: int = 0
    event: str = ""


class Positions:
    """Positions in the store, remembered while this process owns the partitions they come from."""

    def __init__(self, collection: AsyncCollection[Any]) -> None:
        self._collection = collection
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
            found = dict.fromkeys(absent, Position())
            async for stored in self._collection.find({"_id": {"$in": [_id(lane) for lane in absent]}}):
                found[(stored["source"], stored["stream"])] = Position(stored["last"]["sequence"], stored["last"]["event"])
            if forgotten == self._forgotten:
                self._remembered.update(found)
            known.update(found)
        return known

    async def write(self, moved: Mapping[Lane, Position]) -> None:
        """Move positions forward, in one write; a slower process never moves one back."""
        if not moved:
            return
        await self._collection.bulk_write(
            [
                UpdateOne(
                    {"_id": _id(lane)},
                    {
                        # Documents compare field by field, so the higher sequence wins and brings its event along.
                        "$max": {"last": {"sequence": position.sequence, "event": position.event}},
                        "$setOnInsert": {"source": lane[0], "stream": lane[1]},
                    },
                    upsert=True,
                )
                for lane, position in moved.items()
            ],
            ordered=False,
        )
        # What was forgotten meanwhile is not taken up again: another process may have moved it further.
        self._remembered.update((lane, position) for lane, position in moved.items() if lane in self._remembered)


def _id(lane: Lane) -> str:
    return f"{lane[0]}|{lane[1]}"
