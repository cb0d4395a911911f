"""A partner's signed decision comes in: what follows is recorded beside the proof of who sent it (R-30)."""

from typing import Final

from services.prescriber.domain.decide import Decision, decide_as_partner
from services.prescriber.domain.partners.message import SignedMessage
from services.prescriber.domain.state import Case
from shared.events.base import EventData
from shared.events.prescriber import DecisionRefused
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal

RECORDED: Final = frozenset({"stale-request", "no-open-review"})
"""Refusals that a case keeps: whoever was asked about it answered at the wrong moment."""


def receive(case: Case, decided: Decision, message: SignedMessage, context: Context, *, left: bool) -> list[EventData]:
    """Decide as the partner does, or record that its decision came at the wrong moment, and changes nothing.

    `left`: the organisation left the network; it decides no review any more, also where one is not taken from it yet.
    Raises Refusal, and nothing is recorded, for an organisation that was never asked.
    """
    try:
        followed = decide_as_partner(case, decided, context, by=message.partner, left=left)
    except Refusal as refusal:
        if refusal.slug not in RECORDED:
            raise
        followed = [
            DecisionRefused(
                partner=message.partner,
                webhook_id=message.webhook_id,
                request=decided.request,
                reason=refusal.slug,
                rule=refusal.rule,
                detail=refusal.detail,
            )
        ]
    return [message.proof(), *followed]
