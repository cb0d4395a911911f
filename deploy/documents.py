"""Documents made from the code: `python -m deploy.documents` writes docs/asyncapi.json, docs/events.md and docs/rules.md."""

import ast
import inspect
import json
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from services.intake.app import DEFINITION as INTAKE
from services.integration.app import DEFINITION as INTEGRATION
from services.prescriber.app import define
from services.session.app import DEFINITION as SESSION
from shared.events.asyncapi import asyncapi_document, described_topic, summary_of
from shared.events.base import EventData
from shared.events.registry import PUBLISHED
from shared.pathway.policy import read_document
from shared.pathway.rules import RULES
from shared.service.definition import ServiceDefinition

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SERVED = ("services", "shared/pathway")
DEFINITIONS: tuple[ServiceDefinition, ...] = (INTAKE, define(tuple, allow_loopback=False), SESSION, INTEGRATION)


def asyncapi() -> str:
    """Return docs/asyncapi.json."""
    readers = {definition.name: tuple(definition.reactions) for definition in DEFINITIONS}
    return json.dumps(asyncapi_document(readers), indent=2, sort_keys=False) + "\n"


def events() -> str:
    """Return docs/events.md."""
    lines = [
        "# Events",
        "",
        "Made from the code by `python -m deploy.documents`; a test holds it to the code.",
        "The ledger keeps every event; it is not named in the tables. In bold: what says when it happened, where that is said.",
        "",
    ]
    for service, published in PUBLISHED.items():
        lines += [
            f"## {service}: `{described_topic(service)}`",
            "",
            "| type | what it says | key fields | who reacts, and how |",
            "|---|---|---|---|",
        ]
        lines += [f"| `{event.TYPE}` | {summary_of(event)} | {_fields(event)} | {_readers(event)} |" for event in published]
        lines.append("")
    return "\n".join(lines)


def rules() -> str:
    """Return docs/rules.md."""
    policy = read_document()
    enforced, tested = _functions_naming(SERVED, _rules_in), _functions_naming(("tests",), _rules_tested)
    lines = [
        "# Rules",
        "",
        "Made from the code by `python -m deploy.documents`; a test holds it to the code. Marks: V seen in the cited source, S in a",
        "secondary source only, U set by the site. A rule that is enforced nowhere yet says so.",
        "",
        "| rule | statement | policy value | source | enforced in | tests |",
        "|---|---|---|---|---|---|",
    ]
    for rule in RULES:
        values = "<br>".join(f"`{name}` = {policy.values[name].value} ({policy.values[name].mark})" for name in rule.values) or "-"
        places = "<br>".join(f"`{file}`: {', '.join(names)}" for file, names in enforced.get(rule.id, {}).items()) or "nowhere yet"
        tests = "<br>".join(f"`{file}`: {len(names)}" for file, names in tested.get(rule.id, {}).items()) or "none yet"
        lines.append(f"| {rule.id} | {rule.statement} | {values} | {rule.source} | {places} | {tests} |")
    return "\n".join([*lines, ""])


_Places = dict[str, dict[str, list[str]]]
"""Rule -> file -> functions."""


def _functions_naming(folders: Iterable[str], named: Callable[[str, str], set[str]]) -> _Places:
    """Find the functions that name a rule, by file, in the order of the files."""
    found: _Places = {}
    for file in sorted(path for folder in folders for path in (ROOT / folder).glob("**/*.py")):
        source = file.read_text()
        if "R-" not in source and "_r" not in source:
            continue
        lines = source.split("\n")
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                for rule in sorted(named(node.name, "\n".join(lines[node.lineno - 1 : node.end_lineno]))):
                    found.setdefault(rule, {}).setdefault(str(file.relative_to(ROOT)), []).append(node.name)
    return found


def _rules_in(_name: str, source: str) -> set[str]:
    return set(re.findall(r"R-\d\d", source))


def _rules_tested(name: str, _source: str) -> set[str]:
    return {f"R-{number}" for number in re.findall(r"_r(\d\d)(?=_|$)", name)} if name.startswith("test_") else set()


def _fields(event: type[EventData]) -> str:
    when = (event.HAPPENED or "").partition(".")[0]
    shown = [name for place, name in enumerate(event.model_fields) if place < 6 or name == when]
    return ", ".join(f"**`{name}`**" if name == when else f"`{name}`" for name in shown)


def _readers(event: type[EventData]) -> str:
    reacting = [(definition.name, definition.reactions[event]) for definition in DEFINITIONS if event in definition.reactions]
    return "; ".join(f"**{name}**: {_how(reaction)}" for name, reaction in reacting) or "nobody"


def _how(reaction: Callable[..., Any]) -> str:
    while isinstance(reaction, partial):
        reaction = reaction.func
    text = inspect.getdoc(reaction) or reaction.__name__.replace("_", " ")
    sentence = text.splitlines()[0].rstrip(".")
    return sentence[0].lower() + sentence[1:]


def main() -> None:
    """Write the documents."""
    DOCS.mkdir(exist_ok=True)
    (DOCS / "asyncapi.json").write_text(asyncapi())
    (DOCS / "events.md").write_text(events())
    (DOCS / "rules.md").write_text(rules())


if __name__ == "__main__":
    main()
