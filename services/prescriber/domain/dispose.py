"""Record what left the supply other than by a dose: wasted before a witness, or returned. Facts, never refused."""

from collections.abc import Iterator
from decimal import Decimal

from pydantic import AwareDatetime

from services.prescriber.domain.reconcile import reconciled
from services.prescriber.domain.state import Case
from services.prescriber.domain.supply import Line
from shared.events.base import EventData, Slug, Text
from shared.events.clinical import Milligrams
from shared.events.supply import MedicationReturned, MedicationWasted
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.stop import Request


class RecordWastage(Request):
    """Medication that was destroyed, who saw it and why; `witnessed_by` is another person than who records."""

    milligrams: Milligrams
    witnessed_by: Text
    reason: Text
    wasted_at: AwareDatetime


class RecordReturn(Request):
    """Medication that went back, and to whom."""

    milligrams: Milligrams
    to: Text
    returned_at: AwareDatetime


def record_wastage(case: Case, command: RecordWastage, context: Context, replaces: Line | None = None) -> list[EventData]:
    """Record the wastage. Raises Refusal for impossible times only."""
    require_happened("wasted_at", command.wasted_at, context.now)
    own = ("own-witness",) if command.witnessed_by == context.actor.id else ()
    wasted = MedicationWasted(
        milligrams=command.milligrams,
        witnessed_by=command.witnessed_by,
        reason=command.reason,
        wasted_at=command.wasted_at,
        deviations=(*_uncovered(case, command.milligrams), *own),
        entry=context.new_id("entry"),
        replaces=None if replaces is None else replaces.entry,
    )
    return reconciled(case, wasted, context)


def record_return(case: Case, command: RecordReturn, context: Context, replaces: Line | None = None) -> list[EventData]:
    """Record the return. Raises Refusal for impossible times only."""
    require_happened("returned_at", command.returned_at, context.now)
    returned = MedicationReturned(
        milligrams=command.milligrams,
        to=command.to,
        returned_at=command.returned_at,
        deviations=tuple(_uncovered(case, command.milligrams)),
        entry=context.new_id("entry"),
        replaces=None if replaces is None else replaces.entry,
    )
    return reconciled(case, returned, context)


def _uncovered(case: Case, milligrams: Decimal) -> Iterator[Slug]:
    if milligrams > case.supply.balance.on_hand:
        yield "above-on-hand"
