"""A recalled lot: nothing of it is given, and what is on hand is held (domain.md section 6, feature 7)."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import permutations

import pytest

from services.prescriber.domain.lot import RecallLot, WithdrawRecall, hold_for_recall, hold_id, recall_lot, withdraw_recall
from services.prescriber.domain.state import Case
from services.prescriber.domain.stops import STOPS
from shared.events.base import AlertRaised, EventData
from shared.events.prescriber import LotRecalled, LotRecallWithdrawn, SafetyHoldPlaced
from shared.events.supply import MedicationDispensed
from shared.pathway.lot import Lot, Recall, evolve, recalled
from shared.pathway.refusal import Refusal
from shared.pathway.stop import LiftHold
from tests.unit.prescriber.given import NOW, context, told
from tests.unit.prescriber.moved import approved, dispense, dispensed, dose, give_back, prescribed, waste

AT = replace(context(seed="http:test/recall"), stream="lot-lot-1")
"""Decided on the stream of the lot that dispensings in these tests name."""
COMMAND = RecallLot(reason="Particles.", source="Manufacturer", recalled_at=NOW - timedelta(hours=1))


def folded(lot: Lot, events: list[EventData]) -> Lot:
    for event in events:
        lot = evolve(lot, type(event).model_validate_json(event.model_dump_json()))
    return lot


RECALLED = folded(Lot(), recall_lot(Lot(), COMMAND, AT))
assert RECALLED.recall is not None
RECALL: Recall = RECALLED.recall
HOLD = hold_id(RECALL.id)
KNOWING = replace(context(), recalled_lots={"lot-1": RECALL.id})


def held(events: list[EventData]) -> list[str]:
    return [event.hold for event in events if isinstance(event, SafetyHoldPlaced)]


def test_a_lot_is_recalled_once_under_its_own_number() -> None:
    (event,) = recall_lot(Lot(), COMMAND, AT)
    assert isinstance(event, LotRecalled)
    assert (event.lot, event.reason, event.source, event.noted_at) == ("lot-1", "Particles.", "Manufacturer", NOW)
    with pytest.raises(Refusal, match=r"in force") as refused:
        recall_lot(RECALLED, COMMAND, AT)
    assert refused.value.slug == "already-recalled"


@pytest.mark.parametrize(("seconds", "slug"), [(0, None), (1, "time-in-the-future")])
def test_a_recall_lies_in_the_past(seconds: int, slug: str | None) -> None:
    command = COMMAND.model_copy(update={"recalled_at": NOW + timedelta(seconds=seconds)})
    if slug is None:
        assert recall_lot(Lot(), command, AT)
        return
    with pytest.raises(Refusal) as refused:
        recall_lot(Lot(), command, AT)
    assert refused.value.slug == slug


def test_a_recall_is_withdrawn_and_can_be_made_again() -> None:
    withdrawn = withdraw_recall(RECALLED, WithdrawRecall(reason="Another lot was meant."), AT)
    assert [type(event) for event in withdrawn] == [LotRecallWithdrawn]
    lot = folded(RECALLED, withdrawn)
    assert lot == Lot()
    with pytest.raises(Refusal) as refused:
        withdraw_recall(lot, WithdrawRecall(reason="Again."), AT)
    assert refused.value.slug == "not-recalled"
    again = folded(lot, recall_lot(lot, COMMAND, replace(AT, seed="http:test/other")))
    assert again.recall is not None
    assert again.recall.id != RECALL.id
    assert folded(again, withdrawn) == again  # the withdrawal was of the first one


def test_only_a_lot_that_is_named_and_recalled_is() -> None:
    assert recalled("lot-1", KNOWING)
    assert not recalled("lot-2", KNOWING)
    assert not recalled(None, KNOWING)
    assert not recalled("lot-1", context())


def test_a_case_with_the_lot_on_hand_is_held_once_and_a_medical_monitor_called() -> None:
    case = dispensed()
    assert case.lots == ("lot-1",)
    events = hold_for_recall(case, "lot-1", RECALL.id, context())
    assert held(events) == [HOLD]
    assert [(event.role, event.why) for event in events if isinstance(event, AlertRaised)] == [("medical_monitor", "recalled-lot-on-hand")]
    after = told(case, events)
    assert after.stops.why_stopped() == "safety-hold"
    assert hold_for_recall(after, "lot-1", RECALL.id, context()) == []


def test_a_hold_that_a_clinician_lifted_is_not_placed_again_by_the_same_recall() -> None:
    case = told(dispensed(), hold_for_recall(dispensed(), "lot-1", RECALL.id, context()))
    case = told(case, STOPS.lift(case, LiftHold(hold=HOLD, reason="Returned and replaced."), context()))
    assert hold_for_recall(case, "lot-1", RECALL.id, context()) == []
    assert held(hold_for_recall(case, "lot-1", "recall-2", context())) == [hold_id("recall-2")]


@pytest.mark.parametrize(
    ("left", "on_hand"),
    [("0", ()), ("0.01", ("lot-1",))],
)
def test_what_is_used_up_is_not_on_hand(left: str, on_hand: tuple[str, ...]) -> None:
    case = dispensed()
    case = told(case, dose(case, milligrams="100"))
    case = told(case, waste(case, milligrams="50"))
    case = told(case, give_back(case, milligrams=str(Decimal(50) - Decimal(left))))
    assert case.lots == on_hand
    assert bool(hold_for_recall(case, "lot-1", RECALL.id, context())) is bool(on_hand)


def test_what_names_no_lot_may_have_come_from_any_other_in_whatever_order_it_is_told() -> None:
    """200 mg of lot 1, 100 mg of lot 2, 150 mg given: of either lot some may be left; with 250 mg more it cannot."""
    one = dispensed(prescribed(approved(doses=3), doses=3))
    moves = [dispense(one, milligrams="100", doses=1, lot="lot-2"), dose(one, milligrams="150")]
    for order in permutations(moves):
        case: Case = one
        for move in order:
            case = told(case, move)
        assert [case.supply.on_hand_of(lot) for lot in ("lot-1", "lot-2")] == [Decimal(150), Decimal(100)]
        assert case.lots == ("lot-1", "lot-2")
        assert told(case, dose(case, milligrams="150", session=2)).lots == ()


@pytest.mark.parametrize("days_later", [0, 3])
def test_a_dispensing_of_a_recalled_lot_is_recorded_named_and_held_in_one_decision(days_later: int) -> None:
    """Also a late entry of a day before the recall: the lot is in the patient's hands all the same."""
    case = prescribed()
    events = dispense(case, replace(KNOWING, now=NOW + timedelta(days=days_later)))
    assert isinstance(events[0], MedicationDispensed)
    assert events[0].deviations == ("recalled-lot",)
    assert held(events) == [HOLD]
    assert [event.why for event in events if isinstance(event, AlertRaised)] == ["recalled-lot-on-hand"]
    assert hold_for_recall(told(case, events), "lot-1", RECALL.id, context()) == []


