"""Note what the patient understood, hours or weeks after a dose."""

from pydantic import AwareDatetime

from services.integration.domain.state import Integration
from shared.events.base import EventData, Text
from shared.events.integration import InsightNoted
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.stop import Request


class NoteInsight(Request):
    """The patient's own words, and when it came to them."""

    insight: Text
    came_at: AwareDatetime


def note_insight(_state: Integration, command: NoteInsight, context: Context) -> list[EventData]:
    """Note the insight; it needs no session. Raises Refusal for an impossible time."""
    require_happened("came_at", command.came_at, context.now)
    return [InsightNoted(insight=command.insight, came_at=command.came_at, noted_at=context.now)]
