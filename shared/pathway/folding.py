"""Folding the parts that every service's state has in common: consent and holds, alerts. Pure."""

from dataclasses import replace
from typing import Any, TypeVar

Folded = TypeVar("Folded")


def with_parts(state: Folded, **parts: Any) -> Folded:
    """Return the state with these parts; itself where none of them is another one, as with most events."""
    changed = {name: part for name, part in parts.items() if part is not getattr(state, name)}
    return replace(state, **changed) if changed else state  # type: ignore[type-var]