def test_a_dispensing_of_another_lot_or_before_anybody_knew_is_not_held() -> None:
    for at, lot in ((KNOWING, "lot-2"), (context(), "lot-1")):
        events = dispense(prescribed(), at, lot=lot)
        assert isinstance(events[0], MedicationDispensed)
        assert (events[0].deviations, held(events)) == ((), [])


def test_a_dispensing_while_the_hold_is_in_force_places_no_other_and_after_its_lifting_a_new_one() -> None:
    case = told(prescribed(approved(doses=4), doses=4), dispense(prescribed(approved(doses=4), doses=4), KNOWING))
    second = dispense(case, KNOWING, fill_number=1)
    assert held(second) == []
    case = told(case, STOPS.lift(case, LiftHold(hold=HOLD, reason="Returned."), context()))
    third = dispense(case, KNOWING)
    assert len(held(third)) == 1
    assert held(third) != [HOLD]


def test_every_alert_of_a_dispensing_has_an_id_of_its_own() -> None:
    """A recalled lot without a prescription: held, and the balance does not hold."""
    events = dispense(prescribed(), KNOWING, of="unknown")
    alerts = [event for event in events if isinstance(event, AlertRaised)]
    assert {alert.why for alert in alerts} == {"recalled-lot-on-hand", "supply-does-not-balance"}
    assert len({alert.alert for alert in alerts}) == len(alerts) == 2
