"""The auditor guide's examples: the command takes each, and the ledger would read what it asks."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from deploy.cli.__main__ import app
from services.audit.domain.query import Parameters, read_counts, read_decision, read_export, read_page

GUIDE = Path(__file__).resolve().parent.parent.parent / "docs" / "auditor-guide.md"
EXAMPLES = [line.strip().removeprefix("$ ./kap audit ") for line in GUIDE.read_text().splitlines() if line.startswith("    $ ./kap audit ")]
AUDIT: dict[str, Any] = getattr(get_command(app), "commands")["audit"].commands  # noqa: B009 - a click group, whose class typer does not name
READERS: dict[str, Callable[[Parameters], object]] = {
    "events": read_page,
    "count": read_counts,
    "export": read_export,
    "known": read_decision,
}


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 8
    assert {example.split()[0] for example in EXAMPLES} >= set(READERS)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_can_be_asked(example: str) -> None:
    name, *words = shlex.split(example)
    AUDIT[name].make_context(name, list(words))  # exits with what is wrong
    if name in READERS:
        options = {} if name == "known" else {word.removeprefix("--"): value for word, value in zip(words[::2], words[1::2], strict=True)}
        options.pop("to-file", None)
        READERS[name]([("decision", words[0])] if name == "known" else list(options.items()))
