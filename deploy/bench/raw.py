"""The raw limit: kapcare's hops, bytes and durability by hand, without its runtime. `python -m deploy.bench.raw <role>`.

Same as in kapcare: processes, token check, validated body, sealed CloudEvents, commit documents and their unique indexes,
group commit, relay by change stream, batched consumption, offsets committed after the write, majority and journal.
Left out: the case's history and state, clinical rules, order across events, parking, deadlines, metrics, traces, views, proofs.
"""

import asyncio
import hashlib
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.structs import ConsumerRecord
from bson import Binary
from pydantic import BaseModel, ValidationError
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, PyMongoError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.bench.serving import cancel, connect, serve, start
from shared.access.tokens import TokenRefused, TokenVerifier
from shared.clock import system_now
from shared.events.base import EventData
from shared.events.clinical import ScreeningSummary
from shared.events.intake import ScreeningCompleted
from shared.events.prescriber import IN_HOUSE, ReviewAssigned, ReviewOpened
from shared.events.topics import topic_of
from shared.log.store import DUPLICATE_KEY, INDEXES
from shared.settings import Settings
from shared.transport.kafka import make_consumer, make_producer
from shared.vault.port import CaseKey

AT_ONCE = 500
SAVE_EVERY_SECONDS = 0.25
Collection = AsyncCollection[dict[str, Any]]
Handle = Callable[[Sequence[ConsumerRecord]], Awaitable[None]]


class Accepted(BaseModel):
    """The answer to a screening."""

    case: str
    version: int
    event: str


class GroupCommit:
    """Inserts together what waits together; at most two inserts are under way."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._waiting: list[tuple[dict[str, Any], asyncio.Future[None]]] = []
        self._flushes: set[asyncio.Task[None]] = set()

    async def append(self, document: dict[str, Any]) -> None:
        """Return once the document is durable."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((document, future))
        if len(self._flushes) < 2:
            flush = asyncio.create_task(self._flush())
            self._flushes.add(flush)
            flush.add_done_callback(self._flushes.discard)
        await future

    async def _flush(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
            try:
                await self._collection.insert_many([document for document, _ in batch], ordered=False)
            except PyMongoError as error:
                for _, future in batch:
                    future.set_exception(error)
            else:
                for _, future in batch:
                    future.set_result(None)


class Sealing:
    """Makes commit documents of events, and events of sealed bytes."""

    def __init__(self, source: str, key: CaseKey) -> None:
        self._source = f"urn:kapcare:{source}"
        self._key = key

    def commit(self, case: str, cause: str, events: Sequence[EventData], origin: Mapping[str, str], caused: str | None) -> dict[str, Any]:
        """Return the document that is state, outbox and inbox at once."""
        identity = uuid.uuid4().hex
        now = system_now()
        sealed = []
        for index, event in enumerate(events):
            headers = {
                "content-type": "application/vnd.kapcare.sealed",
                "ce_specversion": "1.0",
                "ce_id": f"{identity}.{index}",
                "ce_source": self._source,
                "ce_type": event.TYPE,
                "ce_subject": case,
                "ce_time": now.isoformat(timespec="milliseconds"),
                "ce_sequence": f"{index + 1:020d}",
                "ce_clinic": origin["ce_clinic"],
                "ce_patient": origin["ce_patient"],
                "ce_actor": origin["ce_actor"],
                "ce_correlationid": origin.get("ce_correlationid", identity),
            }
            if caused is not None:
                headers["ce_causationid"] = caused
            plain = event.model_dump_json().encode()
            sealed.append({"headers": headers, "data": Binary(self._key.seal(plain, _associated(headers)))})
        return {
            "_id": identity,
            "stream": case,
            "version": 1,
            "first_sequence": 1,
            "cause": cause,
            "actor": origin["ce_actor"],
            "at": now,
            "trace": None,
            "events": sealed,
        }

    def open(self, headers: Mapping[str, str], data: bytes) -> ScreeningCompleted:
        """Return the event that the bytes are."""
        return ScreeningCompleted.model_validate_json(self._key.open(data, _associated(headers)))


def _associated(headers: Mapping[str, str]) -> bytes:
    return f"{headers['ce_source']}|{headers['ce_type']}|{headers['ce_subject']}|{headers['ce_id']}".encode()


def _headers(record: ConsumerRecord) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers}


async def relay(commits: Collection, places: Collection, producer: AIOKafkaProducer, topic: str, ready: asyncio.Event) -> None:
    """Publish each commit's events as the change stream shows them; save the place behind what is acknowledged."""
    inserts: list[dict[str, Any]] = [{"$match": {"operationType": "insert"}}, {"$project": {"fullDocument": 1}}]
    async with await commits.watch(inserts, max_await_time_ms=200, batch_size=1000) as stream:
        ready.set()
        sent: list[Awaitable[Any]] = []
        due = 0.0
        while True:
            change = await stream.try_next()
            if change is not None:
                key = change["fullDocument"]["stream"].encode()
                for event in change["fullDocument"]["events"]:
                    headers = [(name, value.encode()) for name, value in event["headers"].items()]
                    sent.append(await producer.send(topic, event["data"], key, headers=headers))
            if sent and time.monotonic() >= due:
                token = stream.resume_token
                await asyncio.gather(*sent)
                await places.update_one({"_id": "relay"}, {"$set": {"token": token}}, upsert=True)
                sent, due = [], time.monotonic() + SAVE_EVERY_SECONDS


