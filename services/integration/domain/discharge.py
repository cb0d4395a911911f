"""Discharge from care: a person ends integration, says why, and what is left open stays on the record."""

from collections.abc import Iterator
from typing import Self

from pydantic import AwareDatetime, model_validator

from services.integration.domain.alerts import SCREENER
from services.integration.domain.complete import concluded
from services.integration.domain.state import Integration
from shared.events.base import EventData, Slug, Text
from shared.events.integration import CareDischarged
from shared.events.integration_plan import DischargedBecause
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class DischargeFromCare(Request):
    """Why and when the patient left care; `other` needs a note."""

    because: DischargedBecause
    discharged_at: AwareDatetime
    note: Text | None = None

    @model_validator(mode="after")
    def _other_says_what(self) -> Self:
        if self.because == "other" and self.note is None:
            raise ValueError("other needs a note")
        return self


def discharge_from_care(state: Integration, command: DischargeFromCare, context: Context) -> list[EventData]:
    """R-28: end integration, whatever is left open; a session that was to be held even so is named as a deviation (Journey Clinical, JC4).

    Raises Refusal before the first dose, a second time, and at an impossible time.
    """
    last = state.require_dose()
    require_happened("discharged_at", command.discharged_at, context.now, rule="R-28")
    if state.discharged is not None:
        raise Refusal("already-discharged", "The patient was discharged from care before; a further dose opens it again.")
    if command.discharged_at < last.given_at:
        raise Refusal("before-dose", "discharged_at lies before the last dose.", rule="R-28")
    discharged = CareDischarged(
        because=command.because,
        note=command.note,
        left_open=tuple(_left_open(state)),
        deviations=tuple(_deviations(state, command)),
        discharged_at=command.discharged_at,
        discharged_by=context.actor.id,
    )
    return concluded(state, [discharged], context)


def _left_open(state: Integration) -> Iterator[Slug]:
    if state.screener_due:
        yield SCREENER
    yield from (each.id for each in state.open_sessions)
    yield from (each.id for each in state.open_measurements)
    yield from (goal.set.goal for goal in state.goals if goal.closed is None)


def _deviations(state: Integration, command: DischargeFromCare) -> Iterator[Slug]:
    last = state.last_dose
    seen = any(each.held is not None and last is not None and each.held.held_at >= last.given_at for each in state.planned)
    if command.because == "died":
        return
    if any(each.purpose == "discharge" for each in state.open_sessions):
        yield "discharge-session-not-held"
    elif not seen:
        yield "not-seen-since-last-dose"
