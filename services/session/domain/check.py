"""The checks in the room before a dose: a fact, recorded whatever it says."""

from datetime import datetime

from pydantic import AwareDatetime

from services.session.domain.alerts import with_alerts
from services.session.domain.monitor import pressure_escalation
from services.session.domain.state import Course
from services.session.domain.stated_pressure import StatedPressure
from shared.events.base import EventData, Slug, Text
from shared.events.clinical import Kilograms
from shared.events.session import PreDoseChecked
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class RecordChecks(Request):
    """What was checked; `monitor` is the opaque id of the adult who monitors, null while there is none."""

    session: int
    consent_reaffirmed: bool
    consent_version: Slug
    monitor: Text | None = None
    escort_named: bool
    fasting: bool
    weight_kg: Kilograms
    weighed_at: AwareDatetime
    blood_pressure: StatedPressure
    checked_at: AwareDatetime


def record_checks(course: Course, command: RecordChecks, context: Context) -> list[EventData]:
    """Record the checks; a pressure that R-22 escalates is escalated here too. Raises Refusal for impossible times."""
    policy = context.policy.on(course.route_of(course.require(command.session)))
    require_happened("checked_at", command.checked_at, context.now)
    require_happened("weighed_at", command.weighed_at, context.now)
    if command.weighed_at > command.checked_at:
        raise Refusal("out-of-range", "weighed_at lies after checked_at.")
    pressure = command.blood_pressure.to_event()
    checked = PreDoseChecked(
        session=command.session,
        consent_reaffirmed=command.consent_reaffirmed,
        consent_version=command.consent_version,
        monitor=command.monitor,
        escort_named=command.escort_named,
        fasting=command.fasting,
        weight_kg=command.weight_kg,
        weighed_at=command.weighed_at,
        blood_pressure=pressure,
        checked_at=command.checked_at,
        policy_version=context.policy.version,
    )
    return with_alerts([checked, *pressure_escalation(command.session, pressure, command.checked_at, policy)], context)


def of_the_day(checks: PreDoseChecked, moment: datetime) -> bool:
    """Whether the checks were made by that moment and on the same day, the day of the time zone they were recorded in."""
    return checks.checked_at <= moment and checks.checked_at.date() == moment.astimezone(checks.checked_at.tzinfo).date()
