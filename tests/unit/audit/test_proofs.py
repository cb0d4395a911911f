"""Proofs against RFC 9162 itself: its recursive definitions, written out here, for every size; and every flipped bit is refused."""

import hashlib
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.domain.proofs import ProofRefused, plan_consistency, plan_inclusion, verify_consistency, verify_inclusion
from services.audit.domain.tiles import Edge, Tile, TilePlace
from services.audit.domain.tree import EMPTY_ROOT, Tree

LARGE = 66_000
"""Three levels of tiles."""
LEAVES = [hashlib.sha256(b"leaf %d" % number).digest() for number in range(LARGE)]


def split(count: int) -> int:
    """The largest power of two smaller than n."""
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def root(leaves: list[bytes]) -> bytes:
    """RFC 9162 2.1.1, over leaf hashes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    middle = split(len(leaves))
    return hashlib.sha256(b"\x01" + root(leaves[:middle]) + root(leaves[middle:])).digest()


def path(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 9162 2.1.3.1: PATH."""
    if len(leaves) == 1:
        return []
    middle = split(len(leaves))
    if index < middle:
        return [*path(index, leaves[:middle]), root(leaves[middle:])]
    return [*path(index - middle, leaves[middle:]), root(leaves[:middle])]


def subproof(old: int, leaves: list[bytes], known: bool) -> list[bytes]:
    """RFC 9162 2.1.4.1: SUBPROOF."""
    if old == len(leaves):
        return [] if known else [root(leaves)]
    middle = split(len(leaves))
    if old <= middle:
        return [*subproof(old, leaves[:middle], known), root(leaves[middle:])]
    return [*subproof(old - middle, leaves[middle:], False), root(leaves[:middle])]


def tiles(size: int) -> dict[TilePlace, Tile]:
    edge, full = Edge().extend(LEAVES[:size])
    return {tile.place: tile for tile in (*full, *edge.partial)}


@given(st.integers(1, 700), st.data())
def test_proofs_are_those_of_the_definition(size: int, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, size - 1))
    kept, leaves = tiles(size), LEAVES[:size]
    assert list(plan_inclusion(number, size).prove(kept)) == path(number, leaves)
    assert list(plan_consistency(number + 1, size).prove(kept)) == subproof(number + 1, leaves, True)


def test_proofs_of_every_small_size_hold_and_stand_only_on_the_tiles_they_name() -> None:
    for size in range(1, 40):
        kept = tiles(size)
        for number in range(size):
            inclusion, consistency = plan_inclusion(number, size), plan_consistency(number + 1, size)
            proof = inclusion.prove({place: kept[place] for place in inclusion.tiles})
            verify_inclusion(LEAVES[number], number, size, proof, root(LEAVES[:size]))
            proof = consistency.prove({place: kept[place] for place in consistency.tiles})
            verify_consistency(number + 1, size, proof, root(LEAVES[: number + 1]), root(LEAVES[:size]))


@pytest.fixture(scope="module")
def large() -> dict[TilePlace, Tile]:
    return tiles(LARGE)


@pytest.fixture(scope="module")
def grown() -> list[Tree]:
    """The trees of every 1000 leaves, so that one of any size is soon there."""
    return [*accumulate(range(0, LARGE, 1000), lambda tree, begin: tree.extend(LEAVES[begin : begin + 1000]), initial=Tree())]


@given(st.integers(0, LARGE - 1))
def test_proofs_across_levels_of_tiles(large: dict[TilePlace, Tile], grown: list[Tree], number: int) -> None:
    top = grown[-1].root
    verify_inclusion(LEAVES[number], number, LARGE, plan_inclusion(number, LARGE).prove(large), top)
    old = grown[number // 1000].extend(LEAVES[number // 1000 * 1000 : number + 1]).root
    verify_consistency(number + 1, LARGE, plan_consistency(number + 1, LARGE).prove(large), old, top)


def altered(hashes: list[bytes], bit: int, data: st.DataObject) -> list[bytes]:
    """The hashes with one bit of one of them flipped."""
    place = data.draw(st.integers(0, len(hashes) - 1))
    return [(int.from_bytes(one) ^ 1 << bit).to_bytes(32) if at == place else one for at, one in enumerate(hashes)]


@given(st.integers(1, 600), st.data())
def test_any_flipped_bit_and_any_other_number_is_refused(size: int, data: st.DataObject) -> None:
    number, bit = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, 255))
    top, old = root(LEAVES[:size]), root(LEAVES[: number + 1])
    inclusion = list(plan_inclusion(number, size).prove(tiles(size)))
    consistency = list(plan_consistency(number + 1, size).prove(tiles(size)))
    changed = altered([LEAVES[number], top, *inclusion], bit, data)
    with pytest.raises(ProofRefused, match="does-not-match"):
        verify_inclusion(changed[0], number, size, changed[2:], changed[1])
    changed = altered([old, top, *consistency], bit, data)
    with pytest.raises(ProofRefused, match="does-not-match"):
        verify_consistency(number + 1, size, changed[2:], changed[0], changed[1])
    another = data.draw(st.integers(0, size + 3).filter(lambda one: one != number))
    with pytest.raises(ProofRefused):
        verify_inclusion(LEAVES[number], another, size, inclusion, top)
    with pytest.raises(ProofRefused):
        verify_consistency(another + 1, size, consistency, old, top)


@given(st.integers(2, 600), st.data())
def test_a_proof_one_hash_too_long_or_too_short_is_refused_as_such(size: int, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, size - 1))
    top, old = root(LEAVES[:size]), root(LEAVES[: number + 1])
    inclusion = plan_inclusion(number, size).prove(tiles(size))
    consistency = plan_consistency(number + 1, size).prove(tiles(size))
    with pytest.raises(ProofRefused, match="proof-too-long"):
        verify_inclusion(LEAVES[number], number, size, (*inclusion, top), top)
    with pytest.raises(ProofRefused, match="proof-too-short"):
        verify_inclusion(LEAVES[number], number, size, inclusion[:-1], top)
    with pytest.raises(ProofRefused, match="proof-too-long"):
        verify_consistency(number + 1, size, (*consistency, top), old, top)
    if consistency:
        with pytest.raises(ProofRefused, match="proof-too-short"):
            verify_consistency(number + 1, size, consistency[:-1], old, top)


def test_what_no_proof_can_show_is_refused() -> None:
    for index, size in ((0, 0), (1, 1), (-1, 3)):
        with pytest.raises(ProofRefused, match="index-not-below-size"):
            plan_inclusion(index, size)
        with pytest.raises(ProofRefused, match="index-not-below-size"):
            verify_inclusion(LEAVES[0], index, size, (), LEAVES[0])
    for old, new, reason in (
        (0, 0, "old-size-zero"),
        (0, 5, "old-size-zero"),
        (6, 5, "old-larger-than-new"),
        (-1, 5, "old-larger-than-new"),
    ):
        with pytest.raises(ProofRefused, match=reason):
            plan_consistency(old, new)
        with pytest.raises(ProofRefused, match=reason):
            verify_consistency(old, new, (), EMPTY_ROOT, EMPTY_ROOT)
    with pytest.raises(ProofRefused, match="hash-length"):
        verify_inclusion(LEAVES[0], 0, 2, (LEAVES[1][:-1],), LEAVES[0])
    with pytest.raises(ProofRefused, match="tile-missing"):
        plan_inclusion(0, 2).prove({})
    with pytest.raises(ProofRefused, match="tile-missing"):
        plan_inclusion(0, 2).prove({TilePlace(0, 0, 2): Tile(TilePlace(0, 0, 1), (LEAVES[0],))})
