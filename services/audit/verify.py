"""Verification: every entry's bytes hashed again, every checkpoint compared, no holes, and nothing that a service has missing here."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import aiohttp

from services.audit.checkpoints import Checkpoints, KeptCheckpoint
from services.audit.domain.clear import clear_fields
from services.audit.domain.entry import MalformedEntry, read_entry
from services.audit.domain.gaps import Gap, SequenceCheck
from services.audit.domain.note import VerifierKey
from services.audit.domain.tree import Tree, leaf_hash
from services.audit.ledger import READ_AT_ONCE, Ledger, order_in_time
from services.audit.tiles import Inconsistent
from shared.events.codec import Unreadable, read_envelope
from shared.events.topics import source_of

Heads = Callable[[], Awaitable[Mapping[str, int]]]
"""Asks a service for its heads: stream -> last sequence."""
ARRIVING_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Verification:
    """What holds. `first_bad` is the index of the first entry that is not what was appended: its bytes, the entry before it in its
    case, or what queries find it by.

    `signed` is the size of the newest checkpoint, `first_bad_checkpoint` that of the first one whose tree the entries do not give.
    """

    size: int
    root: str
    signed: int
    entries_hold: bool
    root_holds: bool
    first_bad: int | None
    first_bad_checkpoint: int | None
    gaps: tuple[Gap, ...]
    unreachable: tuple[str, ...]

    @property
    def verified(self) -> bool:
        """Whether everything holds and every service could be compared."""
        return self.entries_hold and self.root_holds and not self.gaps and not self.unreachable


async def verify(ledger: Ledger, checkpoints: Checkpoints, log: VerifierKey, heads: Mapping[str, Heads]) -> Verification:
    """Read the whole ledger once, and ask each service how far its streams have come."""
    # Up to here everything is signed, so that what is read after has no need to be.
    last = await checkpoints.latest()
    reading = _Reading(log)
    kept = checkpoints.read()
    batch: list[dict[str, Any]] = []
    async for entry in ledger.read():
        batch.append(entry)
        if len(batch) >= READ_AT_ONCE:
            await reading.take(batch, kept)
            batch = []
    await reading.take(batch, kept)
    tails, unreachable = await _compare_heads(reading.sequences, heads)
    tails = await _still_missing(ledger, tails)
    signed = 0 if last is None else last.size
    if signed > reading.tree.size and reading.first_bad_checkpoint is None:
        reading.first_bad_checkpoint = signed
    return Verification(
        size=reading.tree.size,
        root=reading.tree.root.hex(),
        signed=signed,
        entries_hold=reading.first_bad is None,
        root_holds=reading.first_bad_checkpoint is None and (signed > 0 or reading.tree.size == 0),
        first_bad=reading.first_bad,
        first_bad_checkpoint=reading.first_bad_checkpoint,
        gaps=(*reading.sequences.holes, *tails),
        unreachable=unreachable,
    )


_BESIDE: Final = frozenset({"_id", "entry", "leaf"})
"""What is kept of an entry beside what is made from its clear envelope."""


class _Reading:
    """What was read so far, and the first thing that did not hold."""

    def __init__(self, log: VerifierKey) -> None:
        self.tree = Tree()
        self.sequences = SequenceCheck()
        self.first_bad: int | None = None
        self.first_bad_checkpoint: int | None = None
        self._log = log
        self._last: dict[str, int] = {}
        self._newest: datetime | None = None
        self._next: KeptCheckpoint | None = None
        self._begun = False

    async def take(self, entries: Sequence[dict[str, Any]], checkpoints: AsyncIterator[KeptCheckpoint]) -> None:
        """Take the next entries, and the checkpoints that end among them."""
        if not self._begun:
            self._begun, self._next = True, await anext(checkpoints, None)
        among: list[KeptCheckpoint] = []
        while self._next is not None and self._next.size <= self.tree.size + len(entries):
            among.append(self._next)
            self._next = await anext(checkpoints, None)
        await asyncio.to_thread(self._take, entries, among)

    def _take(self, entries: Sequence[dict[str, Any]], checkpoints: Sequence[KeptCheckpoint]) -> None:
        begin, first = 0, self.tree.size
        for checkpoint in checkpoints:
            end = checkpoint.size - first
            self._grow(entries[begin:end])
            self._compare(checkpoint)
            begin = end
        self._grow(entries[begin:])

    def _grow(self, entries: Sequence[dict[str, Any]]) -> None:
        leaves = []
        for index, entry in enumerate(entries, self.tree.size):
            leaf = leaf_hash(bytes(entry["entry"]))
            holds = entry["_id"] == index and leaf == bytes(entry["leaf"]) and self._shown_as_kept(entry)
            if self.first_bad is None and not holds:
                self.first_bad = entry["_id"]
            leaves.append(leaf)
            self._last[entry["stream"]] = entry["_id"]
            self.sequences.take((entry["source"], entry["stream"]), entry["sequence"])
        self.tree = self.tree.extend(leaves)

    def _compare(self, checkpoint: KeptCheckpoint) -> None:
        try:
            checkpoint.check(self._log)
        except Inconsistent:
            holds = False
        else:
            holds = checkpoint.tree == self.tree
        if not holds and self.first_bad_checkpoint is None:
            self.first_bad_checkpoint = checkpoint.size

    def _shown_as_kept(self, entry: Mapping[str, Any]) -> bool:
        """Whether the fields that queries find an entry by say what its bytes say, and it follows the last one of its stream."""
        try:
            kept = read_entry(bytes(entry["entry"]))
            envelope = read_envelope(kept.headers)
        except (MalformedEntry, Unreadable):
            return False
        newest = self._newest = envelope.time if self._newest is None else max(self._newest, envelope.time)
        fields = {**clear_fields(envelope), **order_in_time(envelope, newest)}
        shown = {name: value for name, value in entry.items() if name not in _BESIDE}
        return kept.previous == self._last.get(envelope.subject) and shown == fields


async def _compare_heads(check: SequenceCheck, heads: Mapping[str, Heads]) -> tuple[list[Gap], tuple[str, ...]]:
    gaps: list[Gap] = []
    unreachable: list[str] = []
    for service, ask in heads.items():
        try:
            found = await ask()
        except (aiohttp.ClientError, TimeoutError, KeyError, ValueError):
            unreachable.append(service)
        else:
            gaps.extend(check.missing_tails(source_of(service), found))
    return gaps, tuple(unreachable)


async def _still_missing(ledger: Ledger, tails: Sequence[Gap]) -> list[Gap]:
    """Return the tails that do not arrive within ARRIVING_SECONDS: who asks is recorded too, and what is recorded takes a moment."""
    until = time.monotonic() + ARRIVING_SECONDS
    missing = list(tails)
    while True:
        missing = [gap for gap in missing if not await ledger.has(gap.source, gap.stream, gap.last)]
        if not missing or time.monotonic() > until:
            return missing
        await asyncio.sleep(0.1)


def heads_over_http(url: str | None, authorization: str) -> Heads:
    """Return how to ask a service for its heads with an auditor's own token; raises as aiohttp does, ValueError without an address."""

    async def ask() -> dict[str, int]:
        if url is None:
            raise ValueError("no address is set")
        headers, timeout = {"Authorization": authorization}, aiohttp.ClientTimeout(total=60)
        heads: dict[str, int] = {}
        after: str | None = ""
        async with aiohttp.ClientSession(timeout=timeout, headers=headers, trust_env=False) as client:
            while after is not None:
                async with client.get(f"{url}/operations/heads", params={"after": after}, allow_redirects=False) as answer:
                    answer.raise_for_status()
                    page = await answer.json()
                heads.update(page["heads"])
                after = page["next"]
        return heads

    return ask
