"""Small files that only their owner may read."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import mkstemp
from typing import Any


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The object kept at `path`, made on first use. Of two processes that make it at once, one wins and both use it."""
    if not path.exists():
        draft = _draft(path, _text(make()))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def replace(path: Path, content: dict[str, Any]) -> None:
    """Put another object in the file's place, whole or not at all; durable on return."""
    write_text(path, _text(content))


def write_text(path: Path, text: str) -> None:
    """Put another text in the file's place, whole or not at all; durable on return."""
    _draft(path, text).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _draft(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as draft:
        draft.write(text)
        draft.flush()
        os.fsync(draft.fileno())
    return Path(name)


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2)
