"""Events of the goals of integration: set, progressed, changed, kept, let go."""

from typing import ClassVar

from pydantic import AwareDatetime

from shared.events.base import EventData, Text


class GoalSet(EventData):
    """A goal as a small concrete behaviour."""

    TYPE: ClassVar[str] = "kapcare.integration.GoalSet.v1"
    goal: str
    behaviour: Text
    times_per_week: int
    set_at: AwareDatetime


class GoalProgressed(EventData):
    """How often the behaviour happened in a week."""

    TYPE: ClassVar[str] = "kapcare.integration.GoalProgressed.v1"
    HAPPENED: ClassVar[str | None] = "at"
    goal: str
    times: int
    at: AwareDatetime


class GoalChanged(EventData):
    """A goal became another behaviour, or another number of times a week."""

    TYPE: ClassVar[str] = "kapcare.integration.GoalChanged.v1"
    goal: str
    behaviour: Text
    times_per_week: int
    reason: Text
    changed_at: AwareDatetime


class GoalKept(EventData):
    """The behaviour became part of the patient's life; nothing more is counted."""

    TYPE: ClassVar[str] = "kapcare.integration.GoalKept.v1"
    HAPPENED: ClassVar[str | None] = "kept_at"
    goal: str
    note: Text | None = None
    kept_at: AwareDatetime


class GoalLetGo(EventData):
    """The patient let the goal go, and why."""

    TYPE: ClassVar[str] = "kapcare.integration.GoalLetGo.v1"
    HAPPENED: ClassVar[str | None] = "let_go_at"
    goal: str
    reason: Text
    let_go_at: AwareDatetime


EVENTS: tuple[type[EventData], ...] = (GoalSet, GoalProgressed, GoalChanged, GoalKept, GoalLetGo)
