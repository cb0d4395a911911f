"""What an organisation is told of a case that it reviews or approved, beside being asked: decided here, whatever led to it.

Who is asked is told so by `ReviewAssigned`. That also says that nothing stops the review, in place of `resumed`; where treatment is
stopped all the same, `stopped` comes with it. So to whoever has a review or an approval, the last word is always what is so.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from services.prescriber.domain.state import Case, evolve_case
from shared.events.base import EventData, Slug
from shared.events.partner import PartnerTold
from shared.events.prescriber import (
    IN_HOUSE,
    DeteriorationNoted,
    EligibilityApproved,
    EligibilityDeclined,
    EligibilityExpired,
    EligibilityRevoked,
    OutdatedScreeningNoted,
    ReviewAssigned,
    ReviewOpened,
    ReviewReassigned,
    ReviewRecalled,
    ReviewWithheld,
)
from shared.pathway.context import Context

REASSIGNED: Final = "kapcare.review.reassigned"
RECALLED: Final = "kapcare.review.recalled"
OUTDATED: Final = "kapcare.review.outdated"
STOPPED: Final = "kapcare.review.stopped"
RESUMED: Final = "kapcare.review.resumed"
REVOKED: Final = "kapcare.approval.revoked"
EXPIRED: Final = "kapcare.approval.expired"
DETERIORATED: Final = "kapcare.outcome.deteriorated"

_Word = tuple[Slug | None, str, int]
"""Who is told, what, and of which request."""


def with_notices(case: Case, events: Sequence[EventData], context: Context) -> list[EventData]:
    """Return a decision's events on a case, and after them what organisations are told of it."""
    return [*events, *notices(case, events, by=context.actor.organisation)]


def notices(before: Case, events: Sequence[EventData], by: Slug | None = None) -> list[PartnerTold]:
    """Return what follows from events: to each organisation the same thing once, in the order of the events, and nothing in-house.

    `by` is the organisation that decided, if one did: of what it took back itself it is not told. A stop (R-10, R-20) and an outcome
    that got worse (R-29) are told without any reason or value.
    """
    asked = {event.partner for event in events if isinstance(event, ReviewAssigned)}
    words: dict[tuple[Slug, str], int] = {}
    case = before
    for event in events:
        after = evolve_case(case, event)
        for partner, told, request in (*_of_what_happened(case, event, by), *_of_stops(case, event, after)):
            if partner is None or partner == IN_HOUSE or (partner in asked and told in {RECALLED, RESUMED}):
                continue
            words.setdefault((partner, told), request)
        case = after
    return [PartnerTold(partner=partner, told=told, request=request) for (partner, told), request in words.items()]


def _of_what_happened(case: Case, event: EventData, by: Slug | None) -> Iterator[_Word]:
    approver = case.approved_by
    match event:
        case ReviewReassigned():
            yield event.from_partner, REASSIGNED, case.request
        case ReviewRecalled() | ReviewWithheld() | ReviewOpened():
            # A later screening takes the place of the one under review, whoever is asked about that.
            yield _reviewer(case), RECALLED, case.request
        case OutdatedScreeningNoted():
            yield _reviewer(case), OUTDATED, case.request
        case EligibilityExpired():
            yield approver, EXPIRED, case.plan_request
        case EligibilityRevoked() if approver != by:
            yield approver, REVOKED, case.plan_request
        case EligibilityApproved() | EligibilityDeclined() if approver != event.partner:
            # Another organisation's decision on a later review ends an approval as much as taking it back does.
            yield approver, REVOKED, case.plan_request
        case DeteriorationNoted() if approver not in {None, IN_HOUSE}:
            yield approver, DETERIORATED, case.plan_request
        case DeteriorationNoted():
            yield _reviewer(case), DETERIORATED, case.request
        case _:
            return


def _of_stops(case: Case, event: EventData, after: Case) -> Iterator[_Word]:
    if isinstance(event, ReviewAssigned):
        if _stopped(after):
            yield event.partner, STOPPED, event.request
    elif _stopped(case) != _stopped(after):
        told = STOPPED if _stopped(after) else RESUMED
        yield _reviewer(after), told, after.request
        yield after.approved_by, told, after.plan_request


def _reviewer(case: Case) -> Slug | None:
    """Whose review is open, if one is."""
    return case.partner if case.status in {"in_review", "awaiting_clearance", "clearance_answered"} else None


def _stopped(case: Case) -> bool:
    stops = case.stops
    return stops.why_stopped("disclosure_to_prescriber") is not None or stops.why_stopped("treatment") is not None
