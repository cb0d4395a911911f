"""R-19: a prescriber decides on a blood pressure that holds a dose; whoever was asked is called no more."""

from pydantic import AwareDatetime

from services.session.domain.monitor import then_watch
from services.session.domain.objection import refused
from services.session.domain.pressure import above_trial_limits, last_reading, no_dose_today, trial_objection
from services.session.domain.session import above
from services.session.domain.state import Course
from shared.events.base import EventData, Text
from shared.events.dosing import PressureDecision
from shared.events.session import PressureDecided
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class DecideOnPressure(Request):
    """A prescriber's word on the last pressure: go on until a moment, wait and measure again, or no dose today."""

    session: int
    decision: PressureDecision
    until: AwareDatetime | None = None
    """For `proceed`, and only for it: from when on it counts no more."""
    reason: Text


def decide_on_pressure(course: Course, command: DecideOnPressure, context: Context) -> list[EventData]:
    """Record a prescriber's decision on a pressure that holds a dose; it covers that pressure, and none that is higher (R-19).

    Going on above a trial's limits is refused and recorded where the policy takes them. Raises Refusal for a session
    that is closed, where nothing is held, and for a `proceed` without a moment in the future at which it ends.
    """
    session = course.require(command.session)
    if session.phase in {"completed", "cancelled"}:
        raise Refusal("session-closed", "This session is closed.")
    if (command.until is not None) != (command.decision == "proceed"):
        raise Refusal("malformed", "until is stated with proceed, and only with it.", rule="R-19")
    if command.until is not None and command.until <= context.now:
        raise Refusal("out-of-range", "until lies in the past.", rule="R-19")
    policy = context.policy.on(course.route_of(session))
    last = last_reading(session, context.now)
    if last is None or not (above(last.pressure, course.limits(policy).hold_above) or no_dose_today(session, context.now, context)):
        raise Refusal("nothing-held", "No blood pressure of this session holds a dose.", rule="R-19")
    if command.decision == "proceed" and above_trial_limits(last.pressure, policy):
        return refused("decide-on-pressure", [trial_objection(last.pressure, policy)], context, asked=command)
    decided = PressureDecided(
        session=session.number,
        decision=command.decision,
        pressure=last.pressure,
        measured_at=last.at,
        until=command.until,
        reason=command.reason,
        decided_by=context.actor.id,
        organisation=context.actor.organisation,
        decided_at=context.now,
        policy_version=context.policy.version,
    )
    return then_watch(course, [decided], context)
