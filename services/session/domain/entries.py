"""Everything that was recorded of a course and can be corrected, whatever became of it. Pure."""

from collections.abc import Iterator

from services.session.domain.state import Course
from shared.events import session as events
from shared.events import stay
from shared.events.stay import EntryKind
from shared.pathway.entry import Correction

Recorded = (
    events.PreparationCompleted
    | events.PreDoseChecked
    | events.SessionDosed
    | events.VitalsRecorded
    | events.AdverseEventRecorded
    | events.SessionCompleted
    | stay.ChaperoneChecked
    | stay.EmergencyResponded
    | stay.RemsFormSubmitted
)


def recorded(course: Course) -> Iterator[tuple[EntryKind, int | None, Recorded]]:
    """Yield each entry with its kind and the session it belongs to."""
    for preparation in course.recorded_preparations:
        yield "preparation", None, preparation
    for adverse_event in course.recorded_adverse_events:
        yield "adverse_event", adverse_event.session, adverse_event
    for response in course.recorded_responses:
        yield "emergency_response", response.session, response
    for session in course.sessions:
        held: tuple[tuple[EntryKind, tuple[Recorded, ...]], ...] = (
            ("checks", session.recorded_checks),
            ("dose", session.recorded_doses),
            ("vitals", session.recorded_vitals),
            ("chaperone_check", session.recorded_chaperone_checks),
            ("discharge", session.recorded_discharges),
            ("rems_form", session.recorded_forms),
        )
        yield from ((kind, session.number, entry) for kind, entries in held for entry in entries)


def correction_of(course: Course, session: int | None, entry: str | None) -> Correction | None:
    """Return how an entry was marked; None for one that counts."""
    if entry is None:
        return None
    held = course.find(session)
    return course.corrected.get(entry) or (None if held is None else held.corrected.get(entry))
