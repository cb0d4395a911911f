"""One holder at a time by the database's clock. The holder's place in the change stream lives in the same document,
so that whoever lost the lease can no longer move the place."""

import asyncio
import os
import socket
import uuid
from contextlib import suppress
from typing import Any

from pymongo import ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from shared.transport.ending import asked_to_end


class LeaseLost(Exception):
    """Another instance holds the lease now."""


class Lease:
    """A named lease; every comparison of time is made by the server."""

    def __init__(self, collection: AsyncCollection[dict[str, Any]], name: str, seconds: float) -> None:
        self._collection = collection
        self._name = name
        self._milliseconds = int(seconds * 1000)
        self.holder = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"

    async def acquire(self, give_up: asyncio.Event) -> dict[str, Any] | None:
        """Wait until the lease is ours; returns the place saved with it (empty at first), None once `give_up` is set."""
        with suppress(DuplicateKeyError):
            await self._collection.insert_one({"_id": self._name, "holder": "", "until": None, "place": {}})
        while not give_up.is_set():
            taken = await self._take({"$or": [{"$eq": ["$holder", self.holder]}, {"$lt": ["$until", "$$NOW"]}]})
            if taken is not None:
                place: dict[str, Any] = taken["place"]
                return place
            await asyncio.sleep(self._milliseconds / 5000)
        return None

    async def renew(self) -> None:
        """Keep the lease until cancelled; raises LeaseLost."""
        while not asked_to_end():
            await asyncio.sleep(self._milliseconds / 3000)
            if await self._take({"$eq": ["$holder", self.holder]}) is None:
                raise LeaseLost

    async def save_place(self, place: dict[str, Any]) -> None:
        """Save where the holder stands; raises LeaseLost if it is no longer the holder."""
        saved = await self._collection.update_one({"_id": self._name, "holder": self.holder}, {"$set": {"place": place}})
        if saved.matched_count == 0:
            raise LeaseLost

    async def release(self) -> None:
        """Let the next instance have it at once."""
        await self._collection.update_one({"_id": self._name, "holder": self.holder}, {"$set": {"holder": "", "until": None}})

    async def _take(self, condition: dict[str, Any]) -> dict[str, Any] | None:
        return await self._collection.find_one_and_update(
            {"_id": self._name, "$expr": condition},
            [{"$set": {"holder": self.holder, "until": {"$add": ["$$NOW", self._milliseconds]}}}],
            return_document=ReturnDocument.AFTER,
        )
