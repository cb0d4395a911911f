"""Follow a case to another clinic, but never while the patient is under a dose: who monitors must be able to go on."""

from functools import reduce

from services.session.domain.state import Course, evolve
from shared.events import intake
from shared.events.base import EventData
from shared.events.session import TransferAwaited, TransferNoted
from shared.pathway.context import Context


def take_transfer(course: Course, event: intake.CaseTransferred, _context: Context) -> list[EventData]:
    """Follow the case to its new clinic, once no session runs."""
    if course.running:
        return [TransferAwaited(to_clinic=event.to_clinic, transferred_at=event.transferred_at)]
    return [TransferNoted(to_clinic=event.to_clinic, transferred_at=event.transferred_at)]


def then_transfer(course: Course, events: list[EventData]) -> list[EventData]:
    """Return the events, and the transfer that waited for the discharge if they end the last running session."""
    after = reduce(evolve, events, course)
    awaited = after.awaited_transfer
    if awaited is None or after.running:
        return events
    return [*events, TransferNoted(to_clinic=awaited.to_clinic, transferred_at=awaited.transferred_at)]
