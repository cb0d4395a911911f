"""Ask for another review of the same screening."""

from services.prescriber.domain.outdated import SCREENING_OUTDATED
from services.prescriber.domain.review import opened
from services.prescriber.domain.state import Case
from shared.events.base import EventData
from shared.events.prescriber import IN_HOUSE
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class AskForReview(Request):
    """Nothing has to be said: the screening is known."""


def ask_again(case: Case, _command: AskForReview, context: Context) -> list[EventData]:
    """Open another review: after an approval ended, or to continue a supply before it ends (R-17).

    Who decided before is asked again, for the follow-up is with the same provider (Journey Clinical, domain.md 1.1).
    Clearances are asked for anew. Raises Refusal without a screening or with an outdated one, while a review is open,
    after a decline (which a new screening may lead beyond) and while a stop forbids disclosure.
    """
    if case.summary is None:
        raise Refusal("not-screened", "No completed screening of this case is known.")
    if case.status == "declined":
        raise Refusal("declined", "A prescriber declined on this screening; a new one is needed first.")
    if case.status not in {"approved", "expired", "revoked"}:
        raise Refusal("review-open", "A review of this case is open or withheld already.")
    if case.outdated:
        raise Refusal(SCREENING_OUTDATED, "What was recorded since the screening would have changed it; renew it first.", rule="R-14")
    case.stops.require_clear("disclosure_to_prescriber")
    return opened(case, case.summary, case.partner or IN_HOUSE, context)
