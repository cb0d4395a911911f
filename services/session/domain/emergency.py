"""What was done about an emergency: it stands open until someone records how it ended (R-22, R-35)."""

from pydantic import AwareDatetime

from services.session.domain.entry import entered
from services.session.domain.monitor import then_watch
from services.session.domain.state import Course
from shared.events.base import EventData, Text
from shared.events.stay import EmergencyResponded
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class RecordEmergencyResponse(Request):
    """What was done by `responded_at`; `resolved` says that the emergency is over for this clinic, with the outcome.

    `session` null for one outside any session.
    """

    session: int | None = None
    emergency_services_called: bool
    transported: bool
    resolved: bool
    outcome: Text
    responded_at: AwareDatetime


def record_emergency_response(
    course: Course, command: RecordEmergencyResponse, context: Context, replaces: str | None = None
) -> list[EventData]:
    """Record the response; never refused but for impossible times and an unknown session."""
    if command.session is not None:
        course.require(command.session)
    require_happened("responded_at", command.responded_at, context.now, rule="R-22")
    begun = [each.at for each in course.escalations if each.emergency and each.session == command.session]
    if begun and command.responded_at < min(begun):
        raise Refusal("out-of-range", "responded_at lies before the emergency.", rule="R-22")
    responded = EmergencyResponded(
        session=command.session,
        emergency_services_called=command.emergency_services_called,
        transported=command.transported,
        resolved=command.resolved,
        outcome=command.outcome,
        responded_at=command.responded_at,
        responded_by=context.actor.id,
        **entered(command.responded_at, context, replaces),
    )
    return then_watch(course, [responded], context)
