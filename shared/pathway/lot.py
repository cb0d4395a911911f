"""A lot of medication and its recall, as every service that handles lots folds it: one stream for each lot that was ever recalled. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.events import base
from shared.events.base import EventData, Slug
from shared.pathway.context import Context

RECALLED_LOT: Final[Slug] = "recalled-lot"
"""The deviation of a movement of a recalled lot, and what holds against a dose from it."""


@dataclass(frozen=True, slots=True)
class Recall:
    """A recall that is in force."""

    lot: Slug
    id: Slug
    reason: str
    source: str
    recalled_at: datetime


@dataclass(frozen=True, slots=True)
class Lot:
    """One lot; None while no recall of it is in force."""

    recall: Recall | None = None

    @property
    def status(self) -> str:
        """A clear word."""
        return "not_recalled" if self.recall is None else "recalled"

    @property
    def deadlines(self) -> Mapping[str, datetime]:
        """Nothing falls due: a recall is in force until it is withdrawn."""
        return {}


def evolve(lot: Lot, event: EventData) -> Lot:
    """Fold one event."""
    match event:
        case base.LotRecall():
            return Lot(Recall(event.lot, event.recall, event.reason, event.source, event.recalled_at))
        case base.LotRecallEnd():
            return Lot() if lot.recall is not None and lot.recall.id == event.recall else lot
        case _:
            return lot


def recalled(lot: Slug | None, context: Context) -> bool:
    """Whether a recall of the lot is in force; a lot that nobody named is none."""
    return lot in context.recalled_lots
