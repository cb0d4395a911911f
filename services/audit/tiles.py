"""The tiles of the tree in MongoDB: every full one is kept, a partial one is made when it is asked for.

All of it is derived from the entries, and can be again. A kept tile is never written over: one that the entries no longer give is a
sign that one of both was changed.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from bson import Binary
from pymongo import ASCENDING
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError

from services.audit.domain.tiles import HASH_BYTES, TILE_WIDTH, BundlePlace, Edge, Tile, TilePlace, encode_bundle, read_tile, subtree_root
from services.audit.domain.tree import leaf_hash
from shared.log.store import DUPLICATE_KEY

DERIVED_AT_ONCE: Final = 16

_Key = tuple[int, int]
"""Level and index of a tile."""


class Inconsistent(Exception):
    """What is kept contradicts itself; `reason` is a stable slug, `index` the first entry that it is about, where that is known."""

    def __init__(self, reason: str, index: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.index = index


class KeptTiles:
    """Reads and keeps tiles; `entries` is the ledger's collection."""

    def __init__(self, tiles: AsyncCollection[dict[str, Any]], entries: AsyncCollection[dict[str, Any]]) -> None:
        self._tiles = tiles
        self._entries = entries

    async def keep(self, tiles: Sequence[Tile]) -> None:
        """Keep full tiles; raises Inconsistent if another one is in the place of one of them."""
        if not tiles:
            return
        documents = [
            {"_id": _id(_key(tile.place)), "hashes": Binary(tile.to_bytes()), "root": Binary(subtree_root(tile.hashes))} for tile in tiles
        ]
        try:
            await self._tiles.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            if any(failed["code"] != DUPLICATE_KEY for failed in error.details["writeErrors"]) or error.details.get("writeConcernErrors"):
                raise
            kept = await self._kept([_key(tile.place) for tile in tiles])
            for tile in tiles:
                if kept.get(_key(tile.place), tile.hashes) != tile.hashes:
                    raise Inconsistent("tile-differs", _first_difference(tile, kept[_key(tile.place)])) from None

    async def read(self, places: Collection[TilePlace]) -> dict[TilePlace, Tile]:
        """Return tiles, full or partial, of a tree that the entries make up; a place beyond it raises Inconsistent."""
        kept = await self._kept([_key(place) for place in places])
        found: dict[TilePlace, Tile] = {}
        for place in places:
            hashes = kept.get(_key(place))
            found[place] = Tile(place, hashes[: place.width] if hashes is not None else await self._derive(place))
        return found

    async def bundle(self, place: BundlePlace) -> bytes:
        """Return a bundle of entries; raises Inconsistent if one is missing."""
        first = place.index * TILE_WIDTH
        return encode_bundle([bytes(entry["entry"]) for entry in await self._between(first, first + place.width, "entry")])

    async def edge(self, size: int) -> Edge:
        """Return the edge of the tree of this size, from the last entries and the tiles; what is missing of them is derived first."""
        levels: list[Sequence[bytes]] = []
        remaining = size
        while remaining:
            level = len(levels)
            if remaining >= TILE_WIDTH:
                await self._complete(level, remaining // TILE_WIDTH)
            width = remaining % TILE_WIDTH
            place = TilePlace(level, remaining // TILE_WIDTH, width)
            levels.append(await self._derive(place) if width else ())
            remaining //= TILE_WIDTH
        return Edge.of(size, levels)

    async def _complete(self, level: int, count: int) -> None:
        """Derive those of the first `count` tiles of a level that are missing."""
        places = {"$gte": _id((level, 0)), "$lt": _id((level, count))}
        if await self._tiles.count_documents({"_id": places}) == count:
            return
        present = {row["_id"]["index"] async for row in self._tiles.find({"_id": places}, projection=["_id"])}
        missing = [index for index in range(count) if index not in present]
        for begin in range(0, len(missing), DERIVED_AT_ONCE):
            derived = [
                Tile(place, await self._derive(place))
                for place in (TilePlace(level, index) for index in missing[begin : begin + DERIVED_AT_ONCE])
            ]
            await self._check_against_parents(derived)
            await self.keep(derived)

    async def _check_against_parents(self, derived: Iterable[Tile]) -> None:
        for tile in derived:
            parent, position = divmod(tile.place.index, TILE_WIDTH)
            kept = (await self._kept([(tile.place.level + 1, parent)])).get((tile.place.level + 1, parent))
            if kept is not None and kept[position] != subtree_root(tile.hashes):
                raise Inconsistent("tile-differs", tile.place.index << 8 * (tile.place.level + 1))

    async def _derive(self, place: TilePlace) -> tuple[bytes, ...]:
        """Return the hashes of a tile from the level below: of entries, or of full tiles."""
        first = place.index * TILE_WIDTH
        if place.level == 0:
            return tuple(leaf_hash(bytes(entry["entry"])) for entry in await self._between(first, first + place.width, "entry"))
        children = [(place.level - 1, index) for index in range(first, first + place.width)]
        found = self._tiles.find({"_id": {"$in": [_id(child) for child in children]}}, projection=["root"])
        roots = {(row["_id"]["level"], row["_id"]["index"]): bytes(row["root"]) async for row in found}
        for child in children:
            if child not in roots:  # lost: from one level further down
                roots[child] = subtree_root(await self._derive(TilePlace(*child)))
        return tuple(roots[child] for child in children)

    async def _kept(self, keys: Sequence[_Key]) -> dict[_Key, tuple[bytes, ...]]:
        found = self._tiles.find({"_id": {"$in": [_id(key) for key in keys]}})
        kept: dict[_Key, tuple[bytes, ...]] = {}
        async for row in found:
            key = (row["_id"]["level"], row["_id"]["index"])
            if len(row["hashes"]) != TILE_WIDTH * HASH_BYTES:
                raise Inconsistent("tile-differs", key[1] << 8 * (key[0] + 1))
            kept[key] = read_tile(TilePlace(*key), bytes(row["hashes"])).hashes
        return kept

    async def _between(self, first: int, before: int, field: str) -> Sequence[Mapping[str, Any]]:
        wanted = {"_id": {"$gte": first, "$lt": before}}
        found = await self._entries.find(wanted, projection=[field]).sort([("_id", ASCENDING)]).to_list()
        for index, entry in enumerate(found, first):
            if entry["_id"] != index:
                raise Inconsistent("entry-missing", index)
        if len(found) < before - first:
            raise Inconsistent("entry-missing", first + len(found))
        return found


def _key(place: TilePlace) -> _Key:
    return (place.level, place.index)


def _id(key: _Key) -> dict[str, int]:
    # Compared field by field, in this order: the tiles of a level are a range.
    return {"level": key[0], "index": key[1]}


def _first_difference(tile: Tile, hashes: Sequence[bytes]) -> int:
    position = next(at for at, (one, other) in enumerate(zip(tile.hashes, hashes, strict=True)) if one != other)
    return (tile.place.index * TILE_WIDTH + position) << 8 * tile.place.level
