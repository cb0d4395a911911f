"""Verification: every entry's bytes hashed again, the order without holes, and nothing that a service has missing here."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from services.audit.domain.clear import CLEAR_FIELDS, clear_fields
from services.audit.domain.gaps import Gap, SequenceCheck
from services.audit.domain.tree import Tree, leaf_hash
from services.audit.ledger import READ_AT_ONCE, Ledger
from shared.events.codec import Sealed, Unreadable, read_envelope
from shared.events.topics import source_of


@dataclass(frozen=True, slots=True)
class Verification:
    """What holds. `first_bad` is the index of the first entry whose bytes do not give the leaf that was kept."""

    size: int
    root: str
    entries_hold: bool
    root_holds: bool
    first_bad: int | None
    gaps: tuple[Gap, ...]
    unreachable: tuple[str, ...]

    @property
    def verified(self) -> bool:
        """Whether everything holds and every service could be compared."""
        return self.entries_hold and self.root_holds and not self.gaps and not self.unreachable


async def verify(ledger: Ledger, services: Mapping[str, str | None], authorization: str) -> Verification:
    """Read the whole ledger once; ask each service for its heads with the auditor's own token.

    Heads are asked for after reading, so an event committed in between may show as a missing tail: ask again.
    """
    await ledger.prepare()
    kept = ledger.tree
    tree, check = Tree(), SequenceCheck()
    first_bad: int | None = None
    batch: list[dict[str, Any]] = []
    async for entry in ledger.read({}, limit=kept.size):
        batch.append(entry)
        if len(batch) >= READ_AT_ONCE:
            tree, first_bad = await asyncio.to_thread(_take, batch, tree, check, first_bad)
            batch = []
    tree, first_bad = await asyncio.to_thread(_take, batch, tree, check, first_bad)
    tails, unreachable = await _compare_heads(check, services, authorization)
    return Verification(
        size=tree.size,
        root=tree.root.hex(),
        entries_hold=first_bad is None,
        root_holds=tree == kept,
        first_bad=first_bad,
        gaps=(*check.holes, *tails),
        unreachable=unreachable,
    )


def _take(entries: Sequence[dict[str, Any]], tree: Tree, check: SequenceCheck, first_bad: int | None) -> tuple[Tree, int | None]:
    leaves = []
    for position, entry in enumerate(entries):
        leaf = leaf_hash(Sealed(entry["headers"], bytes(entry["data"])).to_bytes())
        in_place = entry["_id"] == tree.size + position
        if first_bad is None and not (leaf == bytes(entry["leaf"]) and _shown_as_kept(entry) and in_place):
            first_bad = entry["_id"]
        leaves.append(leaf)
        check.take((entry["source"], entry["stream"]), entry["sequence"])
    return tree.extend(leaves), first_bad


def _shown_as_kept(entry: Mapping[str, Any]) -> bool:
    """Whether the fields that queries find an entry by say what its kept headers say."""
    try:
        envelope = read_envelope(entry["headers"])
    except Unreadable:
        return False
    kept = clear_fields(envelope)
    return {field: entry[field] for field in CLEAR_FIELDS if field in entry} == kept


async def _compare_heads(check: SequenceCheck, services: Mapping[str, str | None], authorization: str) -> tuple[list[Gap], tuple[str, ...]]:
    gaps: list[Gap] = []
    unreachable: list[str] = []
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=60), headers={"Authorization": authorization}, trust_env=False
    ) as client:
        for service, url in services.items():
            try:
                heads = await _heads(client, url)
            except (aiohttp.ClientError, TimeoutError, KeyError, ValueError):
                unreachable.append(service)
            else:
                gaps.extend(check.missing_tails(source_of(service), heads))
    return gaps, tuple(unreachable)


async def _heads(client: aiohttp.ClientSession, url: str | None) -> dict[str, int]:
    if url is None:
        raise ValueError("no address is set")
    heads: dict[str, int] = {}
    after: str | None = ""
    while after is not None:
        async with client.get(f"{url}/operations/heads", params={"after": after}, allow_redirects=False) as answer:
            answer.raise_for_status()
            page = await answer.json()
        heads.update(page["heads"])
        after = page["next"]
    return heads
