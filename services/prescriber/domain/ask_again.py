"""Ask for another review of the same screening."""

from services.prescriber.domain.outdated import SCREENING_OUTDATED
from services.prescriber.domain.partners.assign import find, may_take
from services.prescriber.domain.partners.state import Partners
from services.prescriber.domain.review import another, opened
from services.prescriber.domain.state import Case
from shared.events.base import EventData
from shared.events.prescriber import IN_HOUSE
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request
from shared.service.definition import Decide


class AskForReview(Request):
    """Nothing has to be said: the screening is known."""


def asking_again(partners: Partners) -> Decide:
    """Return the decision that opens another review: after an approval ended, or to continue a supply before it ends (R-17)."""

    def ask_again(case: Case, _command: AskForReview, context: Context) -> list[EventData]:
        """Ask who decided before, for the follow-up is with the same provider (Journey Clinical, domain.md 1.1).

        Another organisation, if that one takes no review of the clinic any more or has no room. Clearances are asked for anew.
        Raises Refusal without a screening or with an outdated one, while a review is open, after a decline (which a new
        screening may lead beyond) and while a stop forbids disclosure.
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
        known = partners()
        before = find(known, case.partner)
        stays = case.partner in {None, IN_HOUSE} or (before is not None and may_take(before, context))
        to = case.partner or IN_HOUSE if stays else another(case, known, context)
        return opened(case, case.summary, to, known, context)

    return ask_again
