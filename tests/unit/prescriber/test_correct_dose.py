"""Doses, as the session room corrects them: the ledger follows, and waits no less and no longer for a late fill."""

from decimal import Decimal
from typing import Any

import pytest

from services.prescriber.domain.state import Case
from services.prescriber.reactions import falling_due, table
from shared.events import session
from shared.events.base import CorrectionKind
from shared.events.supply import (
    EntryCorrected,
    MedicationAdministered,
)
from shared.pathway.context import Context
from tests.unit.prescriber.corrections import KINDS, USED, at, sums
from tests.unit.prescriber.given import NOW, context, nobody, told
from tests.unit.prescriber.moved import (
    alarms,
    dispensed,
    dose,
    dosed,
    named,
    policy,
    prescribed,
)


def corrected_dose(entry: str, kind: CorrectionKind = "entered_in_error", of: Any = "dose") -> session.EntryCorrected:
    return session.EntryCorrected(entry=entry, kind=kind, reason="typed twice", corrected_at=NOW, of=of, session=1)


def hear(case: Case, event: Any, at: Context) -> list[Any]:
    return table(nobody)[type(event)](case, event, at)


def given_dose(milligrams: str = "100") -> Case:
    return told(dispensed(), dose(dispensed(), at(1), milligrams, entry="entry-dose"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_dose_marked_in_the_session_room_is_marked_here(kind: CorrectionKind) -> None:
    (mark,) = hear(given_dose(), corrected_dose("entry-dose", kind), at(2))
    assert mark == EntryCorrected(
        entry="entry-dose",
        kind=kind,
        reason="typed twice",
        corrected_at=NOW,
        of="administration",
        corrected_by="service:intake",  # the actor of the event heard
    )
    assert sums(told(given_dose(), [mark])) == (200, 200, 0, 200)


def test_an_amended_dose_is_a_new_administration_in_its_place() -> None:
    case = told(given_dose(), hear(given_dose(), corrected_dose("entry-dose", "amended"), at(2)))
    (dose_again,) = hear(case, dosed("120", entry="entry-dose-2", replaces="entry-dose"), at(3))
    assert isinstance(dose_again, MedicationAdministered)
    assert (dose_again.entry, dose_again.replaces, dose_again.deviations) == ("entry-dose-2", "entry-dose", ())
    case = told(case, [dose_again])
    assert sums(case) == (200, 200, 120, 80)
    case = told(case, hear(case, corrected_dose("entry-dose-2"), at(4)))
    assert sums(case) == (200, 200, 0, 200)


@pytest.mark.parametrize(
    "event", [corrected_dose("entry-x"), corrected_dose("entry-dose", of="vitals")], ids=["never heard of", "not a dose"]
)
def test_what_is_no_dose_here_is_taken_note_of_harmlessly(event: session.EntryCorrected) -> None:
    assert hear(Case(), event, at(2)) == []
    assert hear(given_dose(), event, at(2)) == []


def test_a_dose_is_marked_once() -> None:
    case = told(given_dose(), hear(given_dose(), corrected_dose("entry-dose"), at(2)))
    assert hear(case, corrected_dose("entry-dose"), at(3)) == []


def test_an_entry_of_the_ledger_is_never_taken_for_a_dose() -> None:
    assert hear(dispensed(), corrected_dose(named(dispensed())), at(2)) == []


def test_the_wait_for_a_late_fill_ends_with_the_dose_that_was_none() -> None:
    case = told(prescribed(), dose(prescribed(), at(1), entry="entry-dose"))
    assert case.supply.deadlines
    case = told(case, hear(case, corrected_dose("entry-dose"), at(2)))
    assert case.supply.deadlines == {}


def test_between_an_amended_dose_and_its_replacement_nothing_falls_due_and_nothing_is_said_twice() -> None:
    case = told(prescribed(), dose(prescribed(), at(1), entry="entry-dose"))
    case = told(case, falling_due(nobody)(case, "supply_reconciled", at(2, hours=24)))
    assert case.supply.said == {USED: 100}
    case = told(case, hear(case, corrected_dose("entry-dose", "amended"), at(3, hours=25)))
    assert case.supply.deadlines == case.supply.mismatches == {}
    events = hear(case, dosed("90", entry="entry-2", replaces="entry-dose"), at(4, hours=25))
    assert alarms(events) == []
    case = told(case, events)
    assert case.supply.said == {USED: 90}
    assert case.supply.deadlines == {}


def test_a_replacement_that_comes_after_the_wait_has_passed_is_said_at_once() -> None:
    case = told(prescribed(), dose(prescribed(), at(1), entry="entry-dose"))
    case = told(case, hear(case, corrected_dose("entry-dose", "amended"), at(2)))
    assert case.supply.deadlines == {}
    events = hear(case, dosed("90", entry="entry-2", replaces="entry-dose"), at(3, hours=30))
    assert alarms(events) == [(USED, Decimal(90))]
    assert told(case, events).supply.deadlines == {}


def test_the_hours_are_the_policys_for_what_replaces_a_dose_too() -> None:
    case = told(prescribed(), dose(prescribed(), at(1), entry="entry-dose"))
    case = told(case, hear(case, corrected_dose("entry-dose"), at(2)))
    events = hear(case, dosed("90", entry="entry-2"), context(seed="x", policy=policy(supply_reconcile_hours=0)))
    assert alarms(events) == [(USED, Decimal(90))]
