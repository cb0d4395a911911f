"""What other services say that counts before the next dose."""

from services.session.domain.state import Course
from shared.events.base import EventData
from shared.events.integration import IntegrationHeld
from shared.events.prescriber import LotRecalled, LotRecallWithdrawn
from shared.events.session import IntegrationNoted, LotRecallEndNoted, LotRecallNoted, SupplyNoted
from shared.events.supply import MedicationDispensed
from shared.pathway.context import Context
from shared.pathway.lot import Lot


def note_integration(_course: Course, event: IntegrationHeld, _context: Context) -> list[EventData]:
    """Take note that an integration session was held; it counts before the next dose (R-28)."""
    return [IntegrationNoted(session=event.dosing_session, held_at=event.held_at)]


def note_supply(course: Course, event: MedicationDispensed, _context: Context) -> list[EventData]:
    """Take note, once, that a lot was dispensed for the case; a dose of another lot is warned of."""
    return [] if event.lot in course.lots else [SupplyNoted(lot=event.lot)]


def note_recall(_lot: Lot, event: LotRecalled, _context: Context) -> list[EventData]:
    """Take note that a lot was recalled: the gate allows no dose from it."""
    return [LotRecallNoted(lot=event.lot, recall=event.recall, reason=event.reason, source=event.source, recalled_at=event.recalled_at)]


def note_recall_end(_lot: Lot, event: LotRecallWithdrawn, _context: Context) -> list[EventData]:
    """Take note that a recall was withdrawn."""
    return [LotRecallEndNoted(lot=event.lot, recall=event.recall, reason=event.reason, withdrawn_at=event.withdrawn_at)]
