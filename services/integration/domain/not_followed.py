"""Record why an outcome is not measured: a report is honest only with the reason beside it (R-29)."""

from typing import Self

from pydantic import AwareDatetime, model_validator

from services.integration.domain.complete import concluded
from services.integration.domain.state import Integration
from shared.events.base import EventData, Slug, Text
from shared.events.integration import OutcomeNotFollowed
from shared.events.integration_plan import NotFollowedBecause
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class RecordNotFollowed(Request):
    """Why the outcome is not measured at one time, or at every one that is still to come (`measurement` null). `other` needs a note."""

    measurement: Slug | None = None
    because: NotFollowedBecause
    note: Text | None = None
    at: AwareDatetime

    @model_validator(mode="after")
    def _other_says_what(self) -> Self:
        if self.because == "other" and self.note is None:
            raise ValueError("other needs a note")
        return self


def record_not_followed(state: Integration, command: RecordNotFollowed, context: Context) -> list[EventData]:
    """R-29: record the reason; it ends the reminder. A death counts for every time that is still to come.

    Raises Refusal for a time that is not planned, was measured or has its reason already, and where nothing is awaited.
    """
    require_happened("at", command.at, context.now, rule="R-29")
    awaited = tuple(each.id for each in state.open_measurements)
    if command.measurement is not None and command.measurement not in awaited:
        known = any(each.id == command.measurement for each in state.measurements)
        raise (
            Refusal("not-awaited", "This measurement is not awaited any more.")
            if known
            else Refusal("no-such-measurement", "No measurement of this id is planned.")
        )
    if not awaited:
        raise Refusal("not-awaited", "No measurement is awaited.")
    measurements = awaited if command.measurement is None or command.because == "died" else (command.measurement,)
    return concluded(
        state, [OutcomeNotFollowed(measurements=measurements, because=command.because, note=command.note, at=command.at)], context
    )
