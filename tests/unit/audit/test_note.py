"""Signed notes: the example of C2SP signed-note and golang.org/x/mod/sumdb/note, and each way in which a note can be wrong."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from services.audit.domain.note import (
    COSIGNATURE,
    ED25519,
    SIGNATURES_LIMIT,
    NoteRefused,
    Signature,
    Verified,
    VerifierKey,
    cosign,
    key_of,
    read_key,
    read_note,
    sign,
    verify_note,
)

EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_TEXT = "This is an example message.\n"
"""The text of the example; the same in signed-note.md."""
PRIVATE = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"the log of these tests").digest())
WITNESS = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"the witness of these tests").digest())
NAME = "log.example/ledger"
TEXT = "first line\n\nsecond line\n"
LINE = str(sign(TEXT, NAME, PRIVATE))


def test_the_key_of_the_example() -> None:
    key = read_key(EXAMPLE_KEY)
    assert (key.name, key.kind, key.id.hex()) == ("example.com/foo", ED25519, "530d903a")
    assert str(key) == EXAMPLE_KEY


def test_a_key_id_is_that_of_the_definition() -> None:
    for kind in (ED25519, COSIGNATURE):
        key = key_of(NAME, PRIVATE, kind)
        public = PRIVATE.public_key().public_bytes_raw()
        assert key.id == hashlib.sha256(NAME.encode() + b"\n" + bytes([kind]) + public).digest()[:4]
        assert read_key(str(key)) == key


def test_what_is_signed_verifies_and_a_witness_says_when() -> None:
    log, witness = key_of(NAME, PRIVATE), key_of("witness.example", WITNESS, COSIGNATURE)
    seen = cosign(TEXT, "witness.example", WITNESS, 1_700_000_000)
    WITNESS.public_key().verify(seen.blob[8:], b"cosignature/v1\ntime 1700000000\n" + TEXT.encode())
    note = read_note(f"{TEXT}\n{LINE}{seen}".encode())
    assert str(note) == f"{TEXT}\n{LINE}{seen}"
    assert note.text == TEXT
    assert verify_note(note, [log, witness]) == (Verified(log, None), Verified(witness, 1_700_000_000))
    assert verify_note(note, [key_of(NAME, WITNESS)]) == ()


@given(st.data())
def test_any_flipped_bit_of_a_note_is_refused_or_hides_the_signature(data: st.DataObject) -> None:
    whole = f"{TEXT}\n{LINE}".encode()
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    changed = bytes(byte ^ (1 << bit % 8 if at == bit // 8 else 0) for at, byte in enumerate(whole))
    try:
        held = verify_note(read_note(changed), [key_of(NAME, PRIVATE)])
    except NoteRefused:
        held = ()
    assert held == ()


BLOB = base64.b64decode(LINE.split(" ")[-1])


def with_lines(lines: str, text: str = TEXT) -> bytes:
    return f"{text}\n{lines}".encode()


def encoded(blob: bytes) -> str:
    return f"\u2014 {NAME} {base64.b64encode(blob).decode()}\n"


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        (b"", "note-without-signatures"),
        (TEXT.encode(), "signature-line"),
        (b"text\n" + LINE.encode(), "note-without-signatures"),
        (with_lines(""), "note-without-signatures"),
        (with_lines(LINE + "\n"), "note-without-signatures"),
        (with_lines(LINE.removesuffix("\n")), "note-without-signatures"),
        (with_lines(LINE).replace(b"\n", b"\r\n"), "note-control-character"),
        (with_lines(LINE).replace(b"first", b"fir\tst"), "note-control-character"),
        (with_lines(LINE).replace(b"first", b"fir\xffst"), "note-not-utf-8"),
        (with_lines(LINE + "\n" + LINE), "signature-does-not-hold"),
        (with_lines(LINE.replace("\u2014", "-")), "signature-line"),
        (with_lines(LINE.replace("\u2014 ", "\u2014")), "signature-line"),
        (with_lines(LINE.replace(NAME, "")), "signature-line"),
        (with_lines(LINE.replace(NAME, NAME + "+x")), "signature-line"),
        (with_lines(LINE.replace(NAME, NAME + " ")), "signature-not-base64"),
        (with_lines(LINE.replace("\n", " \n")), "signature-not-base64"),
        (with_lines(LINE.replace("\n", "=\n")), "signature-not-base64"),
        (with_lines(LINE.replace("\n", "%\n")), "signature-not-base64"),
        (with_lines(f"\u2014 {NAME} AAAAAAB=\n"), "signature-not-base64"),
        (with_lines(f"\u2014 {NAME} \u00e9\n"), "signature-not-base64"),
        (with_lines(f"\u2014 {NAME}\n"), "signature-length"),
        (with_lines(encoded(BLOB[:4])), "signature-length"),
        (with_lines(encoded(BLOB[:-1])), "signature-length"),
        (with_lines(encoded(BLOB + b"\0")), "signature-length"),
        (with_lines(encoded(BLOB[:-1] + bytes([BLOB[-1] ^ 1]))), "signature-does-not-hold"),
        (with_lines(LINE, TEXT.replace("first", "First")), "signature-does-not-hold"),
        (with_lines(LINE + LINE), "signature-repeated"),
        (with_lines(LINE * (SIGNATURES_LIMIT + 1)), "too-many-signatures"),
        (with_lines(LINE, "x" * 70_000 + "\n"), "note-too-large"),
    ],
)
def test_a_wrong_note_is_refused_with_its_reason(note: bytes, reason: str) -> None:
    with pytest.raises(NoteRefused, match=rf"^{reason}$"):
        verify_note(read_note(note), [key_of(NAME, PRIVATE)])


def test_a_key_id_that_is_not_ours_hides_the_signature() -> None:
    assert verify_note(read_note(with_lines(encoded(bytes([BLOB[0] ^ 1]) + BLOB[1:]))), [key_of(NAME, PRIVATE)]) == ()


def test_sixteen_signatures_are_read_and_unknown_ones_passed_over() -> None:
    others = "".join(str(sign(TEXT, f"other-{number}", WITNESS)) for number in range(SIGNATURES_LIMIT - 1))
    short = str(Signature("other", b"\1\2\3\4", b"x"))
    assert verify_note(read_note(with_lines(others + LINE)), [key_of(NAME, PRIVATE)]) == (Verified(key_of(NAME, PRIVATE), None),)
    assert verify_note(read_note(with_lines(short + LINE)), [key_of(NAME, PRIVATE)]) == (Verified(key_of(NAME, PRIVATE), None),)
    assert verify_note(read_note(with_lines(others)), [key_of(NAME, PRIVATE)]) == ()


@pytest.mark.parametrize(
    ("vkey", "reason"),
    [
        ("", "key-name"),
        (EXAMPLE_KEY.replace("example", "exa mple"), "key-name"),
        (EXAMPLE_KEY.replace("530d903a", "530d903b"), "key-id"),
        (EXAMPLE_KEY.replace("530d903a", "530D903A"), "key-id"),
        (EXAMPLE_KEY.replace("foo", "bar"), "key-id"),
        (EXAMPLE_KEY + "=", "key-not-base64"),
        (EXAMPLE_KEY + "\n", "key-not-base64"),
        (EXAMPLE_KEY.replace("+Aek", "+Bek"), "key-kind"),
        (EXAMPLE_KEY[:-4], "key-length"),
        (EXAMPLE_KEY + "AAAA", "key-length"),
    ],
)
def test_a_wrong_key_is_refused_with_its_reason(vkey: str, reason: str) -> None:
    with pytest.raises(NoteRefused, match=f"^{reason}$"):
        read_key(vkey)


def test_nothing_is_signed_that_would_not_be_read() -> None:
    for text in ("no end of line", "carriage return\r\n", ""):
        with pytest.raises(NoteRefused, match="text"):
            sign(text, NAME, PRIVATE)
        with pytest.raises(NoteRefused, match="text"):
            cosign(text, NAME, PRIVATE, 1)
    for name in ("", "a+b", "a b", "a\u2003b", "a\nb"):
        with pytest.raises(NoteRefused, match="key-name"):
            sign(TEXT, name, PRIVATE)
    assert VerifierKey(NAME, ED25519, PRIVATE.public_key().public_bytes_raw()) == key_of(NAME, PRIVATE)
