"""Tiles and bundles out of the store against those that the pure code makes of the entries, and lost ones against the same."""

from collections.abc import Callable
from pathlib import Path

import pytest
from bson import Binary

from deploy.bench.ledger_log import write
from services.audit import kap_verify
from services.audit.domain.checkpoint import Checkpoint
from services.audit.domain.proofs import verify_consistency, verify_inclusion
from services.audit.domain.tiles import Edge, TilePlace
from services.audit.domain.tree import leaf_hash
from services.audit.proving import ManyProofs, prove_consistency, prove_inclusion
from services.audit.tiles import Inconsistent
from tests.integration.ledger.kept import KEY, Kept, arrivals, files, signing


@pytest.mark.parametrize("size", [1, 255, 256, 257, 700])
async def test_what_is_served_is_the_log_of_the_entries(kept: Kept, tmp_path: Path, size: int) -> None:
    await kept.append(arrivals(size))
    await kept.sign()
    served = await files(kept, size)
    assert served == (await kept.log()).files(size)
    write(served, tmp_path)
    assert kap_verify.main(["tiles", str(tmp_path), "--key", str(KEY.public)]) == 0


async def test_a_smaller_tree_is_served_as_it_was(kept: Kept) -> None:
    """Of the tree of size 300, when there are 700 entries: its partial tile is the beginning of what is a full one now."""
    await kept.append(arrivals(700))
    await kept.sign()
    log = await kept.log()
    for place, tile in log.tiles(300).items():
        assert (await kept.tiles.read([place]))[place] == tile


async def test_a_tree_of_three_levels(kept: Kept) -> None:
    """70,000 entries, the example of the specification (C2SP tlog-tiles): 273 full tiles and one of 112, one full of level 1 and one
    of 17, one of width 1."""
    size = 70_000
    entries = [b"%d" % index for index in range(size)]
    documents = [
        {"_id": index, "sequence": index, "entry": Binary(entry), "leaf": Binary(leaf_hash(entry))} for index, entry in enumerate(entries)
    ]
    await kept.database["entries"].insert_many(documents, ordered=False)
    async with signing(kept.signer()):
        await kept.signed(size)
    edge, full = Edge().extend(map(leaf_hash, entries))
    expected = {tile.place: tile for tile in (*full, *edge.partial)}
    assert {(place.level, place.width) for place in expected if place.width < 256} == {(0, 112), (1, 17), (2, 1)}
    assert await kept.tiles.read(list(expected)) == expected
    last = await kept.checkpoints.latest()
    assert last is not None
    assert last.text.startswith(Checkpoint(KEY.origin, size, edge.tree.root).text)
    some = [0, 255, 256, 4711, 65_535, 65_536, 69_887, 69_888, 69_999]
    proofs = await ManyProofs(kept.tiles, size).prove(some)
    for index, proof in zip(some, proofs, strict=True):
        assert proof == await prove_inclusion(kept.tiles, index, size)
        verify_inclusion(leaf_hash(entries[index]), index, size, proof, edge.tree.root)
    for old in (1, 255, 256, 65_536, 65_537, 69_999, 70_000):
        old_root = Edge().extend(map(leaf_hash, entries[:old]))[0].tree.root
        verify_consistency(old, size, await prove_consistency(kept.tiles, old, size), old_root, edge.tree.root)


@pytest.mark.parametrize("lost", [[(0, 0)], [(0, 1), (0, 2)], [(0, 0), (0, 1), (0, 2), (0, 3)]])
async def test_lost_tiles_are_served_all_the_same_and_kept_again_at_the_next_start(
    kept: Kept, another: Callable[[], Kept], lost: list[tuple[int, int]]
) -> None:
    await kept.append(arrivals(1100))
    await kept.sign()
    expected = (await kept.log()).files(1100)
    await kept.database["tiles"].delete_many({"_id": {"$in": [{"level": level, "index": index} for level, index in lost]}})
    assert await files(kept, 1100) == expected
    after = another()
    async with signing(after.signer()):
        await after.append(arrivals(1101))
        await after.signed(1101)
    assert await after.database["tiles"].count_documents({}) == 4
    assert await files(after, 1101) == (await after.log()).files(1101)


async def test_a_tile_is_never_written_over(kept: Kept) -> None:
    await kept.append(arrivals(600))
    tiles = (await kept.log()).edge(600)[1]
    await kept.tiles.keep(tiles)
    await kept.tiles.keep(tiles)
    forged = bytes(32)
    await kept.database["tiles"].update_one(
        {"_id": {"level": 0, "index": 1}}, [{"$set": {"hashes": Binary(tiles[1].to_bytes()[:320] + forged + tiles[1].to_bytes()[352:])}}]
    )
    with pytest.raises(Inconsistent) as refused:
        await kept.tiles.keep(tiles)
    assert (refused.value.reason, refused.value.index) == ("tile-differs", 256 + 10)


async def test_entries_that_are_not_there_give_no_tile(kept: Kept) -> None:
    await kept.append(arrivals(300))
    await kept.database["entries"].delete_one({"_id": 270})
    for place in (TilePlace(0, 1, 44), TilePlace(0, 1, 15)):
        with pytest.raises(Inconsistent) as refused:
            await kept.tiles.read([place])
        assert (refused.value.reason, refused.value.index) == ("entry-missing", 270)
