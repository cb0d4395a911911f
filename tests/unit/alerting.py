"""Decisions seen without the alerts they raise, for tests that are about something else."""

from collections.abc import Iterable

from shared.events.base import AlertEscalated, AlertRaised, AlertSettled, EventData


def without_alerts(events: Iterable[EventData]) -> list[EventData]:
    return [event for event in events if not isinstance(event, AlertRaised | AlertEscalated | AlertSettled)]
