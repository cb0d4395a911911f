"""Exports: entries with the proof that each is in the ledger, all against one checkpoint, line by line."""

import base64
from collections.abc import AsyncIterator
from typing import Final

from pydantic_core import to_json

from services.audit.checkpoints import KeptCheckpoint
from services.audit.domain.query import Query
from services.audit.proving import ManyProofs
from services.audit.reading import Entry, Reader
from services.audit.tiles import KeptTiles

PROVED_AT_ONCE: Final = 256
"""What is held in memory: so many entries, and the tiles that their proofs stand on."""


async def export_lines(reader: Reader, tiles: KeptTiles, checkpoint: KeptCheckpoint, query: Query) -> AsyncIterator[bytes]:
    """Yield an export as NDJSON: what it is, then each entry in base64 with the hashes of its inclusion proof."""
    head = {"kapcare_export": 1, "checkpoint": checkpoint.text, "query": dict(query.said), "complete": query.whole_case}
    yield to_json(head) + b"\n"
    proofs = ManyProofs(tiles, checkpoint.size)
    batch: list[Entry] = []
    async for entry in reader.whole(query, checkpoint.size):
        batch.append(entry)
        if len(batch) == PROVED_AT_ONCE:
            yield await _lines(batch, proofs)
            batch = []
    yield await _lines(batch, proofs)


async def _lines(entries: list[Entry], proofs: ManyProofs) -> bytes:
    proved = await proofs.prove([entry["_id"] for entry in entries])
    return b"".join(
        to_json(
            {
                "index": entry["_id"],
                "entry": base64.b64encode(entry["entry"]).decode(),
                "proof": [base64.b64encode(one).decode() for one in proof],
            }
        )
        + b"\n"
        for entry, proof in zip(entries, proved, strict=True)
    )
