"""The emergency accesses of a case that run, and those that nobody reviewed yet (R-32). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from shared.events import intake
from shared.events.base import EventData, Slug
from shared.pathway.folding import speaking_of

EXPIRY: Final = "emergency-access"
"""The name of the deadline at which the next emergency access ends by itself."""
REVIEW: Final = "emergency-review"
"""The name of the deadline until which the next emergency access must be reviewed."""


@dataclass(frozen=True, slots=True)
class AwaitedReview:
    """An emergency access that someone else must say something about; `late` once that was called for again."""

    grant: Slug
    opened_by: str
    reason: str
    opened_at: datetime
    due_at: datetime
    late: bool = False


@dataclass(frozen=True, slots=True)
class EmergencyReviews:
    """What is open: accesses that run, with when they end, and reviews that are awaited."""

    running: tuple[tuple[Slug, datetime], ...] = ()
    awaited: tuple[AwaitedReview, ...] = ()

    @property
    def deadlines(self) -> Mapping[str, datetime]:
        """When the next access ends, and until when the next one must be reviewed."""
        ends = min((until for _, until in self.running), default=None)
        due = min((review.due_at for review in self.awaited if not review.late), default=None)
        return {name: at for name, at in ((EXPIRY, ends), (REVIEW, due)) if at is not None}

    def find(self, grant: Slug) -> AwaitedReview | None:
        """Return the review that is awaited of an access, if it is."""
        return next((review for review in self.awaited if review.grant == grant), None)


_speaks = speaking_of(
    intake.EmergencyAccessOpened, intake.EmergencyAccessEnded, intake.EmergencyAccessReviewed, intake.EmergencyAccessUnreviewed
)


def fold(reviews: EmergencyReviews, event: EventData) -> EmergencyReviews:
    """Fold an event that speaks of an emergency access; any other leaves them as they are."""
    if not _speaks(type(event)):
        return reviews
    match event:
        case intake.EmergencyAccessOpened():
            review = AwaitedReview(event.grant, event.opened_by, event.reason, event.opened_at, event.review_by)
            return EmergencyReviews((*reviews.running, (event.grant, event.expires_at)), (*reviews.awaited, review))
        case intake.EmergencyAccessEnded():
            return replace(reviews, running=tuple(each for each in reviews.running if each[0] != event.grant))
        case intake.EmergencyAccessReviewed():
            return replace(reviews, awaited=tuple(each for each in reviews.awaited if each.grant != event.grant))
        case intake.EmergencyAccessUnreviewed():
            late = tuple(replace(each, late=True) if each.grant == event.grant else each for each in reviews.awaited)
            return replace(reviews, awaited=late)
        case _:
            return reviews
