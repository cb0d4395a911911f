"""Record an integration session."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from services.integration.domain.complete import then_complete
from services.integration.domain.state import Integration
from shared.events.base import EventData, Slug, Text
from shared.events.integration import IntegrationHeld
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class RecordIntegrationSession(Request):
    """A planned integration session took place; `insights` are the patient's own words."""

    id: Slug
    held_at: AwareDatetime
    insights: Annotated[tuple[Text, ...], Field(max_length=20)] = ()


def record_integration_session(state: Integration, command: RecordIntegrationSession, context: Context) -> list[EventData]:
    """Record that it was held, however late (R-28). Raises Refusal for one not planned, held already, or at an impossible time."""
    planned = state.require_planned(command.id)
    require_happened("held_at", command.held_at, context.now)
    if planned.held is not None:
        raise Refusal("already-held", "This integration session was already recorded.")
    held = IntegrationHeld(
        id=planned.id,
        dosing_session=planned.dosing_session,
        purpose=planned.purpose,
        held_at=command.held_at,
        insights=command.insights,
    )
    return then_complete(state, [held], context)
