"""Kafka clients with the options that matter, made in one place."""

from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from shared.settings import Settings


def make_producer(settings: Settings) -> AIOKafkaProducer:
    """A producer that is acknowledged by all in-sync replicas; one batch per partition is under way at a time, so order holds."""
    return AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap,
        acks="all",
        enable_idempotence=settings.kafka_idempotent_producer,
        linger_ms=0,
        request_timeout_ms=10_000,
        max_request_size=1_048_576,
    )


def make_consumer(settings: Settings, topics: list[str], group: str, **options: Any) -> AIOKafkaConsumer:
    """A consumer of raw bytes that starts at the earliest record and commits nothing by itself."""
    return AIOKafkaConsumer(
        *topics,
        bootstrap_servers=settings.kafka_bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        partition_assignment_strategy=(StickyPartitionAssignor,),
        fetch_max_wait_ms=settings.kafka_fetch_max_wait_ms,
        session_timeout_ms=settings.kafka_session_timeout_ms,
        heartbeat_interval_ms=settings.kafka_session_timeout_ms // 3,
        metadata_max_age_ms=30_000,
        **options,
    )


def make_probe(settings: Settings) -> AIOKafkaConsumer:
    """A consumer without a group, to ask for end offsets."""
    return AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, enable_auto_commit=False)
