"""Decisions seen without the alerts they raise and resolve, for tests that are about something else."""

from collections.abc import Iterable

from shared.events.base import AlertAcknowledged, AlertEscalated, AlertRaised, EventData


def without_alerts(events: Iterable[EventData]) -> list[EventData]:
    return [event for event in events if not isinstance(event, AlertRaised | AlertEscalated) and not _resolved(event)]


def _resolved(event: EventData) -> bool:
    return isinstance(event, AlertAcknowledged) and event.resolved
