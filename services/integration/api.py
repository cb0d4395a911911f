"""Routes: which request leads to which decision, and what of a case is shown. No rules."""

from typing import Any

from services.integration.domain.alerts import ALERT
from services.integration.domain.discharge import DischargeFromCare, discharge_from_care
from services.integration.domain.goals import (
    ChangeGoal,
    KeepGoal,
    LetGoalGo,
    RecordProgress,
    SetGoal,
    change_goal,
    keep_goal,
    let_goal_go,
    record_progress,
    set_goal,
)
from services.integration.domain.hold_session import RecordIntegrationSession, record_integration_session
from services.integration.domain.insight import NoteInsight, note_insight
from services.integration.domain.judge import SYMPTOM_SCALES
from services.integration.domain.maintain import BeginMaintenance, begin_maintenance
from services.integration.domain.measure import MeasureOutcome, measure_outcome
from services.integration.domain.miss_session import RecordMissedSession, record_missed_session
from services.integration.domain.not_followed import RecordNotFollowed, record_not_followed
from services.integration.domain.planned import Goal, Measurement, Planned
from services.integration.domain.state import Integration
from services.integration.domain.stops import STOPS, withdraw_consent
from services.integration.fhir_export import export
from shared.access.decide import Permission
from shared.events.clinical import Instrument
from shared.fhir.record import MEDIA_TYPE, bundle_of
from shared.pathway.alert import AcknowledgeAlert, show
from shared.pathway.stop import LiftHold, PlaceHold, WithdrawConsent
from shared.service.definition import Command, Decide, View

CASE = "/cases/{case}"


def _integrating(path: str, body: type[Any], decide: Decide, summary: str) -> Command:
    return Command(f"{CASE}/{path}", body, decide, Permission.INTEGRATE, summary)


COMMANDS = (
    _integrating(
        "integration-sessions", RecordIntegrationSession, record_integration_session, "Record an integration session that was held"
    ),
    _integrating(
        "integration-sessions/missed",
        RecordMissedSession,
        record_missed_session,
        "Record that an integration session did not take place, and its new time",
    ),
    _integrating("insights", NoteInsight, note_insight, "Note what the patient understood, with or without a session"),
    _integrating("goals", SetGoal, set_goal, "Set a goal as a small concrete behaviour"),
    _integrating("goals/progress", RecordProgress, record_progress, "Record progress on a goal"),
    _integrating("goals/change", ChangeGoal, change_goal, "Change a goal, with a reason"),
    _integrating("goals/keep", KeepGoal, keep_goal, "Record that a goal became part of the patient's life"),
    _integrating("goals/let-go", LetGoalGo, let_goal_go, "Record that a goal was let go, with a reason"),
    _integrating("outcomes", MeasureOutcome, measure_outcome, "Measure an outcome against the baseline"),
    _integrating("outcomes/not-followed", RecordNotFollowed, record_not_followed, "Record why an outcome is not measured"),
    _integrating("maintenance", BeginMaintenance, begin_maintenance, "Begin maintenance after the course"),
    _integrating("discharge", DischargeFromCare, discharge_from_care, "Discharge the patient from care, with a reason"),
    Command(f"{CASE}/consent-withdrawal", WithdrawConsent, withdraw_consent, Permission.STOP, "Record that the patient withdrew consent"),
    Command(f"{CASE}/holds", PlaceHold, STOPS.place, Permission.STOP, "Place a safety hold"),
    Command(f"{CASE}/holds/lift", LiftHold, STOPS.lift, Permission.LIFT_HOLD, "Lift a safety hold with a reason"),
    Command(f"{CASE}/alerts/acknowledge", AcknowledgeAlert, ALERT.acknowledge, Permission.ACKNOWLEDGE, "Take an alert on"),
)


def show_integration(state: Integration) -> dict[str, Any]:
    """Show the integration to those who care for the patient."""
    awaited = {each.id for each in state.open_sessions} | {each.id for each in state.open_measurements}
    return {
        "status": state.status,
        "consent": {"in_force": state.stops.consented, "version": state.stops.consent_version},
        "holds": sorted(state.stops.holds),
        "alerts": show(state.alerts),
        "doses": state.doses_of_care,
        "course": {"over": state.course_over, "cut_short": state.cut_short, "maintenance_since": state.maintenance_since},
        "discharged": state.discharged,
        "planned": [_show_planned(planned, planned.id in awaited) for planned in state.planned],
        "measurements": [_show_measurement(each, each.id in awaited) for each in state.measurements],
        "insights": state.insights,
        "goals": [_show_goal(goal) for goal in state.goals],
        "baseline": state.baseline,
        "outcomes": state.outcomes,
        "trends": {instrument: _trend(state, instrument) for instrument in SYMPTOM_SCALES if _trend(state, instrument)},
        "still_needed": {"instruments": ["c-ssrs"] if state.screener_due else []},
        "due": state.deadlines,
    }


def _show_planned(planned: Planned, awaited: bool) -> dict[str, Any]:
    return {
        "id": planned.id,
        "dosing_session": planned.dosing_sessions[-1],
        "dosing_sessions": planned.dosing_sessions,
        "purpose": planned.purpose,
        "due_by": planned.due_by,
        "missed_after": planned.missed_after,
        "awaited": awaited,
        "overdue": planned.overdue,
        "superseded": planned.superseded_by is not None,
        "missed": planned.missed,
        "held_at": None if planned.held is None else planned.held.held_at,
        "insights": () if planned.held is None else planned.held.insights,
    }


def _show_measurement(measurement: Measurement, awaited: bool) -> dict[str, Any]:
    return {
        "id": measurement.id,
        "day": measurement.day,
        "opens_at": measurement.opens_at,
        "due_at": measurement.due_at,
        "closes_at": measurement.closes_at,
        "awaited": awaited,
        "overdue": measurement.overdue,
        "superseded": measurement.superseded_by is not None,
        "not_followed": measurement.not_followed,
    }


def _show_goal(goal: Goal) -> dict[str, Any]:
    return {
        "goal": goal.set.goal,
        "behaviour": goal.behaviour,
        "times_per_week": goal.times_per_week,
        "set_at": goal.set.set_at,
        "changes": goal.changes,
        "progress": [{"times": week.times, "at": week.at} for week in goal.progress],
        "closed": goal.closed,
    }


def _trend(state: Integration, instrument: Instrument) -> list[dict[str, Any]]:
    """The scored measurements of an instrument in the order of time, each against the baseline (R-29)."""
    scored = [each for each in state.outcomes if each.instrument == instrument and each.total is not None]
    shown = ("measured_at", "total", "baseline", "change", "response", "remission", "deterioration")
    return [each.model_dump(include=set(shown)) for each in sorted(scored, key=lambda each: each.measured_at)]


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
