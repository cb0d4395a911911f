"""Authorise a dose: the one permission of the session room, given only if plan, consent, room, pressure and dose all allow it."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Final

from services.session.domain.check import of_the_day
from services.session.domain.objection import Objection, refused
from services.session.domain.schedule import too_long_since_last_dose
from services.session.domain.state import Course, Session
from shared.events.base import EventData, Slug
from shared.events.clinical import Milligrams, TreatmentPlan
from shared.events.session import DosingAuthorised, PreDoseChecked
from shared.pathway.context import Context
from shared.pathway.lot import RECALLED_LOT, recalled
from shared.pathway.policy import PolicyValues
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request
from shared.pathway.view import VIEW_TOO_OLD, too_old

HEARD: Final = ("intake", "prescriber", "integration")
"""The services whose word on consent, holds and approval the gate rests on."""


class AuthoriseDose(Request):
    """Ask to give this many milligrams now; a booster is a second dose in a session that was dosed."""

    session: int
    dose_mg: Milligrams
    booster: bool = False
    lot: Slug | None = None


def authorise_dose(course: Course, command: AuthoriseDose, context: Context) -> list[EventData]:
    """Authorise one dose, or record each rule that objects.

    Dose rules see the session's total, so a booster stays inside what the prescriber set for one session. Raises
    Refusal for a session that does not exist, is closed, or is not at the point that was asked for.
    """
    session = course.require(command.session)
    _require_asked_in_time(session, command)
    plan, checks = course.plan, session.latest_checks
    objections = [*_view_objections(context), *_lot_objections(command, context), *_course_objections(course, session, command, context)]
    objections += _room_objections(course, checks, context)
    if plan is None or checks is None:
        return refused("dose", objections, context)
    total = session.dosed_mg + command.dose_mg
    objections += [*_pressure_objections(session, plan), *_dose_objections(plan, checks, total, context)]
    if objections:
        return refused("dose", objections, context)
    return [
        DosingAuthorised(
            session=session.number,
            dose_mg=command.dose_mg,
            mg_per_kg=milligrams_per_kilogram(command.dose_mg, checks),
            intent=plan.intent,
            warnings=(*_dose_warnings(plan, checks, total, context.policy.on(plan.route)), *_integration_warning(course, session)),
            authorised_at=context.now,
            policy_version=context.policy.version,
            lot=command.lot,
        )
    ]


def milligrams_per_kilogram(dose_mg: Decimal, checks: PreDoseChecked) -> Decimal:
    """Return mg/kg to two decimals, for people; rules compare without rounding."""
    return (dose_mg / checks.weight_kg).quantize(Decimal("0.01"))


def _require_asked_in_time(session: Session, command: AuthoriseDose) -> None:
    if session.phase in {"completed", "cancelled"}:
        raise Refusal("session-closed", "This session is closed.")
    if command.booster and session.phase != "dosed":
        raise Refusal("not-dosed", "A booster follows a dose in the same session.")
    if not command.booster and session.phase == "dosed":
        raise Refusal("already-dosed", "This session was dosed; a further dose in it is a booster.")


def _view_objections(context: Context) -> Iterator[Objection]:
    """R-20: what another service said of consent, holds or the approval may not be known here yet."""
    for service, seconds in too_old(HEARD, context):
        facts = {"source": service, "seconds": seconds}
        yield Objection("R-20", VIEW_TOO_OLD, f"What {service} says of this case is not known up to now; ask again in a moment.", facts)


def _lot_objections(command: AuthoriseDose, context: Context) -> Iterator[Objection]:
    """Nothing is given from a lot whose recall is in force, whatever the case's own holds say."""
    if recalled(command.lot, context):
        yield Objection("recall", RECALLED_LOT, "This lot was recalled; nothing of it is given.", {"lot": str(command.lot)})


def _course_objections(course: Course, session: Session, command: AuthoriseDose, context: Context) -> Iterator[Objection]:
    """R-10, R-20: a stop; R-14, R-15, R-17: no approval left to dose under; R-27: too long ago; no preparation; R-22, R-23."""
    why = course.stops.why_stopped()
    if why is not None:
        rule = "R-10" if why == "safety-hold" else "R-20"
        yield Objection(rule, why, "Consent or a safety hold forbids a dose; a clinician must settle that first.")
    plan = course.plan
    if plan is None:
        yield Objection("R-14", "not-approved", "No prescriber's approval is in force for this case.")
    elif plan.expires_at <= context.now:
        yield Objection("R-15", "plan-expired", "The plan has expired.", {"expires_at": plan.expires_at.isoformat()})
    elif not command.booster and course.doses_left == 0:
        yield Objection("R-17", "doses-used-up", "Every dose of the plan was given.", {"doses": str(plan.doses)})
    gap = too_long_since_last_dose(course, context.now, context.policy.on(course.route_of(session)))
    if gap is not None:
        yield gap
    if course.preparation is None or not course.preparation.psychoeducation:
        yield Objection("preparation", "not-prepared", "No preparation with psychoeducation was recorded.")
    if any(running.number != session.number for running in course.running):
        yield Objection("R-23", "another-session-running", "The patient was not yet discharged from another session.")
    if any(escalated.emergency and escalated.session == session.number for escalated in course.escalations):
        yield Objection("R-22", "emergency", "This session had an emergency; no further dose is given in it.")


