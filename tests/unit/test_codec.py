"""The codec: what is sealed can only be opened as what it was, and the wire is a CloudEvent in binary mode."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.events.base import Access, Envelope
from shared.events.codec import EVENT_LIMIT_BYTES, Sealed, TooLarge, Unreadable, open_sealed, read_envelope, read_headers, seal
from shared.events.intake import PatientReferred, SuicideRiskScreenRequired
from shared.events.prescriber import ClearanceAnswered
from shared.vault.port import CaseKey, Unsealable

KEY = CaseKey(bytes(range(32)))
EVENT = SuicideRiskScreenRequired(because="phq-9 item 9")
ENVELOPE = Envelope(
    id="commit.0",
    source="urn:kapcare:intake",
    type=EVENT.TYPE,
    subject="case-1",
    time=datetime(2026, 3, 2, 10, 30, tzinfo=UTC),
    sequence=7,
    clinic="riverside",
    patient="patient-1",
    actor="clinician",
    correlation="commit",
    causation="other.3",
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    roles=frozenset({"therapist", "coordinator"}),
    policy_version="network-2026.1",
)
SEALED = seal(EVENT, ENVELOPE, KEY)


def test_round_trip() -> None:
    recorded = open_sealed(SEALED, KEY)
    assert recorded.envelope == ENVELOPE
    assert recorded.data == EVENT


def test_headers_are_those_of_the_kafka_binding() -> None:
    """CloudEvents 1.0.2, Kafka protocol binding 3.2: ce_ attributes, content-type; names of small letters and digits."""
    headers = SEALED.headers
    assert headers["ce_specversion"] == "1.0"
    assert headers["ce_time"] == "2026-03-02T10:30:00.000Z"
    assert headers["ce_sequence"] == "00000000000000000007"
    names = [name.removeprefix("ce_") for name in headers if name != "content-type"]
    assert all(name.isalnum() and name == name.lower() and len(name) <= 20 for name in names)


WHOLE = Access("GET /cases", 200, "TREAT", ("case-1", "case-2"), "2001:db8::1", "after=case-0", 3)


@pytest.mark.parametrize("access", [WHOLE, Access("START", 200, "HSYSADMIN"), replace(WHOLE, about=()), replace(WHOLE, times=1)])
def test_an_access_reads_back_from_the_clear(access: Access) -> None:
    told = replace(ENVELOPE, access=access, recipient="oak", patient="patient-1,patient-2")
    sealed = seal(EVENT, told, KEY)
    assert read_envelope(sealed.headers) == told
    names = [name.removeprefix("ce_") for name in sealed.headers if name != "content-type"]
    assert all(name.isalnum() and name == name.lower() and len(name) <= 20 for name in names)


@pytest.mark.parametrize(
    "changes", [{"ce_status": "x"}, {"ce_status": ""}, {"ce_status": "-1"}, {"ce_times": "\u0663"}, {"ce_times": "1" * 10}]
)
def test_an_access_that_is_none_is_unreadable(changes: dict[str, str]) -> None:
    headers = seal(EVENT, replace(ENVELOPE, access=WHOLE), KEY).headers
    with pytest.raises(Unreadable, match="access"):
        read_envelope({**headers, **changes})
    with pytest.raises(Unreadable, match="access"):
        read_envelope({name: value for name, value in headers.items() if name != "ce_purpose"})


def test_no_clinical_value_stands_in_the_clear() -> None:
    assert "phq-9" not in str(SEALED.headers)
    assert b"phq-9" not in SEALED.data


def with_flipped(bit: int) -> str:
    altered = bytearray(SEALED.data)
    altered[bit // 8] ^= 1 << bit % 8
    try:
        open_sealed(Sealed(SEALED.headers, bytes(altered)), KEY)
    except Unreadable as refused:
        return refused.reason
    return "opened"


def test_any_flipped_bit_is_refused() -> None:
    found = {bit: with_flipped(bit) for bit in range(8 * len(SEALED.data))}
    assert {bit: what for bit, what in found.items() if what != "not-sealed-for-this-event"} == {}


@pytest.mark.parametrize(
    ("header", "value"),
    [("ce_id", "commit.1"), ("ce_subject", "case-2"), ("ce_source", "urn:kapcare:session"), ("ce_type", PatientReferred.TYPE)],
)
def test_sealed_bytes_cannot_be_moved_to_another_event(header: str, value: str) -> None:
    with pytest.raises(Unreadable, match="not-sealed-for-this-event"):
        open_sealed(Sealed({**SEALED.headers, header: value}, SEALED.data), KEY)


def test_another_key_opens_nothing() -> None:
    with pytest.raises(Unreadable, match="not-sealed-for-this-event"):
        open_sealed(SEALED, CaseKey(bytes(32)))


@given(st.binary(max_size=40))
def test_bytes_that_were_never_sealed_are_refused(junk: bytes) -> None:
    with pytest.raises(Unsealable):
        KEY.open(junk, b"place")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ce_specversion": "0.3"}, "not-a-cloudevent-1.0"),
        ({"content-type": "application/cloudevents+avro"}, "content-type"),
        ({"ce_id": ""}, "attribute-missing"),
        ({"ce_sequence": "0" * 20}, "sequence"),
        ({"ce_sequence": "7"}, "sequence"),
        ({"ce_sequence": "-" + "0" * 18 + "7"}, "sequence"),
        ({"ce_sequence": "٣" * 20}, "sequence"),
        ({"ce_time": "yesterday"}, "time"),
        ({"ce_time": "2026-03-02T10:30:00"}, "time"),
        ({"ce_happened": "yesterday"}, "happened"),
        ({"ce_happened": "2026-03-02T10:30:00"}, "happened"),
    ],
)
def test_what_is_no_envelope_is_named_by_its_reason_alone(changes: dict[str, str], reason: str) -> None:
    with pytest.raises(Unreadable) as unreadable:
        read_envelope({**SEALED.headers, **changes})
    assert str(unreadable.value) == reason


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([("ce_id", b"a"), ("ce_id", b"b")], "repeated-header"),
        ([("ce_id", b"\xff")], "header-not-utf-8"),
        ([("ce_id", None)], "header-not-utf-8"),
    ],
)
def test_headers_that_cannot_be_read(pairs: Any, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        read_headers(pairs)


def test_an_unknown_type_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="unknown-type"):
        open_sealed(Sealed({**SEALED.headers, "ce_type": "kapcare.intake.Nothing.v1"}, SEALED.data), KEY)


def test_data_of_another_shape_is_unreadable() -> None:
    other = seal(ClearanceAnswered(answers=(), answered_at=ENVELOPE.time), replace(ENVELOPE, type=EVENT.TYPE), KEY)
    with pytest.raises(Unreadable, match="data-does-not-fit-type"):
        open_sealed(other, KEY)


def test_the_size_limit_lies_where_it_is_said_to_lie() -> None:
    """65,000 bytes: under the 64 KiB that CloudEvents consumers must take, and under the 65,535 of a tlog-tiles entry."""
    assert EVENT_LIMIT_BYTES == 65_000
    overhead = EVENT_LIMIT_BYTES - len(SEALED.data) - sum(len(name) + len(value) + 6 for name, value in SEALED.headers.items())
    fits = SuicideRiskScreenRequired(because=EVENT.because + "x" * overhead)
    seal(fits, ENVELOPE, KEY)
    with pytest.raises(TooLarge):
        seal(SuicideRiskScreenRequired(because=fits.because + "x"), ENVELOPE, KEY)
