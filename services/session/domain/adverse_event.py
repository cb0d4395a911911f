"""Record an adverse event: never refused; its symptoms and its seriousness decide what follows at once."""

from typing import Annotated, Final

from pydantic import AwareDatetime, Field

from services.session.domain.entry import entered
from services.session.domain.monitor import then_watch
from services.session.domain.state import Course
from shared.events.base import EventData, Slug, Text
from shared.events.session import AdverseEventRecorded, Escalated, SafetyHoldPlaced
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.stop import Request

EMERGENCY_SYMPTOMS: Final = frozenset(
    {"chest_pain", "dyspnoea", "sudden_severe_headache", "visual_change", "seizure", "reduced_consciousness", "focal_sign"}
)
"""Signs of organ damage that call emergency care at any blood pressure (R-22; Spravato label 2019)."""


class RecordAdverseEvent(Request):
    """What happened; `session` null outside any. `symptoms` are slugs, those of EMERGENCY_SYMPTOMS among them."""

    session: int | None = None
    what: Text
    symptoms: Annotated[tuple[Slug, ...], Field(max_length=20)] = ()
    serious: bool
    happened_at: AwareDatetime


def record_adverse_event(course: Course, command: RecordAdverseEvent, context: Context, replaces: str | None = None) -> list[EventData]:
    """Record the event; emergency symptoms call help at once (R-22), a serious event calls a clinician and places a safety hold.

    A session number that does not exist is dropped rather than refused. Raises Refusal for impossible times only.
    """
    require_happened("happened_at", command.happened_at, context.now, rule="R-22")
    session = None if course.find(command.session) is None else command.session
    recorded = AdverseEventRecorded(
        session=session,
        what=command.what,
        symptoms=command.symptoms,
        serious=command.serious,
        happened_at=command.happened_at,
        **entered(command.happened_at, context, replaces),
    )
    events: list[EventData] = [recorded]
    signs = tuple(symptom for symptom in command.symptoms if symptom in EMERGENCY_SYMPTOMS)
    if signs or command.serious:
        because: tuple[Slug, ...] = signs or ("serious-adverse-event",)
        at, late = command.happened_at, recorded.late
        events.append(Escalated(session=session, emergency=bool(signs), rule="R-22", because=because, at=at, late=late))
    if command.serious:
        hold = SafetyHoldPlaced(hold=context.new_id("hold"), reason="adverse_event", note=command.what, placed_at=context.now)
        events.append(hold)
    return then_watch(course, events, context)
