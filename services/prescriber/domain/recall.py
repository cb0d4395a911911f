"""Recall a review when the screening it rests on was reopened, or a later one screened the patient out."""

from services.prescriber.domain.alerts import with_alerts
from services.prescriber.domain.state import Case
from shared.events.base import EventData, Slug
from shared.events.intake import ScreenedOut, ScreeningReopened
from shared.events.prescriber import EligibilityRevoked, ReviewRecalled
from shared.pathway.context import Context

SCREENING_REOPENED: Slug = "screening-reopened"
SCREENED_OUT: Slug = "screened-out"


def recall(case: Case, event: ScreeningReopened | ScreenedOut, context: Context) -> list[EventData]:
    """React to the end of what was screened: the approval in force is revoked, and nothing more is decided on what was screened.

    A review that was decided is recalled too, so that no other one can be asked for on the same screening.
    """
    why = SCREENED_OUT if isinstance(event, ScreenedOut) else SCREENING_REOPENED
    events: list[EventData] = []
    if case.plan is not None:
        events.append(EligibilityRevoked(request=case.plan_request, reason=why, revoked_by=context.actor.id, revoked_at=context.now))
    if case.summary is not None:
        partner = case.partner if case.status != "withheld" else None
        events.append(ReviewRecalled(request=case.request, partner=partner, why=why, recalled_at=context.now))
    return with_alerts(events, context)
