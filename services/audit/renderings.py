"""Entries in auditors' formats, from their clear fields alone: rows of JSON and CSV (RFC 4180), one a line."""

import csv
import io
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from pydantic_core import to_json

from services.audit.audit_events import audit_event
from services.audit.domain.query import Format
from shared.events.codec import time_text

CHUNK_BYTES: Final = 65_536
ACCESSED: Final = ("recipient", "route", "status", "purpose", "about", "address", "detail", "times")
"""What is shown of events that tell of accesses, and of whom was told of a case."""
CSV_COLUMNS: Final = (
    *("index", "time", "happened", "type", "case", "patient", "clinic", "actor", "roles", "policy", "outcome"),
    *("source", "sequence", "id", "correlation", "causation", "leaf"),
    *ACCESSED,
)
MEDIA_TYPES: Final[Mapping[Format, str]] = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8; header=present",
    "fhir": "application/fhir+ndjson",
}

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What makes spreadsheets compute a cell instead of showing it."""

Entry = Mapping[str, Any]


def row_of(entry: Entry) -> dict[str, Any]:
    """Return an entry as auditors see it: the clear envelope under the names of the query, its index and its leaf in hex.

    One that was altered by hand is shown as it is, and None for what it lacks; verification names it.
    """
    leaf = entry.get("leaf")
    return {
        "index": entry["_id"],
        "id": entry.get("event"),
        "source": entry.get("source"),
        "type": entry.get("type"),
        "case": entry.get("stream"),
        "sequence": entry.get("sequence"),
        **{name: time_text(moment) if isinstance(moment := entry.get(name), datetime) else None for name in ("time", "happened")},
        "clinic": entry.get("clinic"),
        "patient": entry.get("patient"),
        "actor": entry.get("actor"),
        "roles": entry.get("roles", []),
        "policy": entry.get("policy"),
        "outcome": entry.get("outcome"),
        "correlation": entry.get("correlation"),
        "causation": entry.get("causation"),
        "leaf": leaf.hex() if isinstance(leaf, bytes) else None,
        **{name: entry[name] for name in ACCESSED if name in entry},
    }


def csv_line(cells: Sequence[object]) -> str:
    """Return one line of RFC 4180, with its end; what a spreadsheet would compute gets an apostrophe before it."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow([_shown(cell) for cell in cells])
    return line.getvalue()


def csv_row(entry: Entry) -> str:
    """Return an entry as a line of CSV_COLUMNS; several roles or cases stand in one cell, with commas between."""
    row = row_of(entry)
    cells = [row.get(name) for name in CSV_COLUMNS]
    return csv_line([",".join(cell) if isinstance(cell, list) else cell for cell in cells])


async def rendered(entries: AsyncIterator[Entry], form: Literal["csv", "fhir"]) -> AsyncIterator[bytes]:
    """Yield an export in chunks of about CHUNK_BYTES; what is in memory does not grow with it."""
    line: Callable[[Entry], bytes]
    if form == "csv":
        chunk, line = bytearray(csv_line(CSV_COLUMNS).encode()), lambda entry: csv_row(entry).encode()
    else:
        chunk, line = bytearray(), lambda entry: to_json(audit_event(entry)) + b"\n"
    async for entry in entries:
        chunk += line(entry)
        if len(chunk) >= CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk)


def _shown(cell: object) -> str:
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(_FORMULA) else text
