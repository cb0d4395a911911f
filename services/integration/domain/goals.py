"""Goals: what the patient means to do, small and countable, how it goes, and what becomes of it."""

from datetime import datetime, timedelta
from typing import Annotated, Final

from pydantic import AwareDatetime, Field, StringConstraints

from services.integration.domain.planned import Goal
from services.integration.domain.state import Integration
from shared.events.base import EventData, Slug, Text
from shared.events.goals import GoalChanged, GoalKept, GoalLetGo, GoalProgressed, GoalSet
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request

Behaviour = Annotated[str, StringConstraints(min_length=3, max_length=200)]
TimesPerWeek = Annotated[int, Field(ge=1, le=21)]
"""From once a week to three times a day."""


WRITTEN_DOWN_WITHIN: Final = timedelta(weeks=1)
"""A goal can be agreed on, and pursued for a week, before someone writes it down."""


class SetGoal(Request):
    """A behaviour in a few words, and how often a week, from once to three times a day."""

    behaviour: Behaviour
    times_per_week: TimesPerWeek


class RecordProgress(Request):
    """How often the behaviour happened in the week that ended at `at`."""

    goal: Slug
    times: Annotated[int, Field(ge=0, le=168)]
    """At most once an hour."""
    at: AwareDatetime


class ChangeGoal(Request):
    """The goal becomes another behaviour, or another number of times a week, and why."""

    goal: Slug
    behaviour: Behaviour
    times_per_week: TimesPerWeek
    reason: Text


class KeepGoal(Request):
    """The behaviour became part of the patient's life."""

    goal: Slug
    kept_at: AwareDatetime
    note: Text | None = None


class LetGoalGo(Request):
    """The patient lets the goal go, and why."""

    goal: Slug
    let_go_at: AwareDatetime
    reason: Text


def set_goal(_state: Integration, command: SetGoal, context: Context) -> list[EventData]:
    """Set a goal; its id comes back with the case."""
    return [GoalSet(goal=context.new_id("goal"), behaviour=command.behaviour, times_per_week=command.times_per_week, set_at=context.now)]


def record_progress(state: Integration, command: RecordProgress, context: Context) -> list[EventData]:
    """Record progress, also on a goal that was kept or let go; raises Refusal for an unknown goal or an impossible time."""
    goal = state.require_goal(command.goal)
    _require_since(goal, "at", command.at, context)
    return [GoalProgressed(goal=command.goal, times=command.times, at=command.at)]


def change_goal(state: Integration, command: ChangeGoal, context: Context) -> list[EventData]:
    """Change a goal that is pursued; raises Refusal for an unknown goal, and for one that was kept or let go."""
    _require_pursued(state, command.goal)
    return [
        GoalChanged(
            goal=command.goal,
            behaviour=command.behaviour,
            times_per_week=command.times_per_week,
            reason=command.reason,
            changed_at=context.now,
        )
    ]


def keep_goal(state: Integration, command: KeepGoal, context: Context) -> list[EventData]:
    """Record that a goal is kept; raises Refusal for an unknown goal, one that was kept or let go, or an impossible time."""
    goal = _require_pursued(state, command.goal)
    _require_since(goal, "kept_at", command.kept_at, context)
    return [GoalKept(goal=command.goal, note=command.note, kept_at=command.kept_at)]


def let_goal_go(state: Integration, command: LetGoalGo, context: Context) -> list[EventData]:
    """Record that a goal was let go; raises Refusal for an unknown goal, one that was kept or let go, or an impossible time."""
    goal = _require_pursued(state, command.goal)
    _require_since(goal, "let_go_at", command.let_go_at, context)
    return [GoalLetGo(goal=command.goal, reason=command.reason, let_go_at=command.let_go_at)]


def _require_since(goal: Goal, name: str, moment: datetime, context: Context) -> None:
    require_happened(name, moment, context.now)
    if moment < goal.set.set_at - WRITTEN_DOWN_WITHIN:
        raise Refusal("before-goal", f"{name} lies before the goal was set.")


def _require_pursued(state: Integration, goal_id: str) -> Goal:
    goal = state.require_goal(goal_id)
    if goal.closed is not None:
        raise Refusal("goal-closed", "This goal was kept or let go before; set another one.")
    return goal
