"""One record from Kafka, read as far as its envelope."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka.structs import ConsumerRecord

from shared.events.base import Envelope
from shared.events.codec import Sealed, Unreadable, read_envelope, read_headers
from shared.events.topics import owner_of
from shared.transport.relay import EPOCH_HEADER

Lane = tuple[str, str]
"""(source, stream): within it, order is kept."""

TRANSPORT_HEADERS = frozenset({EPOCH_HEADER, "traceparent", "tracestate"})
"""What the wire adds to an event; not part of it."""

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""Names that a database field can have; others would stop whoever stores the event."""
LAST_SEQUENCE: Final = 2**63 - 1
"""What a database integer can hold."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event that came in, still sealed, and where it came from."""

    envelope: Envelope
    sealed: Sealed
    topic: str
    partition: int
    offset: int
    traceparent: str | None = None

    @property
    def lane(self) -> Lane:
        """The lane whose order this event is part of."""
        return (self.envelope.source, self.envelope.subject)

    @property
    def key(self) -> str:
        """What CloudEvents makes unique: source and id."""
        return key_of(self.envelope.source, self.envelope.id)


def key_of(source: str, event: str) -> str:
    """Return what CloudEvents makes unique, in one word."""
    return f"{source}/{event}"


@dataclass(frozen=True, slots=True)
class Handled:
    """What became of events, by their keys."""

    failures: Mapping[str, str]
    """The reason of each permanent failure."""
    stored: Collection[str]
    """Those of which a stored effect tells: see `shared.transport.positions.Effects`."""


def read_arrival(record: ConsumerRecord) -> Arrival:
    """Read a record's envelope; raises Unreadable with a reason that repeats nothing of it."""
    headers = read_headers(record.headers)
    if not all(_HEADER_NAME.fullmatch(name) for name in headers):
        raise Unreadable("header-name")
    if record.value is None:
        raise Unreadable("no-data")
    envelope = read_envelope(headers)
    if envelope.sequence > LAST_SEQUENCE:
        raise Unreadable("sequence")
    if owner_of(record.topic) != envelope.source:
        raise Unreadable("source-does-not-own-topic")
    if record.key != envelope.subject.encode():
        raise Unreadable("key-is-not-the-stream")
    event_headers = {name: value for name, value in headers.items() if name not in TRANSPORT_HEADERS}
    sealed = Sealed(event_headers, bytes(record.value))
    return Arrival(envelope, sealed, record.topic, record.partition, record.offset, headers.get("traceparent"))
