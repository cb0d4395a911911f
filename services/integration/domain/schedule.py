"""What a dose, a screening and the end of the course mean for integration."""

from datetime import timedelta

from services.integration.domain.complete import then_complete
from services.integration.domain.state import Integration
from shared.events.base import EventData
from shared.events.intake import ScreeningCompleted
from shared.events.integration import BaselineNoted, CourseCompletionNoted, IntegrationScheduled, PlannedIntegration
from shared.events.session import CourseCompleted, SessionDosed
from shared.pathway.context import Context


def note_baseline(state: Integration, event: ScreeningCompleted, _context: Context) -> list[EventData]:
    """React to a screening: its scores are the baseline. While care goes on, only those answered before its first dose.

    Such a score was corrected, or the dose was heard of first; what was answered since is an outcome.
    """
    scores = event.summary.scores
    if state.first_dose_at is not None and not state.completed:
        before = [score for score in scores if score.answered_at < state.first_dose_at]
        scores = tuple({score.instrument: score for score in (*state.baseline, *before)}.values())
    return [] if scores == state.baseline else [BaselineNoted(scores=scores)]


def schedule_integration(state: Integration, event: SessionDosed, context: Context) -> list[EventData]:
    """React to the first dose of a session: plan a session within [72] hours (R-28) and follow-ups at the policy's days.

    A booster plans nothing again. A dose given while a stop was in force is followed up all the same: support after a
    dose is care, like monitoring; the deviation is named.
    """
    if any(planned.dosing_session == event.session for planned in state.planned):
        return []
    policy = context.policy.on(event.route)
    first = (f"after-dose-{event.session}", event.given_at + timedelta(hours=policy.integration_within_hours))
    later = [(f"follow-up-{event.session}-day-{days}", event.given_at + timedelta(days=days)) for days in policy.integration_follow_up_days]
    grace = timedelta(days=policy.integration_grace_days)
    return [
        IntegrationScheduled(
            dosing_session=event.session,
            planned=(
                PlannedIntegration(id=first[0], purpose="after_dose", due_by=first[1], missed_after=first[1] + grace),
                *(PlannedIntegration(id=name, purpose="follow_up", due_by=due, missed_after=due + grace) for name, due in later),
            ),
            dosed_at=event.given_at,
            deviations=("stopped",) if state.stops.why_stopped() is not None else (),
        )
    ]


def note_course_over(state: Integration, event: CourseCompleted, context: Context) -> list[EventData]:
    """React to the end of the course."""
    return then_complete(state, [CourseCompletionNoted(sessions=event.sessions)], context)
