"""Two clocks: care time for decisions and deadlines, system time for leases, tokens, signatures and backoff.

Care time is system time, except in the local stack, where one stored offset moves it forward, never back.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from pymongo import ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection


def system_now() -> datetime:
    """Return system time in UTC, in whole milliseconds (what the database keeps)."""
    return _whole_milliseconds(datetime.now(UTC))


def _whole_milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


class CareClock(Protocol):
    """Care time; services read it before each decision."""

    def now(self) -> datetime:
        """Return care time in UTC, in whole milliseconds."""
        ...


class SystemCareClock:
    """Care time is system time."""

    def now(self) -> datetime:
        """Return care time."""
        return system_now()


class MovableCareClock:
    """Care time with one stored offset in seconds, shared by all services of a local stack."""

    def __init__(self, collection: AsyncCollection[dict[str, Any]]) -> None:
        self._collection = collection
        self._offset = timedelta()

    def now(self) -> datetime:
        """Return care time as last read by `follow` or `move_to`."""
        return system_now() + self._offset

    async def move_to(self, moment: datetime) -> datetime:
        """Move care time forward to `moment` for every service; an earlier moment changes nothing. Returns care time."""
        seconds = (_whole_milliseconds(moment) - system_now()).total_seconds()
        stored = await self._collection.find_one_and_update(
            {"_id": "care"}, {"$max": {"offset_seconds": seconds}}, upsert=True, return_document=ReturnDocument.AFTER
        )
        assert stored is not None, "an upsert returns its document"  # noqa: S101
        self._offset = timedelta(seconds=max(stored["offset_seconds"], 0.0))
        return self.now()

    async def follow(self, every_seconds: float = 0.05) -> None:
        """Keep up with the stored offset, for ever."""
        while True:
            await self.refresh()
            await asyncio.sleep(every_seconds)

    async def refresh(self) -> None:
        """Read the stored offset once."""
        stored = await self._collection.find_one({"_id": "care"})
        if stored is not None:
            self._offset = max(self._offset, timedelta(seconds=stored["offset_seconds"]))
