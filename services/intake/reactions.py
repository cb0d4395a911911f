"""What intake does about other services' events: it takes note of every stop, whoever announced it."""

from services.intake.domain.consent import STOP
from shared.events import integration, prescriber, session
from shared.events.intake import PolicyNoted
from shared.pathway.adoption import noting
from shared.service.definition import Reactions

REACTIONS: Reactions = {
    prescriber.PolicyAdopted: noting(PolicyNoted),
    prescriber.ConsentWithdrawn: STOP.note,
    prescriber.SafetyHoldPlaced: STOP.note,
    prescriber.SafetyHoldLifted: STOP.note,
    session.ConsentWithdrawn: STOP.note,
    session.SafetyHoldPlaced: STOP.note,
    session.SafetyHoldLifted: STOP.note,
    integration.ConsentWithdrawn: STOP.note,
    integration.SafetyHoldPlaced: STOP.note,
    integration.SafetyHoldLifted: STOP.note,
}
