"""The bytes of an entry: what is written is what is read, and what was not written so is not read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.domain.entry import ENTRY_LIMIT_BYTES, EntryTooLarge, MalformedEntry, entry_bytes, read_entry
from services.audit.domain.tiles import decode_bundle, encode_bundle
from shared.events.codec import EVENT_LIMIT_BYTES

HEADERS = {"ce_subject": "case-1", "ce_id": "1", "content-type": "application/vnd.kapcare.sealed"}


def test_the_bytes_are_one_line_of_sorted_json_and_the_data() -> None:
    entry = entry_bytes(HEADERS, 7, b"\x00\n\xff")
    assert entry == (
        b'{"headers":{"ce_id":"1","ce_subject":"case-1","content-type":"application/vnd.kapcare.sealed"},"previous":7}\n\x00\n\xff'
    )
    assert entry_bytes(HEADERS, None, b"").endswith(b',"previous":null}\n')


@given(st.dictionaries(st.text(max_size=9), st.text(max_size=9)), st.none() | st.integers(0, 2**62), st.binary(max_size=40))
def test_what_is_written_is_read(headers: dict[str, str], previous: int | None, data: bytes) -> None:
    entry = entry_bytes(headers, previous, data)
    found = read_entry(entry)
    assert (found.headers, found.previous, found.data) == (headers, previous, data)
    assert b"\n" not in entry[: -len(data) - 1]


def line(text: str) -> bytes:
    return text.encode() + b"\n"


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (b"", "no-end-of-line"),
        (b'{"headers":{},"previous":0}', "no-end-of-line"),
        (line("{"), "not-json"),
        (b"\xff\n", "not-json"),
        (line("[" * 60_000), "not-json"),
        (line("[]"), "not-headers-and-previous"),
        (line('{"headers":{}}'), "not-headers-and-previous"),
        (line('{"headers":{},"previous":0,"more":1}'), "not-headers-and-previous"),
        (line('{"headers":{"a":1},"previous":0}'), "headers-not-text"),
        (line('{"headers":[],"previous":0}'), "headers-not-text"),
        (line('{"headers":{},"previous":-1}'), "previous-not-an-index"),
        (line('{"headers":{},"previous":true}'), "previous-not-an-index"),
        (line('{"headers":{},"previous":1.0}'), "previous-not-an-index"),
        (line('{"headers":{},"previous":"1"}'), "previous-not-an-index"),
        (line('{"previous":0,"headers":{}}'), "not-canonical"),
        (line('{"headers":{},"previous": 0}'), "not-canonical"),
        (line('{"headers":{"b":"","a":""},"previous":0}'), "not-canonical"),
        (line('{"headers":{"a":"x","a":"x"},"previous":0}'), "not-canonical"),
        (line('{"headers":{"a":"\u00e9"},"previous":0}'), "not-canonical"),
        (line('{"headers":{},"previous":0}\r'), "not-canonical"),
        (line('{"headers":{},"previous":0}') + bytes(ENTRY_LIMIT_BYTES), "too-large"),
    ],
)
def test_what_is_not_written_so_is_refused(entry: bytes, reason: str) -> None:
    with pytest.raises(MalformedEntry, match=f"^{reason}$"):
        read_entry(entry)


def test_the_limit_is_what_a_bundle_can_say() -> None:
    overhead = len(entry_bytes(HEADERS, 0, b""))
    largest = entry_bytes(HEADERS, 0, bytes(ENTRY_LIMIT_BYTES - overhead))
    assert decode_bundle(encode_bundle([largest]), 1) == [largest]
    assert read_entry(largest).previous == 0
    with pytest.raises(EntryTooLarge):
        entry_bytes(HEADERS, 0, bytes(ENTRY_LIMIT_BYTES - overhead + 1))


def test_an_event_of_the_largest_size_fits_an_entry() -> None:
    """The size of an event counts 6 bytes per header beside name and value, as its line of JSON does."""
    counted = sum(len(name) + len(value) + 6 for name, value in HEADERS.items())
    assert counted == len(json.dumps(HEADERS, separators=(",", ":"))) - 1
    entry_bytes(HEADERS, 10**18, bytes(EVENT_LIMIT_BYTES - counted))
