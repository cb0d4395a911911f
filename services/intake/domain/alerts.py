"""What calls a person in intake: the whole list, and the event types with which the service speaks of alerts."""

from collections.abc import Collection, Sequence
from typing import Final

from shared.events import intake
from shared.events.base import EventData
from shared.pathway.alert import Alarm, Alarms, AlertEvents, Alerts
from shared.pathway.context import Context

ALERT = AlertEvents(
    raised=intake.AlertRaised,
    acknowledged=intake.AlertAcknowledged,
    escalated=intake.AlertEscalated,
)

SCREENER: Final = "c-ssrs"
"""What the call for a screener is about: its answer ends it (R-08)."""

ALERTS: Final[Alarms] = {
    intake.SuicideRiskScreenRequired: Alarm("therapist", "suicide-risk-screen-required", about=lambda _: SCREENER),
    intake.SafetyHoldPlaced: Alarm("medical_monitor", "suicide-risk-high", emergency=True),
    intake.EmergencyAccessOpened: Alarm("medical_monitor", "emergency-access", emergency=True, about=lambda opened: opened.grant),
    intake.EmergencyAccessUnreviewed: Alarm("medical_monitor", "emergency-access-unreviewed", about=lambda late: late.grant),
}
"""A hold here is the one that a high risk on the C-SSRS screener places (R-10); one that a clinician places calls nobody."""

CARRIED: Final = Alarm("medical_monitor", "hold-on-another-case")
"""Who is told that a case is held because another one of the patient is."""


STATED_LATE: Final = Alarm("medical_monitor", "contraindication-after-screening")
"""Who is told that a screened case is held for what was stated since."""
CHANGED: Final = Alarm("prescriber", "changed-since-screening")
"""Who is told what a screening that stands did not know, and would have said (R-06, R-10 to R-13)."""


def with_carried_alert(placed: intake.SafetyHoldPlaced, context: Context) -> list[EventData]:
    """Return a hold that was carried from another case, and the alert it raises."""
    return [placed, ALERT.raise_(CARRIED, placed, 1, context)]


def with_late_alert(placed: intake.SafetyHoldPlaced, context: Context) -> list[EventData]:
    """Return a hold for what was stated after the screening, and the alert it raises."""
    return [placed, ALERT.raise_(STATED_LATE, placed, 1, context)]


def changed_alert(event: EventData, context: Context) -> EventData:
    """Return the alert for what was recorded after the screening."""
    return ALERT.raise_(CHANGED, event, 2, context)


def with_alerts(events: Sequence[EventData], context: Context) -> list[EventData]:
    """Return a decision's events, and the alerts they raise."""
    return ALERT.with_alerts(ALERTS, events, context)


def settled(alerts: Alerts, calls_for: Collection[str], context: Context) -> list[EventData]:
    """Return the ends of calls for what is not awaited any more, such as a screener (R-08)."""
    return ALERT.resolve(alerts, calls_for, context)
