"""What falls due, and what every decision ends with: the end of integration, and the alerts that begin and end."""

from collections.abc import Iterator
from functools import reduce

from services.integration.domain.alerts import ALERT, SCREENER, with_alerts
from services.integration.domain.state import Integration, evolve
from shared.events.base import EventData
from shared.events.integration import IntegrationCompleted, IntegrationOverdue, MeasurementDue, MeasurementOverdue
from shared.pathway.context import Context


def say_overdue(state: Integration, _deadline: str, context: Context) -> list[EventData]:
    """Say once of each session and measurement that is due by now that it is, and complete integration if nothing is left."""
    events: list[EventData] = [
        IntegrationOverdue(id=each.id, dosing_session=each.dosing_sessions[-1], due_by=each.due_by)
        for each in state.open_sessions
        if not each.overdue and each.due_by <= context.now
    ]
    for each in state.open_measurements:
        if each.closes_at <= context.now and not each.overdue:
            events.append(MeasurementOverdue(id=each.id, day=each.day, closes_at=each.closes_at))
        elif each.due_at <= context.now and not each.due_said and not each.overdue:
            events.append(MeasurementDue(id=each.id, day=each.day, due_at=each.due_at))
    return _concluded(state, events, context)


def concluded(state: Integration, events: list[EventData], context: Context) -> list[EventData]:
    """Return a decision's events, the end of integration if they leave nothing to wait for, and the alerts they begin and end.

    A decision that takes note of nothing stays without effect.
    """
    return _concluded(state, events, context) if events else []


def _concluded(state: Integration, events: list[EventData], context: Context) -> list[EventData]:
    ended = _then_complete(state, events, context)
    alarmed = with_alerts([*ended, *_overdue_again(state, ended)], context)
    after = reduce(evolve, alarmed, state)
    awaited = {*after.overdue, SCREENER} if after.screener_due else after.overdue
    return [*alarmed, *ALERT.resolve(after.alerts, awaited, context)]


def _overdue_again(state: Integration, events: list[EventData]) -> Iterator[EventData]:
    """Say anew what is overdue once the dose that had replaced it was an error: its alert is gone."""
    after = reduce(evolve, events, state)
    said = {event.id for event in events if isinstance(event, IntegrationOverdue | MeasurementOverdue)}
    anew = after.overdue - state.overdue - said
    for session in after.unheld:
        if session.id in anew:
            yield IntegrationOverdue(id=session.id, dosing_session=session.dosing_sessions[-1], due_by=session.due_by)
    for each in after.unmeasured:
        if each.id in anew:
            yield MeasurementOverdue(id=each.id, day=each.day, closes_at=each.closes_at)


def _then_complete(state: Integration, events: list[EventData], context: Context) -> list[EventData]:
    """Return the events, and the end of integration if they leave nothing to wait for.

    The course is over, or consent withdrawn; every planned session is held, or missed for longer than the policy's grace;
    and the outcome was measured after the last dose as planned, or nobody waits for it any more. The counts are those of the whole case.
    """
    after = reduce(evolve, events, state)
    waits_until = after.waits_until
    over = after.course_over or after.consent_withdrawn
    if after.ended or not over or not after.doses or (waits_until is not None and waits_until > context.now):
        return events
    held = sum(each.held is not None for each in after.planned)
    missed = sum(each.held is None and each.superseded_by is None for each in after.planned)
    return [*events, IntegrationCompleted(held=held, missed=missed, completed_at=context.now)]
