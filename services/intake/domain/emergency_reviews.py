"""The emergency accesses of a case with their reasons and verdicts: which still run, and which nobody reviewed yet (R-32). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from shared.events import intake
from shared.events.base import EventData, Slug
from shared.pathway.folding import speaking_of

EXPIRY: Final = "emergency-access"
"""The name of the deadline at which the next emergency access ends by itself."""
REVIEW: Final = "emergency-review"
"""The name of the deadline until which the next emergency access must be reviewed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What someone else said about an emergency access."""

    justified: bool
    note: str
    reviewed_by: str
    reviewed_at: datetime


@dataclass(frozen=True, slots=True)
class EmergencyAccess:
    """One emergency access with its reason; `late` once its review was called for again, `verdict` once there is one."""

    grant: Slug
    opened_by: str
    reason: str
    explanation: str
    opened_at: datetime
    expires_at: datetime
    due_at: datetime
    ended_at: datetime | None = None
    late: bool = False
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class EmergencyReviews:
    """The emergency accesses of a case, oldest first."""

    opened: tuple[EmergencyAccess, ...] = ()

    @property
    def running(self) -> tuple[EmergencyAccess, ...]:
        """Those whose end was not said."""
        return tuple(access for access in self.opened if access.ended_at is None)

    @property
    def awaited(self) -> tuple[EmergencyAccess, ...]:
        """Those that someone else must say something about."""
        return tuple(access for access in self.opened if access.verdict is None)

    @property
    def deadlines(self) -> Mapping[str, datetime]:
        """When the next access ends, and until when the next one must be reviewed."""
        ends = min((access.expires_at for access in self.running), default=None)
        due = min((access.due_at for access in self.awaited if not access.late), default=None)
        return {name: at for name, at in ((EXPIRY, ends), (REVIEW, due)) if at is not None}

    def find(self, grant: Slug) -> EmergencyAccess | None:
        """Return the one of this id."""
        return next((access for access in self.opened if access.grant == grant), None)


_speaks = speaking_of(
    intake.EmergencyAccessOpened, intake.EmergencyAccessEnded, intake.EmergencyAccessReviewed, intake.EmergencyAccessUnreviewed
)


def fold(reviews: EmergencyReviews, event: EventData) -> EmergencyReviews:
    """Fold an event that speaks of an emergency access; any other leaves them as they are."""
    if not _speaks(type(event)):
        return reviews
    match event:
        case intake.EmergencyAccessOpened():
            access = EmergencyAccess(
                event.grant, event.opened_by, event.reason, event.explanation, event.opened_at, event.expires_at, event.review_by
            )
            return EmergencyReviews((*reviews.opened, access))
        case intake.EmergencyAccessEnded():
            return _changed(reviews, event.grant, ended_at=event.ended_at)
        case intake.EmergencyAccessReviewed():
            return _changed(reviews, event.grant, verdict=Verdict(event.justified, event.note, event.reviewed_by, event.reviewed_at))
        case intake.EmergencyAccessUnreviewed():
            return _changed(reviews, event.grant, late=True)
        case _:
            return reviews


def _changed(reviews: EmergencyReviews, grant: Slug, **changes: Any) -> EmergencyReviews:
    return EmergencyReviews(tuple(replace(access, **changes) if access.grant == grant else access for access in reviews.opened))
