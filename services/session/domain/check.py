"""The checks in the room before a dose: a fact, recorded whatever it says; what a prescriber must consider of it calls one."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, Field

from services.session.domain.entry import entered
from services.session.domain.medication import medication_warnings
from services.session.domain.monitor import pressure_escalation, then_watch
from services.session.domain.session import above
from services.session.domain.state import Course
from services.session.domain.stated import StatedChaperone, StatedGroup, StatedHomeSafety, StatedIntake, StatedMedication, value
from services.session.domain.stated_pressure import StatedPressure
from shared.events.base import EventData, Slug, Text
from shared.events.clinical import Kilograms
from shared.events.dosing import Chaperone, GroupInRoom, HomeSafety, LastIntake, MedicationTaken
from shared.events.session import PreDoseChecked, PrescriberAsked
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class RecordChecks(Request):
    """What was checked; `monitor` is the opaque id of the adult who monitors, null while there is none.

    `monitor_adult`: it was said that they are 18 or older. `chaperone` and `home` are for a session outside a clinic, `group`
    for one with several patients. `medications_taken`: null where nobody asked, empty where nothing was taken.
    """

    session: int
    consent_reaffirmed: bool
    consent_version: Slug
    monitor: Text | None = None
    monitor_adult: bool = False
    chaperone: StatedChaperone | None = None
    escort_named: bool
    fasting: bool
    last_intake: StatedIntake = StatedIntake()
    medications_taken: Annotated[tuple[StatedMedication, ...], Field(max_length=20)] | None = None
    weight_kg: Kilograms
    weighed_at: AwareDatetime
    blood_pressure: StatedPressure
    home: StatedHomeSafety | None = None
    group: StatedGroup | None = None
    checked_at: AwareDatetime


def record_checks(course: Course, command: RecordChecks, context: Context, replaces: str | None = None) -> list[EventData]:
    """Record the checks; a pressure that R-22 escalates is escalated here too. Raises Refusal for impossible times."""
    session = course.require(command.session)
    policy = context.policy.on(course.route_of(session))
    require_happened("checked_at", command.checked_at, context.now)
    for name, moment in _before_the_checks(command):
        require_happened(name, moment, context.now)
        if moment > command.checked_at:
            raise Refusal("out-of-range", f"{name} lies after checked_at.")
    taken = command.medications_taken
    checked = PreDoseChecked(
        session=command.session,
        consent_reaffirmed=command.consent_reaffirmed,
        consent_version=command.consent_version,
        monitor=command.monitor,
        escort_named=command.escort_named,
        fasting=command.fasting,
        weight_kg=command.weight_kg,
        weighed_at=command.weighed_at,
        blood_pressure=command.blood_pressure.to_event(),
        checked_at=command.checked_at,
        monitor_adult=command.monitor_adult,
        chaperone=value(Chaperone, command.chaperone),
        last_intake=value(LastIntake, command.last_intake),
        medications_taken=None if taken is None else tuple(MedicationTaken.model_validate(each.model_dump()) for each in taken),
        home=value(HomeSafety, command.home),
        group=value(GroupInRoom, command.group),
        **entered(command.checked_at, context, replaces),
    )
    severe = pressure_escalation(command.session, checked.blood_pressure, command.checked_at, policy, late=checked.late)
    return then_watch(course, [checked, *severe, *_for_a_prescriber(course, checked, context)], context)


def _before_the_checks(command: RecordChecks) -> Iterator[tuple[str, datetime]]:
    """What was stated of earlier moments."""
    yield "weighed_at", command.weighed_at
    if command.chaperone is not None:
        yield "present_since", command.chaperone.present_since
    intake = command.last_intake
    for name, moment in (("food_at", intake.food_at), ("drink_at", intake.drink_at), ("nasal_spray_at", intake.nasal_spray_at)):
        if moment is not None:
            yield name, moment
    for medication in command.medications_taken or ():
        if medication.last_taken_at is not None:
            yield "last_taken_at", medication.last_taken_at


def _for_a_prescriber(course: Course, checks: PreDoseChecked, context: Context) -> Iterator[EventData]:
    """R-19: a pressure above the patient's limit needs a prescriber's decision; R-34: one considers what was taken."""
    session = course.require(checks.session)
    policy = context.policy.on(course.route_of(session))
    if above(checks.blood_pressure, course.limits(policy).hold_above):
        yield PrescriberAsked(session=session.number, rule="R-19", because=("pressure-above-limit",), at=checks.checked_at)
    warnings = tuple(medication_warnings(checks.medications_taken or (), checks.checked_at, policy, context))
    if warnings:
        yield PrescriberAsked(session=session.number, rule="R-34", because=warnings, at=checks.checked_at)
