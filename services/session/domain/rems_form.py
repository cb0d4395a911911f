"""The REMS patient monitoring form of an esketamine session: what it asks, what of it is known, and that it was submitted (R-26).

Fields: the patient monitoring form (RM1, RM2; opioids by RM3). Sessions by other routes, and inpatients, have none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Final, get_args

from pydantic import AwareDatetime, Field

from services.session.domain.effects import Effect, dissociation, sedation
from services.session.domain.entry import entered
from services.session.domain.monitor import then_watch
from services.session.domain.session import Reading, Session, above, whole_minutes
from services.session.domain.state import Course
from services.session.domain.watch import form_clock
from shared.events.base import EventData, Slug, Text
from shared.events.clinical import Route
from shared.events.session import PreDoseChecked, SessionDosed
from shared.events.stay import ConcomitantMedication, RemsClock, RemsFormSubmitted
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request

RULE: Final = "R-26"
ROUTE: Final[Route] = "intranasal_esketamine"


@dataclass(frozen=True, slots=True)
class RemsForm:
    """What the form asks, as the record has it; None is not known. Doses in mg, stays in minutes from the first dose."""

    session: int
    due_on: date
    dosed_on: date
    setting: str | None
    monitored_by: str | None
    doses_mg: tuple[Decimal, ...]
    lots: tuple[str, ...] | None
    concomitant: tuple[ConcomitantMedication, ...] | None
    minutes_monitored: int | None
    ready_after_minutes: int | None
    acceptable_before: bool | None
    acceptable_at_completion: bool | None
    pressure_before: Reading | None
    pressure_after: Reading | None
    """About 40 minutes after the last dose."""
    pressure_at_completion: Reading | None
    sedation: Effect | None
    """None where nobody looked for it."""
    dissociation: Effect | None
    serious_adverse_event: bool
    submitted: RemsFormSubmitted | None

    @property
    def missing(self) -> tuple[Slug, ...]:
        """What is not known yet, and effects of which the end is not."""
        asked = {name: getattr(self, name) for name in ASKED}
        unended = (name for name in ("sedation", "dissociation") if (effect := asked[name]) is not None and effect.unresolved)
        return (*(name for name, known in asked.items() if known is None), *(f"{name}_resolution" for name in unended))


ASKED: Final = (
    "setting",
    "monitored_by",
    "lots",
    "concomitant",
    "minutes_monitored",
    "ready_after_minutes",
    "acceptable_before",
    "acceptable_at_completion",
    "pressure_before",
    "pressure_after",
    "pressure_at_completion",
    "sedation",
    "dissociation",
)


class SubmitRemsForm(Request):
    """That the form was submitted: the programme's receipt, and what it said beyond the record of the session."""

    session: int
    submitted_at: AwareDatetime
    reference: Text
    lots: Annotated[tuple[Slug, ...], Field(max_length=10)] = ()
    concomitant: Annotated[tuple[ConcomitantMedication, ...], Field(max_length=5)] | None = None


def rems_clock(route: Route, given_at: datetime, context: Context) -> RemsClock | None:
    """Return when the form of a dose is due: [7] days after its day at the clinic, warned of on day [5], overdue the day after."""
    if route != ROUTE:
        return None
    policy = context.policy.on(route)
    dosed_on = context.day_of(given_at)
    due_on = dosed_on + timedelta(days=policy.rems_form_due_days)
    return RemsClock(
        dosed_on=dosed_on,
        due_on=due_on,
        warn_at=context.start_of(dosed_on + timedelta(days=policy.rems_form_warn_days)),
        overdue_at=context.start_of(due_on + timedelta(days=1)),
    )


