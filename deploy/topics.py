"""Creates the topics of the event contract: `python -m deploy.topics`, settings from the environment."""

import asyncio
import os
import sys
from collections.abc import Iterable

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAlreadyExistsError, for_code

PARTITIONS = 4
PATIENCE_SECONDS = 60.0


async def create_topics(
    bootstrap: str,
    topics: Iterable[str],
    partitions: int = PARTITIONS,
    replication_factor: int = 1,
) -> None:
    """Create the topics that do not exist yet. With three copies or more a write needs two of them."""
    settings = {"min.insync.replicas": "2"} if replication_factor >= 3 else {}
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        wanted = [NewTopic(name, partitions, replication_factor, topic_configs=settings) for name in topics]
        answer = await admin.create_topics(wanted)
        for topic, code, *message in answer.topic_errors:
            if code not in (0, TopicAlreadyExistsError.errno):
                raise for_code(code)(f"{topic}: {message[0] if message else code}")
    finally:
        await admin.close()


async def _create_with_patience(bootstrap: str, topics: Iterable[str], partitions: int, copies: int) -> None:
    """Create them as soon as the broker answers; it may be starting itself."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                return await create_topics(bootstrap, topics, partitions, copies)
            except KafkaError as error:
                if not error.retriable and not isinstance(error, KafkaConnectionError):
                    raise
                await asyncio.sleep(1)


def main() -> int:
    """Create the contract's topics on the broker that KAPCARE_KAFKA_BOOTSTRAP names."""
    from shared.events.topics import TOPICS

    bootstrap = os.environ.get("KAPCARE_KAFKA_BOOTSTRAP")
    if not bootstrap:
        print("KAPCARE_KAFKA_BOOTSTRAP is not set", file=sys.stderr)
        return 2
    partitions = int(os.environ.get("KAPCARE_TOPIC_PARTITIONS", PARTITIONS))
    copies = int(os.environ.get("KAPCARE_TOPIC_REPLICATION_FACTOR", "1"))
    try:
        asyncio.run(_create_with_patience(bootstrap, TOPICS, partitions, copies))
    except (KafkaError, TimeoutError) as error:
        print(f"topics were not created: {str(error) or 'the broker did not answer in time'}", file=sys.stderr)
        return 1
    print(f"{len(TOPICS)} topics are there, with {partitions} partitions and {copies} copies where they are new")
    return 0


if __name__ == "__main__":
    sys.exit(main())
