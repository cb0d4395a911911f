"""Follow a case to another clinic; what it was protected by where it comes from goes with it (R-33)."""

from services.prescriber.domain.state import Case
from shared.events.base import EventData
from shared.events.intake import CaseTransferred
from shared.events.prescriber import TransferNoted
from shared.pathway.context import Context


def take_transfer(_case: Case, event: CaseTransferred, _context: Context) -> list[EventData]:
    """Follow the case to its new clinic, at once."""
    return [TransferNoted(to_clinic=event.to_clinic, from_clinic=event.from_clinic, transferred_at=event.transferred_at)]
