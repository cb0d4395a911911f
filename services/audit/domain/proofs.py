"""Inclusion and consistency of RFC 9162 (2.1.3, 2.1.4): proofs made from the hashes of tiles, and verified.

A proof is made in two steps, so that this stays pure: a plan names the tiles it stands on, whoever holds them reads them, and the
plan makes the proof of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.audit.domain.tiles import HASH_BYTES, TILE_WIDTH, Tile, TilePlace, subtree_root
from services.audit.domain.tree import node_hash

Range = tuple[int, int]
"""The leaves from the first number to before the second."""


class ProofRefused(Exception):
    """A proof that does not hold, or cannot be; `reason` is a stable slug without any content."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Plan:
    """A proof about a tree of `size`: it consists of the roots over these ranges of leaves, in this order."""

    size: int
    ranges: tuple[Range, ...]

    @property
    def tiles(self) -> tuple[TilePlace, ...]:
        """The tiles that it stands on, each once, as wide as in a tree of this size."""
        return tuple(sorted({self._tile(height, index) for one in self.ranges for height, index in _perfect(one)}))

    def prove(self, tiles: Mapping[TilePlace, Tile]) -> tuple[bytes, ...]:
        """Return the proof, hashes of 32 bytes; raises ProofRefused if a tile is missing or too narrow, while a wider one will do."""
        return tuple(self._root(one, tiles) for one in self.ranges)

    def _tile(self, height: int, index: int) -> TilePlace:
        level, within = divmod(height, 8)
        number = index << within >> 8
        return TilePlace(level, number, min(TILE_WIDTH, (self.size >> 8 * level) - number * TILE_WIDTH))

    def _root(self, leaves: Range, tiles: Mapping[TilePlace, Tile]) -> bytes:
        root: bytes | None = None
        for height, index in reversed(list(_perfect(leaves))):
            place = self._tile(height, index)
            first = (index << height % 8) - place.index * TILE_WIDTH
            if place not in tiles or len(tiles[place].hashes) < place.width:
                raise ProofRefused("tile-missing")
            part = subtree_root(tiles[place].hashes[first : first + (1 << height % 8)])
            root = part if root is None else node_hash(part, root)
        if root is None:
            raise ProofRefused("empty-range")
        return root


def plan_inclusion(index: int, size: int) -> Plan:
    """Return the plan of the proof that a tree of `size` has the entry of this index; raises ProofRefused."""
    if not 0 <= index < size:
        raise ProofRefused("index-not-below-size")
    return Plan(size, tuple(_path(index, (0, size))))


def plan_consistency(old: int, new: int) -> Plan:
    """Return the plan of the proof that the tree of size `new` begins with that of size `old`; raises ProofRefused."""
    _check_sizes(old, new)
    return Plan(new, tuple(_subproof(old, (0, new), known=True)))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Verify that the tree of this size and root has the leaf hash at the index (RFC 9162, 2.1.3.2); raises ProofRefused."""
    if not 0 <= index < size:
        raise ProofRefused("index-not-below-size")
    _check_hashes((leaf, root, *proof))
    sides = tuple(_sides(index, size - 1))
    _check_length(proof, len(sides))
    node = leaf
    for sibling, on_the_left in zip(proof, sides, strict=True):
        node = node_hash(sibling, node) if on_the_left else node_hash(node, sibling)
    if node != root:
        raise ProofRefused("root-does-not-match")


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Verify that the tree of size `new` begins with that of size `old` (RFC 9162, 2.1.4.2); raises ProofRefused.

    An old size of 0 is refused: everything begins with nothing, so there is nothing that a proof could show.
    """
    _check_sizes(old, new)
    _check_hashes((old_root, new_root, *proof))
    if old == new:
        _check_length(proof, 0)
        if old_root != new_root:
            raise ProofRefused("root-does-not-match")
        return
    height = (old & -old).bit_length() - 1
    sides = tuple(_sides((old - 1) >> height, (new - 1) >> height))
    # The last perfect subtree of the old tree is where both ways up begin; if it is the whole old tree, the proof leaves it out.
    nodes = [old_root, *proof] if old == 1 << height else list(proof)
    _check_length(nodes, 1 + len(sides))
    of_old = of_new = nodes[0]
    for sibling, on_the_left in zip(nodes[1:], sides, strict=True):
        of_old = node_hash(sibling, of_old) if on_the_left else of_old
        of_new = node_hash(sibling, of_new) if on_the_left else node_hash(of_new, sibling)
    if of_old != old_root:
        raise ProofRefused("old-root-does-not-match")
    if of_new != new_root:
        raise ProofRefused("root-does-not-match")


def _sides(position: int, last: int) -> Iterator[bool]:
    """The way from a node up to the root, both numbered in their level, `last` the last of it: whether each sibling is on the left."""
    while last:
        on_the_left = position & 1 == 1 or position == last
        yield on_the_left
        while on_the_left and position & 1 == 0 and position:
            position, last = position >> 1, last >> 1
        position, last = position >> 1, last >> 1


def _check_sizes(old: int, new: int) -> None:
    if old == 0:
        raise ProofRefused("old-size-zero")
    if not 0 < old <= new:
        raise ProofRefused("old-larger-than-new")


def _check_length(hashes: Sequence[bytes], wanted: int) -> None:
    if len(hashes) != wanted:
        raise ProofRefused("proof-too-long" if len(hashes) > wanted else "proof-too-short")


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(one) != HASH_BYTES for one in hashes):
        raise ProofRefused("hash-length")


def _split(leaves: Range) -> int:
    """Where the tree over these leaves divides: after the largest power of two that is less than their number."""
    return leaves[0] + (1 << (leaves[1] - leaves[0] - 1).bit_length() - 1)


def _path(index: int, leaves: Range) -> list[Range]:
    if leaves[1] - leaves[0] == 1:
        return []
    middle = _split(leaves)
    if index < middle:
        return [*_path(index, (leaves[0], middle)), (middle, leaves[1])]
    return [*_path(index, (middle, leaves[1])), (leaves[0], middle)]


def _subproof(old: int, leaves: Range, *, known: bool) -> list[Range]:
    if old == leaves[1]:
        return [] if known else [leaves]
    middle = _split(leaves)
    if old <= middle:
        return [*_subproof(old, (leaves[0], middle), known=known), (middle, leaves[1])]
    return [*_subproof(old, (middle, leaves[1]), known=False), (leaves[0], middle)]


def _perfect(leaves: Range) -> Iterator[tuple[int, int]]:
    """The perfect subtrees over a range of a proof, largest first: height and index. A range begins where its largest may."""
    begin, end = leaves
    while begin < end:
        height = (end - begin).bit_length() - 1
        yield height, begin >> height
        begin += 1 << height
