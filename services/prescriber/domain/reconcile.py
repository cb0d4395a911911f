"""The alarm: the balance of a case does not hold. Said once for each state of affairs, and again only when it grows."""

from collections.abc import Sequence

from services.prescriber.domain.alerts import with_alerts
from services.prescriber.domain.state import Case
from services.prescriber.domain.supply import USED, Supply, fold
from shared.events.base import EventData
from shared.events.supply import DiversionSuspected
from shared.pathway.context import Context


def reconciled(case: Case, event: EventData, context: Context, also: Sequence[EventData] = ()) -> list[EventData]:
    """Return a movement of medication or a mark on one, what else it led to, and an alarm for each mismatch that nothing explains."""
    return [event, *with_alerts([*also, *_unsaid(fold(case.supply, event), context)], context)]


def suspected(supply: Supply, context: Context) -> list[EventData]:
    """Return an alarm for each mismatch that was not said yet, and whom it calls."""
    return with_alerts(_unsaid(supply, context), context)


def _unsaid(supply: Supply, context: Context) -> list[EventData]:
    """More used than dispensed waits while the record of a dispensing may still come: reactions arrive in any order."""
    waits = supply.reconcile_by is not None and context.now < supply.reconcile_by
    balance = supply.balance
    return [
        DiversionSuspected(
            why=why,
            unaccounted=unaccounted,
            prescribed=balance.prescribed,
            dispensed=balance.dispensed,
            administered=balance.administered,
            wasted=balance.wasted,
            returned=balance.returned,
            noticed_at=context.now,
        )
        for why, unaccounted in supply.unsaid.items()
        if not (waits and why == USED)
    ]


def say_unreconciled(case: Case, context: Context) -> list[EventData]:
    """Say that the record of a dispensing was waited for in vain."""
    return suspected(case.supply, context)
