"""The newest checkpoint of the ledger that the network told an organisation of, in a file that `kap_verify.py` reads."""

from pathlib import Path

from deploy.local.private import write_text
from services.prescriber.domain.partners.checkpoint import Checkpoint, NoCheckpoint, Progress


class KeptCheckpoint:
    """Keeps the largest one; the next is on disk when `take` returns."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def newest(self) -> Checkpoint | None:
        """Return the one that is kept; None before the first."""
        return Checkpoint.read(self.file.read_bytes()) if self.file.exists() else None

    def take(self, note: object) -> tuple[Checkpoint, Progress]:
        """Keep a checkpoint if it is larger, and return it with how it stands to the one kept; raises NoCheckpoint.

        Another ledger's counts as forked: a partner is told of one ledger.
        """
        if not isinstance(note, str):
            raise NoCheckpoint("it is no text")
        found, kept = Checkpoint.read(note.encode()), self.newest()
        progress: Progress = "forked" if kept is not None and kept.origin != found.origin else found.after(kept)
        if progress == "newer":
            write_text(self.file, note)
        return found, progress
