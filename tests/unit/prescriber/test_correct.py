"""Correcting the ledger: what counts afterwards, what is refused, and which alarms close and open with it.

Expectations are sums done by hand; 21 CFR 1306.22(a) for R-15. The recount by an oracle is in `test_any_correction`.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from services.prescriber.api import show_supply
from services.prescriber.domain.correct import CorrectMovement, CorrectPrescription
from services.prescriber.domain.revoke import Revoke, revoke
from services.prescriber.domain.state import Case
from shared.events import intake
from shared.events.base import CorrectionKind
from shared.events.prescriber import AlertRaised, StepRefused
from shared.events.supply import (
    DiversionSuspected,
    EntryCorrected,
    MedicationDispensed,
    MedicationReturned,
    MedicationWasted,
    PrescriptionIssued,
)
from tests.unit.prescriber.corrections import ABOVE, USED, WITHOUT, at, refused, sums
from tests.unit.prescriber.given import NOW, context, rules, told
from tests.unit.prescriber.moved import (
    alarms,
    approved,
    correct,
    correct_issued,
    dispense,
    dispensed,
    dispensing,
    dose,
    give_back,
    last,
    named,
    prescribed,
    prescription,
    read,
    returning,
    wastage,
    waste,
)


@pytest.mark.parametrize("kind", ["entered_in_error", "wrong_patient"])
def test_a_marked_movement_counts_no_more_and_is_kept(kind: CorrectionKind) -> None:
    case = told(dispensed(), waste(dispensed(), at(1)))
    (mark,) = correct(case, named(case), at(2), kind)
    assert mark == EntryCorrected(
        entry=named(case), kind=kind, reason="of another chart", corrected_at=NOW, of="wastage", corrected_by="prescriber-7"
    )
    case = told(case, [mark])
    assert sums(case) == (200, 200, 0, 200)
    assert [line.kind for line in case.supply.lines] == ["prescribed", "dispensed", "wasted"]
    assert case.supply.lines[-1].corrected == mark


def test_an_amended_fill_is_replaced_in_the_same_commit_in_its_place() -> None:
    case = told(dispensed(milligrams="100", doses=1), waste(dispensed(), at(1), milligrams="10"))
    name = named(case, 1)
    mark, fill = correct(case, name, at(2), "amended", dispensing=dispensing(last(case), milligrams="200", lot="lot-2"))
    assert isinstance(mark, EntryCorrected)
    assert isinstance(fill, MedicationDispensed)
    assert (mark.entry, fill.replaces, fill.lot, fill.deviations) == (name, name, "lot-2", ())
    assert fill.entry not in (None, name)
    case = told(case, [mark, fill])
    assert sums(case) == (200, 200, 10, 190)
    assert [(line.kind, line.corrected is None) for line in case.supply.lines] == [
        ("prescribed", True),
        ("dispensed", False),
        ("dispensed", True),
        ("wasted", True),
    ]


def test_an_amended_wastage_and_an_amended_return() -> None:
    case = told(dispensed(), waste(dispensed(), at(1)))
    _, wasted = correct(case, named(case), at(2), "amended", wastage=wastage("5", witnessed_by="prescriber-7"))
    assert isinstance(wasted, MedicationWasted)
    assert (wasted.milligrams, wasted.deviations, wasted.replaces) == (Decimal(5), ("own-witness",), named(case))
    case = told(dispensed(), give_back(dispensed(), at(1)))
    _, returned = correct(case, named(case), at(2), "amended", returned=returning("200"))
    assert isinstance(returned, MedicationReturned)
    # 200 mg are on hand once the 50 mg count no more.
    assert (returned.deviations, returned.replaces) == ((), named(case))


def test_what_replaced_another_is_corrected_in_turn() -> None:
    case = told(dispensed(), waste(dispensed(), at(1)))
    case = told(case, correct(case, named(case), at(2), "amended", wastage=wastage("20")))
    case = told(case, correct(case, named(case), at(3), "amended", wastage=wastage("30")))
    assert sums(case) == (200, 200, 30, 170)
    case = told(case, correct(case, named(case), at(4)))
    assert sums(case) == (200, 200, 0, 200)
    assert len(case.supply.lines) == 5


@pytest.mark.parametrize("kind", ["entered_in_error", "wrong_patient"])
def test_an_entry_is_corrected_once(kind: CorrectionKind) -> None:
    case = told(dispensed(), correct(dispensed(), named(dispensed()), at(1), kind))
    assert refused(correct, case, named(case), at(2)).slug == "already-corrected"
    case = told(case, correct_issued(case, last(prescribed()), at(3), kind))
    assert refused(correct_issued, case, named(case, 0), at(4)).slug == "already-corrected"


def test_what_the_case_does_not_have_is_refused_without_repeating_it() -> None:
    refusal = refused(correct, dispensed(), "entry-0")
    assert refusal.slug == "no-such-entry"
    assert "entry-0" not in refusal.detail
    assert refused(correct_issued, dispensed(), "prescription-0").slug == "no-such-entry"
    assert refused(correct_issued, dispensed(), named(dispensed())).slug == "no-such-entry"
    assert refused(correct, dispensed(), last(dispensed())).slug == "no-such-entry"


def test_what_was_recorded_before_entries_had_names_cannot_be_corrected() -> None:
    (fill,) = dispense(prescribed())
    old = told(prescribed(), [fill.model_copy(update={"entry": None})])
    assert refused(correct, old, "none").slug == "entry-without-name"
    # The prescription always had one.
    assert sums(told(old, correct_issued(old, last(old), at(1)))) == (0, 200, 0, 200)


def test_a_dose_is_corrected_in_the_session_room() -> None:
    case = told(dispensed(), dose(dispensed(), entry="entry-dose"))
    assert refused(correct, case, "entry-dose").slug == "corrected-in-session"


@pytest.mark.parametrize(
    ("place", "kind", "replacement"),
    [
        (1, "amended", {}),
        (1, "amended", {"wastage": wastage()}),
        (1, "amended", {"dispensing": dispensing(), "wastage": wastage()}),
        (1, "entered_in_error", {"dispensing": dispensing()}),
        (1, "wrong_patient", {"dispensing": dispensing()}),
        (2, "amended", {"returned": returning()}),
        (3, "amended", {"wastage": wastage()}),
    ],
)
def test_a_replacement_that_does_not_fit_is_refused(place: int, kind: str, replacement: dict[str, Any]) -> None:
    case = told(dispensed(), waste(dispensed(), at(1)))
    case = told(case, give_back(case, at(2)))
    assert refused(correct, case, named(case, place), at(3), kind, **replacement).slug == "malformed"


@pytest.mark.parametrize(
    ("kind", "replacement"), [("amended", {}), ("entered_in_error", {"replacement": prescription()})], ids=["missing", "too much"]
)
def test_a_prescriptions_replacement_that_does_not_fit_is_refused(kind: str, replacement: dict[str, Any]) -> None:
    assert refused(correct_issued, prescribed(), last(prescribed()), at(1), kind, **replacement).slug == "malformed"


def test_a_replacement_is_held_to_what_can_have_happened() -> None:
    case = told(dispensed(), waste(dispensed(), at(1)))
    tomorrow = (NOW + timedelta(days=1)).isoformat()
    assert refused(correct, case, named(case), at(2), "amended", wastage=wastage(wasted_at=tomorrow)).slug == "time-in-the-future"
    late = dispensing(last(case), dispensed_on="1999-12-31")
    assert refused(correct, case, named(case, 1), at(2), "amended", dispensing=late).slug == "out-of-range"


@pytest.mark.parametrize("changed", [{"reason": ""}, {"kind": "deleted"}, {"entry": "../x"}, {"administration": {}}])
def test_malformed_corrections(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(CorrectMovement, {"entry": "entry-1", "kind": "entered_in_error", "reason": "r", **changed})
    with pytest.raises(ValidationError):
        read(CorrectPrescription, {"prescription": "prescription-1", "kind": "entered_in_error", "reason": "r", **changed, "x": 1})


def test_a_stop_keeps_no_correction_out_and_says_nothing_that_was_not_so_when_it_was_first_recorded() -> None:
    held = told(dispensed(), [intake.SafetyHoldPlaced(hold="hold-1", reason="adverse_event", placed_at=NOW)])
    _, fill = correct(held, named(held), at(1), "amended", dispensing=dispensing(last(held), milligrams="150"))
    assert isinstance(fill, MedicationDispensed)
    assert fill.deviations == ()
    late = told(held, dispense(held, at(2)))
    _, fill, *_ = correct(late, named(late), at(3), "amended", dispensing=dispensing(last(late), milligrams="50"))
    assert isinstance(fill, MedicationDispensed)
    assert fill.deviations[0] == "stopped"


# Prescriptions.


def test_fills_of_a_marked_prescription_lack_one_and_that_alarms() -> None:
    case = dispensed()
    mark, alarm, called = correct_issued(case, last(case), at(1))
    assert isinstance(mark, EntryCorrected)
    assert mark.of == "prescription"
    assert isinstance(called, AlertRaised)
    assert (called.role, called.why) == ("medical_monitor", "supply-does-not-balance")
    assert alarms([alarm]) == [(WITHOUT, Decimal(200))]
    case = told(case, [mark, alarm])
    assert (sums(case), case.supply.prescriptions) == ((0, 200, 0, 200), ())
    fill, *_ = dispense(case, at(2), of=named(case, 0), milligrams="1")
    assert isinstance(fill, MedicationDispensed)
    assert fill.deviations == ("unknown-prescription",)


def test_fills_of_an_amended_prescription_rest_on_its_replacement() -> None:
    case = dispensed(prescribed(approved(doses=6)))
    first = last(case)
    mark, issued = correct_issued(case, first, at(1), "amended", replacement=prescription(doses=3))
    assert isinstance(issued, PrescriptionIssued)
    assert (issued.replaces, issued.request) == (first, 1)
    case = told(case, [mark, issued])
    assert (sums(case), case.supply.mismatches) == ((300, 200, 0, 200), {})
    # 100 mg are left of it, under the first id or the new one.
    for of in (first, last(case)):
        assert alarms(dispense(case, at(2), of=of, milligrams="100", doses=1)) == []
        assert alarms(dispense(case, at(2), of=of, milligrams="101", doses=1)) == [(ABOVE, Decimal(1))]
    # Amended once more, and at last an error after all: nothing carries the fill any more.
    case = told(case, correct_issued(case, last(case), at(3), "amended", replacement=prescription(doses=2)))
    assert (sums(case), case.supply.mismatches) == ((200, 200, 0, 200), {})
    assert alarms(correct_issued(case, last(case), at(4))) == [(WITHOUT, Decimal(200))]


def test_amending_a_prescription_below_what_was_filled_alarms() -> None:
    case = dispensed()
    events = correct_issued(case, last(case), at(1), "amended", replacement=prescription(doses=1))
    assert [type(event) for event in events] == [EntryCorrected, PrescriptionIssued, DiversionSuspected, AlertRaised]
    assert alarms(events) == [(ABOVE, Decimal(100))]


def test_r15_a_replacement_that_the_rules_refuse_marks_nothing() -> None:
    case = prescribed(approved(doses=12))
    events = correct_issued(case, last(case), at(1), "amended", replacement=prescription(refills=6, doses=1))
    assert rules(events) == ["R-15"]
    assert told(case, events) == case


@pytest.mark.parametrize(("doses", "expected"), [(12, []), (13, ["R-15"])])
def test_r15_the_doses_of_a_marked_prescription_are_free_again(doses: int, expected: list[str]) -> None:
    case = prescribed(approved(doses=12), doses=5)
    replacing = correct_issued(case, last(case), at(1), "amended", replacement=prescription(doses=doses))
    assert [event.rule for event in replacing if isinstance(event, StepRefused)] == expected


def test_r15_what_was_signed_is_amended_under_the_approval_it_was_signed_under() -> None:
    """The approval was revoked since, and the case is held: neither was so when the prescriber signed."""
    case = told(prescribed(), revoke(prescribed(), Revoke(reason="allergy"), context()))
    case = told(case, [intake.SafetyHoldPlaced(hold="hold-1", reason="adverse_event", placed_at=NOW)])
    _, issued = correct_issued(case, last(case), at(1), "amended", replacement=prescription(doses=1))
    assert isinstance(issued, PrescriptionIssued)
    assert rules(correct_issued(case, last(case), at(1), "amended", replacement=prescription(doses=3))) == ["R-15"]
    before = prescription(issued_on="2026-03-01")
    assert rules(correct_issued(case, last(case), at(1), "amended", replacement=before)) == ["R-15"]


@pytest.mark.parametrize(("day", "expected"), [("2026-05-01", []), ("2026-05-02", ["R-15"])])
def test_r15_an_amended_day_lies_within_the_approval(day: str, expected: list[str]) -> None:
    """Approved on 2 March for 60 days: through 1 May."""
    later = at(1, hours=24 * 90)
    events = correct_issued(prescribed(), last(prescribed()), later, "amended", replacement=prescription(issued_on=day))
    assert [event.rule for event in events if isinstance(event, StepRefused)] == expected


def test_r15_refills_are_counted_from_the_fills_that_count() -> None:
    case = prescribed(approved(doses=6), doses=1, refills=5)
    for number in range(1, 7):
        case = dispensed(case, at(number), fill_number=number, milligrams="100", doses=1)

    def left(case: Case) -> int:
        (shown,) = show_supply(case)["prescriptions"]
        return int(shown["fills_left"])

    assert left(case) == 0
    assert left(told(case, correct(case, named(case), at(7)))) == 1


def test_r15_what_a_marked_fill_had_used_up_is_free_again() -> None:
    case = dispensed()
    fill, *_ = dispense(case, at(1), milligrams="200")
    assert isinstance(fill, MedicationDispensed)
    assert fill.deviations == ("above-prescribed", "first-supply-above-policy")
    fill, *_ = dispense(told(case, correct(case, named(case), at(1))), at(2), milligrams="200")
    assert isinstance(fill, MedicationDispensed)
    assert fill.deviations == ()


def test_r17_a_marked_fill_was_no_first_supply() -> None:
    case = dispensed(prescribed(approved(doses=6), doses=6), at(1))
    fill, *_ = dispense(case, at(2), doses=1, milligrams="100")
    assert isinstance(fill, MedicationDispensed)
    assert fill.deviations == ("first-supply-above-policy",)
    case = told(case, correct(case, named(case), at(3), "wrong_patient"))
    fill, *_ = dispense(case, at(4), doses=2, milligrams="200")
    assert isinstance(fill, MedicationDispensed)
    assert fill.deviations == ()


# Alarms.


def test_an_alarm_closes_when_its_mismatch_is_gone_and_a_new_one_is_said_anew() -> None:
    case = told(dispensed(), waste(dispensed(), at(1), milligrams="250"))
    assert [alarm["open"] for alarm in show_supply(case)["alarms"]] == [True]
    case = told(case, correct(case, named(case), at(2)))
    assert [alarm["open"] for alarm in show_supply(case)["alarms"]] == [False]
    assert case.supply.said == {}
    again = waste(case, at(3), milligrams="201")
    assert alarms(again) == [(USED, Decimal(1))]
    assert [alarm["open"] for alarm in show_supply(told(case, again))["alarms"]] == [False, True]


def test_a_mark_that_opens_a_gap_alarms_at_once() -> None:
    case = told(dispensed(), waste(dispensed(), at(1)))
    assert alarms(correct(case, named(case, 1), at(2))) == [(USED, Decimal(50))]


def test_amending_what_was_said_says_it_again_only_if_it_grew() -> None:
    case = told(dispensed(), waste(dispensed(), at(1), milligrams="250"))
    assert case.supply.said == {USED: 50}
    assert alarms(correct(case, named(case), at(2), "amended", wastage=wastage("240"))) == []
    assert alarms(correct(case, named(case), at(2), "amended", wastage=wastage("250"))) == []
    assert alarms(correct(case, named(case), at(2), "amended", wastage=wastage("251"))) == [(USED, Decimal(51))]
    assert told(case, correct(case, named(case), at(2), "amended", wastage=wastage("200"))).supply.said == {}


def test_an_amendment_does_not_end_the_wait_for_a_late_fill() -> None:
    case = dispensed(prescribed(), milligrams="100", doses=1)
    case = told(case, waste(case, at(1), milligrams="60"))
    case = told(case, dose(case, at(2), milligrams="50"))
    due = {"supply_reconciled": NOW + timedelta(hours=24)}
    assert case.supply.deadlines == due
    events = correct(case, named(case, 2), at(3), "amended", wastage=wastage("55"))
    assert alarms(events) == []
    assert told(case, events).supply.deadlines == due


# What is shown.


def test_marked_lines_show_why_they_moved_nothing() -> None:
    case = told(dispensed(), waste(dispensed(), at(1)))
    case = told(case, correct(case, named(case), at(2, hours=3), "wrong_patient"))
    marked = show_supply(case)["lines"][-1]
    expected = {"kind": "wrong_patient", "reason": "of another chart", "by": "prescriber-7", "at": NOW + timedelta(hours=3)}
    assert marked["corrected"] == expected
    assert (marked["kind"], marked["milligrams"], marked["wasted"], marked["on_hand"]) == ("wasted", 50, 0, 200)
    assert [line["corrected"] for line in show_supply(case)["lines"][:-1]] == [None, None]
    assert "issued" not in marked
