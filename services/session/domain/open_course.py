"""Open the course when an approval arrives and nothing forbids it; close it when a prescriber declines later, or the approval ends."""

from datetime import datetime, timedelta
from functools import reduce

from services.session.domain.state import Course, evolve
from services.session.domain.uncovered import found_by_end
from shared.events.base import EventData, Slug
from shared.events.clinical import TreatmentPlan
from shared.events.prescriber import EligibilityApproved, EligibilityDeclined, EligibilityExpired, EligibilityRevoked
from shared.events.session import CourseClosed, CourseOpened, CourseWithheld
from shared.events.stay import LateStop
from shared.pathway.context import Context


def take_approval(course: Course, event: EligibilityApproved, context: Context) -> list[EventData]:
    """React to an approval: open the course under its plan, or withhold it while a stop or a running session forbids that.

    A later approval replaces the plan; sessions go on counting. One that is known already, or older than what a
    prescriber decided since, says nothing new.
    """
    if event.request <= course.newest_request:
        return []
    why = _why_withheld(course)
    if why is None:
        return [_opened(event.plan, event.request, event.decided_at, context)]
    return [CourseWithheld(why=why, plan=event.plan, request=event.request, decided_at=event.decided_at)]


def take_decline(course: Course, event: EligibilityDeclined, context: Context) -> list[EventData]:
    """React to a decline: an approval of an earlier request no longer allows any dose (R-14)."""
    if event.request <= course.newest_request:
        return []
    closed = CourseClosed(why="declined", request=event.request, closed_at=context.now)
    return [closed, *found_by_end(course, "approval_declined", event.decided_at, context)]


def take_expiry(course: Course, event: EligibilityExpired, context: Context) -> list[EventData]:
    """React to the end of an approval: it no longer allows any dose (R-15)."""
    return _end(course, event.request, "approval_expired", event.expires_at, context)


def take_revocation(course: Course, event: EligibilityRevoked, context: Context) -> list[EventData]:
    """React to an approval that was taken back: it no longer allows any dose (R-14)."""
    return _end(course, event.request, "approval_revoked", event.revoked_at, context)


def open_if_clear(course: Course, context: Context) -> list[EventData]:
    """Return the opening of the approval that waits, if nothing forbids it now."""
    waiting = course.waiting
    if waiting is None or _why_withheld(course) is not None:
        return []
    return [_opened(waiting.plan, waiting.request, waiting.decided_at, context)]


def then_open(course: Course, events: list[EventData], context: Context) -> list[EventData]:
    """Return the events, and the opening that they set free."""
    return [*events, *open_if_clear(reduce(evolve, events, course), context)]


def _opened(plan: TreatmentPlan, request: int, decided_at: datetime | None, context: Context) -> CourseOpened:
    """Open the course; from [14] days before the approval ends on, at the clinic, it is said that it ends soon (R-15)."""
    warned_on = context.day_of(plan.expires_at) - timedelta(days=context.policy.on(plan.route).approval_warn_days)
    warning_at = context.start_of(warned_on)
    return CourseOpened(plan=plan, request=request, opened_at=context.now, decided_at=decided_at, expiry_warning_at=warning_at)


def _end(course: Course, request: int, how: LateStop, ended_at: datetime, context: Context) -> list[EventData]:
    """Close the course of this approval, unless it is closed already or a newer one replaced it."""
    if request <= course.closed_request or request < course.newest_request:
        return []
    closed = CourseClosed(why=how.removeprefix("approval_"), request=request, closed_at=context.now)
    return [closed, *found_by_end(course, how, ended_at, context)]


def _why_withheld(course: Course) -> Slug | None:
    return course.stops.why_stopped() or ("session-running" if course.running else None)