async def consume(settings: Settings, group: str, topics: list[str], handle: Handle, ready: asyncio.Event) -> None:
    """Take what is there in batches, and commit offsets behind what is handled."""
    consumer = make_consumer(settings, topics, f"{settings.topic_prefix}.{group}")
    await consumer.start()
    ready.set()
    try:
        while True:
            polled = await consumer.getmany(timeout_ms=200, max_records=AT_ONCE)
            if polled:
                await handle([record for records in polled.values() for record in records])
                await consumer.commit({partition: records[-1].offset + 1 for partition, records in polled.items()})
    finally:
        await consumer.stop()


async def insert_once(collection: Collection, documents: list[dict[str, Any]]) -> None:
    """Insert what is not there yet."""
    try:
        await collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        if any(failed["code"] != DUPLICATE_KEY for failed in error.details["writeErrors"]):
            raise


def build(role: str, settings: Settings) -> Starlette:
    """Return one process as an ASGI application."""
    client = connect(settings)
    database = client[f"{settings.database_prefix}_{role}"]
    commits, entries = database["commits"], database["entries"]
    sealing = Sealing(role, CaseKey(settings.vault_master_key.get_secret_value()))
    tokens = TokenVerifier(settings.issuer, settings.audience, settings.jwks_url)
    group_commit = GroupCommit(commits)
    relaying, consuming = asyncio.Event(), asyncio.Event()

    async def screen(request: Request) -> Response:
        try:
            principal = await tokens.principal(request.headers["authorization"].removeprefix("Bearer "))
            summary = ScreeningSummary.model_validate_json(await request.body())
            receipt = f"http:{principal.issuer}/{principal.subject}/{request.headers['idempotency-key']}"
        except (TokenRefused, ValidationError, KeyError):
            return Response(status_code=400)
        case = request.path_params["case"]
        origin = {"ce_clinic": next(iter(principal.clinics)), "ce_patient": f"patient-{case[5:]}", "ce_actor": principal.subject}
        event = ScreeningCompleted(summary=summary, completed_at=system_now(), policy_version="bench")
        document = sealing.commit(case, receipt, [event], origin, None)
        document |= {"receipt": receipt, "request_mac": Binary(hashlib.sha256(case.encode()).digest())}
        await group_commit.append(document)
        accepted = Accepted(case=case, version=1, event=f"{document['_id']}.0")
        return Response(accepted.model_dump_json(), media_type="application/json")

    async def review(records: Sequence[ConsumerRecord]) -> None:
        documents = []
        for record in records:
            headers = _headers(record)
            event = sealing.open(headers, record.value)
            now = system_now()
            opened = ReviewOpened(request=1, summary=event.summary, opened_at=now)
            assigned = ReviewAssigned(request=1, partner=IN_HOUSE, due_at=now + timedelta(hours=72))
            cause = f"event:{headers['ce_source']}/{headers['ce_id']}"
            documents.append(sealing.commit(headers["ce_subject"], cause, [opened, assigned], headers, headers["ce_id"]))
        await insert_once(commits, documents)

    async def keep(records: Sequence[ConsumerRecord]) -> None:
        documents = []
        for record in records:
            headers = _headers(record)
            whole = json.dumps(headers, sort_keys=True, separators=(",", ":")).encode() + b"\n" + record.value
            documents.append(
                {
                    "_id": headers["ce_id"],
                    "stream": headers["ce_subject"],
                    "type": headers["ce_type"],
                    "entry": Binary(whole),
                    "leaf": Binary(hashlib.sha256(b"\0" + whole).digest()),
                }
            )
        await insert_once(entries, documents)

    async def health(_request: Request) -> Response:
        awaited = {"intake": [relaying], "prescriber": [relaying, consuming], "audit": [consuming]}[role]
        return Response(status_code=200 if all(event.is_set() for event in awaited) else 503)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        running: list[asyncio.Task[None]] = []
        producer = make_producer(settings)
        topics = [topic_of("intake", settings.topic_prefix), topic_of("prescriber", settings.topic_prefix)]
        await producer.start()
        if role in ("intake", "prescriber"):
            await commits.create_indexes(list(INDEXES))
            start(relay(commits, database["places"], producer, topic_of(role, settings.topic_prefix), relaying), running)
        if role == "prescriber":
            start(consume(settings, role, topics[:1], review, consuming), running)
        if role == "audit":
            start(consume(settings, role, topics, keep, consuming), running)
        yield
        await cancel(running)
        await producer.stop()
        await client.close()

    routes = [Route("/cases/{case}/screening", screen, methods=["POST"]), Route("/health/ready", health)]
    return Starlette(routes=routes, lifespan=lifespan)


if __name__ == "__main__":
    given = Settings()  # type: ignore[call-arg]
    serve(build(sys.argv[1], given), given)
