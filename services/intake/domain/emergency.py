"""Emergency access (break-glass, R-32): who must read another clinic's case opens it with a reason, for a while, and answers for it.

HIPAA asks for such a procedure (45 CFR 164.312(a)(2)(ii)). It is told at once to whoever watches over the case's patients, ends by
itself, and stays open until someone else said whether it was justified.
"""

from datetime import timedelta

from pydantic import StrictBool

from services.intake.domain.alerts import ALERT, with_alerts
from services.intake.domain.emergency_reviews import EXPIRY
from services.intake.domain.state import Case
from shared.events import intake
from shared.events.base import EventData, Slug, Text
from shared.events.intake import EmergencyReason
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class OpenEmergencyAccess(Request):
    """Open the case to read it, and say why in a word and in one's own words."""

    reason: EmergencyReason
    explanation: Text


class CloseEmergencyAccess(Request):
    """End an emergency access before its time."""

    grant: Slug


class ReviewEmergencyAccess(Request):
    """Say whether an emergency access was justified, and what follows."""

    grant: Slug
    justified: StrictBool
    note: Text


def open_emergency_access(case: Case, command: OpenEmergencyAccess, context: Context) -> list[EventData]:
    """Open the case to who asks, until the policy's minutes have passed; refused in one's own clinic, and while one of theirs is open."""
    if context.clinic in context.actor.clinics:
        raise Refusal("not-needed", "The case is of your own clinic: you may read it.", rule="R-32")
    if context.actor.id in case.emergency.open_to(context.now):
        raise Refusal("already-open", "An emergency access of yours to this case is open already.", rule="R-32")
    values = context.policy.values
    opened = intake.EmergencyAccessOpened(
        grant=context.new_id("grant"),
        opened_by=context.actor.id,
        reason=command.reason,
        explanation=command.explanation,
        opened_at=context.now,
        expires_at=context.now + timedelta(minutes=values.emergency_access_minutes),
        review_by=context.now + timedelta(hours=values.emergency_review_hours),
    )
    return with_alerts([opened], context)


def close_emergency_access(case: Case, command: CloseEmergencyAccess, context: Context) -> list[EventData]:
    """End an emergency access of one's own, at once; refused for one that is not open, or another's."""
    grant = case.emergency.find(command.grant)
    if grant is None or grant.by != context.actor.id or context.now >= grant.until:
        raise Refusal("no-such-emergency-access", "No emergency access of yours with this id is open.", rule="R-32")
    return [intake.EmergencyAccessEnded(grant=grant.id, opened_by=grant.by, why="closed", ended_at=context.now)]


def review_emergency_access(case: Case, command: ReviewEmergencyAccess, context: Context) -> list[EventData]:
    """Say whether it was justified, once; refused to who opened it, and of one that runs unless it was not: that ends it."""
    review = case.emergency_reviews.find(command.grant)
    if review is None or review.verdict is not None:
        raise Refusal("no-such-emergency-access", "No emergency access with this id waits for a review.", rule="R-32")
    if review.opened_by == context.actor.id:
        raise Refusal("own-emergency-access", "Someone else must review an emergency access.", rule="R-32")
    running = review.ended_at is None
    if running and command.justified:
        raise Refusal("still-running", "The emergency access has not ended; what is read until then is to be reviewed too.", rule="R-32")
    ended = intake.EmergencyAccessEnded(grant=review.grant, opened_by=review.opened_by, why="not_justified", ended_at=context.now)
    reviewed = intake.EmergencyAccessReviewed(
        grant=review.grant,
        justified=command.justified,
        note=command.note,
        reviewed_by=context.actor.id,
        reviewed_at=context.now,
    )
    awaited = case.calls_for - {review.grant}
    return [*([ended] if running else []), reviewed, *ALERT.resolve(case.alerts, awaited, context)]


def say_emergency_access(case: Case, deadline: str, context: Context) -> list[EventData]:
    """Return what a passed deadline leads to: the ends of accesses whose time is over, or the call for reviews that are late."""
    reviews = case.emergency_reviews
    if deadline == EXPIRY:
        over = [access for access in reviews.running if access.expires_at <= context.now]
        return [
            intake.EmergencyAccessEnded(grant=access.grant, opened_by=access.opened_by, why="expired", ended_at=access.expires_at)
            for access in over
        ]
    late = [review for review in reviews.awaited if not review.late and review.due_at <= context.now]
    return with_alerts([intake.EmergencyAccessUnreviewed(grant=review.grant, review_by=review.due_at) for review in late], context)
