"""Signed notes (C2SP signed-note) with Ed25519 signatures, and co-signatures of witnesses (C2SP tlog-cosignature, version 1).

A note is its text, which ends in a line feed, a blank line, and one line per signature: an em dash, a name, and in base64
four bytes of key id and the signature. A key is printed as a vkey: `name+hex(id)+base64(kind | public key)`.
"""

import base64
import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519: Final = 0x01
"""The kind of a key that signs the text as it is."""
COSIGNATURE: Final = 0x04
"""The kind of a witness's key, which signs the text and a time."""
SIGNATURES_LIMIT: Final = 16
"""How many signatures of a note are read: as many as signed-note asks of a reader at least; one more is refused."""
NOTE_LIMIT_BYTES: Final = 65_536

_DASH: Final = "\u2014 "
_KEY_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
_TIMED_SIGNATURE_BYTES: Final = 8 + _SIGNATURE_BYTES


class NoteRefused(Exception):
    """A note or a key that does not hold; `reason` is a stable slug without any content."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with its name; `kind` is ED25519 or COSIGNATURE."""

    name: str
    kind: int
    public: bytes

    @property
    def id(self) -> bytes:
        """The key id, 4 bytes: SHA-256 of name, line feed, kind and public key, cut off."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes((self.kind,)) + self.public).digest()[:4]

    def __str__(self) -> str:
        """Return the key as a vkey."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes((self.kind,)) + self.public).decode()}"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: whose, under which key id (4 bytes), and the bytes after the id."""

    name: str
    id: bytes
    blob: bytes

    def __str__(self) -> str:
        """Return the line, with its line feed."""
        return f"{_DASH}{self.name} {base64.b64encode(self.id + self.blob).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A note that was read, and not yet verified; `text` ends in a line feed."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        """Return the note as it is written."""
        return self.text + "\n" + "".join(map(str, self.signatures))


@dataclass(frozen=True, slots=True)
class Verified:
    """A signature that holds; `at` is the Unix time in seconds that a witness signed, None for the kind ED25519."""

    key: VerifierKey
    at: int | None


def read_key(vkey: str) -> VerifierKey:
    """Read a vkey; raises NoteRefused for one that no `VerifierKey` prints as."""
    name, _, rest = vkey.partition("+")
    printed_id, _, encoded = rest.partition("+")
    blob = _decode(encoded, "key-not-base64")
    if not _is_name(name):
        raise NoteRefused("key-name")
    if len(blob) != 1 + _KEY_BYTES:
        raise NoteRefused("key-length")
    if blob[0] not in (ED25519, COSIGNATURE):
        raise NoteRefused("key-kind")
    key = VerifierKey(name, blob[0], blob[1:])
    if key.id.hex() != printed_id:
        raise NoteRefused("key-id")
    return key


def key_of(name: str, private: Ed25519PrivateKey, kind: int = ED25519) -> VerifierKey:
    """Return the public key under which others verify what `private` signs; raises NoteRefused for a name that no note may hold."""
    if not _is_name(name):
        raise NoteRefused("key-name")
    return VerifierKey(name, kind, private.public_key().public_bytes_raw())


def sign(text: str, name: str, private: Ed25519PrivateKey) -> Signature:
    """Sign a text, which must end in a line feed, with a key of kind ED25519; raises NoteRefused."""
    _check_text(text)
    return Signature(name, key_of(name, private).id, private.sign(text.encode()))


def cosign(text: str, name: str, private: Ed25519PrivateKey, at: int) -> Signature:
    """Sign a text as a witness that saw it at `at` (Unix time in seconds); raises NoteRefused."""
    _check_text(text)
    signed = private.sign(_timed(text, at))
    return Signature(name, key_of(name, private, COSIGNATURE).id, struct.pack(">Q", at) + signed)


def read_note(note: bytes) -> Note:
    """Read a signed note strictly; raises NoteRefused. No signature is verified here."""
    if len(note) > NOTE_LIMIT_BYTES:
        raise NoteRefused("note-too-large")
    try:
        whole = note.decode()
    except UnicodeDecodeError:
        raise NoteRefused("note-not-utf-8") from None
    if any(character < " " and character != "\n" for character in whole):
        raise NoteRefused("note-control-character")
    before, blank, lines = whole.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise NoteRefused("note-without-signatures")
    found = lines.removesuffix("\n").split("\n")
    if len(found) > SIGNATURES_LIMIT:
        raise NoteRefused("too-many-signatures")
    return Note(before + "\n", tuple(map(_read_signature, found)))


def verify_note(note: Note, keys: Iterable[VerifierKey]) -> tuple[Verified, ...]:
    """Verify the signatures of known keys, in the order of the keys; raises NoteRefused if one of them does not hold.

    Signatures of unknown keys are passed over; who calls must look for the keys that have to be among what is returned.
    """
    held = []
    for key in keys:
        own = [signature for signature in note.signatures if signature.name == key.name and signature.id == key.id]
        if len(own) > 1:
            raise NoteRefused("signature-repeated")
        if own:
            held.append(_verify(note.text, own[0], key))
    return tuple(held)


def _verify(text: str, signature: Signature, key: VerifierKey) -> Verified:
    at, signed, message = None, signature.blob, text.encode()
    if len(signature.blob) != (_SIGNATURE_BYTES if key.kind == ED25519 else _TIMED_SIGNATURE_BYTES):
        raise NoteRefused("signature-length")
    if key.kind == COSIGNATURE:
        at, signed = int.from_bytes(signature.blob[:8]), signature.blob[8:]
        message = _timed(text, at)
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signed, message)
    except InvalidSignature:
        raise NoteRefused("signature-does-not-hold") from None
    return Verified(key, at)


def _timed(text: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def _read_signature(line: str) -> Signature:
    dash, name, encoded = line[: len(_DASH)], *line[len(_DASH) :].partition(" ")[::2]
    if dash != _DASH or not _is_name(name):
        raise NoteRefused("signature-line")
    blob = _decode(encoded, "signature-not-base64")
    if len(blob) < 5:
        raise NoteRefused("signature-length")
    return Signature(name, blob[:4], blob[4:])


def _decode(encoded: str, reason: str) -> bytes:
    try:
        blob = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise NoteRefused(reason) from None
    if base64.b64encode(blob).decode() != encoded:
        raise NoteRefused(reason)
    return blob


def _is_name(name: str) -> bool:
    return name != "" and "+" not in name and not any(character.isspace() for character in name) and name.isprintable()


def _check_text(text: str) -> None:
    if not text.endswith("\n") or any(character < " " and character != "\n" for character in text):
        raise NoteRefused("text")
