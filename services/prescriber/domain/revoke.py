"""Take an approval back before its end."""

from services.prescriber.domain.alerts import with_alerts
from services.prescriber.domain.state import Case
from shared.events.base import EventData, Slug, Text
from shared.events.prescriber import EligibilityRevoked
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class Revoke(Request):
    """Why, as a code and in the prescriber's own words."""

    reason: Slug
    note: Text | None = None


def revoke(case: Case, command: Revoke, context: Context) -> list[EventData]:
    """Take back the approval in force, also while a stop is in force or a later review is open: nothing may keep it out.

    Any prescriber of the clinic may do so, and the partner organisation the case is assigned to; raises Refusal if no approval is in force.
    """
    if case.plan is None:
        raise Refusal("not-approved", "No prescriber's approval is in force for this case.")
    revoked = EligibilityRevoked(
        request=case.plan_request, reason=command.reason, note=command.note, revoked_by=context.actor.id, revoked_at=context.now
    )
    return with_alerts([revoked], context)
