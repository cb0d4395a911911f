"""What about a partner organisation calls a person: the whole list."""

from collections.abc import Sequence
from typing import Final

from services.prescriber.domain.alerts import ALERT
from shared.events import partner
from shared.events.base import EventData
from shared.pathway.alert import Alarm, Alarms
from shared.pathway.context import Context

ALERTS: Final[Alarms] = {
    partner.MessageQuarantined: Alarm("admin", "webhook-equivocation"),
}


def with_partner_alerts(events: Sequence[EventData], context: Context) -> list[EventData]:
    """Return a decision's events, and the alerts they raise."""
    return ALERT.with_alerts(ALERTS, events, context)
