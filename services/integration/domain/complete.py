"""The end of integration: the course is complete, and every planned session was held or missed."""

from collections.abc import Sequence
from datetime import datetime
from functools import reduce

from services.integration.domain.state import Case, evolve
from shared.events import integration, session
from shared.events.base import EventData
from shared.pathway.context import Context


def note_course_completion(case: Case, event: session.CourseCompleted, context: Context) -> list[EventData]:
    """Take note that the last planned dosing session is over."""
    if case.course_complete:
        return []
    noted = integration.CourseCompletionNoted(sessions=event.sessions)
    return [noted, *completion_after(case, [noted], context.now)]


def completion_after(case: Case, events: Sequence[EventData], now: datetime) -> list[EventData]:
    """Return the event that ends integration, if these events leave nothing open."""
    after = reduce(evolve, events, case)
    if not after.course_complete or after.completed_at is not None or not after.planned:
        return []
    if not all(each.settled_by(now) for each in after.planned):
        return []
    held = sum(each.held_at is not None for each in after.planned)
    return [integration.IntegrationCompleted(held=held, missed=len(after.planned) - held, completed_at=now)]
