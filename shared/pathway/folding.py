"""Folding, where it is done for every event of every case: only what an event changes is touched. Pure."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

from shared.events.base import EventData

Folded = TypeVar("Folded")


def with_parts(state: Folded, **parts: Any) -> Folded:
    """Return the state with these parts; itself where none of them is another one, as with most events."""
    for name, part in parts.items():
        if part is not getattr(state, name):
            return replace(state, **parts)  # type: ignore[type-var]
    return state


def speaking_of(*kinds: type[EventData]) -> Callable[[type[EventData]], bool]:
    """Return the question whether a type of event is one of these kinds.

    Events are pydantic models, of which `isinstance` costs ten times a look into this memory when it says no.
    """
    return cache(lambda kind: issubclass(kind, kinds))
