"""The verifier's own Ed25519 and notes: against Project Wycheproof, against OpenSSL, and against the ledger's own reading of notes."""

import base64
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from services.audit import kap_verify
from services.audit.domain.checkpoint import Checkpoint, open_checkpoint
from services.audit.domain.note import COSIGNATURE, Note, NoteRefused, VerifierKey, cosign, key_of, sign
from services.audit.domain.tree import EMPTY_ROOT

WYCHEPROOF = Path(__file__).resolve().parents[2] / "vectors" / "wycheproof" / "ed25519_test.json"
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
ORIGIN = "log.example/ledger"
PRIVATE = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"the log of these tests").digest())
WITNESS = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"the witness of these tests").digest())
LOG = key_of(ORIGIN, PRIVATE)
CHECKPOINT = Checkpoint(ORIGIN, 7, hashlib.sha256(b"root").digest())


def test_wycheproof() -> None:
    """All 151; none is `acceptable`."""
    document = json.loads(WYCHEPROOF.read_bytes())
    ran, wrong = 0, []
    for group in document["testGroups"]:
        public = bytes.fromhex(group["publicKey"]["pk"])
        for test in group["tests"]:
            ran += 1
            holds = kap_verify.ed25519_verifies(public, bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"]))
            if holds is not {"valid": True, "invalid": False}[test["result"]]:
                wrong.append(test["tcId"])
    assert (ran, wrong) == (151, [])


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=99), st.integers(0, 64 * 8 - 1))
def test_what_openssl_signs_verifies_and_with_any_flipped_bit_does_not(seed: bytes, message: bytes, bit: int) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert kap_verify.ed25519_verifies(public, message, signature)
    assert not kap_verify.ed25519_verifies(public, message + b"\0", signature)
    assert not kap_verify.ed25519_verifies(public, message, (int.from_bytes(signature) ^ 1 << bit).to_bytes(64))
    s = int.from_bytes(signature[32:], "little")
    assert not kap_verify.ed25519_verifies(public, message, signature[:32] + (s + L).to_bytes(32, "little"))
    assert not kap_verify.ed25519_verifies(public, message, signature[:-1])


ORDER_EIGHT = (
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
)
"""The two y of points of order 8, of the list of small-order points in "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko)."""


@pytest.mark.parametrize("sign", [0, 1 << 255])
def test_keys_of_small_order_and_other_encodings_are_refused(sign: int) -> None:
    """y is 0 (order 4), 1 (1), -1 (2), of order 8, or p and p + 1, which stand for 0 and 1 again."""
    for y in (0, 1, P - 1, P, P + 1, *(int.from_bytes(bytes.fromhex(one), "little") for one in ORDER_EIGHT)):
        public = (y | sign).to_bytes(32, "little")
        assert kap_verify.key_point(public) is None
        assert not kap_verify.ed25519_verifies(public, b"any message", bytes(64))
        with pytest.raises(kap_verify.Refused, match="small order"):
            kap_verify.read_key(str(VerifierKey(ORIGIN, 1, public)), 1)


def test_no_point_has_two_encodings() -> None:
    """RFC 8032 5.1.3: y is below p, so p + k stands for no point although k may; and -0 is no x."""
    canonical = [k for k in range(2, 19) if kap_verify.key_point(k.to_bytes(32, "little")) is not None]
    assert len(canonical) > 5
    for k in range(19):
        assert kap_verify.key_point((P + k).to_bytes(32, "little")) is None
        assert kap_verify.key_point((P + k | 1 << 255).to_bytes(32, "little")) is None
    for y in (1, P - 1):
        assert kap_verify._decode(y.to_bytes(32, "little")) is not None
        assert kap_verify._decode((y | 1 << 255).to_bytes(32, "little")) is None


def test_the_base_point_is_that_of_rfc_8032() -> None:
    assert kap_verify.BASE[:2] == (
        15112221349535400772501151409588531511454012693041857206046113283949847762202,
        46316835694926478169428394003475163141307993866256225615783033603165251855960,
    )


def reason(vkey: str, kind: int = 1) -> str:
    with pytest.raises(kap_verify.Refused) as refused:
        kap_verify.read_key(vkey, kind)
    assert refused.value.code == 2
    return refused.value.reason


def test_keys() -> None:
    """The example is that of C2SP signed-note."""
    example = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
    assert kap_verify.read_key(example, 1).id.hex() == "530d903a"
    assert reason(example, 4) == "key-kind"
    assert reason(example.replace("530d", "530e")) == "key-id"
    assert reason(example.replace("foo", "bar")) == "key-id"
    for malformed in (
        "",
        "+",
        "a+b",
        example[:-4],
        example + "=",
        example.replace("foo", "f o"),
        example.replace("Aek", "A\u00e9k"),
        "\udc80+1+1",
    ):
        assert reason(malformed) == "key-malformed"


