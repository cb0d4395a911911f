"""Record a dose: a fact, recorded whatever allowed it, with what nothing covered named and escalated."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Annotated

from pydantic import AwareDatetime, Field

from services.session.domain.administration import require_lozenge
from services.session.domain.amount import milligrams_per_kilogram, require_milligrams
from services.session.domain.authorise import objections_to, warnings_of
from services.session.domain.chaperone import next_check
from services.session.domain.discharge import then_complete
from services.session.domain.dose_in_question import DoseInQuestion
from services.session.domain.entry import entered
from services.session.domain.monitor import second_pressure, then_watch
from services.session.domain.rems_form import rems_clock
from services.session.domain.session import Session, whole_minutes
from services.session.domain.state import Course
from shared.events.base import EventData, Slug, Text
from shared.events.clinical import Intent, Milligrams, Route
from shared.events.dosing import Remainder
from shared.events.session import DosingAuthorised, Escalated, SessionDosed
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.policy import PolicyValues
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class RecordDose(Request):
    """What was given, when and by whom; `session` null where nobody had scheduled one, `given_by` null for whoever records.

    `given_at` is the start: of an infusion, or of the first of the esketamine `devices`, which are named by the moments at
    which each was started. `ended_at` is the end of an infusion, or of a lozenge's time in the mouth, as far as it is known;
    `remainder` says whether the lozenge was swallowed or spat out.
    """

    session: int | None = None
    dose_mg: Milligrams
    route: Route
    booster: bool = False
    intent: Intent | None = None
    lot: Slug | None = None
    given_at: AwareDatetime
    given_by: Text | None = None
    devices: Annotated[tuple[AwareDatetime, ...], Field(max_length=12)] = ()
    ended_at: AwareDatetime | None = None
    remainder: Remainder | None = None


def record_dose(course: Course, command: RecordDose, context: Context, replaces: str | None = None) -> list[EventData]:
    """Record the dose; what nothing covered becomes a deviation and calls a clinician.

    Every rule that would have refused the dose is among the deviations. Raises Refusal for what cannot have been: times
    in the future or out of order, and milligrams that are none by this route (R-18).
    """
    policy = context.policy.on(command.route)
    _require_possible(command, policy, context)
    session = _session_of(course, command)
    authorised = _authorisation_of(course, session, command)
    dose = DoseInQuestion(
        session=session,
        at=command.given_at,
        dose_mg=command.dose_mg,
        route=command.route,
        booster=command.booster,
        lot=command.lot,
        infusion_minutes=_infusion_minutes(command, authorised),
    )
    deviations = tuple(
        dict.fromkeys(
            (
                *(objection.slug for objection in objections_to(course, dose, context)),
                *_beside_the_plan(course, command),
                *_beside_the_session(session, command),
                *_beside_the_authorisation(authorised, command),
                *_devices(command, policy),
            )
        )
    )
    entry = entered(command.given_at, context, replaces)
    dosed = SessionDosed(
        session=session.number,
        dose_mg=command.dose_mg,
        mg_per_kg=None if dose.checks is None else milligrams_per_kilogram(command.dose_mg, dose.checks),
        route=command.route,
        intent=command.intent or _intent(course, authorised),
        booster=command.booster,
        deviations=deviations,
        given_at=command.given_at,
        given_by=command.given_by or context.actor.id,
        second_pressure=second_pressure(command.given_at, course.limits(policy).second_pressure_after_minutes, policy),
        lot=command.lot,
        devices=command.devices,
        ended_at=command.ended_at,
        remainder=command.remainder,
        warnings=warnings_of(course, dose, context),
        chaperone_check=next_check(session, command.given_at, entry["rest_expected_by"], policy),
        rems_form=rems_clock(command.route, command.given_at, context),
        reclear_by=command.given_at + timedelta(weeks=policy.reclearance_after_weeks),
        **entry,
    )
    events: list[EventData] = [dosed]
    if deviations:
        events.append(Escalated(session=session.number, emergency=False, rule="R-20", because=deviations, at=context.now))
    return then_watch(course, then_complete(course, events, context), context)


def _require_possible(command: RecordDose, policy: PolicyValues, context: Context) -> None:
    require_happened("given_at", command.given_at, context.now)
    require_milligrams(command.dose_mg, command.route, policy)
    require_lozenge(command.remainder, command.route)
    if command.ended_at is not None:
        require_happened("ended_at", command.ended_at, context.now)
        if command.ended_at < command.given_at:
            raise Refusal("out-of-range", "ended_at lies before given_at.")
    if command.devices and command.route != "intranasal_esketamine":
        raise Refusal("malformed", "Only esketamine is given by devices.")
    for moment in command.devices:
        require_happened("devices", moment, context.now)
    if command.devices and (command.devices[0] != command.given_at or any(later < earlier for earlier, later in pairwise(command.devices))):
        raise Refusal("out-of-range", "devices begin with given_at, in the order in which they were started.")


def _session_of(course: Course, command: RecordDose) -> Session:
    """Return the session the dose belongs to; a new one if none of that number exists or the patient had already left it."""
    session = course.find(command.session)
    if session is None or (session.completed is not None and session.completed.discharged_at < command.given_at):
        return Session(course.next_number)
    return session


def _intent(course: Course, authorised: DosingAuthorised | None) -> Intent | None:
    """What was meant: as authorised, or else as planned."""
    if authorised is not None:
        return authorised.intent
    return None if course.plan is None else course.plan.intent


def _infusion_minutes(command: RecordDose, authorised: DosingAuthorised | None) -> int | None:
    """How long the infusion ran, or else was to run."""
    if command.ended_at is not None:
        return whole_minutes(command.given_at, command.ended_at)
    return None if authorised is None or authorised.asked is None else authorised.asked.infusion_minutes


def _beside_the_plan(course: Course, command: RecordDose) -> Iterator[Slug]:
    """What was given otherwise than a plan says, which nobody could have asked for."""
    if course.plan is not None and command.route != course.plan.route:
        yield "route-differs"


def _beside_the_session(session: Session, command: RecordDose) -> Iterator[Slug]:
    """What of the session did not cover the dose."""
    if session.scheduled is None:
        yield "not-scheduled"
    if session.phase in {"completed", "cancelled"}:
        yield "session-closed"
    if command.booster != bool(session.doses):
        yield "not-a-booster" if command.booster else "second-dose"


def _beside_the_authorisation(authorised: DosingAuthorised | None, command: RecordDose) -> Iterator[Slug]:
    """What of the authorisation did not cover the dose; one that has lapsed is named as such."""
    if authorised is None:
        yield "not-authorised"
        return
    if authorised.valid_until is not None and authorised.valid_until < command.given_at:
        yield "authorisation-lapsed"
    if authorised.dose_mg != command.dose_mg:
        yield "dose-differs"
    if command.intent not in (None, authorised.intent):
        yield "intent-differs"
    lot = None if authorised.asked is None else authorised.asked.lot
    if lot is not None and command.lot not in (None, lot):
        yield "lot-differs"


def _devices(command: RecordDose, policy: PolicyValues) -> Iterator[Slug]:
    """R-18: devices of [28] mg each make up the dose, [5] minutes apart (SP5)."""
    if command.devices and len(command.devices) * policy.esketamine_device_mg != command.dose_mg:
        yield "devices-differ"
    apart = timedelta(minutes=policy.esketamine_device_interval_minutes)
    if any(later - earlier < apart for earlier, later in pairwise(command.devices)):
        yield "devices-too-close"


def _authorisation_of(course: Course, session: Session, command: RecordDose) -> DosingAuthorised | None:
    """Return the authorisation given before the dose, on the checks and the plan that stood when it was given."""
    authorised = session.authorisation
    if authorised is None or authorised.authorised_at > command.given_at:
        return None
    newer = session.checks_since_authorisation
    newer_checks = any(authorised.authorised_at <= checks.checked_at <= command.given_at for checks in newer)
    newer_plan = course.opened_at is not None and authorised.authorised_at < course.opened_at
    return None if newer_checks or newer_plan else authorised
