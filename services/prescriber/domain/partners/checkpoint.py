"""A checkpoint of the ledger, as it is passed on to partners: what it says is read, and none of its signatures verified. Pure.

Whoever is told of it verifies it, with the ledger's key from elsewhere. Which one is told last never goes back: the ledger of one
name only grows, and two trees of one size are a fork.
"""

import base64
import re
from dataclasses import dataclass
from typing import Final, Literal, Self

SIZE_LIMIT: Final = 2**63
"""Sizes stay below (C2SP tlog-checkpoint)."""

_NAME: Final = r"[!-*,-~]{1,200}"
_NOTE: Final = re.compile(
    rf"(?P<origin>{_NAME})\n(?P<size>0|[1-9][0-9]{{0,18}})\n(?P<root>[A-Za-z0-9+/]{{43}}=)\n"
    rf"\n(?:\u2014 {_NAME} [A-Za-z0-9+/]{{1,160}}={{0,2}}\n){{1,16}}"
)

Progress = Literal["newer", "same", "backwards", "forked"]


class NoCheckpoint(Exception):
    """What is no signed checkpoint; says nothing of its content."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a ledger signed: that its first `size` entries are a tree of this root (base64 of 32 bytes)."""

    origin: str
    """The name of the ledger."""
    size: int
    root: str
    note: str
    """The whole text, with its signatures."""

    @classmethod
    def read(cls, note: bytes) -> Self:
        """Read a signed note (C2SP signed-note) strictly, without extension lines; raises NoCheckpoint.

        None is longer than 8,192 bytes, so that a heartbeat with it stays under the 20 kB that partners take.
        """
        try:
            text = note.decode()
        except UnicodeDecodeError:
            raise NoCheckpoint("it is no text") from None
        found = _NOTE.fullmatch(text)
        if found is None or int(found["size"]) >= SIZE_LIMIT or not _is_canonical(found["root"]):
            raise NoCheckpoint("it is no checkpoint")
        return cls(found["origin"], int(found["size"]), found["root"], text)

    def after(self, kept: "Checkpoint | None") -> Progress:
        """Return how this one stands to the largest of the same ledger that is known."""
        if kept is None or self.size > kept.size:
            return "newer"
        if self.size < kept.size:
            return "backwards"
        return "same" if self.root == kept.root else "forked"


def _is_canonical(root: str) -> bool:
    return base64.b64encode(base64.b64decode(root)).decode() == root
