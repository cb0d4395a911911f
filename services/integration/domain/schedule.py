"""Planning integration sessions after a dose (R-28), and noticing the ones that were not held."""

from datetime import timedelta

from services.integration.domain.complete import completion_after
from services.integration.domain.state import Case
from shared.events import intake, integration, session
from shared.events.base import EventData
from shared.events.integration import PlannedIntegration
from shared.pathway.context import Context


def note_baseline(case: Case, event: intake.ScreeningCompleted, _context: Context) -> list[EventData]:
    """Keep the scores at screening as the baseline."""
    if case.baseline == event.summary.scores:
        return []
    return [integration.BaselineNoted(scores=event.summary.scores)]


def plan_after_dose(case: Case, event: session.SessionDosed, context: Context) -> list[EventData]:
    """Plan a session within the policy's window after the dose, and the follow-ups (R-28).

    A booster belongs to the session that was planned for already. A stop does not forbid planning: the dose was given,
    and support after it is care; the deviation says so.
    """
    if event.session in case.dosing_sessions:
        return []
    values = context.policy.values
    planned = [
        PlannedIntegration(
            id=f"dose-{event.session}-after",
            purpose="after_dose",
            due_by=event.given_at + timedelta(hours=values.integration_within_hours),
        )
    ]
    planned += [
        PlannedIntegration(id=f"dose-{event.session}-day-{days}", purpose="follow_up", due_by=event.given_at + timedelta(days=days))
        for days in values.integration_follow_up_days
    ]
    why = case.stops.why_stopped()
    return [
        integration.IntegrationScheduled(
            dosing_session=event.session, dosed_at=event.given_at, planned=tuple(planned), deviations=() if why is None else (why,)
        )
    ]


def tick(case: Case, name: str, context: Context) -> list[EventData]:
    """Say that a session is overdue, or that the course ends with sessions missed."""
    planned = case.find(name.removeprefix("integration:"))
    if planned is None:
        return completion_after(case, [], context.now)
    grace = timedelta(days=context.policy.values.integration_grace_days)
    overdue = integration.IntegrationOverdue(
        id=planned.id, dosing_session=planned.dosing_session, due_by=planned.due_by, missed_at=max(planned.due_by + grace, context.now)
    )
    return [overdue, *completion_after(case, [overdue], context.now)]
