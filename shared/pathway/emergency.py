"""Emergency accesses (break-glass, R-32) as every service knows them: who may read a case of another clinic, and until when. Pure.

Intake opens and ends them; the other services take note. They let someone read a case, and nothing else.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.events import base, intake
from shared.events.base import EventData, Slug
from shared.pathway.context import Context
from shared.pathway.folding import speaking_of
from shared.service.definition import Reaction


@dataclass(frozen=True, slots=True)
class Grant:
    """One emergency access: `by` is the opaque id of who opened it, `until` the first moment at which it is over."""

    id: Slug
    by: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Grants:
    """The emergency accesses of a case, those that are over too."""

    given: tuple[Grant, ...] = ()

    def open_to(self, now: datetime) -> frozenset[str]:
        """Return who may read the case at this moment for an emergency."""
        return frozenset(grant.by for grant in self.given if now < grant.until)

    def find(self, grant: Slug) -> Grant | None:
        """Return the one of this id."""
        return next((known for known in self.given if known.id == grant), None)


_speaks = speaking_of(intake.EmergencyAccessOpened, intake.EmergencyAccessEnded, base.EmergencyAccessNoted)


class Accessible(Protocol):
    """A case state that knows its emergency accesses."""

    @property
    def emergency(self) -> Grants:
        """Emergency accesses as known."""
        ...


def fold(grants: Grants, event: EventData) -> Grants:
    """Fold an event that speaks of an emergency access; any other leaves them as they are. An end is never taken back."""
    if not _speaks(type(event)):
        return grants
    match event:
        case intake.EmergencyAccessOpened():
            return _until(grants, Grant(event.grant, event.opened_by, event.expires_at))
        case base.EmergencyAccessNoted():
            return _until(grants, Grant(event.grant, event.opened_by, event.until))
        case intake.EmergencyAccessEnded():
            return _until(grants, Grant(event.grant, event.opened_by, event.ended_at))
        case _:
            return grants


def noting(noted: type[base.EmergencyAccessNoted]) -> Reaction:
    """Return a service's reaction to intake's word: take note, if it says anything new."""

    def note(state: Accessible, event: intake.EmergencyAccessOpened | intake.EmergencyAccessEnded, _context: Context) -> list[EventData]:
        """Take note of who may read the case for an emergency, and until when."""
        if fold(state.emergency, event) == state.emergency:
            return []
        until = event.expires_at if isinstance(event, intake.EmergencyAccessOpened) else event.ended_at
        return [noted(grant=event.grant, opened_by=event.opened_by, until=until)]

    return note


def _until(grants: Grants, said: Grant) -> Grants:
    known = grants.find(said.id)
    if known is None:
        return Grants((*grants.given, said))
    if known.until <= said.until:
        return grants
    return Grants(tuple(said if grant is known else grant for grant in grants.given))
