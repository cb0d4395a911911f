"""The only place where events become bytes and are sealed, and where bytes become events again.

On the wire an event is a CloudEvent 1.0 in Kafka binary mode: every clear attribute is a `ce_` header, the value is
the sealed data. The associated data `source|type|subject|id` ties the sealed bytes to their envelope.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError

from shared.events.base import Access, Envelope, EventData
from shared.events.registry import BY_TYPE
from shared.vault.port import CaseKey, Unsealable

CONTENT_TYPE: Final = "application/vnd.kapcare.sealed"
EVENT_LIMIT_BYTES: Final = 65_000
"""Envelope and data together: less than the 64 KiB that every CloudEvents consumer must take, and than the 65,535 bytes of a tlog-tiles
entry by enough for what an entry has beside them."""
HEARTBEAT_TYPE: Final = "kapcare.heartbeat.v1"
"""Not an event: a sign of life of an idle partition, without data."""

_REQUIRED: Final = ("ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "ce_sequence", "ce_clinic", "ce_patient", "ce_actor")


class Unreadable(Exception):
    """Bytes that are not an event of this contract; `reason` is a stable slug without any content."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TooLarge(Exception):
    """An event that would not fit EVENT_LIMIT_BYTES."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """An event as stored, published and kept in the ledger: clear headers and sealed data, encoded once."""

    headers: Mapping[str, str]
    data: bytes

    @property
    def type(self) -> str:
        """The literal type name."""
        return self.headers["ce_type"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event that happened: envelope and opened data."""

    envelope: Envelope
    data: EventData


def seal(event: EventData, envelope: Envelope, key: CaseKey) -> Sealed:
    """Encode and seal one event; raises TooLarge."""
    sealed = Sealed(_headers(envelope), key.seal(event.model_dump_json().encode(), _associated(envelope)))
    size = len(sealed.data) + sum(len(name) + len(value) + 6 for name, value in sealed.headers.items())
    if size > EVENT_LIMIT_BYTES:
        raise TooLarge(f"A {envelope.type} would take {size} bytes; the limit is {EVENT_LIMIT_BYTES}.")
    return sealed


def open_sealed(sealed: Sealed, key: CaseKey) -> Recorded:
    """Open and decode one event; raises Unreadable."""
    envelope = read_envelope(sealed.headers)
    model = BY_TYPE.get(envelope.type)
    if model is None:
        raise Unreadable("unknown-type")
    try:
        plain = key.open(sealed.data, _associated(envelope))
    except Unsealable:
        raise Unreadable("not-sealed-for-this-event") from None
    try:
        return Recorded(envelope, model.model_validate_json(plain))
    except ValidationError:
        raise Unreadable("data-does-not-fit-type") from None


def read_headers(pairs: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """Read Kafka record headers; raises Unreadable for repeated names or bytes that are not UTF-8."""
    headers: dict[str, str] = {}
    for name, value in pairs:
        if name in headers:
            raise Unreadable("repeated-header")
        try:
            headers[name] = value.decode()
        except (UnicodeDecodeError, AttributeError):
            raise Unreadable("header-not-utf-8") from None
    return headers


def read_envelope(headers: Mapping[str, str]) -> Envelope:
    """Read the clear attributes; raises Unreadable."""
    if headers.get("ce_specversion") != "1.0":
        raise Unreadable("not-a-cloudevent-1.0")
    if headers.get("content-type") != CONTENT_TYPE:
        raise Unreadable("content-type")
    if any(not headers.get(name) for name in _REQUIRED):
        raise Unreadable("attribute-missing")
    sequence = headers["ce_sequence"]
    if not (sequence.isascii() and sequence.isdigit() and len(sequence) == 20 and int(sequence) > 0):
        raise Unreadable("sequence")
    return Envelope(
        id=headers["ce_id"],
        source=headers["ce_source"],
        type=headers["ce_type"],
        subject=headers["ce_subject"],
        time=_moment(headers["ce_time"], "time"),
        sequence=int(sequence),
        clinic=headers["ce_clinic"],
        patient=headers["ce_patient"],
        actor=headers["ce_actor"],
        correlation=headers.get("ce_correlationid", headers["ce_id"]),
        causation=headers.get("ce_causationid"),
        traceparent=headers.get("ce_traceparent"),
        roles=frozenset(filter(None, headers.get("ce_roles", "").split(","))),
        policy_version=headers.get("ce_policyversion"),
        recipient=headers.get("ce_recipient"),
        happened=_moment(headers["ce_happened"], "happened") if "ce_happened" in headers else None,
        access=_access(headers),
    )


def time_text(moment: datetime) -> str:
    """Return a moment as RFC 3339 in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(text: str, reason: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Unreadable(reason) from None
    if moment.tzinfo is None:
        raise Unreadable(reason)
    return moment


def _access(headers: Mapping[str, str]) -> Access | None:
    if "ce_route" not in headers:
        return None
    status, times, purpose = headers.get("ce_status", ""), headers.get("ce_times", "1"), headers.get("ce_purpose")
    if purpose is None or not all(number.isascii() and number.isdigit() and len(number) < 10 for number in (status, times)):
        raise Unreadable("access")
    about = tuple(filter(None, headers.get("ce_about", "").split(",")))
    return Access(headers["ce_route"], int(status), purpose, about, headers.get("ce_address"), headers.get("ce_detail"), int(times))


def _access_headers(access: Access) -> Mapping[str, str]:
    headers = {"ce_route": access.route, "ce_status": str(access.status), "ce_purpose": access.purpose}
    if access.about:
        headers["ce_about"] = ",".join(access.about)
    if access.address is not None:
        headers["ce_address"] = access.address
    if access.detail is not None:
        headers["ce_detail"] = access.detail
    if access.times != 1:
        headers["ce_times"] = str(access.times)
    return headers


def _headers(envelope: Envelope) -> dict[str, str]:
    headers = {
        "content-type": CONTENT_TYPE,
        "ce_specversion": "1.0",
        "ce_id": envelope.id,
        "ce_source": envelope.source,
        "ce_type": envelope.type,
        "ce_subject": envelope.subject,
        "ce_time": time_text(envelope.time),
        "ce_sequence": f"{envelope.sequence:020d}",
        "ce_clinic": envelope.clinic,
        "ce_patient": envelope.patient,
        "ce_actor": envelope.actor,
        "ce_correlationid": envelope.correlation,
    }
    if envelope.causation is not None:
        headers["ce_causationid"] = envelope.causation
    if envelope.traceparent is not None:
        headers["ce_traceparent"] = envelope.traceparent
    if envelope.roles:
        headers["ce_roles"] = ",".join(sorted(envelope.roles))
    if envelope.policy_version is not None:
        headers["ce_policyversion"] = envelope.policy_version
    if envelope.recipient is not None:
        headers["ce_recipient"] = envelope.recipient
    if envelope.happened is not None:
        headers["ce_happened"] = time_text(envelope.happened)
    if envelope.access is not None:
        headers.update(_access_headers(envelope.access))
    return headers


def _associated(envelope: Envelope) -> bytes:
    return "|".join((envelope.source, envelope.type, envelope.subject, envelope.id)).encode()
