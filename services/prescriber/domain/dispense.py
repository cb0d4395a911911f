"""Record a fill that was dispensed: a fact, recorded whatever allowed it, with what nothing covered named (R-15, R-17)."""

from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Annotated

from pydantic import Field

from services.prescriber.domain.lot import hold_at_dispensing
from services.prescriber.domain.plan import LONGEST_SUPPLY_MONTHS, months_after
from services.prescriber.domain.prescribe import require_day
from services.prescriber.domain.reconcile import reconciled
from services.prescriber.domain.state import Case
from services.prescriber.domain.supply import Line, Supply
from shared.events.base import EventData, Slug, Text
from shared.events.clinical import Milligrams
from shared.events.supply import MedicationDispensed, PrescriptionIssued
from shared.pathway.context import Context
from shared.pathway.lot import RECALLED_LOT, recalled
from shared.pathway.plausible_dose import is_plausible
from shared.pathway.policy import PolicyValues
from shared.pathway.stop import Request

STOPPED: Slug = "stopped"
NO_DOSE: Slug = "no-dose-in-milligrams"
"""What was dispensed makes no dose in milligrams by the route (R-18): another unit may have been meant, and the entry be amended."""


class RecordDispensing(Request):
    """One fill: 1 is the original, 2 the first refill. Milligrams and doses in all, the day at the clinic."""

    prescription: Slug
    fill_number: Annotated[int, Field(ge=1, le=100)]
    milligrams: Milligrams
    doses: Annotated[int, Field(ge=1, le=1000)]
    lot: Slug
    dispensed_on: date
    dispenser: Text


def record_dispensing(case: Case, command: RecordDispensing, context: Context, replaces: Line | None = None) -> list[EventData]:
    """Record the fill; what nothing covered becomes a deviation. Raises Refusal for impossible days only."""
    require_day("dispensed_on", command.dispensed_on, context)
    dispensed = MedicationDispensed(
        prescription=command.prescription,
        fill_number=command.fill_number,
        milligrams=command.milligrams,
        doses=command.doses,
        lot=command.lot,
        dispensed_on=command.dispensed_on,
        dispenser=command.dispenser,
        deviations=(*_uncovered(case, command, context, replaces), *((RECALLED_LOT,) if recalled(command.lot, context) else ())),
        entry=context.new_id("entry"),
        replaces=None if replaces is None else replaces.entry,
    )
    return reconciled(case, dispensed, context, hold_at_dispensing(case, command.lot, context))


def last_day(issued: PrescriptionIssued) -> date:
    """Return the last day of its six months (R-15): the same day of the month, or the last of a shorter one."""
    return months_after(datetime.combine(issued.issued_on, time()), LONGEST_SUPPLY_MONTHS).date()


def _uncovered(case: Case, command: RecordDispensing, context: Context, replaces: Line | None) -> Iterator[Slug]:
    """What did not cover the fill. On the day on which an approval ends, it still covers.

    Stops count as known when it is recorded, of a fill that replaces another as known then.
    """
    supply, issued = case.supply, case.supply.find(command.prescription)
    stopped = case.stops.why_stopped("treatment") is not None if replaces is None else STOPPED in replaces.deviations
    if stopped:
        yield STOPPED
    if case.ended_at is not None and command.dispensed_on > context.day_of(case.ended_at):
        yield "approval-ended"
    if issued is None:
        yield "unknown-prescription"
        return
    if command.dispensed_on < issued.issued_on:
        yield "before-issue"
    if command.fill_number > issued.fills:
        yield "refills-used-up"
    if command.dispensed_on > last_day(issued):
        yield "beyond-six-months"
    if command.milligrams > issued.milligrams_per_fill or supply.dispensed(issued.prescription) + command.milligrams > issued.milligrams:
        yield "above-prescribed"
    if not is_plausible(command.milligrams / command.doses, issued.route, context.policy.on(issued.route)):
        yield NO_DOSE
    yield from _too_much_at_once(supply, issued, command.doses, context.policy.on(issued.route))


def _too_much_at_once(supply: Supply, issued: PrescriptionIssued, doses: int, policy: PolicyValues) -> Iterator[Slug]:
    """R-17: the first supply is small, and the next comes after a follow-up: the review that led to a later approval."""
    rests = [(supply.find(fill.prescription), fill.doses or 0) for fill in supply.fills]
    fills = [(None if rest is None else rest.request, earlier) for rest, earlier in rests]
    followed_up = any(request is not None and request < issued.request for request, _ in fills)
    supplied = doses + sum(earlier for request, earlier in fills if request == issued.request)
    if not followed_up and supplied > policy.first_supply_doses:
        yield "first-supply-above-policy"
    if followed_up and supplied > policy.next_supply_doses:
        yield "next-supply-above-policy"
