"""What a witness must not lose: its key, and of each log the last checkpoint that it co-signed. Both are in one file.

Whoever loses the file loses the key with it, so that nobody co-signs in its name without knowing what was co-signed before.
"""

import base64
import binascii
import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.local.failure import StackError
from deploy.local.private import kept, replace
from services.audit.domain.checkpoint import Checkpoint
from services.audit.domain.note import COSIGNATURE, NoteRefused, VerifierKey, key_of


class Record:
    """The file of one witness."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        self._path = path
        try:
            self.name: str = content["name"]
            self.private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(content["seed"], validate=True))
            self.last = {origin: _read(origin, one) for origin, one in content["last"].items()}
            self.public: VerifierKey = key_of(self.name, self.private, COSIGNATURE)
        except (KeyError, TypeError, AttributeError, ValueError, binascii.Error, NoteRefused):
            raise StackError(f"{path} is not the file of a witness") from None
        self._seed: str = content["seed"]

    @classmethod
    @contextmanager
    def held(cls, path: Path, name: str | None = None) -> Iterator["Record"]:
        """The witness of this file, made on first use under this name; refused while another process has it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackError(f"a witness already runs on {path}") from None
            yield cls(path, _content(path, name))
        finally:
            os.close(handle)

    def keep(self, checkpoint: Checkpoint) -> None:
        """Keep the checkpoint that is about to be co-signed; durable on return."""
        last = {**self.last, checkpoint.origin: checkpoint}
        written = {origin: {"size": str(one.size), "root": base64.b64encode(one.root).decode()} for origin, one in last.items()}
        replace(self._path, {"name": self.name, "seed": self._seed, "last": written})
        self.last = last


def _content(path: Path, name: str | None) -> Mapping[str, Any]:
    try:
        content = kept(
            path,
            lambda: {
                "name": name or f"witness.local/{secrets.token_hex(4)}",
                "seed": base64.b64encode(secrets.token_bytes(32)).decode(),
                "last": {},
            },
        )
    except ValueError:
        raise StackError(f"{path} is not the file of a witness") from None
    if name is not None and content.get("name") != name:
        raise StackError(f"the witness of {path} has another name: its key is known under that one")
    return content


def _read(origin: str, one: Mapping[str, Any]) -> Checkpoint:
    return Checkpoint(origin, int(one["size"]), base64.b64decode(one["root"], validate=True))
