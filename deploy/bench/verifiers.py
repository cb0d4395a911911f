"""The two verifiers, asked about one directory after the other: kap_verify.py in this process, the Go one in a child that stays.

A directory is asked about thousands of times, each time with other files in it, so nothing is started anew for that.
"""

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final, NamedTuple, Self

from deploy.local.data import ROOT
from deploy.local.failure import StackError, UnavailableError
from services.audit import kap_verify

GO_SOURCE: Final = ROOT / "deploy" / "auditing" / "go"


class Said(NamedTuple):
    """What a verifier said of a directory: `holds`, `does not hold`, `cannot be read`, or that it `failed`; reason and index."""

    verdict: str
    reason: str | None
    at: int | None

    def __str__(self) -> str:
        return self.verdict if self.reason is None else f"{self.verdict}: {self.reason}{'' if self.at is None else f' at {self.at}'}"


HOLDS: Final = Said("holds", None, None)


class KapVerify:
    """The command `tiles` of kap_verify.py."""

    def __init__(self, directory: Path, held: Path, key: str) -> None:
        self._given = kap_verify.parser().parse_args(["tiles", str(directory), "--since", str(held), "--key", key])

    def says(self) -> Said:
        """Return what it says of the directory as it is now."""
        try:
            self._given.verify(self._given)
        except kap_verify.Refused as refused:
            return Said("does not hold" if refused.code == 1 else "cannot be read", refused.reason, refused.index)
        except Exception as error:  # noqa: BLE001 - whatever it stumbles over, it has found nothing
            return Said("failed", type(error).__name__, None)
        return HOLDS


def remember_signatures() -> None:
    """Let kap_verify.py remember, in this process, which signatures and keys hold: its Ed25519 takes most of the time of a small log.

    What it says of them follows from their bytes alone, and the same checkpoints come again and again.
    """
    for name in ("ed25519_verifies", "key_point"):
        vars(kap_verify)[name] = functools.lru_cache(50_000)(getattr(kap_verify, name))


class GoVerifier:
    """The second verifier: `with GoVerifier(program) as go:`."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def _start(self) -> None:
        self._process = subprocess.Popen([self._program, "-list", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, directory: Path, held: Path, key: str) -> None:
        """Ask about a directory; the answer must be taken before it is changed."""
        question = json.dumps({"directory": str(directory), "key": key, "since": str(held)}) + "\n"
        try:
            self._write(question)
        except BrokenPipeError:  # it died after its last answer
            self._process.wait()
            self._start()
            self._write(question)

    def _write(self, question: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(question)
        self._process.stdin.flush()

    def answer(self) -> Said:
        """Take the answer to what was asked; a verifier that died of it is started again."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.communicate()
            code = self._process.returncode
            self._start()
            return Said("failed", f"exit code {code}", None)
        told = json.loads(line)
        return Said(told["verdict"], told.get("reason"), None if told["index"] < 0 else told["index"])


def build_go_verifier(folder: Path) -> Path:
    """Build the second verifier; raises UnavailableError where that cannot be done, StackError where its source is at fault."""
    if shutil.which("go") is None:
        raise UnavailableError("there is no Go toolchain")
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    fetched = subprocess.run(["go", "mod", "download"], cwd=GO_SOURCE, env=environment, capture_output=True, text=True, check=False)
    if fetched.returncode != 0:
        raise UnavailableError("golang.org/x/mod cannot be had: no module proxy answers, or the Go toolchain is too old")
    built = folder / "ledger-verifier"
    for arguments in (["vet", "./..."], ["build", "-o", str(built), "."]):
        done = subprocess.run(["go", *arguments], cwd=GO_SOURCE, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StackError(f"the second verifier does not build: go {arguments[0]}: {done.stderr.strip()[-300:]}")
    return built
