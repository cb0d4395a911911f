"""Preparation: what the patient was told and means to do, before the first dose."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from services.session.domain.entry import entered
from services.session.domain.state import Course
from shared.events.base import EventData, Text
from shared.events.session import PreparationCompleted
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.stop import Request


class RecordPreparation(Request):
    """The preparation as held; without psychoeducation it allows no dose."""

    psychoeducation: bool
    intentions: Annotated[tuple[Text, ...], Field(max_length=20)] = ()
    completed_at: AwareDatetime


def record_preparation(_course: Course, command: RecordPreparation, context: Context, replaces: str | None = None) -> list[EventData]:
    """Record the preparation: a conversation that took place, so no stop refuses it. Raises Refusal for impossible times."""
    require_happened("completed_at", command.completed_at, context.now)
    return [
        PreparationCompleted(
            psychoeducation=command.psychoeducation,
            intentions=command.intentions,
            completed_at=command.completed_at,
            **entered(command.completed_at, context, replaces),
        )
    ]
