"""Checkpoints (C2SP tlog-checkpoint): what a log signs, namely its origin, its size and its root, one line each."""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit.domain.note import Note, NoteRefused, Verified, VerifierKey, read_note, sign, verify_note
from services.audit.domain.tree import EMPTY_ROOT

SIZE_LIMIT: Final = 2**63
"""Sizes stay below: more than that is no size that readers of the format must take."""

_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree of `size` entries with this root (32 bytes); `origin` names the log."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def signed(self, private: Ed25519PrivateKey) -> Note:
        """Return the note in which the log, whose key bears the name of the origin, signs this."""
        return Note(self.text, (sign(self.text, self.origin, private),))


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint that its log signed; `cosigned` are the known witnesses whose signatures hold too."""

    checkpoint: Checkpoint
    note: Note
    cosigned: tuple[Verified, ...]


def read_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint strictly, without extension lines, which our log never writes; raises NoteRefused."""
    lines = text.split("\n")
    if lines[-1] != "" or len(lines) < 4:
        raise NoteRefused("checkpoint-lines")
    origin, size, root, *more = lines[:-1]
    if not origin or "" in more:
        raise NoteRefused("checkpoint-blank-line")
    if more:
        raise NoteRefused("checkpoint-extension-line")
    if _SIZE.fullmatch(size) is None or int(size) >= SIZE_LIMIT:
        raise NoteRefused("checkpoint-size")
    try:
        decoded = base64.b64decode(root, validate=True)
    except ValueError:
        raise NoteRefused("checkpoint-root") from None
    if len(decoded) != 32 or base64.b64encode(decoded).decode() != root:
        raise NoteRefused("checkpoint-root")
    if size == "0" and decoded != EMPTY_ROOT:
        raise NoteRefused("checkpoint-root-of-size-0")
    return Checkpoint(origin, int(size), decoded)


def open_checkpoint(note: bytes, log: VerifierKey, witnesses: Iterable[VerifierKey] = ()) -> SignedCheckpoint:
    """Read a signed checkpoint and verify it against the log's key; raises NoteRefused if the log did not sign it."""
    found = read_note(note)
    verified = verify_note(found, (log, *witnesses))
    if not verified or verified[0].key != log:
        raise NoteRefused("not-signed-by-the-log")
    checkpoint = read_checkpoint(found.text)
    if checkpoint.origin != log.name:
        raise NoteRefused("another-origin")
    return SignedCheckpoint(checkpoint, found, verified[1:])
