"""What calls a person in the prescriber service: the whole list, and the event types with which the service speaks of alerts."""

from collections.abc import Sequence
from typing import Final

from shared.events import prescriber, supply
from shared.events.base import EventData
from shared.pathway.alert import Alarm, Alarms, AlertEvents
from shared.pathway.context import Context

ALERT = AlertEvents(
    raised=prescriber.AlertRaised,
    acknowledged=prescriber.AlertAcknowledged,
    escalated=prescriber.AlertEscalated,
)

ALERTS: Final[Alarms] = {
    prescriber.ReviewOverdue: Alarm("coordinator", "review-overdue"),
    prescriber.EligibilityRevoked: Alarm("coordinator", "approval-revoked"),
    prescriber.LateDecisionReceived: Alarm("prescriber", "late-decision"),
    prescriber.ApprovingPartnerLeft: Alarm("prescriber", "approving-partner-left"),
    supply.DiversionSuspected: Alarm("medical_monitor", "supply-does-not-balance"),
    prescriber.DeteriorationNoted: Alarm("prescriber", "deterioration"),
    prescriber.SafetyHoldPlaced: Alarm("medical_monitor", "recalled-lot-on-hand"),
}
"""A hold here is the one that the recall of a lot places; one that a clinician places calls nobody."""


def with_alerts(events: Sequence[EventData], context: Context) -> list[EventData]:
    """Return a decision's events, and the alerts they raise."""
    return ALERT.with_alerts(ALERTS, events, context)
