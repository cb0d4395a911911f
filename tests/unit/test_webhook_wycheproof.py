"""Project Wycheproof's vectors against our keys: all that are valid verify, all that are not are refused, and none is left out.

The vectors are those of tests/vectors/wycheproof, whose README says where they come from. None is `acceptable`.
"""

import base64
import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from shared.webhooks.signing import MalformedKey, PrivateKey, PublicKey, SharedSecret

VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "wycheproof"


class Vector(NamedTuple):
    id: int
    kind: str
    """Wycheproof's flag, one for each vector."""
    key: bytes
    message: bytes
    signature: bytes
    valid: bool


@cache
def groups(name: str) -> list[dict[str, Any]]:
    document = json.loads((VECTORS / f"{name}_test.json").read_bytes())
    found: list[dict[str, Any]] = document["testGroups"]
    assert sum(len(group["tests"]) for group in found) == document["numberOfTests"]
    return found


def read(name: str) -> Iterator[Vector]:
    """Yield each vector; only `valid` and `invalid` are known, so that an `acceptable` one would be noticed."""
    for group in groups(name):
        for test in group["tests"]:
            (kind,) = test["flags"]
            key = bytes.fromhex(test["key"] if "key" in test else group["publicKey"]["pk"])
            signature = bytes.fromhex(test["tag"] if "tag" in test else test["sig"])
            valid = {"valid": True, "invalid": False}[test["result"]]
            yield Vector(test["tcId"], kind, key, bytes.fromhex(test["msg"]), signature, valid)


def parsed(kind: type[SharedSecret], vector: Vector) -> bool:
    try:
        return kind.parse("whsec_" + base64.b64encode(vector.key).decode()).key == vector.key
    except MalformedKey:
        return False


def test_hmac_sha256() -> None:
    """All 174. Keys of 16 and 65 bytes are made without `parse`, which takes only 24 to 64 bytes.

    Half of the tags are cut to 16 bytes. Standard Webhooks cuts none, so we refuse every such tag; what is left to see is
    that ours begins with it exactly if Wycheproof calls it valid.
    """
    ran: Counter[tuple[int, bool]] = Counter()
    wrong = []
    for vector in read("hmac_sha256"):
        secret = SharedSecret(vector.key)
        whole = len(vector.signature) == 32
        begins = secret.sign(vector.message)[: len(vector.signature)] == vector.signature
        if secret.verifies(vector.message, vector.signature) is not (vector.valid and whole) or begins is not vector.valid:
            wrong.append(vector.id)
        assert parsed(SharedSecret, vector) is (len(vector.key) == 32)
        ran[len(vector.signature), vector.valid] += 1
    assert wrong == []
    assert ran == {(32, True): 33, (32, False): 54, (16, True): 33, (16, False): 54}


ED25519 = {
    "Valid": (18, "plain signatures"),
    "Ktv": (38, "known answers, of RFC 8032 among others; one with S just under the order L of the group"),
    "TinkOverflow": (32, "known answers that overflowed elsewhere"),
    "TruncatedSignature": (3, "0, 32 and 62 bytes: OpenSSL takes 64 and no other number"),
    "CompressedSignature": (4, "63 bytes: as above"),
    "SignatureWithGarbage": (5, "65, 66 and 96 bytes: as above"),
    "InvalidSignature": (20, "R and S of 0, 1, L and the like: the sum comes out as another R, or S is not under L"),
    "SignatureMalleability": (8, "S + n·L and high bits of S: OpenSSL refuses every S that is not under L"),
    "InvalidKtv": (1, "S just above L: as above"),
    "InvalidEncoding": (22, "R in other encodings, one of them of no point: OpenSSL never decodes R, it compares the 32 bytes"),
}
"""How many there are of each kind, and what they are or what `cryptography` (OpenSSL) refuses them for."""
VALID = {"Valid", "Ktv", "TinkOverflow"}


@pytest.mark.parametrize("kind", sorted(ED25519))
def test_ed25519(kind: str) -> None:
    vectors = [vector for vector in read("ed25519") if vector.kind == kind]
    assert len(vectors) == ED25519[kind][0]
    assert {vector.valid for vector in vectors} == {kind in VALID}
    wrong = []
    for vector in vectors:
        key = PublicKey.parse("whpk_" + base64.b64encode(vector.key).decode())
        if key.verifies(vector.message, vector.signature) is not vector.valid:
            wrong.append(vector.id)
    assert wrong == []


def test_no_kind_of_ed25519_vector_is_left_out() -> None:
    assert Counter(vector.kind for vector in read("ed25519")) == {kind: count for kind, (count, _) in ED25519.items()}
    assert sum(count for count, _ in ED25519.values()) == 151


SEEDS = {
    80: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    81: "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    82: "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
    83: "f5e5767cf153319517630f226876b86c8160cc583bc013744c6bf255f5cc0ee5",
}
"""The secret keys of RFC 8032, 7.1 (tests 1, 2, 3 and 1024), whose signatures are among the vectors; Wycheproof gives none."""


@pytest.mark.parametrize("vector", sorted(SEEDS))
def test_what_a_private_key_signs_is_the_known_signature(vector: int) -> None:
    known = next(each for each in read("ed25519") if each.id == vector)
    private = PrivateKey.parse("whsk_" + base64.b64encode(bytes.fromhex(SEEDS[vector])).decode())
    assert private.public == PublicKey(known.key)
    assert private.sign(known.message) == known.signature
