"""What other services say that counts before the next dose, and forbids nothing by itself."""

from services.session.domain.state import Course
from shared.events.base import EventData
from shared.events.integration import IntegrationHeld
from shared.events.session import IntegrationNoted, SupplyNoted
from shared.events.supply import MedicationDispensed
from shared.pathway.context import Context


def note_integration(_course: Course, event: IntegrationHeld, _context: Context) -> list[EventData]:
    """Take note that an integration session was held; it counts before the next dose (R-28)."""
    return [IntegrationNoted(session=event.dosing_session, held_at=event.held_at)]


def note_supply(course: Course, event: MedicationDispensed, _context: Context) -> list[EventData]:
    """Take note, once, that a lot was dispensed for the case; a dose of another lot is warned of."""
    return [] if event.lot in course.lots else [SupplyNoted(lot=event.lot)]
