"""The bytes of one entry: one line of compact JSON with sorted keys, then the sealed data.

    {"headers":{...},"previous":N}\\n<data>

`headers` are the clear CloudEvents headers as they were published; `previous` is the index of the entry before it in the ledger
with the same `ce_subject`, whatever its source, and null for the first: the chain that shows that a case is complete.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

ENTRY_LIMIT_BYTES: Final = 65_535
"""What the length of an entry in a bundle of tlog-tiles can say: an unsigned number of 16 bits."""


class EntryTooLarge(Exception):
    """An entry of more than ENTRY_LIMIT_BYTES."""


class MalformedEntry(Exception):
    """Bytes that are not an entry; `reason` is a stable slug without any content."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Entry:
    """What an entry says; `previous` is an index of the ledger, below its own."""

    headers: Mapping[str, str]
    previous: int | None
    data: bytes


def entry_bytes(headers: Mapping[str, str], previous: int | None, data: bytes) -> bytes:
    """Return the bytes of an entry, whose leaf is their `leaf_hash`; raises EntryTooLarge."""
    entry = _line(headers, previous) + b"\n" + data
    if len(entry) > ENTRY_LIMIT_BYTES:
        raise EntryTooLarge(f"An entry would take {len(entry)} bytes; the limit is {ENTRY_LIMIT_BYTES}.")
    return entry


def read_entry(entry: bytes) -> Entry:
    """Read the bytes of an entry; raises MalformedEntry for all that `entry_bytes` would not have made."""
    if len(entry) > ENTRY_LIMIT_BYTES:
        raise MalformedEntry("too-large")
    line, end_of_line, data = entry.partition(b"\n")
    if not end_of_line:
        raise MalformedEntry("no-end-of-line")
    try:
        content: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise MalformedEntry("not-json") from None
    if type(content) is not dict or content.keys() != {"headers", "previous"}:
        raise MalformedEntry("not-headers-and-previous")
    headers, previous = content["headers"], content["previous"]
    if type(headers) is not dict or not all(type(value) is str for value in headers.values()):
        raise MalformedEntry("headers-not-text")
    if previous is not None and not (type(previous) is int and previous >= 0):
        raise MalformedEntry("previous-not-an-index")
    if _line(headers, previous) != line:
        raise MalformedEntry("not-canonical")
    return Entry(headers, previous, data)


def _line(headers: Mapping[str, str], previous: int | None) -> bytes:
    return json.dumps({"headers": dict(headers), "previous": previous}, sort_keys=True, separators=(",", ":")).encode()
