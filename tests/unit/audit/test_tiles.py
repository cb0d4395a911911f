"""Tiles against C2SP tlog-tiles: its example of a path, and hashes by the recursive definition of the tree."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.domain.tiles import (
    BundlePlace,
    Edge,
    MalformedTile,
    Tile,
    TilePlace,
    bundles_of,
    decode_bundle,
    encode_bundle,
    read_path,
    read_tile,
    subtree_root,
    tiles_of,
)
from services.audit.domain.tree import Tree

LEAVES = [hashlib.sha256(b"leaf %d" % number).digest() for number in range(66_000)]


def test_paths() -> None:
    """The index 1234067 is the example of tlog-tiles; the others follow from its rule of three digits."""
    assert TilePlace(0, 1234067).path == "tile/0/x001/x234/067"
    assert TilePlace(0, 0).path == "tile/0/000"
    assert TilePlace(1, 999, 7).path == "tile/1/999.p/7"
    assert TilePlace(2, 1000).path == "tile/2/x001/000"
    assert BundlePlace(273, 112).path == "tile/entries/273.p/112"


@given(st.integers(0, 7), st.integers(0, 2**50), st.integers(1, 256))
def test_a_path_is_read_as_the_place_it_is_of(level: int, index: int, width: int) -> None:
    for place in (TilePlace(level, index, width), BundlePlace(index, width)):
        assert read_path(place.path) == place


OF_NO_PLACE = {
    "digits": [
        "tile/0/x1/067",
        "tile/0/1",
        "tile/0/x000/001",
        "tile/0/x001",
        "tile/0/\u0660\u0660\u0661",
        "tile/0/x001/x002",
        "tile/0/-01",
    ],
    "level": ["tile/00/001", "tile/8/001", "tile/-1/001", "tile//001", "tile/x/001"],
    "width": ["tile/0/001.p/256", "tile/0/001.p/0", "tile/0/001.p/07", "tile/0/001.p", "tile/0/001.p/", "tile/entries/001.p/300"],
    "around": ["", "checkpoint", "tile/0/001/", "/tile/0/001", "tile/0/001\n", "tile/0/../checkpoint", "tile/0/" + "x001/" * 7 + "001"],
}


@pytest.mark.parametrize("path", [path for paths in OF_NO_PLACE.values() for path in paths])
def test_a_path_of_no_place_is_refused(path: str) -> None:
    with pytest.raises(MalformedTile, match="path"):
        read_path(path)


def test_the_tiles_of_a_size() -> None:
    """70,000 is the example of tlog-tiles: 273 full tiles and one of 112, then one full and one of 17 at level 1, one of 1 at level 2."""
    places = list(tiles_of(70_000))
    assert places == [
        *(TilePlace(0, number) for number in range(273)),
        TilePlace(0, 273, 112),
        TilePlace(1, 0),
        TilePlace(1, 1, 17),
        TilePlace(2, 0, 1),
    ]
    assert list(bundles_of(70_000)) == [*(BundlePlace(number) for number in range(273)), BundlePlace(273, 112)]
    assert list(tiles_of(0)) == []
    assert list(bundles_of(0)) == []


@given(st.lists(st.integers(0, 400), max_size=6))
def test_a_tree_that_grows_has_the_tiles_of_its_size_and_their_hashes(growth: list[int]) -> None:
    edge, tiles = Edge(), dict[TilePlace, Tile]()
    for more in growth:
        edge, full = edge.extend(LEAVES[edge.size : edge.size + more])
        tiles |= {tile.place: tile for tile in full}
    tiles |= {tile.place: tile for tile in edge.partial}
    assert sorted(tiles) == list(tiles_of(edge.size))
    assert edge.tree == Tree().extend(LEAVES[: sum(growth)])
    for place, tile in tiles.items():
        assert len(tile.hashes) == place.width
        covers = 256**place.level
        first = place.index * 256 * covers
        assert tile.hashes == tuple(
            Tree().extend(LEAVES[at : at + covers]).root for at in range(first, first + place.width * covers, covers)
        )
        assert read_tile(place, tile.to_bytes()) == tile
    assert Edge.of(edge.size, edge.levels) == edge


def test_three_levels() -> None:
    edge, full = Edge().extend(LEAVES)
    assert sorted(tile.place for tile in (*full, *edge.partial)) == list(tiles_of(len(LEAVES)))
    assert edge.tree == Tree().extend(LEAVES)
    (top,) = (tile for tile in edge.partial if tile.place == TilePlace(2, 0, 1))
    assert top.hashes == (Tree().extend(LEAVES[:65_536]).root,)
    assert subtree_root(LEAVES[:256]) == Tree().extend(LEAVES[:256]).root


def test_an_edge_of_other_widths_than_its_size_has_is_refused() -> None:
    assert Edge.of(256, [[], LEAVES[:1], []]).levels == ((), (LEAVES[0],))
    for size, levels in ((256, [LEAVES[:1]]), (3, [LEAVES[:2]]), (3, []), (0, [LEAVES[:1]])):
        with pytest.raises(MalformedTile, match="edge-widths"):
            Edge.of(size, levels)


@given(st.lists(st.binary(max_size=40), max_size=256), st.binary(min_size=1, max_size=3))
def test_bundles(entries: list[bytes], more: bytes) -> None:
    bundle = encode_bundle(entries)
    assert decode_bundle(bundle, len(entries)) == entries
    with pytest.raises(MalformedTile, match="bundle-goes-on"):
        decode_bundle(bundle + more, len(entries))
    with pytest.raises(MalformedTile, match="bundle-ends-early"):
        decode_bundle(bundle, len(entries) + 1)
    if bundle:
        with pytest.raises(MalformedTile, match="bundle-ends-early"):
            decode_bundle(bundle[:-1], len(entries))


def test_a_tile_of_another_length_is_refused() -> None:
    for content in (b"", bytes(8191), bytes(8193), bytes(8160)):
        with pytest.raises(MalformedTile, match="tile-length"):
            read_tile(TilePlace(0, 0), content)
