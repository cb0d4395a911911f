"""What falls due: sessions that were not held in time, and the end of integration."""

from functools import reduce

from services.integration.domain.alerts import with_alerts
from services.integration.domain.state import Integration, evolve
from shared.events.base import EventData
from shared.events.integration import IntegrationCompleted, IntegrationOverdue
from shared.pathway.context import Context


def say_overdue(state: Integration, _deadline: str, context: Context) -> list[EventData]:
    """Say once of each planned session that is due by now that it was not held, and complete integration if that was the last."""
    overdue: list[EventData] = [
        IntegrationOverdue(id=each.id, dosing_session=each.dosing_session, due_by=each.due_by)
        for each in state.planned
        if each.held is None and not each.overdue and each.due_by <= context.now
    ]
    return with_alerts(then_complete(state, overdue, context), context)


def then_complete(state: Integration, events: list[EventData], context: Context) -> list[EventData]:
    """Return the events, and the end of integration if they leave nothing to wait for.

    The course is over; every planned session is held, or missed for longer than the policy's grace; and one scored
    PHQ-9 followed the last dose, or its window has passed. The counts are those of the whole case.
    """
    after = reduce(evolve, events, state)
    waits_until = after.waits_until
    if after.completed or not after.course_over or not after.planned or (waits_until is not None and waits_until > context.now):
        return events
    held = sum(each.held is not None for each in after.planned)
    return [*events, IntegrationCompleted(held=held, missed=len(after.planned) - held, completed_at=context.now)]
