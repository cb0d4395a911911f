"""What calls an admin in the stream of a partner organisation, and who acknowledges it."""

from collections.abc import Sequence
from typing import Final

from services.prescriber.domain.alerts import ALERT
from services.prescriber.domain.partners.state import Organisation, Partner
from shared.events.base import EventData, Slug
from shared.events.partner import EndpointDisabled, MessageQuarantined
from shared.pathway.alert import Alarm, Alarms
from shared.pathway.context import Context


def _endpoint(event: EndpointDisabled) -> Slug:
    return event.endpoint


ALERTS: Final[Alarms] = {
    EndpointDisabled: Alarm("admin", "endpoint-disabled", about=_endpoint),
    MessageQuarantined: Alarm("admin", "webhook-equivocation"),
}
"""An endpoint that an admin disables calls nobody; that alert ends when the endpoint is resumed or removed, or the organisation leaves."""


def with_alerts(events: Sequence[EventData], context: Context) -> list[EventData]:
    """Return a decision's events, and the alerts they raise."""
    return ALERT.with_alerts(ALERTS, events, context)


def settled(partner: Partner, entry: Organisation, context: Context, *, but: Slug | None = None) -> list[EventData]:
    """Return the end of each alert about an endpoint that is disabled no more, or is the one named."""
    awaited = {endpoint.slug for endpoint in entry.endpoints if endpoint.status == "disabled" and endpoint.slug != but}
    return ALERT.resolve(partner.alerts, awaited, context)
