"""What an organisation is told of a case that it reviews or approved, beside being asked: decided here, whatever led to it.

Who is asked is told so by `ReviewAssigned`. That also says that nothing stops the review, in place of `resumed`; where treatment is
stopped all the same, `stopped` comes with it. So to whoever has a review or an approval, the last word is always what is so.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from services.prescriber.domain.partners.names import (
    DETERIORATED,
    EXPIRED,
    OUTDATED,
    REASSIGNED,
    RECALLED,
    RESUMED,
    REVOKED,
    STOPPED,
)
from services.prescriber.domain.state import Case, evolve_case
from shared.events import base
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
from shared.pathway import stop
from shared.pathway.context import Context
from shared.pathway.folding import speaking_of
from shared.pathway.stop import Stops

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
    nobody = {_reviewer(before), before.approved_by} <= {None, IN_HOUSE}
    if (nobody and not _stopped(before.stops)) or not any(_speaks(type(event)) for event in events):
        return []  # as mostly; who had nothing to do with the case is asked at most
    asked = {event.partner for event in events if isinstance(event, ReviewAssigned)}
    told: dict[tuple[Slug, str], int] = {}
    for event, case in zip(events, accumulate(events, evolve_case, initial=before), strict=False):
        for partner, what, request in _words(case, event, by) if _speaks(type(event)) else ():
            if partner is None or partner == IN_HOUSE or (partner in asked and what in {RECALLED, RESUMED}):
                continue
            told.setdefault((partner, what), request)
    return [PartnerTold(partner=partner, told=what, request=request) for (partner, what), request in told.items()]


_STOPPING: Final = (base.ConsentWithdrawn, base.SafetyHoldPlaced, base.SafetyHoldLifted, base.StopNoted)
_speaks = speaking_of(
    ReviewReassigned,
    ReviewRecalled,
    ReviewWithheld,
    ReviewOpened,
    ReviewAssigned,
    OutdatedScreeningNoted,
    EligibilityExpired,
    EligibilityRevoked,
    EligibilityApproved,
    EligibilityDeclined,
    DeteriorationNoted,
    *_STOPPING,
)


def _words(case: Case, event: EventData, by: Slug | None) -> Iterator[_Word]:
    """What follows from one event; `case` is as it was before."""
    reviewer, approver = _reviewer(case), case.approved_by
    match event:
        case ReviewReassigned():
            yield event.from_partner, REASSIGNED, case.request
        case ReviewRecalled() | ReviewWithheld() | ReviewOpened():
            # A later screening takes the place of the one under review, whoever is asked about that.
            yield reviewer, RECALLED, case.request
        case ReviewAssigned():
            if _stopped(case.stops):
                yield event.partner, STOPPED, event.request
        case OutdatedScreeningNoted():
            yield reviewer, OUTDATED, case.request
        case EligibilityExpired():
            yield approver, EXPIRED, case.plan_request
        case EligibilityRevoked():
            yield None if approver == by else approver, REVOKED, case.plan_request
        case EligibilityApproved() | EligibilityDeclined():
            # Another organisation's decision on a later review ends an approval as much as taking it back does.
            yield None if approver == event.partner else approver, REVOKED, case.plan_request
        case DeteriorationNoted() if approver is not None and approver != IN_HOUSE:
            yield approver, DETERIORATED, case.plan_request
        case DeteriorationNoted():
            yield reviewer, DETERIORATED, case.request
        case _:
            stopped = _stopped(stop.fold(case.stops, event))
            if stopped != _stopped(case.stops):
                yield reviewer, STOPPED if stopped else RESUMED, case.request
                yield approver, STOPPED if stopped else RESUMED, case.plan_request


def _reviewer(case: Case) -> Slug | None:
    """Whose review is open, if one is."""
    return case.partner if case.status in {"in_review", "awaiting_clearance", "clearance_answered"} else None


def _stopped(stops: Stops) -> bool:
    return stops.why_stopped("disclosure_to_prescriber") is not None or stops.why_stopped("treatment") is not None
