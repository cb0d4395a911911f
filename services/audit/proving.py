"""Proofs made from the kept tiles."""

from collections.abc import Sequence
from typing import Final

from services.audit.domain.proofs import Plan, Range, plan_consistency, plan_inclusion
from services.audit.tiles import KeptTiles

KNOWN_ROOTS: Final = 100_000
"""How many roots a series of proofs remembers before it forgets them all."""


async def prove_inclusion(tiles: KeptTiles, index: int, size: int) -> tuple[bytes, ...]:
    """Prove that the tree of this size has the entry of this index; raises ProofRefused."""
    return await _prove(tiles, plan_inclusion(index, size))


async def prove_consistency(tiles: KeptTiles, old: int, new: int) -> tuple[bytes, ...]:
    """Prove that the tree of size `new` begins with that of size `old`; raises ProofRefused."""
    return await _prove(tiles, plan_consistency(old, new))


async def _prove(tiles: KeptTiles, plan: Plan) -> tuple[bytes, ...]:
    return plan.prove(await tiles.read(plan.tiles))


class ManyProofs:
    """Proves many entries of one tree: tiles are read for many at once, and what proofs have in common is computed once."""

    def __init__(self, tiles: KeptTiles, size: int) -> None:
        self._tiles = tiles
        self._size = size
        self._known: dict[Range, bytes] = {}

    async def prove(self, indexes: Sequence[int]) -> list[tuple[bytes, ...]]:
        """Return the inclusion proof of each of these entries."""
        plans = [plan_inclusion(index, self._size) for index in indexes]
        if len(self._known) > KNOWN_ROOTS:
            self._known.clear()
        missing = Plan(self._size, tuple({one for plan in plans for one in plan.ranges} - self._known.keys()))
        roots = missing.prove(await self._tiles.read(missing.tiles))
        self._known.update(zip(missing.ranges, roots, strict=True))
        return [tuple(self._known[one] for one in plan.ranges) for plan in plans]
