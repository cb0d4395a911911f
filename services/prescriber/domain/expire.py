"""An approval comes to its end."""

from services.prescriber.domain.state import Case
from shared.events.base import EventData
from shared.events.prescriber import EligibilityExpired
from shared.pathway.context import Context


def expire(case: Case, _context: Context) -> list[EventData]:
    """Say that the approval in force has come to the end its plan names (R-15)."""
    if case.plan is None:
        return []
    return [EligibilityExpired(request=case.plan_request, expires_at=case.plan.expires_at)]
