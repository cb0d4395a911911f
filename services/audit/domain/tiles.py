"""Tiles of C2SP tlog-tiles: 256 hashes of one level of the tree in a file, and bundles of 256 entries.

Level L of tiles holds the nodes of the tree at height 8 L, so a hash in a tile of level L + 1 is the root of one full tile of
level L. A tile that the size of the tree leaves unfinished is partial, of a width from 1 to 255.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from services.audit.domain.entry import ENTRY_LIMIT_BYTES
from services.audit.domain.tree import Tree, node_hash

TILE_WIDTH: Final = 256
HASH_BYTES: Final = 32
LEVELS: Final = 8
"""Levels that a tree of less than 2^63 entries can have."""

_PATH: Final = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)


class MalformedTile(Exception):
    """A path, a tile or a bundle that the format does not know; `reason` is a stable slug without any content."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, order=True)
class TilePlace:
    """Where a tile lies: its level, its index in the level from 0, and its width in hashes, 256 if it is full."""

    level: int
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """`tile/<L>/<N>`, and `.p/<W>` if it is partial."""
        return f"tile/{self.level}/{_numbered(self.index)}{_partial(self.width)}"


@dataclass(frozen=True, slots=True, order=True)
class BundlePlace:
    """Where a bundle of entries lies: its index from 0 (it begins with entry 256 times that), and how many entries it has."""

    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """`tile/entries/<N>`, and `.p/<W>` if it is partial."""
        return f"tile/entries/{_numbered(self.index)}{_partial(self.width)}"


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile and its hashes, as many as it is wide."""

    place: TilePlace
    hashes: tuple[bytes, ...]

    def to_bytes(self) -> bytes:
        """Return the content of its file: the hashes one after the other."""
        return b"".join(self.hashes)


def read_path(path: str) -> TilePlace | BundlePlace:
    """Read a path, without a slash before it; raises MalformedTile for one that no place has."""
    found = _PATH.fullmatch(path)
    if found is None or len(found[2]) > 5 * 6 + 3:
        raise MalformedTile("path")
    index, width = int(re.sub(r"[x/]", "", found[2])), int(found[3] or TILE_WIDTH)
    place = BundlePlace(index, width) if found[1] == "entries" else TilePlace(int(found[1]), index, width)
    if place.path != path or width > TILE_WIDTH or (isinstance(place, TilePlace) and place.level >= LEVELS):
        raise MalformedTile("path")
    return place


def tiles_of(size: int) -> Iterator[TilePlace]:
    """Yield the tiles of a tree of this size, level by level from 0 and from left to right, the partial ones last in each."""
    level, width = 0, size
    while width:
        yield from (TilePlace(level, index, filled) for index, filled in _filled(width))
        level, width = level + 1, width // TILE_WIDTH


def bundles_of(size: int) -> Iterator[BundlePlace]:
    """Yield the bundles of entries of a tree of this size, from left to right."""
    yield from (BundlePlace(index, filled) for index, filled in _filled(size))


def read_tile(place: TilePlace, content: bytes) -> Tile:
    """Read the content of a tile's file; raises MalformedTile unless it has exactly the bytes of its width."""
    if len(content) != place.width * HASH_BYTES:
        raise MalformedTile("tile-length")
    return Tile(place, tuple(content[at : at + HASH_BYTES] for at in range(0, len(content), HASH_BYTES)))


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """Return a bundle: before each entry its length, 16 bits, big-endian."""
    return b"".join(len(entry).to_bytes(2) + entry for entry in entries)


def decode_bundle(bundle: bytes, count: int) -> list[bytes]:
    """Return the entries of a bundle; raises MalformedTile unless it holds exactly `count` and nothing more."""
    if len(bundle) > TILE_WIDTH * (2 + ENTRY_LIMIT_BYTES):
        raise MalformedTile("bundle-length")
    entries, at = [], 0
    for _ in range(count):
        begin = at + 2
        at = begin + int.from_bytes(bundle[begin - 2 : begin])
        if at > len(bundle) or begin > len(bundle):
            raise MalformedTile("bundle-ends-early")
        entries.append(bundle[begin:at])
    if at != len(bundle):
        raise MalformedTile("bundle-goes-on")
    return entries


def subtree_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root over hashes of one level, whose number is a power of two: that of a full tile is a hash one level up."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[at], level[at + 1]) for at in range(0, len(level), 2)]
    return level[0]


@dataclass(frozen=True, slots=True)
class Edge:
    """A growing tree: its size, and for each level of tiles, from 0, the hashes of the tile that is not yet full (0 to 255).

    What is needed to go on, and no more. `Edge()` is the empty tree; levels beyond those listed are empty.
    """

    size: int = 0
    levels: tuple[tuple[bytes, ...], ...] = ()

    @classmethod
    def of(cls, size: int, levels: Iterable[Sequence[bytes]]) -> "Edge":
        """Return the edge of a tree that was kept; raises MalformedTile unless each level has as many hashes as the size says."""
        found = tuple(tuple(level) for level in levels)
        while found and not found[-1]:
            found = found[:-1]
        if [len(level) for level in found] != _widths(size):
            raise MalformedTile("edge-widths")
        return cls(size, found)

    def extend(self, leaves: Iterable[bytes]) -> tuple["Edge", list[Tile]]:
        """Return the edge with these leaf hashes appended, and the tiles of every level that became full, in that order."""
        size, levels, full = self.size, [list(level) for level in self.levels], list[Tile]()
        for leaf in leaves:
            size += 1
            level, node = 0, leaf
            while True:
                if level == len(levels):
                    levels.append([])
                levels[level].append(node)
                if len(levels[level]) < TILE_WIDTH:
                    break
                hashes, levels[level] = tuple(levels[level]), []
                full.append(Tile(TilePlace(level, (size >> 8 * (level + 1)) - 1), hashes))
                level, node = level + 1, subtree_root(hashes)
        return Edge(size, tuple(tuple(level) for level in levels)), full

    @property
    def partial(self) -> tuple[Tile, ...]:
        """The partial tiles of this size, from level 0 up."""
        return tuple(
            Tile(TilePlace(level, self.size >> 8 * (level + 1), len(hashes)), hashes) for level, hashes in enumerate(self.levels) if hashes
        )

    @property
    def tree(self) -> Tree:
        """The size and the frontier, and so the root."""
        frontier: list[bytes] = []
        for hashes in reversed(self.levels):
            begin = 0
            for height in range(7, -1, -1):
                if len(hashes) >> height & 1:
                    frontier.append(subtree_root(hashes[begin : begin + (1 << height)]))
                    begin += 1 << height
        return Tree(self.size, tuple(frontier))


def _widths(size: int) -> list[int]:
    widths = []
    while size:
        widths.append(size % TILE_WIDTH)
        size //= TILE_WIDTH
    return widths


def _filled(width: int) -> Iterator[tuple[int, int]]:
    full, rest = divmod(width, TILE_WIDTH)
    yield from ((index, TILE_WIDTH) for index in range(full))
    if rest:
        yield full, rest


def _numbered(index: int) -> str:
    digits = str(index)
    digits = digits.rjust(-(-len(digits) // 3) * 3, "0")
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])


def _partial(width: int) -> str:
    return "" if width == TILE_WIDTH else f".p/{width}"
