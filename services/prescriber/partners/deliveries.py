"""The webhooks that are due to the endpoints of partners: one row for each endpoint and event, its body fixed once.

`sequence` is contiguous for each endpoint and signed within the body: with it a partner finds any gap itself, and closes it by
`GET /partner/events`. Whoever writes rows is fenced by their unique (endpoint, sequence) and by their id, which is the event's: a writer
that was overtaken finds its rows there, or the place taken, and looks again.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, Self

from bson import Binary
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateMany
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, PyMongoError

from services.prescriber.domain.partners.state import Endpoint
from services.prescriber.partners.directory import Directory
from services.prescriber.partners.messages import TELLING, Message, body_of, message_of
from shared.clock import system_now
from shared.events.codec import Recorded
from shared.events.partner import DeliveriesReplayed
from shared.log.commit import Commit
from shared.log.store import DUPLICATE_KEY, is_transient
from shared.service.runtime import Runtime
from shared.vault.port import KeyMissing
from shared.webhooks.dispatch import Delivery

LOADED: Final = 5_000
"""Rows of one endpoint that are read at once."""
TRIES_KEPT: Final = 20
"""The latest attempts that a row tells of; ten, and those after it was asked for again."""

INDEXES: Final = (
    IndexModel([("endpoint", ASCENDING), ("sequence", ASCENDING)], unique=True, name="contiguous"),
    IndexModel(
        [("state", ASCENDING), ("endpoint", ASCENDING), ("sequence", ASCENDING)], name="due", partialFilterExpression={"state": "due"}
    ),
    IndexModel([("endpoint", ASCENDING), ("state", ASCENDING)], name="dead", partialFilterExpression={"state": "dead"}),
)
_SENT: Final = ("endpoint", "stream", "sequence", "webhook_id", "body", "attempts", "next_at")
"""What of a row is needed to send it."""
_FOLLOWED: Final = frozenset({DeliveriesReplayed.TYPE, *(event.TYPE for event in TELLING)})


@dataclass(frozen=True, slots=True)
class Told:
    """An event and what a partner is told of it."""

    recorded: Recorded
    message: Message


class Try(NamedTuple):
    """One attempt, as the delivery log shows it: when to a tenth of a second, and how long it took to a hundredth."""

    at: datetime
    outcome: int | str
    seconds: float

    @classmethod
    def noted(cls, at: datetime, outcome: int | str, seconds: float) -> Self:
        """Return an attempt as it is kept: what ended alike at about the same time is the same, and written as one."""
        return cls(_to_a_tenth(at), outcome, round(seconds, 2))


class Result(NamedTuple):
    """What an attempt makes of a delivery."""

    state: Literal["due", "done", "dead"]
    attempts: int
    next_at: datetime | None
    tried: Try


def key_of(partner: str, endpoint: str) -> str:
    """Return the name of an endpoint in the whole network."""
    return f"{partner}/{endpoint}"


class Deliveries:
    """The rows, of which each is `due`, `done` or `dead` (given up)."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], directory: Directory) -> None:
        self.rows: AsyncCollection[dict[str, Any]] = database["endpoint_deliveries"]
        self.health: AsyncCollection[dict[str, Any]] = database["endpoint_health"]
        self._directory = directory
        self.written: list[Delivery] | None = None
        """What was written here since the sender looked; None while another instance sends."""
        self.woken = asyncio.Event()
        """Set when something may have become due."""

    async def create_indexes(self) -> None:
        """Create what rows are found by, and what keeps sequences contiguous."""
        await self.rows.create_indexes(list(INDEXES))

    async def pending(self) -> int:
        """Return how many rows are still to be delivered."""
        return await self.rows.count_documents({"state": "due"})

    async def follow(self, runtime: Runtime, commits: Sequence[Commit]) -> None:
        """Make a row for each endpoint and event of which its partner is told, and make rows due again; twice is once."""
        followed = [commit for commit in commits if any(event.type in _FOLLOWED for event in commit.events)]
        if not followed:
            return
        told: dict[str, list[Told]] = {}
        replays: list[tuple[int, DeliveriesReplayed]] = []
        for recorded in await _open(runtime, followed):
            if isinstance(recorded.data, DeliveriesReplayed):
                replays.append((recorded.envelope.sequence, recorded.data))
            message = message_of(recorded)
            if message is not None:
                for endpoint in self._endpoints_of(message, recorded.envelope.time):
                    told.setdefault(key_of(message.partner, endpoint.slug), []).append(Told(recorded, message))
        await asyncio.gather(*[self._add_in_order(endpoint, due) for endpoint, due in told.items()])
        for place, replay in replays:
            await self._replay(place, replay)
        self.woken.set()

    def _endpoints_of(self, message: Message, at: datetime) -> list[Endpoint]:
        partner = self._directory.find(message.partner)
        if partner is None or partner.status == "left":
            return []
        return [
            endpoint
            for endpoint in partner.endpoints
            if endpoint.slug == message.only
            or (message.only is None and endpoint.slug != message.never and endpoint.took(message.type, at))
        ]

    async def due(self, endpoint: str, after: int = 0) -> AsyncIterator[Delivery]:
        """Yield what is due to an endpoint after a sequence, in order, so many at most."""
        wanted = {"endpoint": endpoint, "state": "due", "sequence": {"$gt": after}}
        async for row in self.rows.find(wanted, projection=_SENT, batch_size=LOADED).sort([("sequence", ASCENDING)]).limit(LOADED):
            yield _delivery(row)

    async def grown(self, last: Mapping[str, int]) -> list[str]:
        """Return the endpoints that have a row beyond the sequence given for each."""
        if not last:
            return []
        following = [{"endpoint": endpoint, "sequence": sequence + 1} for endpoint, sequence in last.items()]
        return [row["endpoint"] async for row in self.rows.find({"$or": following}, projection=["endpoint"])]

    async def last_sequence(self, endpoint: str) -> int:
        """Return the last sequence of an endpoint; 0 before the first."""
        newest = await self.rows.find_one({"endpoint": endpoint}, projection=["sequence"], sort=[("sequence", DESCENDING)])
        return 0 if newest is None else int(newest["sequence"])

    async def record(self, results: Iterable[tuple[Delivery, Result]]) -> None:
        """Write what attempts made of deliveries, what ended alike as one; durable on return, and once where it is written twice."""
        alike: dict[Result, list[str]] = {}
        for delivery, result in results:
            alike.setdefault(result, []).append(delivery.id)
        now = system_now()
        # First what is due again: of one delivery, whatever else is among them came later.
        in_order = sorted(alike.items(), key=lambda one: one[0].state != "due")
        updates = [UpdateMany(_not_yet(result, identities), _change(result, now)) for result, identities in in_order]
        try:
            await self.rows.bulk_write(updates, ordered=False)
        except PyMongoError as error:
            if not is_transient(error):
                raise
            # The driver does not send again what changes many; here nothing changes twice.
            await self.rows.bulk_write(updates, ordered=False)

    async def due_to(self) -> list[str]:
        """Return the endpoints to which something is due."""
        return list(await self.rows.distinct("endpoint", {"state": "due"}))

    async def hurry(self, endpoint: str) -> None:
        """What waits for its next attempt need not wait any more: a person had the endpoint go on."""
        await self.rows.update_many({"endpoint": endpoint, "state": "due"}, {"$set": {"next_at": None}})

    async def drop(self, endpoint: str) -> None:
        """What is due to an endpoint that is no more is given up."""
        await self.rows.update_many({"endpoint": endpoint, "state": "due"}, {"$set": {"state": "dead", "settled_at": system_now()}})

    async def _replay(self, place: int, replay: DeliveriesReplayed) -> None:
        """Make a range due again, once for each time it is asked for: not for what a later place in the partner's stream asked for."""
        endpoint = key_of(replay.partner, replay.endpoint)
        wanted = {"endpoint": endpoint, "sequence": {"$gte": replay.first, "$lte": replay.last}, "replay": {"$not": {"$gte": place}}}
        fresh = {"state": "due", "attempts": 0, "next_at": None, "settled_at": None, "replay": place}
        await self.rows.update_many(wanted, {"$set": fresh})
        await self.health.update_one({"_id": endpoint}, {"$max": {"replay": place}}, upsert=True)

    async def _add_in_order(self, endpoint: str, told: Sequence[Told]) -> None:
        while not await self._add(endpoint, told):
            continue  # another instance took the next sequence first

    async def _add(self, endpoint: str, told: Sequence[Told]) -> bool:
        """Insert the rows that are missing, with the next sequences, in order; False if another instance was faster."""
        ids = {f"{endpoint}/{one.recorded.envelope.id}": one for one in told}
        known_rows, last = await asyncio.gather(
            self.rows.find({"_id": {"$in": list(ids)}}, projection=["_id"]).to_list(), self.last_sequence(endpoint)
        )
        known = {row["_id"] for row in known_rows}
        missing = [(identity, one) for identity, one in ids.items() if identity not in known]
        if not missing:
            return True
        rows = [_row(identity, endpoint, sequence, one) for sequence, (identity, one) in enumerate(missing, last + 1)]
        try:
            await self.rows.insert_many(rows)
        except BulkWriteError as error:
            if any(failed["code"] != DUPLICATE_KEY for failed in error.details["writeErrors"]):
                raise
            return False
        if self.written is not None:
            self.written += [_delivery(row) for row in rows]
        return True


