"""The Merkle tree of RFC 9162: leaf = SHA-256(0x00 | bytes), node = SHA-256(0x01 | left | right)."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry's bytes as a leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree as its size and frontier: the roots of its perfect subtrees, largest first, one per set bit of the size."""

    size: int = 0
    frontier: tuple[bytes, ...] = ()

    def extend(self, leaves: Iterable[bytes]) -> "Tree":
        """Return the tree with these leaf hashes appended."""
        size, frontier = self.size, list(self.frontier)
        for leaf in leaves:
            node = leaf
            merging = size
            while merging & 1:
                node = node_hash(frontier.pop(), node)
                merging >>= 1
            frontier.append(node)
            size += 1
        return Tree(size, tuple(frontier))

    @property
    def root(self) -> bytes:
        """The Merkle tree hash, 32 bytes."""
        if not self.frontier:
            return EMPTY_ROOT
        node = self.frontier[-1]
        for left in reversed(self.frontier[:-1]):
            node = node_hash(left, node)
        return node
