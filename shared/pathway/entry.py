"""Entries, which are marked and replaced, never changed or dropped (docs/decisions/0011): what every service does alike. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from shared.events.base import CorrectionKind
from shared.pathway.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Correction:
    """Why an entry counts no more."""

    kind: CorrectionKind
    reason: str
    at: datetime


class Named(Protocol):
    """What was recorded and can be corrected."""

    @property
    def entry(self) -> str | None:
        """Its name; None for what was recorded before entries had names."""
        ...


EntryT = TypeVar("EntryT", bound=Named)


def placed(recorded: tuple[EntryT, ...], entry: EntryT, replaces: str | None) -> tuple[EntryT, ...]:
    """Return what was recorded with one more entry: after the one it replaces, or else at the end."""
    if replaces is None:
        return (*recorded, entry)
    found = (place for place, each in enumerate(recorded) if each.entry == replaces)
    place = next(found, len(recorded) - 1) + 1
    return (*recorded[:place], entry, *recorded[place:])


def require_uncorrected(correction: object | None) -> None:
    """Raise Refusal for an entry that is marked."""
    if correction is not None:
        raise Refusal("already-corrected", "This entry was corrected before; correct the one that replaced it.")


def require_fitting(kind: CorrectionKind, given: Collection[str], wanted: str) -> None:
    """Raise Refusal for a replacement too many, too few, or of something else; `given` are the parts of the request that hold one."""
    if kind == "amended" and set(given) != {wanted}:
        raise Refusal("malformed", "An amended entry needs exactly one replacement, of its own kind.")
    if kind != "amended" and given:
        raise Refusal("malformed", "Only an amended entry is replaced.")
