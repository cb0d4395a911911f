"""Screening a patient again: for a re-clearance (R-27), a renewal, a follow-up, or because something changed."""

from typing import Literal

from services.intake.domain.state import Case
from shared.events import intake
from shared.events.base import EventData
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class RenewScreening(Request):
    """Why the prescriber is to look at the patient again."""

    reason: Literal["reclearance", "approval_ended", "follow_up", "changed"]


def renew_screening(case: Case, command: RenewScreening, context: Context) -> list[EventData]:
    """Begin another screening: instruments and questionnaire are asked anew, and the prescriber decides on what they say.

    What was screened stands until then, and so does an approval. Raises Refusal for a case that should not be, was not
    screened or was screened out, and while a renewal is under way.
    """
    case.require_going_on()
    if case.outcome is None:
        raise Refusal("not-screened", "The screening of this case is not completed; complete it first.")
    if case.outcome.kind == "screened_out":
        raise Refusal("screened-out", "The case was screened out; a new referral, or the day it is deferred to, begins anew.")
    if case.renewing_since is not None:
        raise Refusal("already-renewing", "Another screening of this case is under way.")
    return [intake.ScreeningRenewed(reason=command.reason, renewed_at=context.now)]
