"""Record a dose: a fact, recorded whatever allowed it, with what nothing covered named and escalated."""

from collections.abc import Iterator

from pydantic import AwareDatetime

from services.session.domain.alerts import with_alerts
from services.session.domain.authorise import milligrams_per_kilogram
from services.session.domain.check import of_the_day
from services.session.domain.discharge import then_complete
from services.session.domain.monitor import second_pressure
from services.session.domain.state import Course, Session
from shared.events.base import EventData, Slug, Text
from shared.events.clinical import Milligrams, Route
from shared.events.session import Escalated, PreDoseChecked, SessionDosed
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.lot import RECALLED_LOT, recalled
from shared.pathway.stop import Request


class RecordDose(Request):
    """What was given, when and by whom; `session` null where nobody had scheduled one, `given_by` null for whoever records."""

    session: int | None = None
    dose_mg: Milligrams
    route: Route
    booster: bool = False
    given_at: AwareDatetime
    given_by: Text | None = None
    lot: Slug | None = None


def record_dose(course: Course, command: RecordDose, context: Context) -> list[EventData]:
    """Record the dose; what nothing covered becomes a deviation and calls a clinician. Raises Refusal for impossible times only."""
    require_happened("given_at", command.given_at, context.now)
    session = _session_of(course, command)
    checks = session.latest_checks
    plan = None if course.approval is None else course.approval.plan
    policy = context.policy.on(command.route)
    after_minutes = course.limits(policy).second_pressure_after_minutes
    about_lot = (RECALLED_LOT,) if recalled(command.lot, context) else ()
    deviations = tuple(dict.fromkeys((*_about_course(course, command), *_about_session(course, session, command), *about_lot)))
    dosed = SessionDosed(
        session=session.number,
        dose_mg=command.dose_mg,
        mg_per_kg=None if checks is None else milligrams_per_kilogram(command.dose_mg, checks),
        route=command.route,
        intent=None if plan is None else plan.intent,
        booster=command.booster,
        deviations=deviations,
        given_at=command.given_at,
        given_by=command.given_by or context.actor.id,
        second_pressure=second_pressure(command.given_at, after_minutes, policy),
        lot=command.lot,
    )
    events: list[EventData] = [dosed]
    if deviations:
        events.append(Escalated(session=session.number, emergency=False, rule="R-20", because=deviations, at=context.now))
    return with_alerts(then_complete(course, events, context), context)


def _session_of(course: Course, command: RecordDose) -> Session:
    """Return the session the dose belongs to; a new one if none of that number exists or the patient had already left it."""
    session = course.find(command.session)
    if session is None or (session.completed is not None and session.completed.discharged_at < command.given_at):
        return Session(course.next_number)
    return session


def _about_course(course: Course, command: RecordDose) -> Iterator[Slug]:
    """What of the course did not cover the dose. Stops count as known when the dose is recorded."""
    if course.stops.why_stopped() is not None:
        yield "stopped"
    if course.preparation is None or not course.preparation.psychoeducation:
        yield "not-prepared"
    plan = course.plan
    if plan is None:
        yield "not-approved"
        return
    if plan.expires_at <= command.given_at:
        yield "plan-expired"
    if command.route != plan.route:
        yield "route-differs"
    if course.doses_left == 0 and not command.booster:
        yield "doses-used-up"


def _about_session(course: Course, session: Session, command: RecordDose) -> Iterator[Slug]:
    """What of the session did not cover the dose."""
    if session.scheduled is None:
        yield "not-scheduled"
    if session.phase in {"completed", "cancelled"}:
        yield "session-closed"
    if any(running.number != session.number for running in course.running):
        yield "another-session-running"
    if command.booster != bool(session.doses):
        yield "not-a-booster" if command.booster else "second-dose"
    checks = session.latest_checks
    if checks is None or not of_the_day(checks, command.given_at):
        yield "no-checks"
    elif _consent_changed(course, checks, command):
        yield "consent-version-differs"
    authorisation = session.authorisation
    if authorisation is None or not _stands(course, session, command):
        yield "not-authorised"
    elif authorisation.dose_mg != command.dose_mg:
        yield "dose-differs"


def _consent_changed(course: Course, checks: PreDoseChecked, command: RecordDose) -> bool:
    """Whether the patient gave consent to another version before the dose than the one reaffirmed in the room (R-20)."""
    given_at = course.stops.consent_given_at
    return given_at is not None and given_at <= command.given_at and checks.consent_version != course.stops.consent_version


def _stands(course: Course, session: Session, command: RecordDose) -> bool:
    """Whether the authorisation was given before the dose, on the checks and the plan that stood when it was given."""
    authorisation = session.authorisation
    if authorisation is None or authorisation.authorised_at > command.given_at:
        return False
    later = session.checks[session.checks_when_authorised :]
    newer_checks = any(authorisation.authorised_at <= checks.checked_at <= command.given_at for checks in later)
    newer_plan = course.opened_at is not None and authorisation.authorised_at < course.opened_at
    return not newer_checks and not newer_plan
