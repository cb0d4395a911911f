"""Commits in MongoDB: one document per decision, inserted in groups, with every outcome told apart."""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, IndexModel
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import AutoReconnect, BulkWriteError, ConnectionFailure, OperationFailure, PyMongoError, WTimeoutError

from shared.log.batcher import Batcher
from shared.log.commit import Commit
from shared.log.errors import StoreUnavailable

DUPLICATE_KEY: Final = 11000
RESEND_SECONDS: Final = 10.0
"""How long an unknown outcome is pursued before the caller is told to try again with the same key."""

INDEXES: Final = (
    IndexModel([("stream", ASCENDING), ("version", ASCENDING)], unique=True, name="one_version"),
    IndexModel([("stream", ASCENDING), ("cause", ASCENDING)], unique=True, name="one_effect_per_cause"),
    IndexModel([("receipt", ASCENDING)], unique=True, name="one_receipt", partialFilterExpression={"receipt": {"$exists": True}}),
)


@dataclass(frozen=True, slots=True)
class Appended:
    """The commit is durable on a majority, journaled."""

    commit: Commit


@dataclass(frozen=True, slots=True)
class AlreadyDone:
    """The same cause was committed before; this is that commit."""

    commit: Commit


@dataclass(frozen=True, slots=True)
class VersionTaken:
    """Another decision took the version: reload and decide again."""


Outcome = Appended | AlreadyDone | VersionTaken


class CommitStore:
    """Appends and reads commits. Concurrent appends share one insert, at most one commit per stream in it:
    a refused version 5 beside a stored version 6 would leave a hole for ever."""

    def __init__(self, collection: AsyncCollection[Any]) -> None:
        self.collection = collection
        self._batcher: Batcher[tuple[Commit, RawBSONDocument], Outcome] = Batcher(self._insert, lane=lambda item: item[0].stream)

    async def create_indexes(self) -> None:
        """Create what makes versions, causes and receipts unique."""
        await self.collection.create_indexes(list(INDEXES))

    async def append(self, commit: Commit) -> Outcome:
        """Append one commit, together with others that wait; raises StoreUnavailable."""
        return await self._batcher.submit((commit, _encode(commit)))

    async def append_wave(self, commits: Sequence[Commit]) -> list[Outcome]:
        """Append commits of different streams in one insert; raises StoreUnavailable."""
        if not commits:
            return []
        return await self._insert([(commit, _encode(commit)) for commit in commits])

    async def by_receipt(self, receipt: str) -> Commit | None:
        """Return the commit that a receipt led to."""
        document = await self.collection.find_one({"receipt": receipt})
        return None if document is None else Commit.from_document(document)

    async def done(self, causes: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return those (stream, cause) that were committed."""
        if not causes:
            return set()
        wanted = [{"stream": stream, "cause": cause} for stream, cause in causes]
        found = self.collection.find({"$or": wanted}, projection={"_id": 0, "stream": 1, "cause": 1})
        return {(row["stream"], row["cause"]) async for row in found}

    async def drain(self) -> None:
        """Wait for the appends under way."""
        await self._batcher.drain()

    async def _insert(self, items: Sequence[tuple[Commit, RawBSONDocument]]) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        unknown = list(range(len(items)))
        deadline = time.monotonic() + RESEND_SECONDS
        pause = 0.05
        while True:
            try:
                outcomes.update(await self._attempt(items, unknown))
            except PyMongoError as error:
                if not is_transient(error):
                    raise
            unknown = [index for index in unknown if index not in outcomes]
            if not unknown:
                return [outcomes[index] for index in range(len(items))]
            if time.monotonic() > deadline:
                raise StoreUnavailable("The store did not confirm the write in time.")
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    async def _attempt(self, items: Sequence[tuple[Commit, RawBSONDocument]], sent: Sequence[int]) -> dict[int, Outcome]:
        """Send these items once; return the outcomes that are certain."""
        try:
            await self.collection.insert_many([items[index][1] for index in sent], ordered=False)
        except BulkWriteError as error:
            unconfirmed = bool(error.details.get("writeConcernErrors"))
            duplicates, unknown = _read_bulk_error(error, sent)
        else:
            return {index: Appended(items[index][0]) for index in sent}
        outcomes: dict[int, Outcome] = {index: Appended(items[index][0]) for index in set(sent) - set(duplicates) - set(unknown)}
        for index, outcome in (await self._resolve(items, duplicates)).items():
            # Unconfirmed, what was in the way may be this very commit, not yet to be seen by a majority read.
            if outcome is not None or not unconfirmed:
                outcomes[index] = outcome or VersionTaken()
        return outcomes

    async def _resolve(self, items: Sequence[tuple[Commit, RawBSONDocument]], duplicates: Sequence[int]) -> dict[int, Outcome | None]:
        """Tell a resend that had arrived from a cause already done, by majority reads; None: another's commit was in the way."""
        if not duplicates:
            return {}
        wanted: list[dict[str, Any]] = []
        for index in duplicates:
            commit = items[index][0]
            wanted.append({"stream": commit.stream, "cause": commit.cause})
            if commit.receipt:
                wanted.append({"receipt": commit.cause})
        found = [Commit.from_document(document) async for document in self.collection.find({"$or": wanted})]
        by_cause = {(commit.stream, commit.cause): commit for commit in found}
        by_receipt = {commit.cause: commit for commit in found if commit.receipt}
        outcomes: dict[int, Outcome | None] = {}
        for index in duplicates:
            commit = items[index][0]
            stored = by_cause.get((commit.stream, commit.cause)) or (by_receipt.get(commit.cause) if commit.receipt else None)
            if stored is None:
                outcomes[index] = None
            elif stored.id == commit.id:
                outcomes[index] = Appended(stored)
            else:
                outcomes[index] = AlreadyDone(stored)
        return outcomes


def _encode(commit: Commit) -> RawBSONDocument:
    return RawBSONDocument(bson.encode(commit.to_document()))


def _read_bulk_error(error: BulkWriteError, sent: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return (duplicates, unknown): a write concern error leaves every document without a write error unknown."""
    details = error.details
    duplicates: list[int] = []
    unknown: list[int] = []
    failed: set[int] = set()
    for write_error in details.get("writeErrors", []):
        index = sent[write_error["index"]]
        failed.add(index)
        if write_error["code"] == DUPLICATE_KEY:
            duplicates.append(index)
        elif write_error["code"] in _TRANSIENT_CODES:
            unknown.append(index)
        else:
            raise error
    if details.get("writeConcernErrors"):
        unknown.extend(index for index in sent if index not in failed)
    return duplicates, unknown


_TRANSIENT_CODES: Final = frozenset({6, 7, 64, 79, 89, 91, 100, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436})
"""Host unreachable, network timeout, write concern not satisfied, shutting down, primary stepped down, not primary."""


def is_transient(error: PyMongoError) -> bool:
    """Return whether the store may be back in a moment: pause and try again, never give up the work."""
    if isinstance(error, AutoReconnect | ConnectionFailure | WTimeoutError):
        return True
    if isinstance(error, BulkWriteError):
        codes = {failed["code"] for failed in error.details.get("writeErrors", [])}
        return codes <= _TRANSIENT_CODES and bool(codes or error.details.get("writeConcernErrors"))
    return isinstance(error, OperationFailure) and (error.code in _TRANSIENT_CODES or error.has_error_label("RetryableWriteError"))
