"""Begin maintenance: single doses after the course keep its effect up, and integration goes on beside them."""

from pydantic import AwareDatetime

from services.integration.domain.complete import concluded
from services.integration.domain.plan import follow_ups
from services.integration.domain.state import Integration
from shared.events.base import EventData
from shared.events.integration import IntegrationPlanned, MaintenanceBegan
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class BeginMaintenance(Request):
    """From when on the patient is in maintenance."""

    began_at: AwareDatetime


def begin_maintenance(state: Integration, command: BeginMaintenance, context: Context) -> list[EventData]:
    """R-28: plan sessions at the policy's interval from the last dose on, instead of the follow-ups; each maintenance dose does so again.

    Raises Refusal before the first dose, while the course goes on, after the end of care, and at an impossible time.
    """
    last = state.require_dose()
    require_happened("began_at", command.began_at, context.now, rule="R-28")
    if state.maintenance_since is not None:
        raise Refusal("already-in-maintenance", "Maintenance began before.")
    if state.ended:
        raise Refusal("care-ended", "Integration ended; a further dose opens it again.")
    if not state.course_over:
        raise Refusal("course-not-over", "The course is not over yet; maintenance follows it.")
    if command.began_at < last.given_at:
        raise Refusal("before-dose", "began_at lies before the last dose of the course.", rule="R-28")
    plan = follow_ups(last.session, last.given_at, context.policy.on(last.route), maintenance=True)
    known = {each.id for each in state.planned}
    stays = {each.id for each in plan}
    planned = IntegrationPlanned(
        because="maintenance",
        dosing_sessions=(last.session,),
        planned=tuple(each for each in plan if each.id not in known and each.due_by > context.now),
        superseded=tuple(
            each.id for each in state.open_sessions if each.purpose == "follow_up" and each.id not in stays and each.due_by > context.now
        ),
    )
    return concluded(state, [MaintenanceBegan(began_at=command.began_at), planned], context)
