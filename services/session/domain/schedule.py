"""Schedule a dosing session, and cancel one that does not take place."""

from datetime import datetime, timedelta

from pydantic import AwareDatetime

from services.session.domain.monitor import then_watch
from services.session.domain.objection import Objection, refused
from services.session.domain.room import home_objections
from services.session.domain.state import Course
from shared.events.base import EventData, Slug
from shared.events.dosing import Setting
from shared.events.session import SessionCancelled, SessionScheduled
from shared.pathway.context import Context
from shared.pathway.policy import PolicyValues
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class ScheduleSession(Request):
    """The next dosing session; its number is assigned. `group` is the same for every patient of a group session."""

    starts_at: AwareDatetime
    setting: Setting
    group: Slug | None = None


class CancelSession(Request):
    """A scheduled session does not take place."""

    session: int
    reason: Slug


def schedule_session(course: Course, command: ScheduleSession, context: Context) -> list[EventData]:
    """Put the next session in the diary.

    Raises Refusal while a stop or another open session forbids it, and without a plan that covers one more dose then.
    A gap of too many weeks since the last dose is refused under R-27 and recorded, a route that is not given at home under R-20.
    """
    course.stops.require_clear()
    plan = course.plan
    if plan is None:
        raise Refusal("not-approved", "No prescriber's approval is in force for this case.")
    if command.starts_at < context.now:
        raise Refusal("time-in-the-past", "starts_at lies in the past.")
    if command.starts_at >= plan.expires_at:
        raise Refusal("plan-expired", "The plan expires before the session would start; a new approval is needed.")
    if course.doses_left == 0:
        raise Refusal("doses-used-up", "Every dose of the plan was given; a new approval is needed.", rule="R-17")
    if course.open_sessions:
        raise Refusal("session-open", "Another session is open; it is discharged or cancelled first.")
    policy = context.policy.on(plan.route)
    gap = too_long_since_last_dose(course, command.starts_at, policy)
    objections = [] if gap is None else [gap]
    if command.setting == "home":
        objections += home_objections(plan.route, policy)
    if objections:
        return refused("schedule-session", objections, context, asked=command)
    return [
        SessionScheduled(
            session=course.next_number,
            starts_at=command.starts_at,
            setting=command.setting,
            group=command.group,
            policy_version=context.policy.version,
        )
    ]


def cancel_session(course: Course, command: CancelSession, context: Context) -> list[EventData]:
    """Cancel a session before its first dose; raises Refusal afterwards."""
    if course.require(command.session).phase != "scheduled":
        raise Refusal("not-scheduled", "Only a session that is scheduled and not dosed can be cancelled.")
    return then_watch(course, [SessionCancelled(session=command.session, reason=command.reason)], context)


def too_long_since_last_dose(course: Course, at: datetime, policy: PolicyValues) -> Objection | None:
    """R-27: more than [12] weeks after the last dose a prescriber clears the patient again (Mindbloom, "returning").

    An approval decided after that dose is such a clearance, and the weeks count from it.
    """
    last_dose_at = course.last_dose_at(by=at)
    if last_dose_at is None or course.approval is None:
        return None
    cleared_at = course.approval.decided_at or last_dose_at
    weeks = policy.reclearance_after_weeks
    if at - max(last_dose_at, cleared_at) <= timedelta(weeks=weeks):
        return None
    return Objection(
        "R-27",
        "reclearance-needed",
        f"More than {weeks} weeks lie between the last dose and this one; a prescriber must clear the patient again.",
        {"last_dose_at": last_dose_at.isoformat(), "at": at.isoformat()},
    )
