"""What the integration service does about other services' events. Any of them may be the first it hears of a case."""

from services.integration.domain.schedule import note_baseline, note_course_over, schedule_integration
from services.integration.domain.stops import STOPS
from shared.events import intake, prescriber, session
from shared.events.integration import PolicyNoted, TransferNoted
from shared.pathway.adoption import noting
from shared.pathway.transfer import noting as noting_transfer
from shared.service.definition import Reactions

REACTIONS: Reactions = {
    prescriber.PolicyAdopted: noting(PolicyNoted),
    intake.ScreeningCompleted: note_baseline,
    session.SessionDosed: schedule_integration,
    session.CourseCompleted: note_course_over,
    intake.CaseTransferred: noting_transfer(TransferNoted),
    intake.ConsentGiven: STOPS.note,
    intake.ConsentWithdrawn: STOPS.note,
    intake.SafetyHoldPlaced: STOPS.note,
    intake.SafetyHoldLifted: STOPS.note,
    prescriber.ConsentWithdrawn: STOPS.note,
    prescriber.SafetyHoldPlaced: STOPS.note,
    prescriber.SafetyHoldLifted: STOPS.note,
    session.ConsentWithdrawn: STOPS.note,
    session.SafetyHoldPlaced: STOPS.note,
    session.SafetyHoldLifted: STOPS.note,
}
