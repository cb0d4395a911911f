"""The vectors of transparency-dev/merkle: what that library takes is taken, what it refuses is refused, and none is left out.

The vectors are those of tests/vectors/merkle, whose README says where they come from.
"""

import base64
import json
from pathlib import Path
from typing import Any

from services.audit.domain.proofs import ProofRefused, verify_consistency, verify_inclusion

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "merkle"


def read(name: str) -> list[dict[str, Any]]:
    vectors: list[dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_bytes())
    return vectors


def decoded(vector: dict[str, Any], *names: str) -> list[bytes]:
    return [base64.b64decode(vector[name]) for name in names]


def proof(vector: dict[str, Any]) -> list[bytes]:
    return [base64.b64decode(one) for one in vector["proof"]]


def included(vector: dict[str, Any]) -> str:
    leaf, root = decoded(vector, "leaf", "root")
    try:
        verify_inclusion(leaf, vector["index"], vector["size"], proof(vector), root)
    except ProofRefused as refused:
        return refused.reason
    return "holds"


def consistent(vector: dict[str, Any]) -> str:
    first, second = decoded(vector, "root1", "root2")
    try:
        verify_consistency(vector["size1"], vector["size2"], proof(vector), first, second)
    except ProofRefused as refused:
        return refused.reason
    return "holds"


def test_inclusion() -> None:
    vectors = read("inclusion")
    assert (len(vectors), sum(vector["valid"] for vector in vectors)) == (98, 6)
    assert [vector for vector in vectors if (included(vector) == "holds") is not vector["valid"]] == []


def test_consistency() -> None:
    """Three that version 0.0.2 takes are refused, for their "roots" are words; later versions refuse size 0 too, as meaningless."""
    vectors = read("consistency")
    assert (len(vectors), sum(vector["valid"] for vector in vectors)) == (97, 8)
    differing = [vector for vector in vectors if (consistent(vector) == "holds") is not vector["valid"]]
    assert [(vector["size1"], vector["size2"], vector["valid"], consistent(vector)) for vector in differing] == [
        (0, 0, True, "old-size-zero"),
        (0, 1, True, "old-size-zero"),
        (1, 1, True, "hash-length"),
    ]
    words = base64.b64encode(b"don't care 1").decode(), base64.b64encode(b"don't care 2").decode()
    assert all({vector["root1"], vector["root2"]} <= {*words} for vector in differing)


def test_what_is_one_hash_too_long_or_too_short_is_refused_as_such() -> None:
    reasons = {(vector["desc"], included(vector)) for vector in read("inclusion")}
    reasons |= {(vector["desc"], consistent(vector)) for vector in read("consistency")}
    assert {reason for what, reason in reasons if what in {"trailing root", "trailing root1", "preceding root", "preceding root2"}} == {
        "proof-too-long"
    }
    assert {reason for what, reason in reasons if what in {"removed component", "truncated proof", "empty proof"}} == {"proof-too-short"}
    assert {reason for what, reason in reasons if what.startswith("modified proof")} == {"root-does-not-match", "old-root-does-not-match"}
