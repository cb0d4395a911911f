"""Which topics each service owns; a consumer refuses a source that does not own the topic."""

from typing import Final

PUBLISHERS: Final = ("intake", "prescriber", "session", "integration")
"""The services that tell each other what happens in a case."""
RECORDERS: Final = (*PUBLISHERS, "audit")
"""The services that are asked for something, and tell who asked."""
PREFIX: Final = "kapcare"


def topic_of(service: str, prefix: str = PREFIX) -> str:
    """Return the topic that the service publishes to; its key is the stream id."""
    return f"{prefix}.{service}.v1"


def access_topic_of(service: str, prefix: str = PREFIX) -> str:
    """Return the topic on which the service tells who accessed what: apart, since only the ledger reads it."""
    return f"{prefix}.{service}.{_ACCESS}.v1"


def source_of(service: str) -> str:
    """Return the CloudEvents source of the service's events."""
    return f"urn:kapcare:{service}"


def topics(prefix: str = PREFIX) -> tuple[str, ...]:
    """Return the topics of all services."""
    return (*(topic_of(service, prefix) for service in PUBLISHERS), *(access_topic_of(service, prefix) for service in RECORDERS))


def tells_accesses(topic: str) -> bool:
    """Return whether the topic is one on which accesses are told."""
    return topic.split(".")[-2] == _ACCESS


def service_of(topic: str) -> str:
    """Return the service that publishes to the topic."""
    parts = topic.split(".")
    return parts[-3] if tells_accesses(topic) else parts[-2]


def owner_of(topic: str) -> str:
    """Return the source that owns the topic: no other may publish to it."""
    return source_of(service_of(topic))


_ACCESS: Final = "access"
TOPICS: Final = topics()
