"""Authorise a dose: the one permission of the session room, given only if plan, consent, room, pressure and dose all allow it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Final

from pydantic import Field

from services.session.domain.amount import amount_objections, amount_warnings, milligrams_per_kilogram, require_milligrams
from services.session.domain.dose_in_question import DoseInQuestion
from services.session.domain.enrol import enrolment_objections
from services.session.domain.medication import medication_warnings
from services.session.domain.objection import Objection, refused
from services.session.domain.prepare import not_prepared, prepared_long_ago
from services.session.domain.pressure import last_reading, pressure_objections, written
from services.session.domain.room import room_objections
from services.session.domain.schedule import too_long_since_last_dose
from services.session.domain.session import Session
from services.session.domain.state import Course
from shared.events.base import EventData, Slug
from shared.events.clinical import Intent, Milligrams, TreatmentPlan
from shared.events.dosing import AskedDose
from shared.events.session import DosingAuthorised
from shared.pathway.context import Context
from shared.pathway.lot import RECALLED_LOT, recalled
from shared.pathway.policy import PolicyValues
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request
from shared.pathway.view import VIEW_TOO_OLD, too_old

HEARD: Final = ("intake", "prescriber", "integration")
"""The services whose word on consent, holds and approval the gate rests on."""


class AuthoriseDose(Request):
    """Ask to give this many milligrams now; a booster is a second dose in a session that was dosed.

    `intent` is stated anew for each dose; only a prescriber may state another one than the plan's.
    `infusion_minutes`: over how many minutes an infusion is to run.
    """

    session: int
    dose_mg: Milligrams
    booster: bool = False
    intent: Intent | None = None
    lot: Slug | None = None
    infusion_minutes: Annotated[int, Field(ge=1, le=1440)] | None = None


def authorise_dose(course: Course, command: AuthoriseDose, context: Context) -> list[EventData]:
    """Authorise one dose for some [60] minutes, or record each rule that objects.

    Dose rules see the session's total, so a booster stays inside what the prescriber set for one session. Raises
    Refusal for a session that does not exist, is closed, or is not at the point that was asked for, and for what is
    no dose in milligrams (R-18).
    """
    session = course.require(command.session)
    _require_asked_in_time(session, command)
    plan = course.plan
    if plan is not None:
        require_milligrams(command.dose_mg, plan.route, context.policy.on(plan.route))
    asked = _asked(command, context)
    dose = DoseInQuestion(
        session=session,
        at=context.now,
        dose_mg=command.dose_mg,
        route=None if plan is None else plan.route,
        booster=command.booster,
        lot=command.lot,
        infusion_minutes=command.infusion_minutes,
    )
    objections = [*_view_objections(context), *objections_to(course, dose, context), *_intent_objections(plan, asked)]
    checks = dose.checks
    if objections or plan is None or checks is None or asked.intent is None:
        return refused("dose", objections, context, asked=asked)
    intent_changed: tuple[Slug, ...] = () if asked.intent == plan.intent else ("intent-changed",)
    return [
        DosingAuthorised(
            session=session.number,
            dose_mg=command.dose_mg,
            mg_per_kg=milligrams_per_kilogram(command.dose_mg, checks),
            intent=asked.intent,
            warnings=(*intent_changed, *warnings_of(course, dose, context)),
            authorised_at=context.now,
            policy_version=context.policy.version,
            valid_until=context.now + timedelta(minutes=context.policy.on(dose.route).authorisation_valid_minutes),
            asked=asked,
            facts=_facts(course, dose, context),
        )
    ]


def objections_to(course: Course, dose: DoseInQuestion, context: Context) -> list[Objection]:
    """Return everything that the rules hold against a dose at its moment: it refuses one that is asked for, and marks one that was given.

    What prescribers, consent and holds say counts as it is known now.
    """
    policy = context.policy.on(dose.route or course.route_of(dose.session))
    return [
        *_lot_objections(dose, context),
        *_course_objections(course, dose, policy),
        *room_objections(course, dose, policy, context),
        *enrolment_objections(course, dose, context),
        *pressure_objections(course, dose, policy, context),
        *amount_objections(dose, course.plan, policy),
    ]


def warnings_of(course: Course, dose: DoseInQuestion, context: Context) -> tuple[Slug, ...]:
    """Return what is unusual about a dose and refuses nothing (R-18, R-27, R-28, R-34); a lot not known here is the ledger's to follow."""
    policy = context.policy.on(dose.route)
    warnings = [*amount_warnings(dose, policy)]
    if policy.integration_before_next_dose == "warn" and _integration_missing(course, dose):
        warnings.append("integration-not-held")
    if policy.preparation_again == "warn" and prepared_long_ago(course, dose, policy) is not None:
        warnings.append("preparation-long-ago")
    if dose.checks is not None and dose.checks.medications_taken is None:
        warnings.append("medications-not-asked")
    elif dose.checks is not None:
        warnings += medication_warnings(dose.checks.medications_taken or (), dose.at, policy, context)
    if dose.lot is not None and dose.lot not in course.lots:
        warnings.append("lot-not-dispensed")
    return tuple(warnings)


