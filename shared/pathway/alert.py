"""Alerts: what calls a person, on whose work list it stands, and who is called next while nobody acknowledges it.

Every service folds its own alerts into each case. An alert is a fact about people, not about steps: it stops nothing, and
acknowledging it lifts no hold.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from pydantic import TypeAdapter

from shared.events import base
from shared.events.base import AlertRole, EventData, Slug, Text
from shared.pathway.context import Context
from shared.pathway.folding import speaking_of
from shared.pathway.policy import PolicyValues
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request

NEXT_ROLES: Final[tuple[AlertRole, ...]] = ("medical_monitor", "admin")
"""Who is called after the role that an alert names: whoever watches over the clinic's patients, then whoever runs the service
and can reach people outside it. Levels beyond stay with the last of them, and so does an alert that begins there."""
DEADLINE: Final = "alert"
"""The name of the deadline by which the next alert must be acknowledged; one tick escalates all that are due by then."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as it stands."""

    id: str
    why: Slug
    role: AlertRole
    raised_at: datetime
    due_at: datetime
    level: int
    last: bool
    emergency: bool
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    about: Slug | None = None
    resolved: bool = False
    """Whether what it was about happened before anyone took it on."""

    @property
    def open(self) -> bool:
        """Whether nobody took it on yet."""
        return self.acknowledged_at is None


@dataclass(frozen=True, slots=True)
class Alerts:
    """The alerts of a case, oldest first; those that were acknowledged too."""

    raised: tuple[Alert, ...] = ()

    @property
    def unacknowledged(self) -> tuple[Alert, ...]:
        """The alerts that nobody took on yet."""
        return tuple(alert for alert in self.raised if alert.open)

    @property
    def roles(self) -> list[AlertRole]:
        """The roles on whose work list something stands, each once."""
        return sorted({alert.role for alert in self.unacknowledged})

    @property
    def deadlines(self) -> Mapping[str, datetime]:
        """When the next alert goes on to another role, if one does."""
        due = [alert.due_at for alert in self.unacknowledged if not alert.last]
        return {DEADLINE: min(due)} if due else {}

    def find(self, alert_id: str) -> Alert | None:
        """Return the alert of this id, if there is one."""
        return next((alert for alert in self.raised if alert.id == alert_id), None)


_SHOWN: Final = TypeAdapter(tuple[Alert, ...])


def show(alerts: Alerts) -> Any:
    """Show the alerts of a case to those who may read it, JSON-ready."""
    return _SHOWN.dump_python(alerts.raised, mode="json")


_speaks = speaking_of(base.AlertRaised, base.AlertAcknowledged, base.AlertEscalated)


def fold(alerts: Alerts, event: EventData) -> Alerts:
    """Fold an event that speaks of an alert; any other leaves alerts as they are."""
    if not _speaks(type(event)):
        return alerts
    match event:
        case base.AlertRaised():
            raised = Alert(
                id=event.alert,
                why=event.why,
                role=event.role,
                raised_at=event.raised_at,
                due_at=event.due_at,
                level=event.level,
                last=event.last,
                emergency=event.emergency,
                about=event.about,
            )
            return Alerts((*alerts.raised, raised))
        case base.AlertAcknowledged():
            by, at = event.acknowledged_by, event.acknowledged_at
            return _changed(alerts, event.alert, acknowledged_by=by, acknowledged_at=at, resolved=event.resolved)
        case base.AlertEscalated():
            return _changed(alerts, event.alert, role=event.role, level=event.level, due_at=event.due_at, last=event.last)
        case _:
            return alerts


def _changed(alerts: Alerts, alert_id: str, **changes: Any) -> Alerts:
    return Alerts(tuple(replace(alert, **changes) if alert.id == alert_id else alert for alert in alerts.raised))


class Alerting(Protocol):
    """A case state that knows its alerts."""

    @property
    def alerts(self) -> Alerts:
        """Alerts as known."""
        ...


class AcknowledgeAlert(Request):
    """Take an alert on; `note` says what is being done."""

    alert: Slug
    note: Text | None = None


