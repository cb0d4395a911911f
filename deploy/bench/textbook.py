"""What most would build: FastAPI, FastStream, and a transactional outbox per message. `python -m deploy.bench.textbook <role>`.

Each request is a transaction of two documents (case, outbox), each message one of three (inbox, review, outbox); a publisher
empties the outbox as soon as something was committed; the ledger inserts message by message. Nothing is sealed.
"""

import asyncio
import hashlib
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Annotated, Any

from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from fastapi import Depends, FastAPI, Header, HTTPException, Response
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from pydantic import BaseModel
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from deploy.bench.serving import cancel, connect, serve, start
from deploy.topics import PARTITIONS
from shared.access.decide import Principal
from shared.access.tokens import TokenRefused, TokenVerifier
from shared.clock import system_now
from shared.events.clinical import ScreeningSummary
from shared.events.topics import topic_of
from shared.settings import Settings

PUBLISHED_AT_ONCE = 100
POLL_SECONDS = 0.2


class Screened(BaseModel):
    """The message that a screening is complete."""

    id: str
    case: str
    summary: ScreeningSummary
    completed_at: datetime


class Review(BaseModel):
    """The message that a review is open."""

    id: str
    case: str
    summary: ScreeningSummary
    assigned_to: str
    due_at: datetime


class Accepted(BaseModel):
    """The answer to a screening."""

    case: str
    event: str


class Service:
    """What each process has: a database, a broker, an outbox and its publisher."""

    def __init__(self, role: str, settings: Settings) -> None:
        self.role = role
        self.settings = settings
        self.client = connect(settings)
        self.database = self.client[f"{settings.database_prefix}_{role}"]
        self.broker = KafkaBroker(settings.kafka_bootstrap, acks="all", enable_idempotence=settings.kafka_idempotent_producer)
        self._committed = asyncio.Event()

    @property
    def consumer_options(self) -> dict[str, Any]:
        """The options that kapcare's consumers have; one worker for each partition, acknowledged when handled."""
        return {
            "group_id": f"{self.settings.topic_prefix}.{self.role}",
            "max_workers": PARTITIONS,
            "ack_policy": AckPolicy.ACK,
            "auto_offset_reset": "earliest",
            "partition_assignment_strategy": (StickyPartitionAssignor,),
            "fetch_max_wait_ms": self.settings.kafka_fetch_max_wait_ms,
            "session_timeout_ms": self.settings.kafka_session_timeout_ms,
            "heartbeat_interval_ms": self.settings.kafka_session_timeout_ms // 3,
        }

    def subscribe(self) -> None:
        """Handle what the role reacts to."""
        if self.role == "prescriber":
            self.broker.subscriber(self.topic("intake"), **self.consumer_options)(self.review)
        if self.role == "audit":
            own_group = {"group_id": f"{self.settings.topic_prefix}.{self.role}.reviews"}
            self.broker.subscriber(self.topic("intake"), **self.consumer_options)(self.keep_screened)
            self.broker.subscriber(self.topic("prescriber"), **self.consumer_options | own_group)(self.keep_review)

    def topic(self, role: str) -> str:
        """The topic that a role publishes to."""
        return topic_of(role, self.settings.topic_prefix)

    async def commit(self, document: dict[str, Any], message: Screened | Review, received: str | None = None) -> None:
        """Store the document and its message in one transaction, beside the id of what was received."""
        outgoing = {"_id": message.id, "at": system_now(), "key": message.case, "body": message.model_dump(mode="json")}

        async def write(session: AsyncClientSession) -> None:
            if received is not None:
                await self.database["inbox"].insert_one({"_id": received}, session=session)
            await self.database["cases"].insert_one(document, session=session)
            await self.database["outbox"].insert_one(outgoing, session=session)

        async with self.client.start_session() as session:
            await session.with_transaction(write)
        self._committed.set()

    async def publish_outbox(self) -> None:
        """Publish and delete what was committed, for ever."""
        outbox = self.database["outbox"]
        while True:
            self._committed.clear()
            rows = await outbox.find().sort("at").limit(PUBLISHED_AT_ONCE).to_list()
            for row in rows:
                await self.broker.publish(row["body"], self.topic(self.role), key=row["key"].encode())
            if rows:
                await outbox.delete_many({"_id": {"$in": [row["_id"] for row in rows]}})
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._committed.wait(), POLL_SECONDS)

    async def review(self, screened: Screened) -> None:
        """Open the review of a screening, once."""
        due_at = system_now() + timedelta(hours=72)
        message = Review(id=uuid.uuid4().hex, case=screened.case, summary=screened.summary, assigned_to="in-house", due_at=due_at)
        document = {"_id": screened.case, "status": "in_review", "due_at": due_at, "summary": screened.summary.model_dump(mode="json")}
        with suppress(DuplicateKeyError):
            await self.commit(document, message, received=screened.id)

    async def keep_screened(self, screened: Screened) -> None:
        """Keep the message that a screening is complete."""
        await self._keep(screened)

    async def keep_review(self, review: Review) -> None:
        """Keep the message that a review is open."""
        await self._keep(review)

    async def _keep(self, message: Screened | Review) -> None:
        body = message.model_dump_json()
        entry = {
            "_id": message.id,
            "stream": message.case,
            "type": type(message).__name__,
            "body": body,
            "leaf": hashlib.sha256(body.encode()).digest(),
        }
        with suppress(DuplicateKeyError):
            await self.database["entries"].insert_one(entry)


def build(role: str, settings: Settings) -> FastAPI:
    """Return one process as an ASGI application."""
    service = Service(role, settings)
    service.subscribe()
    tokens = TokenVerifier(settings.issuer, settings.audience, settings.jwks_url)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        running: list[asyncio.Task[None]] = []
        if role != "audit":
            await service.database["outbox"].create_index("at")
            for name in ("cases", "inbox"):
                await service.database.create_collection(name)
        await service.broker.start()
        if role != "audit":
            start(service.publish_outbox(), running)
        yield
        await service.broker.stop()
        await cancel(running)
        await service.client.close()

    app = FastAPI(lifespan=lifespan)

    async def principal(authorization: Annotated[str, Header()]) -> Principal:
        try:
            return await tokens.principal(authorization.removeprefix("Bearer "))
        except TokenRefused:
            raise HTTPException(401) from None

    @app.post("/cases/{case}/screening")
    async def screen(case: str, summary: ScreeningSummary, caller: Annotated[Principal, Depends(principal)]) -> Accepted:
        now = system_now()
        message = Screened(id=uuid.uuid4().hex, case=case, summary=summary, completed_at=now)
        document = {"_id": case, "status": "screened", "by": caller.subject, "at": now, "summary": summary.model_dump(mode="json")}
        await service.commit(document, message)
        return Accepted(case=case, event=message.id)

    @app.get("/health/ready")
    async def ready() -> Response:
        return Response(status_code=200)

    return app


if __name__ == "__main__":
    given = Settings()  # type: ignore[call-arg]
    serve(build(sys.argv[1], given), given)
