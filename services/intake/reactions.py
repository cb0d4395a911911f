"""What intake does about other services' events: it takes note of every stop, whoever announced it."""

from services.intake.domain.consent import STOPS
from shared.events import integration, prescriber, session
from shared.events.intake import PolicyNoted
from shared.pathway.adoption import noting
from shared.service.definition import Reactions

REACTIONS: Reactions = {
    prescriber.PolicyAdopted: noting(PolicyNoted),
    prescriber.ConsentWithdrawn: STOPS.note,
    prescriber.SafetyHoldPlaced: STOPS.note,
    prescriber.SafetyHoldLifted: STOPS.note,
    session.ConsentWithdrawn: STOPS.note,
    session.SafetyHoldPlaced: STOPS.note,
    session.SafetyHoldLifted: STOPS.note,
    integration.ConsentWithdrawn: STOPS.note,
    integration.SafetyHoldPlaced: STOPS.note,
    integration.SafetyHoldLifted: STOPS.note,
}
