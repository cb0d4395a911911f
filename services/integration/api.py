"""Routes: which request leads to which decision, and what of a case is shown. No rules."""

from typing import Any

from services.integration.domain.goal import RecordProgress, SetGoal, record_progress, set_goal
from services.integration.domain.hold_session import HoldSession, hold_session
from services.integration.domain.measure import MeasureOutcome, measure_outcome
from services.integration.domain.state import Case
from services.integration.domain.stops import STOP
from shared.access.decide import Permission
from shared.pathway.stop import LiftHold, PlaceHold, WithdrawConsent
from shared.service.definition import Command, View

COMMANDS = (
    Command("/cases/{case}/integration-sessions", HoldSession, hold_session, Permission.INTEGRATE, "Record an integration session held"),
    Command("/cases/{case}/goals", SetGoal, set_goal, Permission.INTEGRATE, "Set a goal as a small concrete behaviour"),
    Command("/cases/{case}/goals/progress", RecordProgress, record_progress, Permission.INTEGRATE, "Record a week of a goal"),
    Command("/cases/{case}/outcomes", MeasureOutcome, measure_outcome, Permission.INTEGRATE, "Measure an outcome"),
    Command(
        "/cases/{case}/consent-withdrawal", WithdrawConsent, STOP.withdraw, Permission.STOP, "Record that the patient withdrew consent"
    ),
    Command("/cases/{case}/holds", PlaceHold, STOP.place, Permission.STOP, "Place a safety hold"),
    Command("/cases/{case}/holds/lift", LiftHold, STOP.lift, Permission.LIFT_HOLD, "Lift a safety hold with a reason"),
)


def show_case(case: Case) -> dict[str, Any]:
    """Show plan, goals and outcomes to those who care for the patient."""
    return {
        "status": case.status,
        "consented": case.stops.consented,
        "holds": sorted(case.stops.holds),
        "risk_screen_due": case.risk_screen_due,
        "course_complete": case.course_complete,
        "completed_at": case.completed_at,
        "baseline": case.baseline,
        "planned": case.planned,
        "goals": case.goals,
        "outcomes": case.outcomes,
    }


VIEWS = (View("/cases/{case}", Permission.READ_CASE, show_case, "Show plan, goals and outcomes"),)
