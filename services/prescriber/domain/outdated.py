"""A screening that what was recorded since would have changed: nothing more is approved on it (R-14)."""

from typing import Final

from services.prescriber.domain.state import Case
from shared.events.base import EventData, Slug
from shared.events.intake import ScreeningOutdated
from shared.events.prescriber import OutdatedScreeningNoted
from shared.pathway.context import Context

SCREENING_OUTDATED: Final[Slug] = "screening-outdated"


def note_outdated(case: Case, event: ScreeningOutdated, _context: Context) -> list[EventData]:
    """Take note, once for each thing, of what the screening known here did not know; an approval in force is for people to judge."""
    new = tuple(item for item in event.items if item not in case.outdated)
    return [OutdatedScreeningNoted(items=new, outdated_at=event.outdated_at)] if case.summary is not None and new else []