@dataclass(frozen=True, slots=True)
class Alarm:
    """What an event raises: on whose work list, why, and whether it is an emergency (of some types, each event says so itself)."""

    role: AlertRole
    why: Slug
    emergency: bool | Callable[[Any], bool] = False
    about: Callable[[Any], Slug | None] | None = None
    """What the event waits for, where that happening ends the alert; None for an event that waits for nothing."""

    def is_emergency(self, event: EventData) -> bool:
        """Whether this very event is one."""
        return self.emergency if isinstance(self.emergency, bool) else self.emergency(event)


Alarms = Mapping[type[EventData], Alarm]
"""Which events of a service raise an alert."""
Tick = Callable[[Any, str, Context], list[EventData]]


@dataclass(frozen=True, slots=True)
class AlertEvents:
    """The event types with which one service speaks of alerts."""

    raised: type[base.AlertRaised]
    acknowledged: type[base.AlertAcknowledged]
    escalated: type[base.AlertEscalated]

    def with_alerts(self, alarms: Alarms, events: Sequence[EventData], context: Context) -> list[EventData]:
        """Return a decision's events, and after them one alert for each that the table names."""
        alarming = [event for event in events if type(event) in alarms]
        return [*events, *(self.raise_(alarms[type(event)], event, number, context) for number, event in enumerate(alarming, start=1))]

    def raise_(self, alarm: Alarm, event: EventData, number: int, context: Context) -> base.AlertRaised:
        """Raise the alert for one event, the so manieth of its decision."""
        emergency = alarm.is_emergency(event)
        values = context.policy.values
        minutes = values.emergency_acknowledge_minutes if emergency else values.alert_acknowledge_minutes
        return self.raised(
            alert=context.new_id(f"alert-{number}"),
            why=alarm.why,
            role=alarm.role,
            raised_at=context.now,
            due_at=context.now + timedelta(minutes=minutes),
            last=values.alert_levels <= 1,
            emergency=emergency,
            about=None if alarm.about is None else alarm.about(event),
        )

    def resolve(self, alerts: Alerts, awaited: Collection[Slug], context: Context) -> list[EventData]:
        """Return the end of each open alert that is about something, and that is not awaited any more."""
        by, at = context.actor.id, context.now
        return [
            self.acknowledged(alert=alert.id, acknowledged_by=by, acknowledged_at=at, resolved=True)
            for alert in alerts.unacknowledged
            if alert.about is not None and alert.about not in awaited
        ]

    def acknowledge(self, state: Alerting, command: AcknowledgeAlert, context: Context) -> list[EventData]:
        """Take an alert on, once. Raises Refusal for one that does not exist or that someone took on before."""
        alert = state.alerts.find(command.alert)
        if alert is None:
            raise Refusal("no-such-alert", "No alert of this id was raised here.")
        if not alert.open:
            raise Refusal("already-acknowledged", "This alert was acknowledged before.")
        by = context.actor.id
        return [self.acknowledged(alert=alert.id, note=command.note, acknowledged_by=by, acknowledged_at=context.now)]

    def tick(self, state: Alerting, _deadline: str, context: Context) -> list[EventData]:
        """Escalate each alert that nobody acknowledged in time; at the policy's last level it stays."""
        late = [alert for alert in state.alerts.unacknowledged if not alert.last and alert.due_at <= context.now]
        return [self._escalate(alert, context) for alert in late]

    def beside(self, own: Tick) -> Tick:
        """Return the tick of a service that has deadlines of its own beside those of alerts."""

        def tick(state: Any, deadline: str, context: Context) -> list[EventData]:
            return self.tick(state, deadline, context) if deadline == DEADLINE else own(state, deadline, context)

        return tick

    def _escalate(self, alert: Alert, context: Context) -> EventData:
        values = context.policy.values
        level = alert.level + 1
        return self.escalated(
            alert=alert.id,
            level=level,
            role=NEXT_ROLES[-1] if alert.role == NEXT_ROLES[-1] else NEXT_ROLES[min(level - 2, len(NEXT_ROLES) - 1)],
            due_at=context.now + timedelta(minutes=_minutes_between_levels(alert, values)),
            escalated_at=context.now,
            last=level >= values.alert_levels,
        )


def _minutes_between_levels(alert: Alert, values: PolicyValues) -> int:
    """An emergency waits at no level longer than at the first."""
    return values.emergency_acknowledge_minutes if alert.emergency else values.alert_escalate_minutes
