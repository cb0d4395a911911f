"""The webhooks that are due to partners: one row for each review assigned, its body fixed once.

The body is thin: it says that there is something to review and holds no clinical value, so that a partner must ask
for the review itself, under the consent in force at that moment. `sequence` is contiguous for each partner: a gap tells a
partner that something is still on its way, or is withheld while a stop forbids disclosure.
"""

import asyncio
import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self

from bson import Binary
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError

from shared.clock import system_now
from shared.events.codec import Recorded, time_text
from shared.events.prescriber import IN_HOUSE, ReviewAssigned, SafetyHoldLifted, StopNoted
from shared.log.batcher import Batcher
from shared.log.commit import Commit
from shared.log.store import DUPLICATE_KEY
from shared.service.runtime import Runtime
from shared.vault.port import KeyMissing

CLAIM_SECONDS: Final = 30.0
"""How long a row belongs to who took it; beyond any attempt, so that only a crash makes it due again."""
BEHIND_SECONDS: Final = 1.0
"""When to look again at a row behind an earlier one of its case."""

INDEXES: Final = (
    IndexModel([("partner", ASCENDING), ("sequence", ASCENDING)], unique=True, name="contiguous"),
    IndexModel([("state", ASCENDING), ("next_at", ASCENDING)], name="due"),
    IndexModel([("stream", ASCENDING), ("state", ASCENDING)], name="of_case"),
    IndexModel([("claim", ASCENDING)], sparse=True, name="claimed"),
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook to one partner: the same id and the same bytes on every attempt."""

    id: str
    partner: str
    stream: str
    webhook_id: str
    body: bytes
    attempts: int
    """Attempts made so far."""

    @classmethod
    def from_document(cls, row: Mapping[str, Any]) -> Self:
        """Read a stored row."""
        return cls(row["_id"], row["partner"], row["stream"], row["webhook_id"], bytes(row["body"]), row["attempts"])


class Deliveries:
    """The rows, of which each is `due`, `withheld` (a stop forbids disclosure), `done` or `dead` (given up)."""

    def __init__(self, collection: AsyncCollection[dict[str, Any]]) -> None:
        self._rows = collection
        self._updates: Batcher[tuple[str, dict[str, Any]], None] = Batcher(self._write)
        self.woken = asyncio.Event()
        """Set when something may have become due."""

    async def create_indexes(self) -> None:
        """Create what rows are found by, and what keeps sequences contiguous."""
        await self._rows.create_indexes(list(INDEXES))

    async def pending(self) -> int:
        """Return how many rows are still to be delivered."""
        return await self._rows.count_documents({"state": "due"})

    async def follow(self, runtime: Runtime, commits: Sequence[Commit]) -> None:
        """Make a row for each review assigned to a partner, and free those whose stop ended; twice is once."""
        assigning = [commit for commit in commits if _has(commit, ReviewAssigned.TYPE)]
        await self._add(await _open(runtime, assigning))
        cleared = {commit.stream for commit in commits if _has(commit, StopNoted.TYPE) or _has(commit, SafetyHoldLifted.TYPE)}
        if cleared:
            withheld = {"stream": {"$in": sorted(cleared)}, "state": "withheld"}
            await self._rows.update_many(withheld, {"$set": {"state": "due", "next_at": system_now()}})
        if assigning or cleared:
            self.woken.set()

    async def claim(self, limit: int, busy_partners: Collection[str]) -> list[Delivery]:
        """Take up to `limit` rows that are due: of each case only the earliest, and none of partners that are busy."""
        now = system_now()
        due = {"state": "due", "next_at": {"$lte": now}}
        found = self._rows.find({**due, "partner": {"$nin": sorted(busy_partners)}}, projection=["partner", "stream", "sequence"])
        candidates = await found.sort([("next_at", ASCENDING)]).limit(limit).to_list()
        if not candidates:
            return []
        first: dict[tuple[str, str], int] = {}
        streams = sorted({row["stream"] for row in candidates})
        async for row in self._rows.find({"stream": {"$in": streams}, "state": "due"}, projection=["partner", "stream", "sequence"]):
            lane = (row["partner"], row["stream"])
            first[lane] = min(row["sequence"], first.get(lane, row["sequence"]))
        behind = [row["_id"] for row in candidates if row["sequence"] != first.get((row["partner"], row["stream"]))]
        if behind:
            later = now + timedelta(seconds=BEHIND_SECONDS)
            await self._rows.update_many({"_id": {"$in": behind}, **due}, {"$set": {"next_at": later}})
        ids = [row["_id"] for row in candidates if row["_id"] not in behind]
        claim = uuid.uuid4().hex
        until = now + timedelta(seconds=CLAIM_SECONDS)
        await self._rows.update_many({"_id": {"$in": ids}, **due}, {"$set": {"claim": claim, "next_at": until}})
        return [Delivery.from_document(row) async for row in self._rows.find({"claim": claim})]

    async def done(self, delivery: Delivery, status: int) -> None:
        """The partner took it."""
        await self._settle(delivery, "done", status, attempts=delivery.attempts + 1)

    async def dead(self, delivery: Delivery, outcome: int | str) -> None:
        """Given up; stays listed until a person looks."""
        await self._settle(delivery, "dead", outcome, attempts=delivery.attempts + 1)

    async def failed(self, delivery: Delivery, outcome: int | str, next_at: datetime) -> None:
        """An attempt failed; the next one follows."""
        change = {"next_at": next_at, "last_status": outcome, "attempts": delivery.attempts + 1}
        await self._updates.submit((delivery.id, {"$set": change, "$unset": {"claim": ""}}))

    async def postpone(self, delivery: Delivery, next_at: datetime) -> None:
        """Try later, without counting an attempt."""
        await self._updates.submit((delivery.id, {"$set": {"next_at": next_at}, "$unset": {"claim": ""}}))

    async def withhold(self, delivery: Delivery, why: str) -> None:
        """A stop forbids it; due again when the stop ends."""
        await self._settle(delivery, "withheld", why, attempts=delivery.attempts)

    async def release(self, delivery: Delivery) -> None:
        """The stop that withheld it ended."""
        await self._rows.update_one({"_id": delivery.id, "state": "withheld"}, {"$set": {"state": "due", "next_at": system_now()}})

    async def _settle(self, delivery: Delivery, state: str, outcome: int | str, *, attempts: int) -> None:
        change = {"state": state, "last_status": outcome, "attempts": attempts, "settled_at": system_now()}
        await self._updates.submit((delivery.id, {"$set": change, "$unset": {"claim": ""}}))

    async def _write(self, updates: Sequence[tuple[str, dict[str, Any]]]) -> Sequence[None]:
        await self._rows.bulk_write([UpdateOne({"_id": identity, "state": "due"}, change) for identity, change in updates], ordered=False)
        return [None] * len(updates)

    async def _add(self, recorded: Sequence[Recorded]) -> None:
        by_partner: dict[str, list[Recorded]] = {}
        for one in recorded:
            if isinstance(one.data, ReviewAssigned) and one.data.partner != IN_HOUSE:
                by_partner.setdefault(one.data.partner, []).append(one)
        await asyncio.gather(*[self._add_in_order(partner, assigned) for partner, assigned in by_partner.items()])

    async def _add_in_order(self, partner: str, assigned: Sequence[Recorded]) -> None:
        while not await self._add_for(partner, assigned):
            continue  # another instance took the next sequence first

    async def _add_for(self, partner: str, assigned: Sequence[Recorded]) -> bool:
        """Insert the rows that are missing, with the next sequences, in order; False if another instance was faster."""
        ids = {f"{partner}/{one.envelope.id}": one for one in assigned}
        known = {row["_id"] async for row in self._rows.find({"_id": {"$in": list(ids)}}, projection=["_id"])}
        missing = {identity: one for identity, one in ids.items() if identity not in known}
        if not missing:
            return True
        newest = await self._rows.find_one({"partner": partner}, projection=["sequence"], sort=[("sequence", DESCENDING)])
        first = 1 if newest is None else newest["sequence"] + 1
        rows = [_row(identity, partner, sequence, one) for sequence, (identity, one) in enumerate(missing.items(), first)]
        try:
            await self._rows.insert_many(rows)
        except BulkWriteError as error:
            if any(failed["code"] != DUPLICATE_KEY for failed in error.details["writeErrors"]):
                raise
            return False
        return True


def _row(identity: str, partner: str, sequence: int, assigned: Recorded) -> dict[str, Any]:
    now = system_now()
    return {
        "_id": identity,
        "partner": partner,
        "stream": assigned.envelope.subject,
        "sequence": sequence,
        "webhook_id": assigned.envelope.id.replace(".", "-"),
        "body": Binary(_body(sequence, assigned)),
        "state": "due",
        "attempts": 0,
        "created_at": now,
        "next_at": now,
        "last_status": None,
    }


def _body(sequence: int, assigned: Recorded) -> bytes:
    assert isinstance(assigned.data, ReviewAssigned), "only assignments are delivered"  # noqa: S101
    case = assigned.envelope.subject
    document = {
        "type": "kapcare.review.assigned",
        "timestamp": time_text(assigned.envelope.time),
        "sequence": sequence,
        "data": {
            "case": case,
            "request": assigned.data.request,
            "due_at": time_text(assigned.data.due_at),
            "review_url": f"/partner/reviews/{case}",
        },
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _has(commit: Commit, event_type: str) -> bool:
    return any(event.type == event_type for event in commit.events)


async def _open(runtime: Runtime, commits: Sequence[Commit]) -> list[Recorded]:
    """Open commits; those of an erased case are passed over, for there is nothing left to disclose."""
    if not commits:
        return []
    try:
        return await runtime.open_events(commits)
    except KeyMissing:
        if len(commits) == 1:
            return []
        return [recorded for commit in commits for recorded in await _open(runtime, [commit])]
