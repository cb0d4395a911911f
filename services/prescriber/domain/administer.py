"""Take a dose that was given in a session out of the supply of the case: a fact, whatever was dispensed."""

from collections.abc import Iterator
from datetime import timedelta

from services.prescriber.domain.dispense import last_day
from services.prescriber.domain.reconcile import reconciled
from services.prescriber.domain.state import Case
from shared.events.base import EventData, Slug
from shared.events.prescriber import MedicationAdministered
from shared.events.session import SessionDosed
from shared.pathway.context import Context

NOT_DISPENSED: Slug = "not-dispensed"


def administer(case: Case, event: SessionDosed, context: Context) -> list[EventData]:
    """Record the dose as administered; if nothing was dispensed for it yet, that record is waited for before it alarms."""
    deviations = tuple(_uncovered(case, event, context))
    hours = context.policy.on(event.route).supply_reconcile_hours
    administered = MedicationAdministered(
        session=event.session,
        milligrams=event.dose_mg,
        given_at=event.given_at,
        lot=event.lot,
        deviations=deviations,
        reconcile_by=context.now + timedelta(hours=hours) if NOT_DISPENSED in deviations else None,
    )
    return reconciled(case, administered, context)


def _uncovered(case: Case, event: SessionDosed, context: Context) -> Iterator[Slug]:
    if event.dose_mg > case.supply.balance.on_hand:
        yield NOT_DISPENSED
    day = context.day_of(event.given_at)
    if case.supply.prescriptions and all(day > last_day(issued) for issued in case.supply.prescriptions):
        yield "beyond-six-months"
