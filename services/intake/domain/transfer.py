"""A patient goes on in another clinic of the network."""

from services.intake.domain.state import Case
from shared.events import intake
from shared.events.base import EventData, Slug, Text
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class TransferCase(Request):
    """Which clinic the case goes to, and why."""

    to_clinic: Slug
    reason: Text


def transfer_case(case: Case, command: TransferCase, context: Context) -> list[EventData]:
    """Give the case to another clinic that the policy names; another clinic is told all, so consent to treatment must be in force.

    A safety hold goes along and keeps stopping what it stops: a patient at risk may be moved to where help is.
    """
    case.require_referral()
    if command.to_clinic == context.clinic:
        raise Refusal("already-there", "The case belongs to this clinic.")
    if command.to_clinic not in context.policy.clinics:
        raise Refusal("no-such-clinic", "The policy in force names no clinic of this id.")
    if not case.stops.consented or "treatment" not in case.stops.consent_scopes:
        raise Refusal("consent-missing", "Another clinic of the network is told only under consent to treatment.", rule="R-20")
    return [
        intake.CaseTransferred(from_clinic=context.clinic, to_clinic=command.to_clinic, reason=command.reason, transferred_at=context.now)
    ]
