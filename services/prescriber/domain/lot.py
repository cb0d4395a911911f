"""Recall a lot for the network, withdraw the recall, and hold the cases that have it on hand."""

from pydantic import AwareDatetime

from services.prescriber.domain.alerts import with_alerts
from services.prescriber.domain.state import Case
from shared.events.base import EventData, Slug, Text
from shared.events.prescriber import LotRecalled, LotRecallWithdrawn, SafetyHoldPlaced
from shared.pathway.context import Context
from shared.pathway.happened import require_happened
from shared.pathway.lot import Lot
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request


class RecallLot(Request):
    """Why the lot is recalled, who says so (a manufacturer, an authority, a pharmacy), and since when."""

    reason: Text
    source: Text
    recalled_at: AwareDatetime


class WithdrawRecall(Request):
    """Why the recall no longer counts."""

    reason: Text


def recall_lot(lot: Lot, command: RecallLot, context: Context) -> list[EventData]:
    """Recall a lot: nothing of it is given any more. Raises Refusal for one that is recalled already, or a time in the future."""
    require_happened("recalled_at", command.recalled_at, context.now)
    if lot.recall is not None:
        raise Refusal("already-recalled", "A recall of this lot is in force.")
    return [
        LotRecalled(
            lot=context.stream.partition("-")[2],
            recall=context.new_id("recall"),
            reason=command.reason,
            source=command.source,
            recalled_at=command.recalled_at,
            noted_at=context.now,
        )
    ]


def withdraw_recall(lot: Lot, command: WithdrawRecall, context: Context) -> list[EventData]:
    """Withdraw the recall; the holds it placed stay until a clinician lifts them. Raises Refusal where none is in force."""
    if lot.recall is None:
        raise Refusal("not-recalled", "No recall of this lot is in force.")
    return [LotRecallWithdrawn(lot=lot.recall.lot, recall=lot.recall.id, reason=command.reason, withdrawn_at=context.now)]


def hold_for_recall(case: Case, lot: Slug, recall: Slug, context: Context) -> list[EventData]:
    """Hold a case that may have some of a recalled lot on hand, once for each recall: lifted, it stays lifted."""
    if hold_id(recall) in case.stops.placed or case.supply.on_hand_of(lot) <= 0:
        return []
    return with_alerts([_hold(lot, hold_id(recall), context)], context)


def hold_at_dispensing(case: Case, lot: Slug, context: Context) -> list[EventData]:
    """Return the hold that goes with a dispensing of a recalled lot, unless the recall's hold is in force."""
    recall = context.recalled_lots.get(lot)
    if recall is None or hold_id(recall) in case.stops.holds:
        return []
    lifted = hold_id(recall) in case.stops.lifted
    return [_hold(lot, context.new_id("hold") if lifted else hold_id(recall), context)]


def hold_id(recall: Slug) -> Slug:
    """Return the hold that a recall places: the same one on each case, however often the case is found."""
    return f"hold-{recall}"


def _hold(lot: Slug, hold: Slug, context: Context) -> SafetyHoldPlaced:
    return SafetyHoldPlaced(hold=hold, reason="recalled_lot", note=f"Lot {lot} was recalled.", placed_at=context.now)
