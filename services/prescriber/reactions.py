"""Which event leads to which reaction. Any of them may be the first thing this service hears of a case."""

from services.prescriber.domain.administer import administer
from services.prescriber.domain.review import Partners, opening
from services.prescriber.domain.stops import noting
from shared.events import intake, integration, session
from shared.service.definition import Reactions


def table(partners: Partners) -> Reactions:
    """Return the reactions; those that assign a review choose among the partners registered then."""
    open_review = opening(partners)
    note = noting(partners)
    return {
        intake.ScreeningCompleted: open_review,
        intake.ConsentGiven: note,
        intake.ConsentWithdrawn: note,
        intake.SafetyHoldPlaced: note,
        intake.SafetyHoldLifted: note,
        session.ConsentWithdrawn: note,
        session.SafetyHoldPlaced: note,
        session.SafetyHoldLifted: note,
        integration.ConsentWithdrawn: note,
        integration.SafetyHoldPlaced: note,
        integration.SafetyHoldLifted: note,
        session.SessionDosed: administer,
    }
