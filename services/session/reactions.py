"""What the session service does about other services' events. Any of them may be the first it hears of a case."""

from services.session.domain.note import note_integration, note_supply
from services.session.domain.open_course import take_approval, take_decline, take_expiry, take_revocation
from services.session.domain.stops import note_stop
from services.session.domain.transfer import take_transfer
from shared.events import intake, integration, prescriber
from shared.events.session import PolicyNoted
from shared.pathway.adoption import noting
from shared.service.definition import Reactions

REACTIONS: Reactions = {
    prescriber.PolicyAdopted: noting(PolicyNoted),
    prescriber.EligibilityApproved: take_approval,
    prescriber.EligibilityDeclined: take_decline,
    prescriber.EligibilityExpired: take_expiry,
    prescriber.EligibilityRevoked: take_revocation,
    prescriber.MedicationDispensed: note_supply,
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
