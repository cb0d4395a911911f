"""Heartbeats: in each partition a source says, every few seconds, up to when all that it committed was published there.

Who has handled the partition up to a heartbeat knows of the source what there was to know at that moment. Events alone do not
say so: one that is published now may have been committed long ago, behind others that are still to come.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from aiokafka.structs import ConsumerRecord

from shared.events.codec import HEARTBEAT_TYPE, time_text
from shared.events.topics import owner_of

PARTITIONS_HEADER: Final = "kapcare_partitions"
ABOVE_HEADER: Final = "kapcare_above"
_TYPE: Final = ("ce_type", HEARTBEAT_TYPE.encode())


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """`complete_to` is system time; `partitions` is how many the topic has, since a stream's key lies in one of them.

    `above` is the offset of the last record before it that the broker acknowledged: in a broker that forgot, a heartbeat
    would otherwise stand for events that are not there.
    """

    complete_to: datetime
    partitions: int
    above: int = -1

    def to_headers(self, source: str) -> list[tuple[str, bytes]]:
        """Return what goes on the wire."""
        return [
            ("ce_specversion", b"1.0"),
            _TYPE,
            ("ce_source", source.encode()),
            ("ce_time", time_text(self.complete_to).encode()),
            (PARTITIONS_HEADER, str(self.partitions).encode()),
            (ABOVE_HEADER, str(self.above).encode()),
        ]


def is_heartbeat(record: ConsumerRecord) -> bool:
    """Whether the record is no event but a heartbeat."""
    return _TYPE in record.headers


def read_heartbeat(record: ConsumerRecord) -> Heartbeat | None:
    """Return what a heartbeat says; None where it says nothing that can be believed."""
    headers = dict(record.headers)
    try:
        moment = datetime.fromisoformat(headers["ce_time"].decode())
        beat = Heartbeat(moment.astimezone(UTC), int(headers[PARTITIONS_HEADER]), int(headers[ABOVE_HEADER]))
        source = headers["ce_source"].decode()
    except (KeyError, ValueError, AttributeError, TypeError, OverflowError):
        return None
    holds = moment.tzinfo is not None and record.partition < beat.partitions and beat.above < record.offset
    return beat if holds and source == owner_of(record.topic) else None
