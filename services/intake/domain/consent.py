"""Consent: given here, withdrawn anywhere; and the event types with which intake speaks of stops."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from services.intake.domain.state import Case
from shared.events import intake
from shared.events.base import EventData, Slug
from shared.events.intake import ConsentScope
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request, StopEvents

STOPS = StopEvents(
    service="intake",
    withdrawn=intake.ConsentWithdrawn,
    placed=intake.SafetyHoldPlaced,
    lifted=intake.SafetyHoldLifted,
    noted=intake.StopNoted,
)


class GiveConsent(Request):
    """The patient consents to a version of the form; `scopes` name what the consent covers."""

    version: Slug
    scopes: Annotated[tuple[ConsentScope, ...], Field(min_length=1, max_length=3)]
    given_at: AwareDatetime


def give_consent(case: Case, command: GiveConsent, context: Context) -> list[EventData]:
    """Record a consent (R-20); refused if it lies in the future, is not later than what is known, or the case should not be."""
    case.require_referral()
    case.require_going_on()
    require_happened("given_at", command.given_at, context.now, rule="R-20")
    for known in (case.stops.consent_given_at, case.stops.consent_withdrawn_at):
        if known is not None and command.given_at <= known:
            raise Refusal("consent-superseded", "A later consent or withdrawal is already known.", rule="R-20")
    return [
        intake.ConsentGiven(
            version=command.version,
            scopes=command.scopes,
            given_at=command.given_at,
            entry=context.new_id("entry"),
            recorded_at=context.now,
        )
    ]
