"""Goals as small concrete behaviours, and how often they happen."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from services.integration.domain.state import Case
from shared.events import integration
from shared.events.base import EventData, Slug, Text
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class SetGoal(Request):
    """What the patient wants to do, so small that it can be counted."""

    behaviour: Text
    times_per_week: Annotated[int, Field(ge=1, le=21)]


class RecordProgress(Request):
    """How often it happened in the week up to `at`."""

    goal: Slug
    times: Annotated[int, Field(ge=0, le=100)]
    at: AwareDatetime


def set_goal(_case: Case, command: SetGoal, context: Context) -> list[EventData]:
    """Set a goal."""
    return [
        integration.GoalSet(
            goal=context.new_id("goal"), behaviour=command.behaviour, times_per_week=command.times_per_week, set_at=context.now
        )
    ]


def record_progress(case: Case, command: RecordProgress, context: Context) -> list[EventData]:
    """Record a week of a goal."""
    if all(goal.id != command.goal for goal in case.goals):
        raise Refusal("no-such-goal", "No goal of this id is set.")
    if command.at > context.now:
        raise Refusal("time-in-the-future", "at lies in the future.")
    return [integration.GoalProgressed(goal=command.goal, times=command.times, at=command.at)]
