"""Where an organisation is told."""

from services.prescriber.domain.partners.state import Partner
from shared.events.base import EventData, Slug
from shared.events.partner import EndpointDisabled, WhyDisabled
from shared.pathway.context import Context


def disable_endpoint(partner: Partner, context: Context, *, endpoint: Slug, why: WhyDisabled) -> list[EventData]:
    """Disable an endpoint that took nothing for days, or is gone; nothing follows where it is not active."""
    known = None if partner.entry is None else partner.entry.endpoint(endpoint)
    if partner.entry is None or known is None or known.status != "active":
        return []
    return [EndpointDisabled(partner=partner.entry.slug, endpoint=endpoint, why=why, disabled_at=context.now)]
