"""Record that an integration session did not take place when it was to: why, and its new time if it has one."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final, Self

from pydantic import AwareDatetime, model_validator

from services.integration.domain.complete import concluded
from services.integration.domain.planned import Planned
from services.integration.domain.state import Integration
from shared.events.base import EventData, Slug, Text
from shared.events.integration import IntegrationMissed
from shared.events.integration_plan import MissedBecause
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request

LATEST: Final = timedelta(days=366)
"""No appointment lies further ahead: a mistyped year must not keep a case open for ever."""


class RecordMissedSession(Request):
    """Why it did not take place, when the patient did not come or it was called off, and when it is to be held instead.

    `rescheduled` needs the new time, `other` a note.
    """

    id: Slug
    because: MissedBecause
    at: AwareDatetime
    note: Text | None = None
    rescheduled_to: AwareDatetime | None = None

    @model_validator(mode="after")
    def _says_what_it_must(self) -> Self:
        if self.because == "rescheduled" and self.rescheduled_to is None:
            raise ValueError("rescheduled needs the new time")
        if self.because == "other" and self.note is None:
            raise ValueError("other needs a note")
        return self


def record_missed_session(state: Integration, command: RecordMissedSession, context: Context) -> list[EventData]:
    """R-28: record it; the session stays to be held, at its new time or late. A new time beyond its window is named.

    Raises Refusal for one not planned, held already, or at an impossible time.
    """
    planned = state.require_planned(command.id)
    require_happened("at", command.at, context.now, rule="R-28")
    if planned.held is not None:
        raise Refusal("already-held", "This integration session was held.")
    if command.at < min(dose.given_at for dose in state.doses if dose.session in planned.dosing_sessions):
        raise Refusal("before-dose", "at lies before the dose that the session integrates.", rule="R-28")
    missed_after = None
    if command.rescheduled_to is not None:
        if command.rescheduled_to <= context.now:
            raise Refusal("time-in-the-past", "rescheduled_to does not lie in the future.")
        if command.rescheduled_to > context.now + LATEST:
            raise Refusal("out-of-range", f"rescheduled_to lies more than {LATEST.days} days ahead.")
        missed_after = command.rescheduled_to + timedelta(days=context.policy.values.integration_grace_days)
    missed = IntegrationMissed(
        id=planned.id,
        dosing_session=planned.dosing_sessions[-1],
        because=command.because,
        note=command.note,
        at=command.at,
        rescheduled_to=command.rescheduled_to,
        missed_after=missed_after,
        deviations=tuple(_deviations(planned, command)),
    )
    return concluded(state, [missed], context)


def _deviations(planned: Planned, command: RecordMissedSession) -> Iterator[Slug]:
    if planned.purpose == "after_dose" and command.rescheduled_to is not None and command.rescheduled_to > planned.window_ends:
        yield "outside-window"
