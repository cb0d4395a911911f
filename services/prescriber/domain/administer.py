"""Take a dose that was given in a session out of the supply of the case: a fact, whatever was dispensed. Or put it back."""

from collections.abc import Iterator
from datetime import timedelta

from services.prescriber.domain.dispense import last_day
from services.prescriber.domain.reconcile import reconciled
from services.prescriber.domain.state import Case
from shared.events import session
from shared.events.base import EventData, Slug
from shared.events.session import SessionDosed
from shared.events.supply import EntryCorrected, MedicationAdministered
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
        entry=event.entry,
        replaces=event.replaces,
    )
    return reconciled(case, administered, context)


def mark_administration(case: Case, event: session.EntryCorrected, context: Context) -> list[EventData]:
    """Mark the administration of a dose that was marked in the session room; a dose unknown here leaves nothing to mark."""
    known = any(line.kind == "administered" and line.entry == event.entry for line in case.supply.standing)
    if event.of != "dose" or not known:
        return []
    assert context.envelope is not None, "this is a reaction"  # noqa: S101
    marked = EntryCorrected(
        entry=event.entry,
        kind=event.kind,
        reason=event.reason,
        corrected_at=event.corrected_at,
        of="administration",
        corrected_by=context.envelope.actor,
    )
    return reconciled(case, marked, context)


def _uncovered(case: Case, event: SessionDosed, context: Context) -> Iterator[Slug]:
    if event.dose_mg > case.supply.balance.on_hand:
        yield NOT_DISPENSED
    day = context.day_of(event.given_at)
    if case.supply.prescriptions and all(day > last_day(issued) for issued in case.supply.prescriptions):
        yield "beyond-six-months"
