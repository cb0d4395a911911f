"""The relay: one for each collection of commits tails it and publishes each stream in order.

Every commit is kept, so Kafka is transport and never the record: a broker that forgot is noticed and refilled.
Overlapping relays are harmless, because each publishes a stream in order from an acknowledged point and consumers
drop what they have seen; the lease fences only the saved place.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from opentelemetry.trace import SpanKind
from prometheus_client import Gauge
from pymongo import ASCENDING
from pymongo.asynchronous.change_stream import AsyncCollectionChangeStream
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import OperationFailure, PyMongoError

from shared.clock import system_now
from shared.events.codec import Sealed
from shared.events.topics import owner_of
from shared.log.commit import Commit
from shared.log.errors import StoreUnavailable
from shared.log.store import is_transient
from shared.settings import Settings
from shared.telemetry.logs import Logger
from shared.telemetry.metrics import Metrics
from shared.telemetry.traces import current_traceparent, span, tracing
from shared.transport.ending import asked_to_end
from shared.transport.heartbeat import Heartbeat
from shared.transport.kafka import make_probe, make_producer
from shared.transport.lease import Lease, LeaseLost

Follower = Callable[[Sequence[Commit]], Awaitable[None]]
"""Told of each batch of this service's commits in order, before the place is saved: at least once, so idempotent."""

BATCH_COMMITS: Final = 1000
SAVE_EVERY_SECONDS: Final = 0.25
EPOCH_HEADER: Final = "kapcare_epoch"
"""Counts refills, so that a consumer past the end of a wiped topic knows to start again."""

_TOKEN_UNUSABLE: Final = frozenset({136, 260, 280, 286})
"""Capped position lost, invalid resume token, change stream fatal error, change stream history lost."""


class BrokerForgot(Exception):
    """An acknowledged offset lies not above the last one, or an end offset below it: the topic was emptied."""


class PublishFailed(Exception):
    """A send failed; everything from the saved place on is published again."""


@dataclass
class _Place:
    """Where the relay stands. Without a token everything is swept first."""

    token: Mapping[str, Any] | None = None
    epoch: int = 1
    acknowledged: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, saved: Mapping[str, Any]) -> "_Place":
        return cls(saved.get("token"), saved.get("epoch", 1), dict(saved.get("acknowledged", {})))

    def to_document(self) -> dict[str, Any]:
        return {"token": self.token, "epoch": self.epoch, "acknowledged": self.acknowledged}


@dataclass(frozen=True, slots=True)
class _Change:
    """One step of the change stream: a commit; neither commit nor failure means that there was nothing more.

    Nothing that was committed before `complete_to` (system time) is still to come; None where the database does not tell.
    """

    token: Mapping[str, Any] | None
    complete_to: datetime | None = None
    commit: Commit | None = None
    failure: Exception | None = None


