"""Whether an organisation takes part: out of the sandbox, out of the network, and back."""

from services.prescriber.domain.alerts import ALERT
from services.prescriber.domain.partners.state import Partner
from shared.events.base import EventData, Text
from shared.events.partner import PartnerActivated, PartnerLeft, PartnerReturned
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class ActivatePartner(Request):
    """Let reviews of patients be assigned to an organisation that was in the sandbox."""


class PartnerLeaves(Request):
    """The organisation leaves the network; `reason` is for the record."""

    reason: Text


class PartnerReturns(Request):
    """The organisation is back: as it was when it left, in the sandbox or out of it."""


def activate(partner: Partner, _command: ActivatePartner, context: Context) -> list[EventData]:
    """Raise Refusal for an organisation that is not in the sandbox."""
    entry = partner.require_entry()
    if entry.status != "sandbox":
        raise Refusal("not-in-sandbox", "Only an organisation that is in the sandbox is activated.")
    return [PartnerActivated(partner=entry.slug, activated_at=context.now)]


def leave(partner: Partner, command: PartnerLeaves, context: Context) -> list[EventData]:
    """End what is sent to the organisation and taken from it, and the alerts about its endpoints. Raises Refusal if it left before."""
    entry = partner.require_entry()
    if entry.status == "left":
        raise Refusal("already-left", "This organisation left before.")
    left = PartnerLeft(partner=entry.slug, reason=command.reason, left_at=context.now)
    return [left, *ALERT.resolve(partner.alerts, (), context)]


def come_back(partner: Partner, _command: PartnerReturns, context: Context) -> list[EventData]:
    """Raise Refusal for an organisation that has not left."""
    entry = partner.require_entry()
    if entry.status != "left":
        raise Refusal("not-left", "This organisation has not left.")
    return [PartnerReturned(partner=entry.slug, returned_at=context.now)]
