"""What the integration service does about other services' events. Any of them may be the first it hears of a case."""

from services.integration.domain.baseline import note_baseline
from services.integration.domain.course import note_course_cut_short, note_course_open, note_course_over, note_prescriber
from services.integration.domain.schedule import schedule_integration
from services.integration.domain.stops import note_stop
from services.integration.domain.withdraw import withdraw_integration
from shared.events import intake, prescriber, session
from shared.events.integration import EmergencyAccessNoted, PolicyNoted, TransferNoted
from shared.pathway.adoption import noting
from shared.pathway.emergency import noting as noting_emergency
from shared.pathway.transfer import noting as noting_transfer
from shared.service.definition import Reactions

REACTIONS: Reactions = {
    prescriber.PolicyAdopted: noting(PolicyNoted),
    intake.ScreeningCompleted: note_baseline,
    prescriber.EligibilityApproved: note_prescriber,
    session.SessionDosed: schedule_integration,
    session.EntryCorrected: withdraw_integration,
    session.CourseOpened: note_course_open,
    session.CourseClosed: note_course_cut_short,
    session.CourseCompleted: note_course_over,
    intake.CaseTransferred: noting_transfer(TransferNoted),
    intake.EmergencyAccessOpened: noting_emergency(EmergencyAccessNoted),
    intake.EmergencyAccessEnded: noting_emergency(EmergencyAccessNoted),
    intake.ConsentGiven: note_stop,
    intake.ConsentWithdrawn: note_stop,
    intake.SafetyHoldPlaced: note_stop,
    intake.SafetyHoldLifted: note_stop,
    prescriber.ConsentWithdrawn: note_stop,
    prescriber.SafetyHoldPlaced: note_stop,
    prescriber.SafetyHoldLifted: note_stop,
    session.ConsentWithdrawn: note_stop,
    session.SafetyHoldPlaced: note_stop,
    session.SafetyHoldLifted: note_stop,
}
