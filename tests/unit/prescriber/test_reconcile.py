"""The alarm: more moved than there was. Said once for each state of affairs; a dose waits for the record of its dispensing."""

from datetime import timedelta
from decimal import Decimal

import pytest

from services.prescriber.domain.state import Case
from services.prescriber.reactions import falling_due
from shared.events.prescriber import AlertRaised, ReviewOverdue
from shared.events.supply import DiversionSuspected, Mismatch
from shared.pathway.context import Context
from tests.unit.prescriber.given import NOW, context, in_review, nobody, told
from tests.unit.prescriber.moved import alarms, approved, dispense, dispensed, dose, give_back, issue, policy, prescribed, waste

USED: Mismatch = "used-above-dispensed"
ABOVE: Mismatch = "dispensed-above-prescribed"
DUE = NOW + timedelta(hours=24)


fall_due = falling_due(nobody)


def at(hours: float) -> Context:
    return context(now=NOW + timedelta(hours=hours))


def test_the_alarm_names_every_sum() -> None:
    case = told(dispensed(), dose(dispensed(), milligrams="120"))
    case = told(case, waste(case, milligrams="30"))
    _, alarm, called = give_back(case, milligrams="60")
    assert isinstance(called, AlertRaised)
    assert (called.role, called.why) == ("medical_monitor", "supply-does-not-balance")
    assert alarm == DiversionSuspected(
        why=USED,
        unaccounted=Decimal(10),
        prescribed=Decimal(200),
        dispensed=Decimal(200),
        administered=Decimal(120),
        wasted=Decimal(30),
        returned=Decimal(60),
        noticed_at=NOW,
    )


def undispensed() -> Case:
    """A dose of 100 mg on a prescription of which nothing was dispensed."""
    return told(prescribed(), dose(prescribed()))


def test_a_dose_waits_for_its_dispensing_and_then_all_is_well() -> None:
    case = undispensed()
    assert case.supply.deadlines == {"supply_reconciled": DUE}
    late = dispense(case, at(23))
    assert alarms(late) == []
    assert told(case, late).supply.deadlines == {}


@pytest.mark.parametrize(("hours", "expected"), [(23.999, []), (24, [(USED, Decimal(100))])])
def test_a_dose_whose_dispensing_never_comes_alarms_at_the_deadline(hours: float, expected: list[tuple[str, Decimal]]) -> None:
    assert alarms(fall_due(undispensed(), "supply_reconciled", at(hours))) == expected


def test_the_alarm_of_a_deadline_is_said_once() -> None:
    case = told(undispensed(), fall_due(undispensed(), "supply_reconciled", at(24)))
    assert case.supply.deadlines == {}
    assert alarms(fall_due(case, "supply_reconciled", at(25))) == []
    assert [alarm.unaccounted for alarm in case.supply.alarms] == [Decimal(100)]


def test_what_leaves_meanwhile_waits_too() -> None:
    """A dose given and its rest destroyed, both before the pharmacy's record comes."""
    case = undispensed()
    wasted = waste(case, at(1), milligrams="20")
    assert alarms(wasted) == []
    assert alarms(fall_due(told(case, wasted), "supply_reconciled", at(24))) == [(USED, Decimal(120))]


def test_a_second_dose_does_not_put_the_deadline_off() -> None:
    case = told(undispensed(), dose(undispensed(), at(20)))
    assert case.supply.deadlines == {"supply_reconciled": DUE}


def test_a_dispensing_that_covers_a_part_leaves_the_rest_waiting() -> None:
    case = told(undispensed(), dispense(undispensed(), at(1), milligrams="60", doses=1))
    assert case.supply.deadlines == {"supply_reconciled": DUE}
    assert alarms(fall_due(case, "supply_reconciled", at(24))) == [(USED, Decimal(40))]


def said(milligrams: str = "250") -> Case:
    """A case where 50 mg more were wasted than dispensed, unless said otherwise, and it was said."""
    case = told(dispensed(), waste(dispensed(), milligrams=milligrams))
    assert case.supply.unsaid == {}
    return case


def test_an_open_mismatch_is_not_said_again_by_events_that_leave_it_as_it_is() -> None:
    case = told(approved(doses=4), waste(approved(doses=4), milligrams="50"))
    assert len(case.supply.alarms) == 1
    assert alarms(issue(case)) == []
    assert alarms(fall_due(case, "supply_reconciled", at(24))) == []


def test_a_mismatch_that_shrinks_is_not_said_again() -> None:
    case = said()
    assert alarms(dispense(prescribed_more(case), milligrams="20", doses=1)) == []


def prescribed_more(case: Case) -> Case:
    """With room for one more fill of 100 mg."""
    (issued,) = case.supply.prescriptions
    return told(case, [issued.model_copy(update={"prescription": "prescription-more", "doses": 1})])


def test_a_mismatch_that_grows_is_said_with_its_new_sum() -> None:
    assert alarms(waste(said(), milligrams="1")) == [(USED, Decimal(51))]


def test_a_mismatch_that_shrank_and_grows_is_said_again() -> None:
    case = prescribed_more(said())
    case = told(case, dispense(case, milligrams="20", doses=1))
    assert alarms(waste(case, milligrams="5")) == [(USED, Decimal(35))]


def test_a_mismatch_that_closed_and_opens_again_is_a_new_one() -> None:
    case = prescribed_more(said())
    case = told(case, dispense(case, milligrams="100", doses=1))
    assert case.supply.mismatches == {}
    assert alarms(waste(case, milligrams="51")) == [(USED, Decimal(1))]


def test_a_dose_on_top_of_a_mismatch_that_was_said_waits_as_any_dose() -> None:
    case = told(said(), dose(said(), at(1)))
    assert case.supply.deadlines == {"supply_reconciled": NOW + timedelta(hours=25)}
    assert alarms(fall_due(case, "supply_reconciled", at(25))) == [(USED, Decimal(150))]


def test_too_much_dispensed_does_not_wait() -> None:
    events = dispense(undispensed(), milligrams="300", doses=3)
    assert alarms(events) == [(ABOVE, Decimal(100))]


def test_two_mismatches_are_two_alarms() -> None:
    case = told(prescribed(), dispense(prescribed(), milligrams="300", doses=3))
    assert alarms(waste(case, milligrams="310")) == [(USED, Decimal(10))]
    assert {alarm.why for alarm in told(case, waste(case, milligrams="310")).supply.alarms} == {USED, ABOVE}


def test_what_is_left_over_is_no_mismatch() -> None:
    assert dispensed().supply.mismatches == {}
    assert Case().supply.mismatches == {}


def test_the_silent_organisation_still_falls_due_beside_it() -> None:
    case = told(in_review(), dose(in_review()))
    assert set(case.deadlines) == {"partner_answer", "supply_reconciled"}
    overdue, _called = fall_due(case, "partner_answer", at(72))
    assert isinstance(overdue, ReviewOverdue)
    assert fall_due(told(case, [overdue]), "supply_reconciled", at(72)) != []


def test_a_policy_that_waits_for_nothing_says_it_at_once() -> None:
    events = dose(prescribed(), context(policy=policy(supply_reconcile_hours=0)))
    assert alarms(events) == [(USED, Decimal(100))]
    assert told(prescribed(), events).supply.deadlines == {}
