"""The consumer: raw bytes in; in order within a stream, concurrent across streams; effects once, by cause.

Failure is a table:

    store or broker unreachable          seek back, pause, unready; never park
    bytes that are no event              park them; they block no stream
    permanent failure, unknown major     park the event, and later ones of its stream behind it, in order
    predecessor missing                  hold; an alarm after `gap_alarm_seconds`
    same sequence, another id            stop the stream and alarm
    parking fails                        the offset is not committed
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import ConsumerRecord
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from shared.events.codec import Unreadable
from shared.events.topics import owner_of, service_of, tells_accesses
from shared.log.errors import StoreUnavailable
from shared.log.store import is_transient
from shared.settings import Settings
from shared.telemetry.logs import Logger
from shared.telemetry.metrics import Metrics
from shared.transport.arrival import Arrival, Handled, Lane, key_of, read_arrival
from shared.transport.ending import asked_to_end
from shared.transport.heartbeat import Heartbeat, is_heartbeat, read_heartbeat
from shared.transport.kafka import make_consumer
from shared.transport.parking import Parking
from shared.transport.positions import Effects, Position, Positions
from shared.transport.relay import EPOCH_HEADER
from shared.transport.views import Place, Views

POLL_RECORDS: Final = 500
CHORES_EVERY_SECONDS: Final = 0.5
PACE_SECONDS: Final = 0.05
"""Batches begin at least this far apart. An event after a pause is taken at once; under load a batch holds more events, and
its fixed cost in the store is shared by more of them."""


class Handler(Protocol):
    """What a service does with events that are next in their lane."""

    @property
    def effects(self) -> Effects:
        """Where what it stores tells how far a lane has come."""
        ...

    async def handle(self, arrivals: Sequence[Arrival]) -> Handled:
        """Handle events, in order within a stream; return what failed permanently and what left a stored effect.

        After a failure the later events of the same lane must be left alone. Raises StoreUnavailable and transient
        PyMongoError: nothing is parked then, and the same events come again.
        """
        ...


class Consumer(ConsumerRebalanceListener):  # type: ignore[misc]
    """Reads the topics of the other services for one service."""

    def __init__(
        self,
        service: str,
        settings: Settings,
        topics: Sequence[str],
        handler: Handler,
        positions: Positions,
        parking: Parking,
        views: Views,
        epochs: AsyncCollection[Any],
        metrics: Metrics,
        log: Logger,
    ) -> None:
        self._group = f"{settings.topic_prefix}.{service}"
        self._settings = settings
        self._topics = list(topics)
        self.hears = tuple(service_of(topic) for topic in topics if not tells_accesses(topic))
        """The services whose events come here."""
        self._handler = handler
        self._positions = positions
        self._parking = parking
        self._views = views
        self._epochs = epochs
        self._known_epochs: dict[TopicPartition, int] = {}
        self._metrics = metrics
        self._log = log
        self._stopping = False
        self._chores_due = 0.0
        self.healthy = False

    async def run(self) -> None:
        """Consume until asked to stop; raises what is neither the store's nor the broker's trouble."""
        pause = 0.1
        while not (self._stopping or asked_to_end()):
            consumer = make_consumer(self._settings, [], self._group)
            consumer.subscribe(self._topics, listener=self)
            try:
                await consumer.start()
                await self._consume(consumer)
            except (KafkaError, OSError) as error:
                self._log.warning("consumer starts again", because=type(error).__name__)
            finally:
                self.healthy = False
                await _stop(consumer)
            if not self._stopping:
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)

    async def stop(self) -> None:
        """Finish the batch at hand, commit its offsets, and end."""
        self._stopping = True

    async def on_partitions_revoked(self, _revoked: Sequence[TopicPartition]) -> None:
        """Another process may own these partitions now."""
        self._forget()

    async def on_partitions_assigned(self, _assigned: Sequence[TopicPartition]) -> None:
        """Positions, what waits and epochs are read from the store again."""
        self._forget()
        self._known_epochs.clear()

    def _forget(self) -> None:
        self._positions.forget()
        self._parking.forget()

    async def _consume(self, consumer: AIOKafkaConsumer) -> None:
        pause = 0.1
        while not (self._stopping or asked_to_end()):
            polled = await consumer.getmany(timeout_ms=200, max_records=POLL_RECORDS)
            began = time.monotonic()
            try:
                await self._take(consumer, polled)
                await self._chores(consumer)
            except (PyMongoError, StoreUnavailable) as error:
                if isinstance(error, PyMongoError) and not is_transient(error):
                    raise
                self.healthy = False
                self._log.warning("consumer waits for the store", because=type(error).__name__)
                _seek_back(consumer, polled)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)
            else:
                self.healthy = True
                pause = 0.1
                if polled:
                    await asyncio.sleep(max(0.0, began + PACE_SECONDS - time.monotonic()))

    async def _take(self, consumer: AIOKafkaConsumer, polled: dict[TopicPartition, Sequence[ConsumerRecord]]) -> None:
        records: list[ConsumerRecord] = []
        offsets: dict[TopicPartition, int] = {}
        for partition, fetched in list(polled.items()):
            if await self._refilled(consumer, partition, fetched):
                del polled[partition]  # also should the rest fail: it is not to be sought back to
                continue
            records.extend(fetched)
            offsets[partition] = fetched[-1].offset + 1
        arrivals = await self._read([record for record in records if not is_heartbeat(record)])
        if arrivals:
            await self._release_held(await self._sort_and_handle(arrivals))
        await self._hear(records)
        if offsets:
            try:
                await consumer.commit(offsets)
            except (KafkaError, IllegalStateError) as error:
                # The partition went elsewhere meanwhile: it is delivered again there, without effect.
                self._log.info("offsets not committed, redelivery follows", because=type(error).__name__)
        for partition in offsets:
            highwater = consumer.highwater(partition) if partition in consumer.assignment() else None
            if highwater is not None:
                self._metrics.lag(partition.topic, partition.partition, max(0, highwater - offsets[partition]))

    async def _read(self, records: Sequence[ConsumerRecord]) -> list[Arrival]:
        """Return what arrived; bytes that are no event are parked."""
        arrivals: list[Arrival] = []
        for record in records:
            try:
                arrivals.append(read_arrival(record))
            except Unreadable as unreadable:
                self._log.error("parked bytes that are no event", topic=record.topic, offset=record.offset, reason=unreadable.reason)
                self._metrics.consumed("parked")
                await self._parking.park_unreadable(record, unreadable.reason)
        return arrivals

    async def _hear(self, records: Sequence[ConsumerRecord]) -> None:
        """Take note of the heartbeats among records that are handled; who tells of accesses alone says nothing of cases."""
        beats: dict[Place, Heartbeat] = {}
        for record in records:
            beat = read_heartbeat(record) if is_heartbeat(record) and not tells_accesses(record.topic) else None
            if beat is not None:
                beats[(owner_of(record.topic), record.partition)] = beat
        if beats:
            await self._views.hear(beats)

    async def _sort_and_handle(self, arrivals: Sequence[Arrival]) -> dict[Lane, Position]:
        """Handle what is next in its lane, park or hold the rest; return the moved positions of lanes where one is held."""
        lanes = {arrival.lane for arrival in arrivals}
        positions, (blocked, held) = await asyncio.gather(self._positions.read(lanes), self._parking.waiting(lanes))
        positions = dict(positions)
        moved: dict[Lane, Position] = {}
        ready: list[Arrival] = []
        park: list[tuple[Arrival, str]] = []
        hold: list[Arrival] = []
        duplicates = 0
        for arrival in arrivals:
            lane, sequence = arrival.lane, arrival.envelope.sequence
            last = positions[lane]
            if sequence == last.sequence and arrival.envelope.id != last.event:
                self._log.error("two events share a sequence; their stream is stopped", source=lane[0], stream=lane[1], sequence=sequence)
                park.append((arrival, "another-event-of-the-same-sequence"))
                blocked.add(lane)
            elif sequence <= last.sequence:
                duplicates += 1
            elif sequence > last.sequence + 1:
                hold.append(arrival)
                held.add(lane)
            else:
                if lane in blocked:
                    park.append((arrival, "behind-a-parked-event"))
                else:
                    ready.append(arrival)
                positions[lane] = moved[lane] = Position(sequence, arrival.envelope.id)
        handled = await self._handler.handle(ready) if ready else Handled({}, ())
        park.extend(self._failed(ready, handled.failures))
        await self._parking.park(park)
        await self._parking.hold(hold)
        await self._positions.write(moved, {lane for lane, last in moved.items() if key_of(lane[0], last.event) in handled.stored})
        self._metrics.consumed("duplicate", duplicates)
        self._metrics.consumed("held", len(hold))
        self._metrics.consumed("parked", len(park))
        self._metrics.consumed("handled", len(ready) - len(handled.failures))
        return {lane: position for lane, position in moved.items() if lane in held}

    def _failed(self, handled: Sequence[Arrival], failures: Mapping[str, str]) -> list[tuple[Arrival, str]]:
        """Return what failed and, behind it, the later events of its lane."""
        parked: list[tuple[Arrival, str]] = []
        stopped: set[Lane] = set()
        for arrival in handled:
            if arrival.lane in stopped:
                parked.append((arrival, "behind-a-parked-event"))
            elif arrival.key in failures:
                self._log.error("parked an event", event_id=arrival.key, type=arrival.envelope.type, reason=failures[arrival.key])
                parked.append((arrival, failures[arrival.key]))
                stopped.add(arrival.lane)
        return parked

    async def _release_held(self, moved: Mapping[Lane, Position]) -> None:
        """Take up held events whose predecessor has come, and those after them."""
        while released := await self._parking.next_held({lane: position.sequence + 1 for lane, position in moved.items()}):
            moved = await self._sort_and_handle(released)
            await self._parking.settle(released, "released")

    async def _refilled(self, consumer: AIOKafkaConsumer, partition: TopicPartition, fetched: Sequence[ConsumerRecord]) -> bool:
        """Whether the topic began a new epoch that this consumer joined past its start: then it starts there again."""
        newest = max((_epoch_of(record) for record in fetched), default=0)
        if partition not in self._known_epochs:
            stored = await self._epochs.find_one({"_id": f"{partition.topic}/{partition.partition}"})
            self._known_epochs[partition] = stored["epoch"] if stored else 0
        known = self._known_epochs[partition]
        if newest <= known:
            return False
        if known > 0:
            await consumer.seek_to_beginning(partition)
            self._log.warning("a source published all again; reading from the start", topic=partition.topic, epoch=newest)
        await self._epochs.update_one({"_id": f"{partition.topic}/{partition.partition}"}, {"$max": {"epoch": newest}}, upsert=True)
        self._known_epochs[partition] = newest
        return known > 0

    async def _chores(self, consumer: AIOKafkaConsumer) -> None:
        """Replay what an operator asked for, raise the alarm of gaps, count what waits."""
        if time.monotonic() < self._chores_due:
            return
        self._chores_due = time.monotonic() + CHORES_EVERY_SECONDS
        assigned = {(partition.topic, partition.partition) for partition in consumer.assignment()}
        for lane in await self._parking.to_replay(assigned):
            await self._replay(lane)
        counts = await self._parking.counts()
        self._metrics.parked.set(sum(counts.values()))
        if counts["held"]:
            await self._review_held()
            waited = await self._parking.oldest_held_seconds()
            if waited > self._settings.gap_alarm_seconds:
                self._log.error("an event is missing; later ones of its stream are held", held=counts["held"], seconds=round(waited))

    async def _review_held(self) -> None:
        """Take up what is next, and settle what came another way, after a crash in between."""
        held = await self._parking.all_held()
        positions = await self._positions.read({arrival.lane for arrival in held})
        past = [arrival for arrival in held if arrival.envelope.sequence <= positions[arrival.lane].sequence]
        await self._parking.settle(past, "released")
        await self._release_held({arrival.lane: positions[arrival.lane] for arrival in held})

    async def _replay(self, lane: Lane) -> None:
        while (arrival := await self._parking.first_waiting(lane)) is not None:
            failures = (await self._handler.handle([arrival])).failures
            if failures:
                self._log.error("replay failed", event_id=arrival.key, reason=failures[arrival.key])
                await self._parking.failed_again(arrival, failures[arrival.key])
                return
            await self._parking.settle([arrival], "replayed")
            self._log.info("replayed", event_id=arrival.key)


def _seek_back(consumer: AIOKafkaConsumer, polled: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> None:
    for partition, fetched in polled.items():
        if fetched and partition in consumer.assignment():
            consumer.seek(partition, fetched[0].offset)


def _epoch_of(record: ConsumerRecord) -> int:
    for name, value in record.headers:
        if name == EPOCH_HEADER and value and value.isdigit():
            return int(value)
    return 0


async def _stop(consumer: AIOKafkaConsumer) -> None:
    try:
        await asyncio.wait_for(consumer.stop(), timeout=5.0)
    except (TimeoutError, KafkaError, OSError):
        return
