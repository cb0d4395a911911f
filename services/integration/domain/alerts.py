"""What calls a person in integration: the whole list, and the event types with which the service speaks of alerts."""

from collections.abc import Sequence
from typing import Final

from shared.events import integration
from shared.events.base import EventData
from shared.pathway.alert import Alarm, Alarms, AlertEvents
from shared.pathway.context import Context

ALERT = AlertEvents(
    raised=integration.AlertRaised,
    acknowledged=integration.AlertAcknowledged,
    escalated=integration.AlertEscalated,
)

SCREENER: Final = "c-ssrs"
"""What the call for a screener is about: its answer ends it (R-08)."""

ALERTS: Final[Alarms] = {
    integration.IntegrationOverdue: Alarm("coordinator", "integration-overdue", about=lambda event: event.id),
    integration.MeasurementOverdue: Alarm("coordinator", "outcome-overdue", about=lambda event: event.id),
    integration.OutcomeDeteriorated: Alarm("therapist", "deterioration"),
    integration.SuicideRiskScreenRequired: Alarm("therapist", "suicide-risk-screen-required", about=lambda _: SCREENER),
    integration.SafetyHoldPlaced: Alarm("medical_monitor", "suicide-risk-high", emergency=True),
}
"""What is overdue is resolved by its happening. A hold here is the one that a high risk on the C-SSRS screener places (R-10); one
that a clinician places calls nobody."""


def with_alerts(events: Sequence[EventData], context: Context) -> list[EventData]:
    """Return a decision's events, and the alerts they raise."""
    return ALERT.with_alerts(ALERTS, events, context)
