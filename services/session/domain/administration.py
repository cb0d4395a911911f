"""How the giving of a dose ended, where that was not known when the dose was recorded."""

from pydantic import AwareDatetime

from services.session.domain.state import Course
from shared.events.base import EventData
from shared.events.clinical import Route
from shared.events.dosing import Remainder
from shared.events.session import AdministrationEnded
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class RecordAdministrationEnd(Request):
    """The end of the session's last infusion, or of its last lozenge's time in the mouth; `whole`: all of the dose was given."""

    session: int
    ended_at: AwareDatetime
    remainder: Remainder | None = None
    whole: bool = True


def record_administration_end(course: Course, command: RecordAdministrationEnd, context: Context) -> list[EventData]:
    """Record the end, of the dose begun last before it. Raises Refusal for an impossible time or route, and where no dose was begun."""
    session = course.require(command.session)
    require_happened("ended_at", command.ended_at, context.now)
    begun = [dose for dose in session.doses if dose.given_at <= command.ended_at]
    if not begun:
        raise Refusal("not-dosed", "No dose of this session was begun by then.")
    dose = max(begun, key=lambda each: each.given_at)
    require_lozenge(command.remainder, dose.route)
    return [
        AdministrationEnded(
            session=session.number, given_at=dose.given_at, ended_at=command.ended_at, remainder=command.remainder, whole=command.whole
        )
    ]


def require_lozenge(remainder: Remainder | None, route: Route) -> None:
    """Raise Refusal if something was swallowed or spat out that was never in the mouth."""
    if remainder is not None and route != "sublingual":
        raise Refusal("malformed", "Only a lozenge is swallowed or spat out.")