class Relay:
    """Publishes commits to a topic, keeps the cache of their streams, and runs the ticker while it holds the lease."""

    def __init__(
        self,
        topic: str,
        settings: Settings,
        commits: AsyncCollection[Any],
        lease: Lease,
        keep_cache: Callable[[Mapping[str, int]], Awaitable[None]],
        followers: Sequence[Follower],
        ticker: Callable[[], Awaitable[None]],
        oldest_unpublished_seconds: Gauge,
        metrics: Metrics,
        log: Logger,
    ) -> None:
        self._topic = topic
        self._source = owner_of(topic)
        self._settings = settings
        self._commits = commits
        self._lease = lease
        self._keep_cache = keep_cache
        self._followers = followers
        self._ticker = ticker
        self._metrics = metrics
        self._log = log
        self._place = _Place()
        self._dirty: dict[str, int] = {}
        self._caught_up = asyncio.Event()
        self._refill_asked = asyncio.Event()
        self._stopping = asyncio.Event()
        self._last_beat = 0.0
        self._cache_lock = asyncio.Lock()
        self._unpublished_since: float | None = None
        oldest_unpublished_seconds.set_function(self._oldest_unpublished_seconds)

    async def run(self) -> None:
        """Lead whenever the lease can be had, until asked to stop. Store or broker trouble: pause and start at the saved place."""
        pause = 0.1
        while not (self._stopping.is_set() or asked_to_end()):
            try:
                saved = await self._lease.acquire(self._stopping)
                if saved is None:
                    break
                self._place = _Place.read(saved)
                await self._lead()
                pause = 0.1
            except* (BrokerForgot, LeaseLost, PublishFailed, StoreUnavailable, KafkaError, OSError) as group:
                self._log.warning("relay starts again", because=_names(group))
            except* PyMongoError as group:
                if any(not _restartable(error) for error in _leaves(group)):
                    raise
                self._log.warning("relay waits for the store", because=_names(group))
            if not self._stopping.is_set():
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)
        with suppress(PyMongoError):
            await self._lease.release()

    async def stop(self) -> None:
        """Publish what is at hand, save the place, and end."""
        self._stopping.set()

    def refill(self) -> None:
        """Publish every commit again; consumers drop what they have seen."""
        self._refill_asked.set()

    def _oldest_unpublished_seconds(self) -> float:
        return 0.0 if self._unpublished_since is None else time.monotonic() - self._unpublished_since

    @property
    def caught_up(self) -> bool:
        """Whether this instance leads and has read the commits to their end once."""
        return self._caught_up.is_set()

    async def _lead(self) -> None:
        self._caught_up.clear()
        self._dirty.clear()
        producer = make_producer(self._settings)
        probe = make_probe(self._settings)
        try:
            await producer.start()
            await probe.start()
            await self._notice_wiped_broker(probe)
            async with asyncio.TaskGroup() as tasks:
                follower = tasks.create_task(self._follow(producer, probe))
                others = [tasks.create_task(work) for work in (self._lease.renew(), self._keep_place(), self._tick_once_caught_up())]
                await follower
                for other in others:
                    other.cancel()
            await self._save()
        finally:
            self._caught_up.clear()
            # After a failed send the producer's queue must not be flushed: a later record could overtake.
            await asyncio.gather(_close(producer), probe.stop(), return_exceptions=True)

    async def _follow(self, producer: AIOKafkaProducer, probe: AIOKafkaConsumer) -> None:
        try:
            stream = await self._open()
        except (OperationFailure, TypeError) as error:  # a token that is no document is a TypeError of the driver
            if self._place.token is None or (isinstance(error, PyMongoError) and is_transient(error)):
                raise
            self._log.warning("relay lost its place and sweeps all commits", because=type(error).__name__)
            self._place.token = None
            stream = await self._open()
        async with stream:
            if self._place.token is None:
                await self._sweep(producer)
            queue: asyncio.Queue[_Change] = asyncio.Queue(maxsize=4 * BATCH_COMMITS)
            pump = asyncio.ensure_future(_pump(stream, queue))
            try:
                await self._publish_from(queue, producer, probe)
            finally:
                pump.cancel()
                await asyncio.gather(pump, return_exceptions=True)

    async def _publish_from(self, queue: "asyncio.Queue[_Change]", producer: AIOKafkaProducer, probe: AIOKafkaConsumer) -> None:
        while not (self._stopping.is_set() and queue.empty()) and not asked_to_end():
            items = [await queue.get()]
            while not queue.empty() and len(items) < BATCH_COMMITS:
                items.append(queue.get_nowait())
            commits = [item.commit for item in items if item.commit is not None]
            if commits:
                await self._publish(producer, commits)
            self._place.token = items[-1].token or self._place.token
            for item in items:
                if item.failure is not None:
                    raise item.failure
            if items[-1].commit is None:
                await self._keep_cache_now()
                self._caught_up.set()
            await self._beat_when_due(producer, probe, items[-1].complete_to)
            if self._refill_asked.is_set():
                self._refill_asked.clear()
                await self._publish_all_again("asked for", self._place.acknowledged)

    async def _beat_when_due(self, producer: AIOKafkaProducer, probe: AIOKafkaConsumer, complete_to: datetime | None) -> None:
        """Also under load: a busy partition says nothing of the others, nor a late event of those behind it."""
        if complete_to is not None and time.monotonic() - self._last_beat >= self._settings.heartbeat_seconds:
            await self._heartbeat(producer, complete_to)
            await self._notice_wiped_broker(probe)

    async def _open(self) -> AsyncCollectionChangeStream[Any]:
        """Open the change stream at the saved place; without one, at what a majority has.

        Opened at "now" it would begin after commits that are applied but not yet a majority's, which no sweep sees.
        """
        since = None
        if self._place.token is None:
            async with self._commits.database.client.start_session() as session:
                await self._commits.find_one({}, projection=["_id"], session=session)
                since = session.operation_time
        return await self._watch(resume_after=self._place.token, start_at_operation_time=since)

    async def _watch(self, **where: Any) -> AsyncCollectionChangeStream[Any]:
        inserts: list[dict[str, Any]] = [{"$match": {"operationType": "insert"}}, {"$project": {"fullDocument": 1, "wallTime": 1}}]
        return await self._commits.watch(inserts, max_await_time_ms=200, batch_size=BATCH_COMMITS, **where)

    async def _sweep(self, producer: AIOKafkaProducer) -> None:
        """Publish all commits by stream and version; what is committed meanwhile comes by the change stream, perhaps again."""
        batch: list[Commit] = []
        async for document in self._commits.find(batch_size=BATCH_COMMITS).sort([("stream", ASCENDING), ("version", ASCENDING)]):
            batch.append(Commit.from_document(document))
            if len(batch) >= BATCH_COMMITS:
                await self._publish(producer, batch)
                await self._keep_cache_now()
                batch = []
        if batch:
            await self._publish(producer, batch)
            await self._keep_cache_now()

    async def _publish(self, producer: AIOKafkaProducer, commits: Sequence[Commit]) -> None:
        if self._unpublished_since is None:
            self._unpublished_since = time.monotonic()
        epoch = str(self._place.epoch).encode()
        try:
            sends = [await self._send(producer, commit.stream, event, epoch) for commit in commits for event in commit.events]
            acknowledged = await asyncio.gather(*sends)
        except (KafkaError, OSError) as error:
            raise PublishFailed from error
        self._metrics.published.inc(len(acknowledged))
        self._unpublished_since = None
        await self._acknowledge(acknowledged)
        for follower in self._followers:
            await follower(commits)
        self._dirty.update((commit.stream, commit.version) for commit in commits)

    async def _send(self, producer: AIOKafkaProducer, stream: str, event: Sealed, epoch: bytes) -> Any:
        headers = [(name, value.encode()) for name, value in event.headers.items()]
        headers.append((EPOCH_HEADER, epoch))
        if not tracing():
            return await producer.send(self._topic, event.data, stream.encode(), headers=headers)
        attributes = {
            "messaging.system": "kafka",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": self._topic,
            "messaging.message.id": event.headers["ce_id"],
            "cloudevents.event_type": event.type,
        }
        with span(f"send {self._topic}", SpanKind.PRODUCER, attributes, parent=event.headers.get("ce_traceparent")):
            traceparent = current_traceparent()
            if traceparent:
                headers.append(("traceparent", traceparent.encode()))
            return await producer.send(self._topic, event.data, stream.encode(), headers=headers)

    async def _acknowledge(self, records: Sequence[Any]) -> None:
        offsets: dict[str, list[int]] = {}
        for record in records:
            if record.offset >= 0:  # a duplicate that an idempotent producer was told of has none
                offsets.setdefault(str(record.partition), []).append(record.offset)
        known = self._place.acknowledged
        forgotten = any(min(given) <= known.get(partition, -1) for partition, given in offsets.items())
        if forgotten:
            await self._publish_all_again("an acknowledged offset is not above the last one", {})
        self._place.acknowledged = {**known, **{partition: max(given) for partition, given in offsets.items()}}

    async def _notice_wiped_broker(self, probe: AIOKafkaConsumer) -> None:
        partitions = [TopicPartition(self._topic, int(partition)) for partition in self._place.acknowledged]
        if not partitions:
            return
        ends = await probe.end_offsets(partitions)
        if any(end <= self._place.acknowledged[str(partition.partition)] for partition, end in ends.items()):
            await self._publish_all_again("an end offset lies below what was acknowledged", {})

    async def _publish_all_again(self, why: str, acknowledged: dict[str, int]) -> None:
        """Begin a new epoch without a token: the next lead sweeps all commits."""
        self._log.warning("all commits are published again", because=why)
        self._place = _Place(None, self._place.epoch + 1, acknowledged)
        await self._save()
        raise BrokerForgot(why)

    async def _heartbeat(self, producer: AIOKafkaProducer, complete_to: datetime) -> None:
        partitions = await producer.partitions_for(self._topic)
        epoch = (EPOCH_HEADER, str(self._place.epoch).encode())
        beats = {
            partition: Heartbeat(complete_to, len(partitions), self._place.acknowledged.get(str(partition), -1))
            for partition in sorted(partitions)
        }
        try:
            sends = [
                await producer.send(self._topic, b"", partition=partition, headers=[*beat.to_headers(self._source), epoch])
                for partition, beat in beats.items()
            ]
            acknowledged = await asyncio.gather(*sends)
        except (KafkaError, OSError) as error:
            raise PublishFailed from error
        self._last_beat = time.monotonic()
        await self._acknowledge(acknowledged)

    async def _keep_place(self) -> None:
        while not asked_to_end():
            await asyncio.sleep(SAVE_EVERY_SECONDS)
            await self._save()

    async def _save(self) -> None:
        document = self._place.to_document()
        await self._keep_cache_now()
        await self._lease.save_place(document)

    async def _keep_cache_now(self) -> None:
        async with self._cache_lock:
            dirty, self._dirty = self._dirty, {}
            try:
                await self._keep_cache(dirty)
            except BaseException:
                self._dirty = {**dirty, **self._dirty}
                raise

    async def _tick_once_caught_up(self) -> None:
        await self._caught_up.wait()
        await self._ticker()


async def _pump(stream: AsyncCollectionChangeStream[Any], queue: "asyncio.Queue[_Change]") -> None:
    try:
        while not asked_to_end():
            asked_at = system_now()
            change = await stream.try_next()
            if change is None:
                await queue.put(_Change(stream.resume_token, asked_at))
            else:
                await queue.put(_Change(change["_id"], change.get("wallTime"), Commit.from_document(change["fullDocument"])))
    except Exception as failure:  # noqa: BLE001 - also a document that is no commit: whoever publishes is told, and raises it
        await queue.put(_Change(None, failure=failure))


async def _close(producer: AIOKafkaProducer) -> None:
    """Stop without waiting for queued records longer than a moment."""
    with suppress(TimeoutError, KafkaError):
        await asyncio.wait_for(producer.stop(), timeout=2.0)


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return leaves


def _names(group: BaseExceptionGroup[Any]) -> str:
    return ", ".join(sorted({type(error).__name__ for error in _leaves(group)}))


def _restartable(error: BaseException) -> bool:
    return isinstance(error, PyMongoError) and (is_transient(error) or getattr(error, "code", None) in _TOKEN_UNUSABLE)
