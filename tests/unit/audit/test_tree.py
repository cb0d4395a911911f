"""The ledger's tree against RFC 9162 itself: its recursive definition, written out here, and published constants."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from services.audit.domain.tree import EMPTY_ROOT, Tree, leaf_hash, node_hash


def root_by_definition(entries: list[bytes]) -> bytes:
    """RFC 9162 2.1.1: split at the largest power of two smaller than n."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    split = 1
    while split * 2 < len(entries):
        split *= 2
    return hashlib.sha256(b"\x01" + root_by_definition(entries[:split]) + root_by_definition(entries[split:])).digest()


def test_published_constants() -> None:
    """transparency-dev/merkle, rfc6962_test.go."""
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert leaf_hash(b"L123456").hex() == "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    assert node_hash(b"N123", b"N456").hex() == "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"


@given(st.lists(st.binary(max_size=8), max_size=70), st.integers(0, 70))
def test_root_is_that_of_the_definition_however_it_grew(entries: list[bytes], cut: int) -> None:
    leaves = [leaf_hash(entry) for entry in entries]
    tree = Tree().extend(leaves[:cut]).extend(leaves[cut:])
    assert tree.size == len(entries)
    assert tree.root == root_by_definition(entries)
    assert len(tree.frontier) == bin(tree.size).count("1")


@given(st.lists(st.binary(max_size=4), min_size=2, max_size=40, unique=True), st.data())
def test_any_change_of_any_entry_changes_the_root(entries: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(entries) - 1))
    altered = [*entries[:index], entries[index] + b"!", *entries[index + 1 :]]
    swapped = [entries[1], entries[0], *entries[2:]]
    roots = {Tree().extend([leaf_hash(one) for one in some]).root for some in (entries, altered, swapped, entries[:-1])}
    assert len(roots) == 4
