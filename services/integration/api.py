"""Routes: which request leads to which decision, and what of a case is shown. No rules."""

from typing import Any

from services.integration.domain.alerts import ALERT
from services.integration.domain.goals import RecordProgress, SetGoal, record_progress, set_goal
from services.integration.domain.hold_session import RecordIntegrationSession, record_integration_session
from services.integration.domain.measure import MeasureOutcome, measure_outcome
from services.integration.domain.state import Goal, Integration, Planned
from services.integration.domain.stops import STOPS
from services.integration.fhir_export import export
from shared.access.decide import Permission
from shared.fhir.record import MEDIA_TYPE, bundle_of
from shared.pathway.alert import AcknowledgeAlert, show
from shared.pathway.stop import LiftHold, PlaceHold, WithdrawConsent
from shared.service.definition import Command, View

CASE = "/cases/{case}"

COMMANDS = (
    Command(
        f"{CASE}/integration-sessions",
        RecordIntegrationSession,
        record_integration_session,
        Permission.INTEGRATE,
        "Record an integration session that was held",
    ),
    Command(f"{CASE}/goals", SetGoal, set_goal, Permission.INTEGRATE, "Set a goal as a small concrete behaviour"),
    Command(f"{CASE}/goals/progress", RecordProgress, record_progress, Permission.INTEGRATE, "Record progress on a goal"),
    Command(f"{CASE}/outcomes", MeasureOutcome, measure_outcome, Permission.INTEGRATE, "Measure an outcome against the baseline"),
    Command(f"{CASE}/consent-withdrawal", WithdrawConsent, STOPS.withdraw, Permission.STOP, "Record that the patient withdrew consent"),
    Command(f"{CASE}/holds", PlaceHold, STOPS.place, Permission.STOP, "Place a safety hold"),
    Command(f"{CASE}/holds/lift", LiftHold, STOPS.lift, Permission.LIFT_HOLD, "Lift a safety hold with a reason"),
    Command(f"{CASE}/alerts/acknowledge", AcknowledgeAlert, ALERT.acknowledge, Permission.ACKNOWLEDGE, "Take an alert on"),
)


def show_integration(state: Integration) -> dict[str, Any]:
    """Show the integration to those who care for the patient."""
    return {
        "status": state.status,
        "consent": {"in_force": state.stops.consented, "version": state.stops.consent_version},
        "holds": sorted(state.stops.holds),
        "alerts": show(state.alerts),
        "planned": [_show_planned(planned) for planned in state.planned],
        "goals": [_show_goal(goal) for goal in state.goals],
        "baseline": state.baseline,
        "outcomes": state.outcomes,
        "still_needed": {"instruments": ["c-ssrs"] if state.screener_due else []},
        "due": state.deadlines,
    }


def _show_planned(planned: Planned) -> dict[str, Any]:
    return {
        "id": planned.id,
        "dosing_session": planned.dosing_session,
        "purpose": planned.purpose,
        "due_by": planned.due_by,
        "missed_after": planned.missed_after,
        "overdue": planned.overdue,
        "held_at": None if planned.held is None else planned.held.held_at,
        "insights": () if planned.held is None else planned.held.insights,
    }


def _show_goal(goal: Goal) -> dict[str, Any]:
    return {
        "goal": goal.set.goal,
        "behaviour": goal.set.behaviour,
        "times_per_week": goal.set.times_per_week,
        "set_at": goal.set.set_at,
        "progress": [{"times": week.times, "at": week.at} for week in goal.progress],
    }


VIEWS = (
    View(CASE, Permission.READ_CASE, show_integration, "Show what follows the doses: sessions, goals, outcomes"),
    View(
        f"{CASE}/fhir",
        Permission.READ_CASE,
        bundle_of(export),
        "Show integration sessions, goals and outcomes as a FHIR R4 bundle",
        media_type=MEDIA_TYPE,
        whole=True,
    ),
)
