"""Faults that tests inject: failing commands in mongod, replies lost on the way, records that no producer of ours would write."""

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord
from pymongo import AsyncMongoClient

from shared.events.codec import Sealed
from shared.log.commit import Commit
from shared.service.runtime import Runtime

Headers = list[tuple[str, bytes]]


@dataclass(frozen=True)
class Wire:
    """One record to be written to a topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers = field(default_factory=list)


@asynccontextmanager
async def failing(runtime: Runtime, commands: Sequence[str], times: int | None = None, **how: Any) -> AsyncIterator[None]:
    """Let mongod fail these commands of this runtime alone (its application name), so often or until the block ends."""
    mode: Any = "alwaysOn" if times is None else {"times": times}
    data = {"failCommands": list(commands), "appName": runtime.database.name, **how}
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(runtime.settings.mongo_url) as client:
        await client.admin.command("configureFailPoint", "failCommand", mode=mode, data=data)
        with warnings.catch_warnings():
            # The driver leaves sockets that the server closed to the garbage collector.
            warnings.simplefilter("ignore", ResourceWarning)
            try:
                yield
            finally:
                await client.admin.command("configureFailPoint", "failCommand", mode="off")
                gc.collect()


class LossyProxy:
    """Stands between a service and mongod. Once told to, it lets an insert of commits through and loses the reply."""

    def __init__(self, mongo_port: int) -> None:
        self._mongo_port = mongo_port
        self._tasks: set[asyncio.Task[None]] = set()
        self.replies_to_lose = 0
        self.lost = 0
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["LossyProxy"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._mongo_port)
        lose_next = asyncio.Event()

        async def upward() -> None:
            while True:
                message = await _message(reader)
                if self.replies_to_lose and b"insert\x00\x08\x00\x00\x00commits\x00" in message:
                    lose_next.set()
                up_writer.write(message)

        async def downward() -> None:
            while True:
                message = await _message(up_reader)
                if lose_next.is_set():
                    self.replies_to_lose -= 1
                    self.lost += 1
                    return
                writer.write(message)

        both = [asyncio.create_task(upward()), asyncio.create_task(downward())]
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        writer.close()
        up_writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(4)
    return head + await reader.readexactly(int.from_bytes(head, "little") - 4)


async def commits_of(runtime: Runtime, stream: str) -> list[Commit]:
    """The stored commits of a stream, in order."""
    return [Commit.from_document(document) async for document in runtime.database["commits"].find({"stream": stream}).sort("version", 1)]


async def events_of(runtime: Runtime, stream: str) -> list[Sealed]:
    """The stored events of a stream, in order: the first has sequence 1."""
    return [event for commit in await commits_of(runtime, stream) for event in commit.events]


def wire(event: Sealed, changes: dict[str, str | None] | None = None, **others: Any) -> Wire:
    """The record that a relay would write for an event; `changes` replaces headers (None: leaves one out)."""
    headers = {**event.headers, "kapcare_epoch": "1", **(changes or {})}
    values: dict[str, Any] = {
        "key": event.headers["ce_subject"].encode(),
        "value": event.data,
        "headers": [(name, value.encode()) for name, value in headers.items() if value is not None],
    }
    return Wire(**(values | others))


async def produce(bootstrap: str, topic: str, records: Iterable[Wire], partition: int | None = None) -> None:
    """Write records in this order (order holds within a partition)."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", max_request_size=4_194_304)
    await producer.start()
    try:
        sends = [await producer.send(topic, record.value, record.key, partition=partition, headers=record.headers) for record in records]
        await asyncio.gather(*sends)
    finally:
        await producer.stop()


async def read_topic(bootstrap: str, topic: str, *, heartbeats: bool = False) -> list[ConsumerRecord]:
    """Everything in a topic, partition by partition; heartbeats left out unless asked for."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, fetch_max_wait_ms=10)
    await consumer.start()
    try:
        await consumer._client.force_metadata_update()
        partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        records: dict[TopicPartition, list[ConsumerRecord]] = {partition: [] for partition in partitions}
        for partition in partitions:
            while await consumer.position(partition) < ends[partition]:
                for source, fetched in (await consumer.getmany(timeout_ms=200)).items():
                    records[source].extend(fetched)
        heartbeat = ("ce_type", b"kapcare.heartbeat.v1")
        return [record for partition in partitions for record in records[partition] if heartbeats or heartbeat not in record.headers]
    finally:
        await consumer.stop()
