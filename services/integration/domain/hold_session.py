"""Record an integration session."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from services.integration.domain.complete import concluded
from services.integration.domain.plan import session_after_dose
from services.integration.domain.planned import Dose, Planned
from services.integration.domain.state import Integration
from shared.events.base import EventData, Slug, Text
from shared.events.integration import IntegrationHeld, IntegrationPlanned
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class RecordIntegrationSession(Request):
    """An integration session took place, a planned one or (`id` null) one that nobody had planned; `insights` are the patient's words."""

    id: Slug | None = None
    held_at: AwareDatetime
    insights: Annotated[tuple[Text, ...], Field(max_length=20)] = ()


def record_integration_session(state: Integration, command: RecordIntegrationSession, context: Context) -> list[EventData]:
    """Record that it was held, however late (R-28). Raises Refusal for one not planned, held already, or at an impossible time.

    A dose that shares the session, and was given only after it was held, gets one of its own.
    """
    require_happened("held_at", command.held_at, context.now, rule="R-28")
    planned = None if command.id is None else state.require_planned(command.id)
    if planned is not None and planned.held is not None:
        raise Refusal("already-held", "This integration session was already recorded.")
    candidates = state.doses_of_care if planned is None else tuple(d for d in state.doses if d.session in planned.dosing_sessions)
    if not candidates:
        raise Refusal("not-dosed", "No dose is known that this session could integrate.")
    integrated = [dose for dose in candidates if dose.given_at <= command.held_at]
    if not integrated:
        raise Refusal("before-dose", "held_at lies before the dose that the session integrates.", rule="R-28")
    last = max(integrated, key=lambda dose: dose.given_at)
    held = IntegrationHeld(
        id=context.new_id("unplanned") if planned is None else planned.id,
        dosing_session=last.session,
        purpose="unplanned" if planned is None else planned.purpose,
        held_at=command.held_at,
        insights=command.insights,
    )
    return concluded(state, [held, *_left_over(planned, [dose for dose in candidates if dose not in integrated], context)], context)


def _left_over(planned: Planned | None, doses: list[Dose], context: Context) -> list[EventData]:
    if planned is None or not doses:
        return []
    first = min(doses, key=lambda dose: dose.given_at)
    session = session_after_dose(first.session, first.given_at, context.policy.on(first.route))
    numbers = tuple(dose.session for dose in sorted(doses, key=lambda dose: dose.given_at))
    return [IntegrationPlanned(because="held-before-dose", dosing_sessions=numbers, planned=(session,))]
