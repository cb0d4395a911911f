"""Where a local stack keeps what it must not lose: its database, keys, logs, and where it is running."""

import base64
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from deploy.local.failure import StackError
from deploy.local.private import kept, replace

ROOT = Path(__file__).parents[2]
DEFAULT_DATA = ROOT / ".kap"


@dataclass(frozen=True)
class Secrets:
    """The keys a stack made for itself, as base64 of 32 bytes each."""

    vault_master_key: str
    receipt_key: str
    ledger_signing_key: str


@dataclass(frozen=True)
class DataDirectory:
    """The folder of one stack. Only one stack uses it at a time."""

    root: Path = DEFAULT_DATA

    @property
    def mongo(self) -> Path:
        """The database's files."""
        return self.root / "mongo"

    @property
    def logs(self) -> Path:
        """One log file for each child."""
        return self.root / "logs"

    @property
    def issuer(self) -> Path:
        """The development issuer's key."""
        return self.root / "issuer.json"

    @property
    def running(self) -> Path:
        """Where the stack answers, while it is up."""
        return self.root / "stack.json"

    def log(self, name: str) -> Path:
        """The log file of a child."""
        return self.logs / f"{name}.log"

    def set_logs_aside(self) -> None:
        """Begin new logs, keeping one generation."""
        for log in self.logs.glob("*.log"):
            log.replace(log.with_suffix(".previous"))

    def secrets(self) -> Secrets:
        """This stack's keys, made on first use."""
        file, names = self.root / "secrets.json", [field.name for field in fields(Secrets)]
        content = kept(file, lambda: {name: random_key() for name in names})
        if not content.keys() >= set(names):  # a stack of before there was one of them
            content = {name: random_key() for name in names} | content
            replace(file, content)
        return Secrets(**{name: content[name] for name in names})

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for one stack; refused while another one has it."""
        handle = self._open_lock()
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackError(f"a stack is already up on {self.root}: stop it, or name another folder with --data") from None
            yield
        finally:
            # Closing lets go of the lock, and so does the end of the process, however it ends.
            os.close(handle)

    @property
    def in_use(self) -> bool:
        """Whether a stack holds the folder now."""
        if not (self.root / "lock").exists():
            return False
        handle = self._open_lock()
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def _open_lock(self) -> int:
        self.root.mkdir(parents=True, exist_ok=True)
        return os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)


def random_key() -> str:
    """A fresh key: 32 bytes as base64."""
    return base64.b64encode(secrets.token_bytes(32)).decode()
