"""Goals: what the patient means to do, small and countable, and how it goes."""

from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints

from services.integration.domain.state import Integration
from shared.events.base import EventData, Slug
from shared.events.integration import GoalProgressed, GoalSet
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.stop import Request


class SetGoal(Request):
    """A behaviour in a few words, and how often a week, from once to three times a day."""

    behaviour: Annotated[str, StringConstraints(min_length=3, max_length=200)]
    times_per_week: Annotated[int, Field(ge=1, le=21)]


class RecordProgress(Request):
    """How often the behaviour happened in the week that ended at `at`."""

    goal: Slug
    times: Annotated[int, Field(ge=0, le=168)]
    """At most once an hour."""
    at: AwareDatetime


def set_goal(_state: Integration, command: SetGoal, context: Context) -> list[EventData]:
    """Set a goal; its id comes back with the case."""
    return [GoalSet(goal=context.new_id("goal"), behaviour=command.behaviour, times_per_week=command.times_per_week, set_at=context.now)]


def record_progress(state: Integration, command: RecordProgress, context: Context) -> list[EventData]:
    """Record progress; raises Refusal for an unknown goal or an impossible time."""
    state.require_goal(command.goal)
    require_happened("at", command.at, context.now)
    return [GoalProgressed(goal=command.goal, times=command.times, at=command.at)]
