"""What the session service does about other services' events. Any of them may be the first it hears of a case."""

from services.session.domain.monitor import then_watch
from services.session.domain.note import note_integration, note_recall, note_recall_end, note_supply
from services.session.domain.open_course import take_approval, take_decline, take_expiry, take_revocation
from services.session.domain.state import Course
from services.session.domain.stops import note_stop
from services.session.domain.transfer import take_transfer
from shared.events import intake, integration, prescriber, supply
from shared.events.base import EventData
from shared.events.session import EmergencyAccessNoted, PolicyNoted
from shared.pathway.adoption import noting
from shared.pathway.context import Context
from shared.pathway.emergency import noting as noting_emergency
from shared.service.definition import Reaction, Reactions


def settling(reaction: Reaction) -> Reaction:
    """Return a reaction that also settles the alerts about what it brings, such as an approval that was waited for."""

    def react(course: Course, event: EventData, context: Context) -> list[EventData]:
        said = reaction(course, event, context)
        return then_watch(course, said, context) if said else []

    return react


REACTIONS: Reactions = {
    prescriber.PolicyAdopted: noting(PolicyNoted),
    prescriber.LotRecalled: note_recall,
    prescriber.LotRecallWithdrawn: note_recall_end,
    prescriber.EligibilityApproved: settling(take_approval),
    prescriber.EligibilityDeclined: settling(take_decline),
    prescriber.EligibilityExpired: settling(take_expiry),
    prescriber.EligibilityRevoked: settling(take_revocation),
    supply.MedicationDispensed: note_supply,
    integration.IntegrationHeld: note_integration,
    intake.CaseTransferred: take_transfer,
    intake.EmergencyAccessOpened: noting_emergency(EmergencyAccessNoted),
    intake.EmergencyAccessEnded: noting_emergency(EmergencyAccessNoted),
    intake.ConsentGiven: settling(note_stop),
    intake.ConsentWithdrawn: settling(note_stop),
    intake.SafetyHoldPlaced: settling(note_stop),
    intake.SafetyHoldLifted: settling(note_stop),
    prescriber.ConsentWithdrawn: settling(note_stop),
    prescriber.SafetyHoldPlaced: settling(note_stop),
    prescriber.SafetyHoldLifted: settling(note_stop),
    integration.ConsentWithdrawn: settling(note_stop),
    integration.SafetyHoldPlaced: settling(note_stop),
    integration.SafetyHoldLifted: settling(note_stop),
}
