"""Documents made from the code: `python -m deploy.documents` writes docs/asyncapi.json and docs/events.md."""

import inspect
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from services.intake.app import DEFINITION as INTAKE
from services.integration.app import DEFINITION as INTEGRATION
from services.prescriber.app import define
from services.session.app import DEFINITION as SESSION
from shared.events.asyncapi import asyncapi_document, summary_of
from shared.events.base import EventData
from shared.events.registry import PUBLISHED
from shared.events.topics import topic_of
from shared.service.definition import ServiceDefinition

DOCS = Path(__file__).resolve().parent.parent / "docs"
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
        "The ledger keeps every event; it is not named in the tables.",
        "",
    ]
    for service, published in PUBLISHED.items():
        lines += [
            f"## {service}: `{topic_of(service)}`",
            "",
            "| type | what it says | key fields | who reacts, and how |",
            "|---|---|---|---|",
        ]
        lines += [f"| `{event.TYPE}` | {summary_of(event)} | {_fields(event)} | {_readers(event)} |" for event in published]
        lines.append("")
    return "\n".join(lines)


def _fields(event: type[EventData]) -> str:
    return ", ".join(f"`{name}`" for name in list(event.model_fields)[:6])


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


if __name__ == "__main__":
    main()
