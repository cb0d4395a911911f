"""What calls a person in the session room: the whole list, and the event types with which the service speaks of alerts."""

from collections.abc import Sequence
from typing import Final

from shared.events import session
from shared.events.base import EventData
from shared.pathway.alert import Alarm, Alarms, AlertEvents
from shared.pathway.context import Context

ALERT = AlertEvents(
    raised=session.AlertRaised,
    acknowledged=session.AlertAcknowledged,
    escalated=session.AlertEscalated,
)

ALERTS: Final[Alarms] = {
    session.VitalOverdue: Alarm("medical_monitor", "vital-overdue"),
    session.Escalated: Alarm("medical_monitor", "escalated", emergency=lambda escalated: escalated.emergency),
    session.DoseFoundUncovered: Alarm("medical_monitor", "dose-found-uncovered"),
}


def with_alerts(events: Sequence[EventData], context: Context) -> list[EventData]:
    """Return a decision's events, and the alerts they raise."""
    return ALERT.with_alerts(ALERTS, events, context)
