"""The chaperone of a remote session looks at the patient time after time, from the dose until the discharge (R-25)."""

from datetime import datetime, timedelta

from pydantic import AwareDatetime

from services.session.domain.entry import entered, not_before
from services.session.domain.monitor import require_of_the_stay, then_watch
from services.session.domain.session import Session
from services.session.domain.state import Course
from shared.events.base import EventData, Slug
from shared.events.session import Escalated
from shared.events.stay import ChaperoneChecked, NextCheck
from shared.pathway.context import Context
from shared.pathway.policy import PolicyValues
from shared.pathway.stop import Request


class RecordChaperoneCheck(Request):
    """What the chaperone, an opaque id, saw; `visible` says whether they saw the patient at all."""

    session: int
    chaperone: Slug
    visible: bool
    responsive: bool
    checked_at: AwareDatetime


def record_chaperone_check(course: Course, command: RecordChaperoneCheck, context: Context, replaces: str | None = None) -> list[EventData]:
    """Record a check; no response is an emergency (R-35), a patient who is not seen calls a clinician and settles nothing (R-25).

    Raises Refusal for an unknown session and impossible times.
    """
    session = course.require(command.session)
    require_of_the_stay("checked_at", command.checked_at, session, context, rule="R-25")
    entry = entered(command.checked_at, context, replaces)
    checked = ChaperoneChecked(
        session=command.session,
        chaperone=command.chaperone,
        visible=command.visible,
        responsive=command.responsive,
        checked_at=command.checked_at,
        next_check=next_check(session, command.checked_at, entry["rest_expected_by"], context.policy.on(course.route_of(session))),
        **entry,
    )
    return then_watch(course, [checked, *_escalations(checked)], context)


def next_check(session: Session, at: datetime, rest_expected_by: datetime | None, policy: PolicyValues) -> NextCheck | None:
    """Return when the patient of a remote session is to be seen after a dose or a check: within [15] minutes, escalated after [20]."""
    if not session.at_home:
        return None
    due_at = at + timedelta(minutes=policy.chaperone_check_minutes)
    escalate_at = max(due_at, at + timedelta(minutes=policy.chaperone_escalate_minutes))
    return NextCheck(due_at=not_before(due_at, rest_expected_by), escalate_at=not_before(escalate_at, rest_expected_by))


def _escalations(checked: ChaperoneChecked) -> list[EventData]:
    number, at, late = checked.session, checked.checked_at, checked.late
    unseen: tuple[Slug, ...] = ("not-visible",)
    if not checked.responsive:
        return [Escalated(session=number, emergency=True, rule="R-35", because=("unresponsive",), at=at, late=late)]
    return [] if checked.visible else [Escalated(session=number, emergency=False, rule="R-25", because=unseen, at=at, late=late)]
