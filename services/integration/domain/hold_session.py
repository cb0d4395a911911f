"""Holding an integration session: a fact, recorded whenever it was, late ones too."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from services.integration.domain.complete import completion_after
from services.integration.domain.state import Case
from shared.events import integration
from shared.events.base import EventData, Slug, Text
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class HoldSession(Request):
    """An integration session took place; insights are the patient's own."""

    id: Slug
    held_at: AwareDatetime
    insights: Annotated[tuple[Text, ...], Field(max_length=20)] = ()


def hold_session(case: Case, command: HoldSession, context: Context) -> list[EventData]:
    """Record that a planned integration session was held."""
    planned = case.find(command.id)
    if planned is None:
        raise Refusal("no-such-integration-session", "No integration session of this id is planned.", rule="R-28")
    if planned.held_at is not None:
        raise Refusal("already-held", "This integration session was held already.", rule="R-28")
    if command.held_at > context.now:
        raise Refusal("time-in-the-future", "held_at lies in the future.", rule="R-28")
    held = integration.IntegrationHeld(
        id=planned.id,
        dosing_session=planned.dosing_session,
        purpose=planned.purpose,
        held_at=command.held_at,
        insights=command.insights,
    )
    return [held, *completion_after(case, [held], context.now)]
