"""A ledger in a database of its own: arrivals to append, and the parts that keep, sign and serve them."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from pymongo.asynchronous.database import AsyncDatabase
from structlog.testing import LogCapture

from deploy.bench.ledger_log import BEGIN, Log, made_up
from services.audit.checkpoints import Checkpoints, KeptCheckpoint
from services.audit.domain.entry import Entry
from services.audit.domain.tiles import bundles_of, tiles_of
from services.audit.ledger import Ledger
from services.audit.signing import LogKey, Signer
from services.audit.tiles import KeptTiles
from shared.clock import system_now
from shared.events.codec import Sealed, read_envelope
from shared.events.topics import topic_of
from shared.telemetry.metrics import Metrics
from shared.transport.arrival import Arrival
from shared.transport.lease import Lease
from tests import toy

ORIGIN = "test.example/ledger"
KEY = LogKey.of_seed(ORIGIN, b"s" * 32)
CASE = "case-" + "a" * 32


def arrival(
    sequence: int, stream: str = CASE, service: str = "intake", *, at: datetime = BEGIN, data: bytes = b"sealed", **attributes: str
) -> Arrival:
    """An event of a stream, as it comes from Kafka."""
    headers = {
        "content-type": "application/vnd.kapcare.sealed",
        "ce_specversion": "1.0",
        "ce_id": f"{stream}.{service}.{sequence}",
        "ce_source": f"urn:kapcare:{service}",
        "ce_type": f"kapcare.{service}.SomethingHappened.v1",
        "ce_subject": stream,
        "ce_time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "ce_sequence": f"{sequence:020d}",
        "ce_clinic": "riverside",
        "ce_patient": "patient-1",
        "ce_actor": "clinician",
        "ce_correlationid": "c",
    } | {f"ce_{name}": value for name, value in attributes.items()}
    return arrival_of(Entry(headers, None, data))


def arrival_of(entry: Entry) -> Arrival:
    """A made-up entry as the event that leads to it."""
    envelope = read_envelope(entry.headers)
    return Arrival(envelope, Sealed(entry.headers, entry.data), topic_of(envelope.source.rpartition(":")[2]), 0, 0)


def arrivals(count: int, seed: int = 1) -> list[Arrival]:
    """Events of several services and cases, in an order in which they may come."""
    return [arrival_of(entry) for entry in made_up(seed, count)]


@dataclass
class Kept:
    """The parts of a ledger over one database; each instance stands for one process."""

    database: AsyncDatabase[dict[str, Any]]

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.database["entries"])
        self.tiles = KeptTiles(self.database["tiles"], self.database["entries"])
        self.checkpoints = Checkpoints(self.database["checkpoints"])
        self.capture = LogCapture()
        self.metrics = Metrics("audit")

    @property
    def logged(self) -> Sequence[Any]:
        """What the signer logged."""
        return self.capture.entries

    def signer(self, key: LogKey = KEY, tiles: KeptTiles | None = None, checkpoints: Checkpoints | None = None, **how: Any) -> Signer:
        """A signer of this process; `tiles` and `checkpoints` may be ones that fail."""
        return Signer(
            self.database["entries"],
            tiles or self.tiles,
            checkpoints or self.checkpoints,
            Lease(self.database["leases"], "signer", 0.5),
            key,
            system_now,
            self.metrics,
            structlog.wrap_logger(None, processors=[self.capture]),
            **how,
        )

    async def entries(self) -> list[bytes]:
        """The bytes of every entry."""
        return [bytes(entry["entry"]) async for entry in self.ledger.read()]

    async def log(self) -> Log:
        """What must be served, made anew from the entries alone."""
        return Log(await self.entries(), KEY.private, ORIGIN)

    async def append(self, some: Iterable[Arrival], at_once: int = 500) -> None:
        """Append events in batches."""
        waiting = list(some)
        for begin in range(0, len(waiting), at_once):
            await self.ledger.append(waiting[begin : begin + at_once])

    async def signed(self, size: int, *, or_more: bool = False) -> KeptCheckpoint:
        """Wait for the checkpoint of this size, or of more where others append too."""

        async def there() -> KeptCheckpoint | None:
            last = await self.checkpoints.latest()
            return last if last is not None and last.size >= size else None

        found: KeptCheckpoint = await toy.eventually(there)
        assert or_more or found.size == size
        return found

    async def sign(self) -> KeptCheckpoint:
        """Have everything signed once."""
        async with signing(self.signer()):
            return await self.signed(await self.database["entries"].count_documents({}))


@asynccontextmanager
async def signing(signer: Signer) -> AsyncIterator[Signer]:
    """The signer running; it ends in order."""
    task = asyncio.create_task(signer.run())
    try:
        yield signer
    finally:
        await signer.stop()
        await toy.finish(task)


async def refused(signer: Signer, reason: str) -> None:
    """Wait until the signer refuses for this reason."""

    async def there() -> bool:
        return signer.refusal is not None

    await toy.eventually(there)
    assert signer.refusal == reason


def case_names(count: int) -> list[str]:
    return [f"case-{uuid.uuid4().hex}" for _ in range(count)]


def spread(moments: Sequence[int], begin: datetime = BEGIN) -> list[Arrival]:
    """Events of one case, in this order, at so many minutes after `begin` each."""
    return [arrival(number, at=begin + timedelta(minutes=minutes)) for number, minutes in enumerate(moments, 1)]


async def files(kept: Kept, size: int) -> dict[str, bytes]:
    """Every file of the log at this size, as it would be served."""
    found: dict[str, bytes] = {}
    for place in tiles_of(size):
        found[place.path] = (await kept.tiles.read([place]))[place].to_bytes()
    for bundle in bundles_of(size):
        found[bundle.path] = await kept.tiles.bundle(bundle)
    last = await kept.checkpoints.latest()
    assert last is not None
    assert last.size == size
    return found | {"checkpoint": last.text.encode()}


async def everything_signed_holds(kept: Kept) -> None:
    """Each checkpoint ever kept is that of the entries, and so is each kept tile: made anew here by the pure code."""
    log = await kept.log()
    async for checkpoint in kept.checkpoints.read():
        assert checkpoint.note.encode() == log.checkpoint(checkpoint.size)
    full = {(tile.place.level, tile.place.index): tile.to_bytes() for tile in log.edge(len(log.entries))[1]}
    stored = {(row["_id"]["level"], row["_id"]["index"]): bytes(row["hashes"]) async for row in kept.database["tiles"].find()}
    assert stored.items() <= full.items()
    last = await kept.checkpoints.latest()
    if last is not None:
        assert stored.keys() >= {key for key in full if (key[1] + 1) << 8 * (key[0] + 1) <= last.size}