def _require_asked_in_time(session: Session, command: AuthoriseDose) -> None:
    if session.phase in {"completed", "cancelled"}:
        raise Refusal("session-closed", "This session is closed.")
    if command.booster and session.phase != "dosed":
        raise Refusal("not-dosed", "A booster follows a dose in the same session.")
    if not command.booster and session.phase == "dosed":
        raise Refusal("already-dosed", "This session was dosed; a further dose in it is a booster.")


def _asked(command: AuthoriseDose, context: Context) -> AskedDose:
    return AskedDose(
        session=command.session,
        dose_mg=command.dose_mg,
        booster=command.booster,
        intent=command.intent,
        lot=command.lot,
        infusion_minutes=command.infusion_minutes,
        by_prescriber="prescriber" in context.actor.roles,
    )


def _view_objections(context: Context) -> Iterator[Objection]:
    """R-20: what another service said of consent, holds or the approval may not be known here yet."""
    for service, seconds in too_old(HEARD, context):
        facts = {"source": service, "seconds": seconds}
        yield Objection("R-20", VIEW_TOO_OLD, f"What {service} says of this case is not known up to now; ask again in a moment.", facts)


def _lot_objections(dose: DoseInQuestion, context: Context) -> Iterator[Objection]:
    """Nothing is given from a lot whose recall is in force, whatever the case's own holds say."""
    if recalled(dose.lot, context):
        yield Objection("recall", RECALLED_LOT, "This lot was recalled; nothing of it is given.", {"lot": str(dose.lot)})


def _course_objections(course: Course, dose: DoseInQuestion, policy: PolicyValues) -> Iterator[Objection]:
    """R-10, R-20: a stop; R-14, R-15, R-17: no approval left; R-27, R-28: too long ago, not integrated; not prepared; R-22, R-23."""
    why = course.stops.why_stopped()
    if why is not None:
        rule = "R-10" if why == "safety-hold" else "R-20"
        yield Objection(rule, why, "Consent or a safety hold forbids a dose; a clinician must settle that first.")
    plan = course.plan
    if plan is None:
        yield Objection("R-14", "not-approved", "No prescriber's approval is in force for this case.")
    elif plan.expires_at <= dose.at:
        yield Objection("R-15", "plan-expired", "The plan has expired.", {"expires_at": plan.expires_at.isoformat()})
    elif not dose.booster and course.doses_left == 0:
        yield Objection("R-17", "doses-used-up", "Every dose of the plan was given.", {"doses": str(plan.doses)})
    gap = too_long_since_last_dose(course, dose.at, policy)
    if gap is not None:
        yield gap
    unprepared = not_prepared(course, dose)
    if unprepared is not None:
        yield unprepared
    again = prepared_long_ago(course, dose, policy) if policy.preparation_again == "block" else None
    if again is not None:
        yield again
    if policy.integration_before_next_dose == "block" and _integration_missing(course, dose):
        yield Objection("R-28", "integration-not-held", "No integration session was held since the last dose.")
    if any(running.number != dose.session.number for running in course.running):
        yield Objection("R-23", "another-session-running", "The patient was not yet discharged from another session.")
    if any(each.emergency and each.session == dose.session.number and each.at <= dose.at for each in course.escalations):
        yield Objection("R-22", "emergency", "This session had an emergency; no further dose is given in it.")
    if any(each.session != dose.session.number and each.at <= dose.at for each in course.open_emergencies):
        detail = "An emergency of another session, or of none, is open: record how it ended first."
        yield Objection("R-22", "emergency-open", detail)


def _intent_objections(plan: TreatmentPlan | None, asked: AskedDose) -> Iterator[Objection]:
    """R-18: the session's intent is said before the dose, and is the plan's, unless a prescriber changes it (BH1)."""
    if asked.intent is None:
        yield Objection("R-18", "intent-not-stated", "Whether the session is meant to be psycholytic or psychedelic was not stated.")
    elif plan is not None and asked.intent != plan.intent and not asked.by_prescriber:
        facts: dict[str, str] = {"intent": asked.intent, "plan": plan.intent}
        yield Objection("R-18", "intent-differs", "The intent is not the plan's; a prescriber may change it.", facts)


def _integration_missing(course: Course, dose: DoseInQuestion) -> bool:
    """R-28: an integration session belongs between two dosing sessions (JC2)."""
    last_dose_at = course.last_dose_at(outside=dose.session.number, by=dose.at)
    return last_dose_at is not None and (course.integration_held_at is None or course.integration_held_at < last_dose_at)


def _facts(course: Course, dose: DoseInQuestion, context: Context) -> dict[str, str]:
    """Return what the authorisation rests on, in words; what was asked for is not among it."""
    checks, last = dose.checks, last_reading(dose.session, dose.at)
    facts = {"route": str(dose.route), "total_mg": str(dose.total_mg), "setting": "home" if dose.session.at_home else "clinic"}
    if checks is not None:
        facts |= {
            "checked_at": checks.checked_at.isoformat(),
            "weight_kg": str(checks.weight_kg),
            "weighed_at": checks.weighed_at.isoformat(),
            "consent_version": checks.consent_version,
        }
    if last is not None:
        facts |= {"pressure": written(last.pressure), "measured_at": last.at.isoformat()}
    return {**facts, "hold_above": written(course.limits(context.policy.on(dose.route)).hold_above)}
