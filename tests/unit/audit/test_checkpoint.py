"""Checkpoints: what C2SP tlog-checkpoint says of their lines, and each way in which one can be wrong."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from services.audit.domain.checkpoint import Checkpoint, open_checkpoint, read_checkpoint
from services.audit.domain.note import COSIGNATURE, Note, NoteRefused, cosign, key_of, sign
from services.audit.domain.tree import EMPTY_ROOT

PRIVATE = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"the log of these tests").digest())
OTHER = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"another key of these tests").digest())
ORIGIN = "log.example/ledger"
ROOT = hashlib.sha256(b"root").digest()
ROOT_TEXT = base64.b64encode(ROOT).decode()
LOG = key_of(ORIGIN, PRIVATE)


def test_the_text_is_origin_size_and_root() -> None:
    assert Checkpoint(ORIGIN, 20852163, ROOT).text == f"{ORIGIN}\n20852163\n{ROOT_TEXT}\n"


@given(st.integers(1, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_what_is_signed_is_opened(size: int, root: bytes) -> None:
    checkpoint = Checkpoint(ORIGIN, size, root)
    opened = open_checkpoint(str(checkpoint.signed(PRIVATE)).encode(), LOG)
    assert opened.checkpoint == checkpoint
    assert opened.cosigned == ()


def test_known_witnesses_are_told_of() -> None:
    checkpoint = Checkpoint(ORIGIN, 0, EMPTY_ROOT)
    signed = checkpoint.signed(PRIVATE)
    note = Note(signed.text, (*signed.signatures, cosign(signed.text, "w1", OTHER, 5), cosign(signed.text, "w2", OTHER, 6)))
    known = key_of("w2", OTHER, COSIGNATURE)
    opened = open_checkpoint(str(note).encode(), LOG, [known, key_of("w3", OTHER, COSIGNATURE)])
    assert [(verified.key, verified.at) for verified in opened.cosigned] == [(known, 6)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "checkpoint-lines"),
        (f"{ORIGIN}\n5\n{ROOT_TEXT}", "checkpoint-lines"),
        (f"{ORIGIN}\n5\n", "checkpoint-lines"),
        (f"\n5\n{ROOT_TEXT}\n", "checkpoint-blank-line"),
        (f"{ORIGIN}\n5\n{ROOT_TEXT}\n\n", "checkpoint-blank-line"),
        (f"{ORIGIN}\n5\n{ROOT_TEXT}\nmore\n", "checkpoint-extension-line"),
        (f"{ORIGIN}\n05\n{ROOT_TEXT}\n", "checkpoint-size"),
        (f"{ORIGIN}\n\n{ROOT_TEXT}\n", "checkpoint-size"),
        (f"{ORIGIN}\n-5\n{ROOT_TEXT}\n", "checkpoint-size"),
        (f"{ORIGIN}\n+5\n{ROOT_TEXT}\n", "checkpoint-size"),
        (f"{ORIGIN}\n 5\n{ROOT_TEXT}\n", "checkpoint-size"),
        (f"{ORIGIN}\n5_0\n{ROOT_TEXT}\n", "checkpoint-size"),
        (f"{ORIGIN}\n\u0665\n{ROOT_TEXT}\n", "checkpoint-size"),
        (f"{ORIGIN}\n{2**63}\n{ROOT_TEXT}\n", "checkpoint-size"),
        (f"{ORIGIN}\n0\n{ROOT_TEXT}\n", "checkpoint-root-of-size-0"),
        (f"{ORIGIN}\n5\n{ROOT_TEXT[:-4]}\n", "checkpoint-root"),
        (f"{ORIGIN}\n5\n{ROOT_TEXT[:-1]}\n", "checkpoint-root"),
        (f"{ORIGIN}\n5\n{ROOT_TEXT} \n", "checkpoint-root"),
        (f"{ORIGIN}\n5\n{ROOT.hex()}\n", "checkpoint-root"),
        (f"{ORIGIN}\n5\n\u00e9\n", "checkpoint-root"),
    ],
)
def test_a_wrong_text_is_refused_with_its_reason_although_it_is_signed(text: str, reason: str) -> None:
    with pytest.raises(NoteRefused, match=f"^{reason}$"):
        read_checkpoint(text)
    if text.endswith("\n"):
        note = str(Note(text, (sign(text, ORIGIN, PRIVATE),))).encode()
        with pytest.raises(NoteRefused, match=f"^{reason}$"):
            open_checkpoint(note, LOG)


def test_a_root_in_another_spelling_is_refused() -> None:
    """The last character of the base64 of 32 bytes carries two bits that must be 0."""
    assert base64.b64decode(ROOT_TEXT[:-2] + chr(ord(ROOT_TEXT[-2]) + 1) + "=") == ROOT
    with pytest.raises(NoteRefused, match=r"^checkpoint-root$"):
        read_checkpoint(f"{ORIGIN}\n5\n{ROOT_TEXT[:-2]}{chr(ord(ROOT_TEXT[-2]) + 1)}=\n")


def test_who_signed_it_must_be_the_log() -> None:
    checkpoint = Checkpoint(ORIGIN, 5, ROOT)
    for note in (
        checkpoint.signed(OTHER),
        Note(checkpoint.text, (sign(checkpoint.text, "elsewhere", PRIVATE),)),
        Note(checkpoint.text, (cosign(checkpoint.text, ORIGIN, PRIVATE, 7),)),
    ):
        with pytest.raises(NoteRefused, match=r"^not-signed-by-the-log$"):
            open_checkpoint(str(note).encode(), LOG, [key_of(ORIGIN, PRIVATE, COSIGNATURE)])
    elsewhere = Checkpoint("elsewhere", 5, ROOT).text
    with pytest.raises(NoteRefused, match=r"^another-origin$"):
        open_checkpoint(str(Note(elsewhere, (sign(elsewhere, ORIGIN, PRIVATE),))).encode(), LOG)
