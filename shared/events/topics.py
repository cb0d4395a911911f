"""Which topic each publishing service owns; a consumer refuses a source that does not own the topic."""

from typing import Final

PUBLISHERS: Final = ("intake", "prescriber", "session", "integration")
PREFIX: Final = "kapcare"


def topic_of(service: str, prefix: str = PREFIX) -> str:
    """Return the topic that the service publishes to; its key is the stream id."""
    return f"{prefix}.{service}.v1"


def source_of(service: str) -> str:
    """Return the CloudEvents source of the service's events."""
    return f"urn:kapcare:{service}"


def topics(prefix: str = PREFIX) -> tuple[str, ...]:
    """Return the topics of all publishing services."""
    return tuple(topic_of(service, prefix) for service in PUBLISHERS)


def service_of(topic: str) -> str:
    """Return the service that publishes to the topic."""
    return topic.split(".")[-2]


def owner_of(topic: str) -> str:
    """Return the source that owns the topic: no other may publish to it."""
    return source_of(service_of(topic))


TOPICS: Final = topics()