def rems_form(course: Course, session: Session) -> RemsForm | None:
    """Return the form of a session as the record has it; None for a session that owes none."""
    clock = form_clock(session)
    if clock is None:
        return None
    doses = sorted((dose for dose in session.doses if dose.route == ROUTE), key=lambda dose: dose.given_at)
    first, last, left, sent = doses[0].given_at, doses[-1], session.completed, session.form
    checks = session.latest_checks
    before = [reading for reading in session.pressures() if reading.at <= first]
    since = [reading for reading in session.pressures() if reading.at > last.given_at]
    completion = [taken for taken in since if left is not None and taken.at <= left.discharged_at]
    at_completion = completion[-1] if completion else None
    accepted = left is not None and left.pressure_acceptable is True
    seen = (sedation(session), dissociation(session))
    return RemsForm(
        session=session.number,
        due_on=clock.due_on,
        dosed_on=clock.dosed_on,
        setting=None if session.scheduled is None else session.scheduled.setting,
        monitored_by=None if checks is None else checks.monitor,
        doses_mg=tuple(dose.dose_mg for dose in doses),
        lots=_lots(doses, sent),
        concomitant=_concomitant(session.checks_by(first), sent),
        minutes_monitored=None if left is None else whole_minutes(first, left.discharged_at),
        ready_after_minutes=None if left is None or left.ready_at is None else whole_minutes(first, left.ready_at),
        acceptable_before=_within(course, before[-1]) if before else None,
        acceptable_at_completion=accepted or _within(course, at_completion) if at_completion is not None else None,
        pressure_before=before[-1] if before else None,
        pressure_after=_about_40_minutes_after(last, since),
        pressure_at_completion=at_completion,
        sedation=seen[0] if seen[0].looked_for else None,
        dissociation=seen[1] if seen[1].looked_for else None,
        serious_adverse_event=any(event.serious for event in course.adverse_events if event.session == session.number),
        submitted=sent,
    )


def submit_rems_form(course: Course, command: SubmitRemsForm, context: Context, replaces: str | None = None) -> list[EventData]:
    """Record the submission, once; what it lacks is named and keeps it out of the record no more than a stop does.

    Raises Refusal for a session that owes no form, one that was submitted before, and impossible times.
    """
    session = course.require(command.session)
    form = rems_form(course, session)
    first_dose_at = session.first_dose_at
    if form is None or first_dose_at is None:
        raise Refusal("no-rems-form", "No REMS form is owed of this session.", rule=RULE)
    require_happened("submitted_at", command.submitted_at, context.now, rule=RULE)
    if command.submitted_at < first_dose_at:
        raise Refusal("out-of-range", "submitted_at lies before the dose.", rule=RULE)
    if form.submitted is not None:
        raise Refusal("already-submitted", "The form of this session was submitted before; correct that entry.", rule=RULE)
    stated = {name for name, given in (("lots", command.lots or None), ("concomitant", command.concomitant)) if given is not None}
    submitted = RemsFormSubmitted(
        session=command.session,
        reference=command.reference,
        lots=command.lots,
        concomitant=command.concomitant,
        missing=tuple(name for name in form.missing if name not in stated),
        submitted_at=command.submitted_at,
        submitted_by=context.actor.id,
        **entered(command.submitted_at, context, replaces),
    )
    return then_watch(course, [submitted], context)


def _lots(doses: Sequence[SessionDosed], sent: RemsFormSubmitted | None) -> tuple[str, ...] | None:
    """Return the lots of the doses, as the form said or as recorded with them; None where one is not known."""
    if sent is not None and sent.lots:
        return sent.lots
    lots = [dose.lot for dose in doses if dose.lot is not None]
    return tuple(dict.fromkeys(lots)) if len(lots) == len(doses) else None


def _concomitant(checks: PreDoseChecked | None, sent: RemsFormSubmitted | None) -> tuple[ConcomitantMedication, ...] | None:
    """Return what of the form's medications the patient takes, as the form said or as asked before the dose; None where nobody asked."""
    if sent is not None and sent.concomitant is not None:
        return sent.concomitant
    if checks is None or checks.medications_taken is None:
        return None
    taken = {each.kind for each in checks.medications_taken}
    return tuple(kind for kind in get_args(ConcomitantMedication) if kind in taken)


def _about_40_minutes_after(dose: SessionDosed, since: list[Reading]) -> Reading | None:
    """Return the pressure in the dose's window, or else the first one after it."""
    window = dose.second_pressure
    return None if window is None else next((taken for taken in since if taken.at >= window.earliest), None)


def _within(course: Course, taken: Reading) -> bool | None:
    """Whether a pressure is within the prescriber's limits; None where no prescriber sent any."""
    return None if course.approval is None else not above(taken.pressure, course.approval.plan.limits.hold_above)
