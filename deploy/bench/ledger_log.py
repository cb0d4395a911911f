"""A made-up log for the verifiers: entries of several services and cases, with all that a log serves, made by the pure code."""

import base64
import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit.domain.checkpoint import Checkpoint
from services.audit.domain.entry import Entry, entry_bytes, read_entry
from services.audit.domain.note import Note, cosign, key_of
from services.audit.domain.proofs import plan_inclusion
from services.audit.domain.tiles import Edge, Tile, TilePlace, bundles_of, encode_bundle
from services.audit.domain.tree import leaf_hash

ORIGIN = "log.example/ledger"
BEGIN = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
SERVICES = ("intake", "prescriber", "session", "integration")
ACTORS = (
    *((f"clinician-{number}", "coordinator,therapist") for number in range(6)),
    *(("service:session", ""), ("partner:oak/dr-7", "partner"), ("oak.k1", "partner"), ("elm.k1", "partner")),
)
"""Who acts, and their roles."""


def private_key(name: str) -> Ed25519PrivateKey:
    """A key that is the same in every run."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


LOG_KEY = private_key("the log's key")
OTHER_KEY = private_key("another key")
WITNESS_KEY = private_key("the witness's key")
VKEY = str(key_of(ORIGIN, LOG_KEY))


def made_up(seed: int, size: int, data: Callable[[random.Random], int] = lambda chance: chance.randrange(40, 200)) -> Iterator[Entry]:
    """Yield entries in order; `data` says how many bytes of sealed data each has."""
    chance = random.Random(seed)
    cases = [*(f"case-{chance.randbytes(8).hex()}" for _ in range(max(1, size // 8))), "partner-oak"]
    sequences: dict[tuple[str, str], int] = {}
    chains: dict[str, int] = {}
    for index in range(size):
        service, case = chance.choice(SERVICES), chance.choice(cases)
        source = f"urn:kapcare:{service}"
        sequences[source, case] = sequences.get((source, case), 0) + 1
        moment = BEGIN + timedelta(seconds=index, milliseconds=chance.randrange(1000))
        actor, roles = chance.choice(ACTORS)
        headers = {
            "content-type": "application/vnd.kapcare.sealed",
            "ce_specversion": "1.0",
            "ce_id": chance.randbytes(16).hex(),
            "ce_source": source,
            "ce_type": f"kapcare.{service}.{chance.choice(('SomethingHappened', 'StepRefused', 'HoldPlaced'))}.v1",
            "ce_subject": case,
            "ce_time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "ce_sequence": f"{sequences[source, case]:020d}",
            "ce_clinic": chance.choice(("riverside", "hillside", "seaside")),
            "ce_patient": f"patient-{case[-6:]}",
            "ce_actor": actor,
            "ce_correlationid": chance.randbytes(16).hex(),
            "ce_policyversion": chance.choice(("network-2026.1", "network-2026.2")),
            **({"ce_roles": roles} if roles else {}),
            "ce_traceparent": f"00-{chance.randbytes(16).hex()}-{chance.randbytes(8).hex()}-01",
        }
        yield Entry(headers, chains.get(case), chance.randbytes(data(chance)))
        chains[case] = index


class Log:
    """Entries, and what their log serves and signs; `key` and `origin` are those of this class's own log unless given."""

    def __init__(self, entries: list[bytes], key: Ed25519PrivateKey = LOG_KEY, origin: str = ORIGIN) -> None:
        self.entries = entries
        self.leaves = [leaf_hash(entry) for entry in entries]
        self._key = key
        self._origin = origin
        self._edges: dict[int, tuple[Edge, list[Tile]]] = {}

    @classmethod
    def made_up(cls, seed: int, size: int) -> "Log":
        """Return a log of this many entries."""
        return cls([entry_bytes(entry.headers, entry.previous, entry.data) for entry in made_up(seed, size)])

    def edge(self, size: int) -> tuple[Edge, list[Tile]]:
        """Return the tree of this size and its full tiles."""
        if size not in self._edges:
            self._edges[size] = Edge().extend(self.leaves[:size])
        return self._edges[size]

    def tiles(self, size: int) -> dict[TilePlace, Tile]:
        """Return every tile of this size."""
        edge, full = self.edge(size)
        return {tile.place: tile for tile in (*full, *edge.partial)}

    def checkpoint(self, size: int, *, witnesses: tuple[str, ...] = ()) -> bytes:
        """Return the signed checkpoint of this size, co-signed by these witnesses."""
        signed = Checkpoint(self._origin, size, self.edge(size)[0].tree.root).signed(self._key)
        cosignatures = (cosign(signed.text, name, WITNESS_KEY, 1_772_000_000) for name in witnesses)
        return str(Note(signed.text, (*signed.signatures, *cosignatures))).encode()

    def files(self, size: int) -> dict[str, bytes]:
        """Return every file of this size: path -> content."""
        files = {place.path: tile.to_bytes() for place, tile in self.tiles(size).items()}
        for bundle in bundles_of(size):
            files[bundle.path] = encode_bundle(self.entries[bundle.index * 256 : bundle.index * 256 + bundle.width])
        return files | {"checkpoint": self.checkpoint(size)}

    def export(self, query: dict[str, str], size: int, asked: Callable[[Mapping[str, str]], bool] | None = None) -> bytes:
        """Return an export of the entries that are asked for by their headers (all of a case, if nothing says which), with proofs."""
        tiles = self.tiles(size)
        lines: list[dict[str, Any]] = []
        for index, entry in enumerate(self.entries[:size]):
            headers = read_entry(entry).headers
            if headers["ce_subject"] == query["case"] if asked is None else asked(headers):
                proof = [base64.b64encode(one).decode() for one in plan_inclusion(index, size).prove(tiles)]
                lines.append({"index": index, "entry": base64.b64encode(entry).decode(), "proof": proof})
        complete = query["case"] if query.keys() == {"case"} else None
        head = {"kapcare_export": 1, "checkpoint": self.checkpoint(size).decode(), "query": query, "complete": complete}
        return b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in (head, *lines))


def write(files: dict[str, bytes], directory: Path) -> None:
    """Write the files of a log."""
    for path, content in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
