"""Consent and safety holds, as every service knows them, and what they stop.

A withdrawal or a hold stops whatever doses, approves, starts a phase or discloses. It never stops a fact:
vitals, emergencies, adverse events, discharge, corrections and forms stay open.

Folding is by time and by hold id, so the same announcements in any order give the same answer.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict

from shared.events import base, intake
from shared.events.base import EventData, HoldReason, Slug, Text
from shared.pathway.context import Context
from shared.pathway.folding import speaking_of
from shared.pathway.happened import require_happened
from shared.pathway.refusal import Refusal


@dataclass(frozen=True, slots=True)
class Stops:
    """What is known of consent and holds."""

    consent_given_at: datetime | None = None
    consent_withdrawn_at: datetime | None = None
    consent_version: str | None = None
    consent_scopes: frozenset[str] = frozenset()
    placed: frozenset[str] = frozenset()
    lifted: frozenset[str] = frozenset()

    @property
    def consented(self) -> bool:
        """Whether consent was given and not withdrawn since."""
        if self.consent_given_at is None:
            return False
        return self.consent_withdrawn_at is None or self.consent_given_at > self.consent_withdrawn_at

    @property
    def holds(self) -> frozenset[str]:
        """The holds in force."""
        return self.placed - self.lifted

    def why_stopped(self, scope: Literal["treatment", "disclosure_to_prescriber"] = "treatment") -> str | None:
        """Return the slug of what forbids a step that doses, approves, starts or discloses; None if nothing does."""
        if self.holds:
            return "safety-hold"
        if self.consent_given_at is None:
            return "consent-missing"
        if not self.consented:
            return "consent-withdrawn"
        if scope not in self.consent_scopes:
            return "consent-does-not-cover"
        return None

    def require_clear(self, scope: Literal["treatment", "disclosure_to_prescriber"] = "treatment") -> None:
        """Raise the Refusal that says what stops the step."""
        why = self.why_stopped(scope)
        if why is not None:
            raise Refusal(why, _SAID[why])


_SAID = {
    "safety-hold": "A safety hold is in force for this case; a clinician must lift it with a reason first.",
    "consent-missing": "No consent is known for this case.",
    "consent-withdrawn": "The patient withdrew consent; new consent is needed first.",
    "consent-does-not-cover": "The consent in force does not cover this step.",
}


_speaks = speaking_of(intake.ConsentGiven, base.ConsentWithdrawn, base.SafetyHoldPlaced, base.SafetyHoldLifted, base.StopNoted)


def fold(stops: Stops, event: EventData) -> Stops:
    """Fold an event that speaks of consent or holds; any other leaves stops as they are."""
    if not _speaks(type(event)):
        return stops
    match event:
        case intake.ConsentGiven():
            return _given(stops, event.given_at, event.version, frozenset(event.scopes))
        case base.ConsentWithdrawn():
            return _withdrawn(stops, event.withdrawn_at)
        case base.SafetyHoldPlaced():
            return replace(stops, placed=stops.placed | {event.hold})
        case base.SafetyHoldLifted():
            return replace(stops, lifted=stops.lifted | {event.hold})
        case base.StopNoted(kind="consent_given"):
            return _given(stops, event.at, event.consent_version, frozenset(event.scopes))
        case base.StopNoted(kind="consent_withdrawn"):
            return _withdrawn(stops, event.at)
        case base.StopNoted(kind="hold_placed", hold=str(hold)):
            return replace(stops, placed=stops.placed | {hold})
        case base.StopNoted(kind="hold_lifted", hold=str(hold)):
            return replace(stops, lifted=stops.lifted | {hold})
        case _:
            return stops


def _given(stops: Stops, at: datetime, version: str | None, scopes: frozenset[str]) -> Stops:
    if stops.consent_given_at is not None and stops.consent_given_at >= at:
        return stops
    return replace(stops, consent_given_at=at, consent_version=version, consent_scopes=scopes)


def _withdrawn(stops: Stops, at: datetime) -> Stops:
    latest = at if stops.consent_withdrawn_at is None else max(at, stops.consent_withdrawn_at)
    return replace(stops, consent_withdrawn_at=latest)


class Stoppable(Protocol):
    """A case state that knows its stops."""

    @property
    def stops(self) -> Stops:
        """Consent and holds as known."""
        ...


class Request(BaseModel):
    """The body of a command: unknown fields, wrong types and NaN are refused, and blanks are no words."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True, str_strip_whitespace=True
    )


class WithdrawConsent(Request):
    """The patient withdraws consent; `withdrawn_at` is when they said so."""

    withdrawn_at: AwareDatetime


class PlaceHold(Request):
    """Place a safety hold on the case."""

    reason: HoldReason
    note: Text | None = None


class LiftHold(Request):
    """Lift a hold with a reason."""

    hold: Slug
    reason: Text


@dataclass(frozen=True, slots=True)
class StopEvents:
    """The event types with which one service speaks of stops."""

    service: str
    withdrawn: type[base.ConsentWithdrawn]
    placed: type[base.SafetyHoldPlaced]
    lifted: type[base.SafetyHoldLifted]
    noted: type[base.StopNoted]

    def withdraw(self, state: Stoppable, command: WithdrawConsent, context: Context) -> list[EventData]:
        """Record a withdrawal; always accepted unless its time is impossible or it is known already."""
        require_happened("withdrawn_at", command.withdrawn_at, context.now, rule="R-20")
        known = state.stops.consent_withdrawn_at
        if known is not None and known >= command.withdrawn_at:
            raise Refusal("already-withdrawn", "This withdrawal is already known.")
        return [self.withdrawn(withdrawn_at=command.withdrawn_at, said_to=self.service)]

    def place(self, _state: Stoppable, command: PlaceHold, context: Context) -> list[EventData]:
        """Place a hold; always accepted."""
        return [self.placed(hold=context.new_id("hold"), reason=command.reason, note=command.note, placed_at=context.now)]

    def lift(self, state: Stoppable, command: LiftHold, context: Context) -> list[EventData]:
        """Lift a hold that is in force."""
        if command.hold not in state.stops.holds:
            raise Refusal("no-such-hold", "No hold of this id is in force for the case.")
        return [self.lifted(hold=command.hold, reason=command.reason, lifted_at=context.now)]

    def note(self, state: Stoppable, event: EventData, context: Context) -> list[EventData]:
        """React to another service's announcement: take note, once, if it says anything new."""
        if fold(state.stops, event) == state.stops:
            return []
        assert context.envelope is not None, "notes are reactions"  # noqa: S101
        source = context.envelope.source
        match event:
            case intake.ConsentGiven():
                return [
                    self.noted(
                        kind="consent_given", at=event.given_at, noted_from=source, consent_version=event.version, scopes=event.scopes
                    )
                ]
            case base.ConsentWithdrawn():
                return [self.noted(kind="consent_withdrawn", at=event.withdrawn_at, noted_from=source)]
            case base.SafetyHoldPlaced():
                return [self.noted(kind="hold_placed", at=event.placed_at, noted_from=source, hold=event.hold, reason=event.reason)]
            case base.SafetyHoldLifted():
                return [self.noted(kind="hold_lifted", at=event.lifted_at, noted_from=source, hold=event.hold)]
            case _:
                return []
