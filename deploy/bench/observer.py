"""The observer: reads intake's topic as any receiver would and stamps when each case's event is here. A job of its own process.

The same for every build, so that what is compared is how soon a build hands over, not how it takes the time.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.bench.jobs import do_job


async def work(specification: Mapping[str, Any], ready: Callable[[], None]) -> Mapping[str, Any]:
    """Watch the topic from its end on until every case was seen, for a bounded time; returns when each was first seen."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=specification["bootstrap"],
        enable_auto_commit=False,
        fetch_max_wait_ms=specification["fetch_max_wait_ms"],
    )
    await consumer.start()
    arrived: dict[str, float] = {}
    expected = set(specification["cases"])
    try:
        partitions = [TopicPartition(specification["topic"], number) for number in range(specification["partitions"])]
        consumer.assign(partitions)
        await consumer.seek_to_end(*partitions)
        for partition in partitions:
            await consumer.position(partition)
        ready()
        async with asyncio.timeout(specification["patience"]):
            while expected:
                polled = await consumer.getmany(timeout_ms=200)
                now = time.monotonic()
                for records in polled.values():
                    for record in records:
                        case = (record.key or b"").decode()
                        if case in expected:
                            expected.remove(case)
                            arrived[case] = now
    except TimeoutError:
        pass  # who is missing is told by who compares
    finally:
        await consumer.stop()
    return {"arrived": arrived}


if __name__ == "__main__":
    do_job(work)
