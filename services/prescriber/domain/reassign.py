"""Give an open review to another organisation: because the one that was asked stayed silent, or because a coordinator says so."""

from collections.abc import Callable

from services.prescriber.domain.alerts import with_alerts
from services.prescriber.domain.partners.assign import find, require_able
from services.prescriber.domain.partners.state import Partners
from services.prescriber.domain.review import another, given_to
from services.prescriber.domain.state import Case
from shared.events.base import EventData, Slug
from shared.events.prescriber import IN_HOUSE, ReviewOverdue
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request
from shared.service.definition import Decide

SILENT: Slug = "silent"


class Reassign(Request):
    """Why another organisation is to review, as a code, and which; without one it is chosen among those not asked yet."""

    reason: Slug
    partner: Slug | None = None


def passing_on(partners: Partners) -> Callable[[Case, Context], list[EventData]]:
    """Return what follows when the time to answer has passed: it is said, and another organisation is asked at once.

    It is only said while a stop forbids disclosure, for then nobody could have answered, and nobody new may be asked;
    and where the network's own prescribers are silent and no partner is left to ask.
    """

    def pass_on(case: Case, context: Context) -> list[EventData]:
        if case.partner is None or case.due_at is None:
            return []
        overdue = ReviewOverdue(request=case.request, partner=case.partner, due_at=case.due_at)
        known = partners()
        to = another(case, known, context)
        if to == case.partner or case.stops.why_stopped("disclosure_to_prescriber") is not None:
            return with_alerts([overdue], context)
        return with_alerts([overdue, *given_to(case, to, SILENT, known, context)], context)

    return pass_on


def reassigning(partners: Partners) -> Decide:
    """Return the decision that gives an open review to another organisation.

    Raises Refusal where no review is open, while a stop forbids disclosure, and for an organisation that is not registered,
    has the review already, takes no reviews, is not licensed in the clinic's state or has no room.
    """

    def reassign(case: Case, command: Reassign, context: Context) -> list[EventData]:
        if case.status != "in_review" or case.partner is None:
            raise Refusal("no-open-review", "No review of this case is open.")
        case.stops.require_clear("disclosure_to_prescriber")
        known = partners()
        to = command.partner or another(case, known, context)
        named = find(known, to)
        if named is None and to != IN_HOUSE:
            raise Refusal("no-such-partner", "No organisation of this slug is registered.")
        if to == case.partner:
            raise Refusal("already-assigned", "The review is assigned there already; where no partner was named, no other one is left.")
        if named is not None:
            require_able(named, context)
        return given_to(case, to, command.reason, known, context)

    return reassign