def _row(identity: str, endpoint: str, sequence: int, told: Told) -> dict[str, Any]:
    envelope = told.recorded.envelope
    return {
        "_id": identity,
        "endpoint": endpoint,
        "partner": told.message.partner,
        "stream": told.message.data.get("case", envelope.subject),
        "sequence": sequence,
        "type": told.message.type,
        "webhook_id": f"{envelope.id}-{endpoint.rpartition('/')[2]}".replace(".", "-"),
        "body": Binary(body_of(told.message, told.recorded, sequence)),
        "state": "due",
        "attempts": 0,
        "tries": [],
        "created_at": system_now(),
        "next_at": None,
        "settled_at": None,
    }


def _delivery(row: Mapping[str, Any]) -> Delivery:
    return Delivery(
        row["_id"], row["endpoint"], row["stream"], row["sequence"], row["webhook_id"], bytes(row["body"]), row["attempts"], row["next_at"]
    )


@lru_cache(maxsize=64)
def _to_a_tenth(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 100_000 * 100_000)


def _not_yet(result: Result, identities: Sequence[str]) -> dict[str, Any]:
    """Return what finds these rows as long as the result is not written."""
    wanted = {"_id": {"$in": identities}, "state": "due"}
    return {**wanted, "attempts": {"$lt": result.attempts}} if result.state == "due" else wanted


def _change(result: Result, now: datetime) -> dict[str, Any]:
    changed: dict[str, Any] = {"state": result.state, "attempts": result.attempts}
    changed |= {"next_at": result.next_at} if result.state == "due" else {"settled_at": now}
    tried = {"at": result.tried.at, "outcome": result.tried.outcome, "seconds": result.tried.seconds}
    return {"$set": changed, "$push": {"tries": {"$each": [tried], "$slice": -TRIES_KEPT}}}


async def _open(runtime: Runtime, commits: Sequence[Commit]) -> list[Recorded]:
    """Open commits; those of an erased case are passed over, for there is nothing left to tell."""
    try:
        return await runtime.open_events(commits)
    except KeyMissing:
        if len(commits) == 1:
            return []
        return [recorded for commit in commits for recorded in await _open(runtime, [commit])]
