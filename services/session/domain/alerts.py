"""What calls a person in the session room: the whole list, and the event types with which the service speaks of alerts."""

from typing import Final

from services.session.domain.watch import (
    approval_name,
    chaperone_check_name,
    emergency_name,
    form_name,
    gap_name,
    held_pressure_name,
    repeat_pressure_name,
    second_pressure_name,
)
from shared.events import session, stay
from shared.pathway.alert import Alarm, Alarms, AlertEvents

ALERT = AlertEvents(
    raised=session.AlertRaised,
    acknowledged=session.AlertAcknowledged,
    escalated=session.AlertEscalated,
)

ALERTS: Final[Alarms] = {
    session.PrescriberAsked: Alarm(
        "prescriber",
        "asked-before-a-dose",
        about=lambda asked: held_pressure_name(asked.session, asked.at) if asked.rule == "R-19" else None,
    ),
    session.VitalOverdue: Alarm(
        "medical_monitor", "vital-overdue", about=lambda overdue: second_pressure_name(overdue.session, overdue.due_at)
    ),
    stay.RepeatPressureOverdue: Alarm(
        "medical_monitor", "repeat-pressure-overdue", about=lambda overdue: repeat_pressure_name(overdue.session, overdue.due_at)
    ),
    stay.ChaperoneCheckOverdue: Alarm(
        "medical_monitor", "chaperone-check-overdue", about=lambda overdue: chaperone_check_name(overdue.session, overdue.due_at)
    ),
    session.Escalated: Alarm(
        "medical_monitor",
        "escalated",
        emergency=lambda escalated: escalated.emergency and not escalated.late,
        about=lambda escalated: emergency_name(escalated.session, escalated.at) if escalated.emergency else escalated.watch,
    ),
    stay.RemsFormDue: Alarm("medical_monitor", "rems-form-due", about=lambda due: form_name(due.session)),
    stay.RemsFormOverdue: Alarm("medical_monitor", "rems-form-overdue", about=lambda overdue: form_name(overdue.session)),
    stay.ReclearanceDue: Alarm("coordinator", "reclearance-due", about=lambda due: gap_name(due.since)),
    stay.ApprovalExpiring: Alarm("coordinator", "approval-expiring", about=lambda expiring: approval_name(expiring.request)),
    stay.DoseFoundUncovered: Alarm("medical_monitor", "dose-found-uncovered"),
}
"""An alert about what is waited for is settled by its coming: an emergency's by its recorded end, that about a held pressure by a
prescriber's word."""