def opened(note: bytes, *witnesses: str, required: int = 0) -> tuple[str, int, bytes]:
    found = kap_verify.open_checkpoint(note, kap_verify.read_key(str(LOG), 1), [kap_verify.read_key(one, 4) for one in witnesses], required)
    return found.origin, found.size, found.root


def refusal(note: bytes, *witnesses: str, required: int = 0) -> str:
    with pytest.raises(kap_verify.Refused) as refused:
        opened(note, *witnesses, required=required)
    return refused.value.reason


@given(st.data())
def test_it_reads_a_note_exactly_as_the_ledger_does(data: st.DataObject) -> None:
    """Intact, and with a bit flipped, a byte put in or taken out anywhere."""
    note = str(CHECKPOINT.signed(PRIVATE)).encode()
    at, other = data.draw(st.integers(0, len(note) - 1)), bytes([data.draw(st.integers(0, 255))])
    changed = data.draw(
        st.sampled_from([note, note[:at] + other + note[at + 1 :], note[:at] + other + note[at:], note[:at] + note[at + 1 :]])
    )
    try:
        found = open_checkpoint(changed, LOG).checkpoint
    except NoteRefused:
        assert refusal(changed)
    else:
        assert opened(changed) == (found.origin, found.size, found.root)


def signed(text: str) -> bytes:
    return str(Note(text, (sign(text, ORIGIN, PRIVATE),))).encode()


ROOT = base64.b64encode(CHECKPOINT.root).decode()


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        (signed(f"{ORIGIN}\n07\n{ROOT}\n"), "checkpoint-malformed"),
        (signed(f"{ORIGIN}\n+7\n{ROOT}\n"), "checkpoint-malformed"),
        (signed(f"{ORIGIN}\n{10**18}\n{ROOT}\n"), "checkpoint-malformed"),
        (signed(f"{ORIGIN}\n7\n{ROOT}\n\n"), "checkpoint-malformed"),
        (signed(f"{ORIGIN}\n\n7\n{ROOT}\n"), "checkpoint-malformed"),
        (signed(f"{ORIGIN}\n7\n{ROOT}\nmore\n"), "checkpoint-malformed"),
        (signed(f"{ORIGIN}\n7\n{ROOT[:-2]}\n"), "checkpoint-malformed"),
        (signed(f"elsewhere\n7\n{ROOT}\n"), "another-origin"),
        (signed(f"{ORIGIN}\n0\n{base64.b64encode(EMPTY_ROOT).decode()}\n"), "size-zero"),
        (str(CHECKPOINT.signed(PRIVATE)).replace("\n", "\r\n").encode(), "note-malformed"),
        (str(CHECKPOINT.signed(PRIVATE)).replace("\n\n", "\n\n\n").encode(), "signature-does-not-hold"),
        (str(CHECKPOINT.signed(PRIVATE)).encode() + b"\n", "note-malformed"),
        (str(CHECKPOINT.signed(WITNESS)).encode(), "wrong-key"),
        (CHECKPOINT.text.encode() + b"\n", "note-malformed"),
        (CHECKPOINT.text.encode() + b"\n" + "\u2014 x y\n".encode(), "signature-malformed"),
        (str(CHECKPOINT.signed(PRIVATE)).encode() + str(CHECKPOINT.signed(PRIVATE).signatures[0]).encode(), "signature-does-not-hold"),
        (str(CHECKPOINT.signed(PRIVATE)).encode() + 16 * str(CHECKPOINT.signed(WITNESS).signatures[0]).encode(), "too-many-signatures"),
        (b"\xff" + str(CHECKPOINT.signed(PRIVATE)).encode(), "note-malformed"),
        (b"", "note-malformed"),
        (b"x" * 70_000, "note-malformed"),
    ],
)
def test_a_wrong_checkpoint_is_refused_with_its_reason(note: bytes, expected: str) -> None:
    assert refusal(note) == expected


def test_witnesses() -> None:
    own = CHECKPOINT.signed(PRIVATE)
    cosigned = Note(own.text, (*own.signatures, cosign(own.text, "w1", WITNESS, 1_772_000_000)))
    one, other = str(key_of("w1", WITNESS, COSIGNATURE)), str(key_of("w2", PRIVATE, COSIGNATURE))
    assert opened(str(cosigned).encode(), one, other, required=1)
    assert refusal(str(cosigned).encode(), one, other, required=2) == "witnesses-missing"
    assert refusal(str(own).encode(), one, required=1) == "witnesses-missing"
    seen = cosigned.signatures[1]
    later = replace(seen, blob=(int.from_bytes(seen.blob[:8]) + 1).to_bytes(8) + seen.blob[8:])
    assert refusal(str(Note(own.text, (*own.signatures, later))).encode(), one) == "signature-does-not-hold"
    another_text = str(cosigned).replace(str(cosigned.signatures[1]), str(cosign(own.text + "x\n", "w1", WITNESS, 1)))
    assert refusal(another_text.encode(), one) == "signature-does-not-hold"
    assert opened(another_text.encode())
