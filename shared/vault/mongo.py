"""Case keys in a database of their own, wrapped by clinic keys derived from the master key."""

import os
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Any

from bson import Binary
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pymongo import ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection

from shared.vault.port import CaseKey, KeyMissing, Unsealable

REMEMBERED_KEYS = 50_000
REMEMBERED_SECONDS = 60.0
"""How long a destroyed key can still be in a service's memory."""


class MongoVault:
    """The vault port on MongoDB. A destroyed key leaves a marker, so that an erased case cannot begin again."""

    def __init__(self, collection: AsyncCollection[dict[str, Any]], master_key: bytes) -> None:
        self._collection = collection
        self._master_key = master_key
        self._clinic_keys: dict[str, CaseKey] = {}
        self._remembered: OrderedDict[str, tuple[float, CaseKey]] = OrderedDict()

    async def create(self, stream: str, clinic: str) -> CaseKey:
        """Return the stream's key, making it if the stream never had one."""
        wrapped = self._clinic_key(clinic).seal(os.urandom(32), stream.encode())
        stored = await self._collection.find_one_and_update(
            {"_id": stream},
            {"$setOnInsert": {"clinic": clinic, "wrapped": Binary(wrapped)}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        key = None if stored is None else self._unwrap(stored)
        if key is None:
            raise KeyMissing(stream)
        return key

    async def keys(self, streams: Collection[str]) -> Mapping[str, CaseKey]:
        """Return the keys that exist among the streams', from memory where it is fresh."""
        oldest = time.monotonic() - REMEMBERED_SECONDS
        found: dict[str, CaseKey] = {}
        absent: list[str] = []
        for stream in set(streams):
            remembered = self._remembered.get(stream)
            if remembered is not None and remembered[0] >= oldest:
                found[stream] = remembered[1]
            else:
                absent.append(stream)
        if absent:
            async for stored in self._collection.find({"_id": {"$in": absent}}):
                key = self._unwrap(stored)
                if key is not None:
                    found[stored["_id"]] = key
        return found

    async def destroy(self, stream: str) -> None:
        """Destroy the stream's key; other services forget it within REMEMBERED_SECONDS."""
        self._remembered.pop(stream, None)
        await self._collection.update_one({"_id": stream}, {"$set": {"destroyed": True}, "$unset": {"wrapped": ""}}, upsert=True)

    def _unwrap(self, stored: Mapping[str, Any]) -> CaseKey | None:
        if "wrapped" not in stored:
            return None
        stream = stored["_id"]
        try:
            key = CaseKey(self._clinic_key(stored["clinic"]).open(stored["wrapped"], stream.encode()))
        except Unsealable:
            return None  # altered, or another case's: this stream has no key, and the others are not touched by it
        self._remembered[stream] = (time.monotonic(), key)
        self._remembered.move_to_end(stream)
        if len(self._remembered) > REMEMBERED_KEYS:
            self._remembered.popitem(last=False)
        return key

    def _clinic_key(self, clinic: str) -> CaseKey:
        if clinic not in self._clinic_keys:
            derived = HKDF(SHA256(), 32, salt=None, info=b"kapcare clinic key|" + clinic.encode()).derive(self._master_key)
            self._clinic_keys[clinic] = CaseKey(derived)
        return self._clinic_keys[clinic]
