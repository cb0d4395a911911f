"""What the session service does about other services' events. Any of them may be the first it hears of a case."""

from services.session.domain.open_course import take_approval, take_decline, take_expiry, take_revocation
from services.session.domain.state import Course
from services.session.domain.stops import note_stop
from services.session.domain.transfer import take_transfer
from shared.events import intake, integration, prescriber
from shared.events.base import EventData
from shared.events.session import IntegrationNoted, LotRecallEndNoted, LotRecallNoted, PolicyNoted
from shared.pathway.adoption import noting
from shared.pathway.context import Context
from shared.pathway.lot import Lot
from shared.service.definition import Reactions


def note_integration(_course: Course, event: integration.IntegrationHeld, _context: Context) -> list[EventData]:
    """Take note that an integration session was held; it counts before the next dose (R-28)."""
    return [IntegrationNoted(session=event.dosing_session, held_at=event.held_at)]


def note_recall(_lot: Lot, event: prescriber.LotRecalled, _context: Context) -> list[EventData]:
    """Take note that a lot was recalled: the gate allows no dose from it."""
    return [LotRecallNoted(lot=event.lot, recall=event.recall, reason=event.reason, source=event.source, recalled_at=event.recalled_at)]


def note_recall_end(_lot: Lot, event: prescriber.LotRecallWithdrawn, _context: Context) -> list[EventData]:
    """Take note that a recall was withdrawn."""
    return [LotRecallEndNoted(lot=event.lot, recall=event.recall, reason=event.reason, withdrawn_at=event.withdrawn_at)]


REACTIONS: Reactions = {
    prescriber.PolicyAdopted: noting(PolicyNoted),
    prescriber.LotRecalled: note_recall,
    prescriber.LotRecallWithdrawn: note_recall_end,
    prescriber.EligibilityApproved: take_approval,
    prescriber.EligibilityDeclined: take_decline,
    prescriber.EligibilityExpired: take_expiry,
    prescriber.EligibilityRevoked: take_revocation,
    integration.IntegrationHeld: note_integration,
    intake.CaseTransferred: take_transfer,
    intake.ConsentGiven: note_stop,
    intake.ConsentWithdrawn: note_stop,
    intake.SafetyHoldPlaced: note_stop,
    intake.SafetyHoldLifted: note_stop,
    prescriber.ConsentWithdrawn: note_stop,
    prescriber.SafetyHoldPlaced: note_stop,
    prescriber.SafetyHoldLifted: note_stop,
    integration.ConsentWithdrawn: note_stop,
    integration.SafetyHoldPlaced: note_stop,
    integration.SafetyHoldLifted: note_stop,
}