def _room_objections(course: Course, checks: PreDoseChecked | None, context: Context) -> Iterator[Objection]:
    """R-19: no checks, no dose; R-20: consent in the room, monitor, escort, and for esketamine fasting (JC8-JC10, MA1)."""
    if checks is None or not of_the_day(checks, context.now):
        facts = {} if checks is None else {"checked_at": checks.checked_at.isoformat()}
        yield Objection("R-19", "no-checks", "The checks before a dose, blood pressure among them, were not made today.", facts)
    if checks is None:
        return
    if not checks.consent_reaffirmed:
        yield Objection("R-20", "consent-not-reaffirmed", "The patient did not reaffirm consent in the room.")
    if checks.consent_version != course.stops.consent_version:
        facts = {"reaffirmed": checks.consent_version, "in_force": str(course.stops.consent_version)}
        yield Objection("R-20", "consent-version", "The consent reaffirmed is not the version in force.", facts)
    if checks.monitor is None:
        yield Objection("R-20", "no-monitor", "No adult is named who monitors the patient.")
    if not checks.escort_named:
        yield Objection("R-20", "no-escort", "No escort is named for the way home.")
    if course.plan is not None and course.plan.route == "intranasal_esketamine" and not checks.fasting:
        yield Objection("R-20", "not-fasting", "Before esketamine the patient fasts: food 2 h, liquids 30 min.")


def _pressure_objections(session: Session, plan: TreatmentPlan) -> Iterator[Objection]:
    """R-19: the last pressure above the patient's limits, either number, holds the dose (Spravato label 2019: 140/90)."""
    _, pressure = session.pressures()[-1]
    limit = plan.limits.hold_above
    if pressure.systolic > limit.systolic or pressure.diastolic > limit.diastolic:
        facts = {"pressure": f"{pressure.systolic}/{pressure.diastolic}", "hold_above": f"{limit.systolic}/{limit.diastolic}"}
        yield Objection("R-19", "pressure-above-limit", "The last blood pressure is above this patient's limit.", facts)


def _dose_objections(plan: TreatmentPlan, checks: PreDoseChecked, total: Decimal, context: Context) -> Iterator[Objection]:
    """R-18: a recent weight, the plan's band in mg and mg/kg, the anaesthetic range (SM1), esketamine's own doses (SP5)."""
    policy = context.policy.on(plan.route)
    facts = {"total_mg": str(total), "weight_kg": str(checks.weight_kg), "route": plan.route}
    if context.now - checks.weighed_at > timedelta(days=policy.weight_valid_days):
        weighed = {"weighed_at": checks.weighed_at.isoformat()}
        yield Objection("R-18", "weight-too-old", f"The weight is older than {policy.weight_valid_days} days.", weighed)
    if not plan.dose_mg_low <= total <= plan.dose_mg_high:
        band = {**facts, "band_mg": f"{plan.dose_mg_low}-{plan.dose_mg_high}"}
        yield Objection("R-18", "outside-plan", "The dose lies outside the plan's band.", band)
    if total > plan.mg_per_kg_high * checks.weight_kg:
        highest = {**facts, "mg_per_kg_high": str(plan.mg_per_kg_high)}
        yield Objection("R-18", "above-plan-per-kilogram", "The dose is above the plan's mg/kg for this weight.", highest)
    if plan.route in {"intravenous", "intramuscular"}:
        anaesthetic = _exact(policy.parenteral_block_above_mg_per_kg)
        if total > anaesthetic * checks.weight_kg:
            yield Objection("R-18", "anaesthetic-range", f"Above {anaesthetic} mg/kg an injection reaches the anaesthetic range.", facts)
    if plan.route == "intranasal_esketamine" and total not in policy.esketamine_doses_mg:
        yield Objection("R-18", "not-an-esketamine-dose", "Esketamine is given in the doses of the policy only.", facts)


def _dose_warnings(plan: TreatmentPlan, checks: PreDoseChecked, total: Decimal, policy: PolicyValues) -> Iterator[Slug]:
    """R-18: what is unusual and still allowed."""
    if plan.route == "intravenous":
        if total < _exact(policy.intravenous_warn_below_mg_per_kg) * checks.weight_kg:
            yield "intravenous-below-usual"
        if total > _exact(policy.intravenous_warn_above_mg_per_kg) * checks.weight_kg:
            yield "intravenous-above-usual"
    if plan.route == "sublingual" and total > policy.sublingual_warn_above_mg:
        yield "sublingual-above-usual"


def _integration_warning(course: Course, session: Session) -> Iterator[Slug]:
    """R-28: an integration session belongs between two dosing sessions (JC2)."""
    last_dose_at = course.last_dose_at(before_session=session.number)
    if last_dose_at is not None and (course.integration_held_at is None or course.integration_held_at < last_dose_at):
        yield "integration-not-held"


def _exact(value: float) -> Decimal:
    """Policy documents write decimals; 0.2 means exactly 0.2."""
    return Decimal(str(value))
