"""What integration does about other services' events."""

from services.integration.domain.complete import note_course_completion
from services.integration.domain.schedule import note_baseline, plan_after_dose
from services.integration.domain.stops import STOP
from shared.events import intake, prescriber, session
from shared.service.definition import Reactions

REACTIONS: Reactions = {
    intake.ScreeningCompleted: note_baseline,
    session.SessionDosed: plan_after_dose,
    session.CourseCompleted: note_course_completion,
    intake.ConsentGiven: STOP.note,
    intake.ConsentWithdrawn: STOP.note,
    intake.SafetyHoldPlaced: STOP.note,
    intake.SafetyHoldLifted: STOP.note,
    prescriber.ConsentWithdrawn: STOP.note,
    prescriber.SafetyHoldPlaced: STOP.note,
    prescriber.SafetyHoldLifted: STOP.note,
    session.ConsentWithdrawn: STOP.note,
    session.SafetyHoldPlaced: STOP.note,
    session.SafetyHoldLifted: STOP.note,
}
