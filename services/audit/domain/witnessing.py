"""What a log and a witness say to each other (C2SP tlog-witness, add-checkpoint), and what a witness decides.

    old <size>
    <hash of the consistency proof in base64>
    ...

    <signed checkpoint>

A witness co-signs a checkpoint only if the log signed it and it begins with the last one that the witness co-signed.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from services.audit.domain.checkpoint import Checkpoint, read_checkpoint
from services.audit.domain.note import Note, NoteRefused, VerifierKey, read_note, verify_note
from services.audit.domain.proofs import ProofRefused, verify_consistency
from services.audit.domain.tiles import HASH_BYTES

PROOF_LIMIT: Final = 63
"""Lines of a proof."""
SIZE_TYPE: Final = "text/x.tlog.size"
"""The content type of a conflict, whose body is the size of the last checkpoint that the witness co-signed."""

_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,18})", re.ASCII)


class MalformedSubmission(Exception):
    """A request that is none; `reason` is a stable slug without any content."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Submission:
    """A checkpoint handed to a witness, with the proof that it begins with the tree of size `old`."""

    old: int
    proof: tuple[bytes, ...]
    note: Note

    def to_bytes(self) -> bytes:
        """Return the body of the request."""
        hashes = "".join(f"{base64.b64encode(one).decode()}\n" for one in self.proof)
        return f"old {self.old}\n{hashes}\n{self.note}".encode()


@dataclass(frozen=True, slots=True)
class Cosign:
    """The witness co-signs: it must have kept this as its last checkpoint before it answers (200)."""

    checkpoint: Checkpoint
    text: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """The witness refuses; `reason` is a stable slug, `size` what a conflict (409) answers with."""

    status: Literal[400, 403, 404, 409, 422]
    reason: str
    size: int | None = None


def read_submission(body: bytes) -> Submission:
    """Read the body of a request strictly; raises MalformedSubmission."""
    head, blank, note = body.partition(b"\n\n")
    lines = head.decode("ascii", "replace").split("\n")
    old = _OLD.fullmatch(lines[0])
    if old is None or not blank:
        raise MalformedSubmission("old-size-line")
    if len(lines) - 1 > PROOF_LIMIT:
        raise MalformedSubmission("proof-too-long")
    try:
        return Submission(int(old[1]), tuple(map(_read_hash, lines[1:])), read_note(note))
    except NoteRefused as refused:
        raise MalformedSubmission(refused.reason) from None


def decide(submission: Submission, logs: Mapping[str, Sequence[VerifierKey]], last: Mapping[str, Checkpoint]) -> Cosign | Refuse:
    """Decide on a submission: `logs` are the keys of each origin that is witnessed, `last` what was co-signed last of each."""
    try:
        checkpoint = read_checkpoint(submission.note.text)
    except NoteRefused as refused:
        return Refuse(400, refused.reason)
    keys = logs.get(checkpoint.origin)
    if keys is None:
        return Refuse(404, "unknown-log")
    if not _is_signed(submission.note, keys):
        return Refuse(403, "not-signed-by-the-log")
    if submission.old > checkpoint.size:
        return Refuse(400, "old-size-larger")
    known = last.get(checkpoint.origin)
    size = 0 if known is None else known.size
    if submission.old != size:
        return Refuse(409, "another-old-size", size)
    if known is not None and known.size == checkpoint.size and known.root != checkpoint.root:
        return Refuse(409, "another-root", size)
    if not _goes_on(known, checkpoint, submission.proof):
        return Refuse(422, "proof-does-not-hold")
    return Cosign(checkpoint, submission.note.text)


def _goes_on(known: Checkpoint | None, checkpoint: Checkpoint, proof: Sequence[bytes]) -> bool:
    if known is None or known.size == 0:
        return not proof
    try:
        verify_consistency(known.size, checkpoint.size, proof, known.root, checkpoint.root)
    except ProofRefused:
        return False
    return True


def _is_signed(note: Note, keys: Sequence[VerifierKey]) -> bool:
    """Whether one of the keys signed it; a signature of a key that does not hold counts as none."""
    for key in keys:
        try:
            if verify_note(note, (key,)):
                return True
        except NoteRefused:
            continue
    return False


def _read_hash(line: str) -> bytes:
    try:
        decoded = base64.b64decode(line, validate=True)
    except ValueError:
        decoded = b""
    if len(decoded) != HASH_BYTES or base64.b64encode(decoded).decode() != line:
        raise MalformedSubmission("proof-line")
    return decoded
