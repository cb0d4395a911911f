"""R-15, R-17: a fill that was dispensed is a fact; what nothing covered is named, on both sides of each limit."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from services.prescriber.domain.ask_again import AskForReview, asking_again
from services.prescriber.domain.dispense import RecordDispensing, last_day
from services.prescriber.domain.review import opening
from services.prescriber.domain.revoke import Revoke, revoke
from services.prescriber.domain.state import Case
from shared.events import intake
from shared.events.supply import DiversionSuspected, MedicationDispensed, PrescriptionIssued
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from tests.unit.alerting import without_alerts
from tests.unit.prescriber.given import NOW, context, nobody, screened, told
from tests.unit.prescriber.moved import alarms, approved, dispense, dispensed, dispensing, issue, last, policy, prescribed, read

LATER = context(now=NOW + timedelta(days=400))
SIX_FILLS = prescribed(approved(doses=6), doses=1, refills=5)
"""100 mg a fill, six fills."""


def deviations(case: Case, at: Context | None = None, **changed: Any) -> tuple[str, ...]:
    fill = dispense(case, at, **changed)[0]
    assert isinstance(fill, MedicationDispensed)
    return fill.deviations


def test_r15_a_fill_that_its_prescription_covers() -> None:
    events = dispense(prescribed())
    assert events == [
        MedicationDispensed(
            prescription=last(prescribed()),
            fill_number=1,
            milligrams=Decimal(200),
            doses=2,
            lot="lot-1",
            dispensed_on=date(2026, 3, 2),
            dispenser="Corner Pharmacy",
            entry=context().new_id("entry"),
        )
    ]
    assert told(prescribed(), events).supply.balance.on_hand == 200


@pytest.mark.parametrize(("fill", "found"), [(1, ()), (6, ()), (7, ("refills-used-up",))])
def test_r15_fill_seven_is_one_too_many(fill: int, found: tuple[str, ...]) -> None:
    """The original and five refills are six fills (21 CFR 1306.22(a))."""
    assert deviations(SIX_FILLS, fill_number=fill, milligrams="100", doses=1) == found


def test_r15_no_refill_where_none_was_authorised() -> None:
    assert deviations(prescribed(), fill_number=2, milligrams="100", doses=1) == ("refills-used-up",)


@pytest.mark.parametrize(("day", "found"), [("2026-09-02", ()), ("2026-09-03", ("beyond-six-months",))])
def test_r15_no_fill_more_than_six_months_after_issue(day: str, found: tuple[str, ...]) -> None:
    assert deviations(SIX_FILLS, LATER, milligrams="100", doses=1, dispensed_on=day) == found


@pytest.mark.parametrize(
    ("issued_on", "ends_on"),
    [
        (date(2026, 8, 31), date(2027, 2, 28)),
        (date(2027, 8, 31), date(2028, 2, 29)),
        (date(2026, 3, 31), date(2026, 9, 30)),
        (date(2026, 2, 28), date(2026, 8, 28)),
        (date(2026, 7, 15), date(2027, 1, 15)),
    ],
)
def test_r15_six_months_end_on_the_same_day_or_the_last_of_a_shorter_month(issued_on: date, ends_on: date) -> None:
    (issued,) = issue(approved())
    assert isinstance(issued, PrescriptionIssued)
    issued = issued.model_copy(update={"issued_on": issued_on})
    assert last_day(issued) == ends_on


def test_r15_six_months_are_181_to_184_days() -> None:
    """From each day of nine years around 2100, which is no leap year."""
    (issued,) = issue(approved())
    assert isinstance(issued, PrescriptionIssued)
    for day in range(9 * 365):
        issued_on = date(2096, 1, 1) + timedelta(days=day)
        assert 181 <= (last_day(issued.model_copy(update={"issued_on": issued_on})) - issued_on).days <= 184, issued_on


@pytest.mark.parametrize(("milligrams", "found"), [("200", ()), ("200.01", ("above-prescribed",))])
def test_r15_no_more_in_a_fill_than_it_holds(milligrams: str, found: tuple[str, ...]) -> None:
    assert deviations(prescribed(), milligrams=milligrams) == found


def test_r15_fills_add_up_to_what_is_prescribed_and_no_more() -> None:
    case = dispensed(milligrams="150", doses=1)
    assert deviations(case, milligrams="50", doses=1) == ()
    assert alarms(dispense(case, milligrams="50", doses=1)) == []
    assert deviations(case, milligrams="50.01", doses=1) == ("above-prescribed",)
    assert alarms(dispense(case, milligrams="50.01", doses=1)) == [("dispensed-above-prescribed", Decimal("0.01"))]


def test_r15_a_fill_above_one_fill_is_no_mismatch_while_the_prescription_covers_it() -> None:
    case = prescribed(approved(doses=12), doses=2, refills=5)
    events = dispense(case, milligrams="201")
    assert isinstance(events[0], MedicationDispensed)
    assert events[0].deviations == ("above-prescribed",)
    assert alarms(events) == []


def test_r15_what_no_prescription_covers_is_recorded_and_alarms() -> None:
    events = dispense(prescribed(), of="prescription-of-nobody")
    assert [type(event) for event in without_alerts(events)] == [MedicationDispensed, DiversionSuspected]
    assert isinstance(events[0], MedicationDispensed)
    assert events[0].deviations == ("unknown-prescription",)
    assert alarms(events) == [("dispensed-without-prescription", Decimal(200))]


def test_one_prescriptions_room_does_not_cover_anothers_excess() -> None:
    case = prescribed(approved(doses=12), doses=2, refills=0)
    first = last(case)
    case = prescribed(case, context(seed="event:urn:kapcare:intake/e2"), doses=5)
    case = dispensed(case, milligrams="100", doses=1)
    assert alarms(dispense(case, of=first, milligrams="300", doses=3)) == [("dispensed-above-prescribed", Decimal(100))]


@pytest.mark.parametrize("stopped", [False, True])
def test_a_fill_is_recorded_whatever_stops_the_case(stopped: bool) -> None:
    hold = intake.SafetyHoldPlaced(hold="hold-1", reason="adverse_event", placed_at=NOW)
    case = told(prescribed(), [hold] if stopped else [])
    assert deviations(case) == (("stopped",) if stopped else ())
    assert deviations(told(Case(), []), of="prescription-x") == ("stopped", "unknown-prescription")


@pytest.mark.parametrize(("on", "found"), [("2026-03-02", ()), ("2026-03-03", ("approval-ended",))])
def test_r15_a_fill_after_the_approval_ended_is_named(on: str, found: tuple[str, ...]) -> None:
    """Nothing may be done under a plan whose approval was revoked; on that day nobody can say which came first."""
    case = told(prescribed(), revoke(prescribed(), Revoke(reason="allergy"), context()))
    later = context(now=NOW + timedelta(days=1))
    assert deviations(case, later, dispensed_on=on) == found
    renewed = approved(told(case, asking_again(nobody)(case, AskForReview(), context())))
    assert deviations(renewed, later, dispensed_on=on) == ()


@pytest.mark.parametrize(
    ("now", "dispensed_on", "slug"),
    [
        (datetime(2026, 3, 3, 4, 59, tzinfo=UTC), "2026-03-03", "time-in-the-future"),
        (datetime(2026, 3, 3, 5, 0, tzinfo=UTC), "2026-03-03", None),
        (NOW, "2026-03-02", None),
        (NOW, "1999-12-31", "out-of-range"),
    ],
)
def test_r15_a_day_that_cannot_have_been(now: datetime, dispensed_on: str, slug: str | None) -> None:
    """New York is five hours behind UTC in March."""
    if slug is None:
        assert deviations(prescribed(), context(now=now), dispensed_on=dispensed_on) == ()
        return
    with pytest.raises(Refusal) as reason:
        dispense(prescribed(), context(now=now), dispensed_on=dispensed_on)
    assert (reason.value.slug, reason.value.rule) == (slug, "R-15")


@pytest.mark.parametrize(("day", "found"), [("2026-03-01", ("before-issue",)), ("2026-03-02", ())])
def test_r15_a_fill_dated_before_its_prescription_happened_all_the_same(day: str, found: tuple[str, ...]) -> None:
    assert deviations(prescribed(), dispensed_on=day) == found


@pytest.mark.parametrize(("doses", "found"), [(2, ()), (3, ("first-supply-above-policy",))])
def test_r17_the_first_supply_is_small(doses: int, found: tuple[str, ...]) -> None:
    case = prescribed(approved(doses=6), doses=6)
    assert deviations(case, doses=doses, milligrams="300") == found


def test_r17_the_first_supply_counts_every_fill_before_the_follow_up() -> None:
    case = dispensed(SIX_FILLS, milligrams="100", doses=1)
    assert deviations(case, fill_number=2, milligrams="100", doses=1) == ()
    case = dispensed(case, fill_number=2, milligrams="100", doses=1)
    assert deviations(case, fill_number=3, milligrams="100", doses=1) == ("first-supply-above-policy",)


def test_r17_the_number_is_the_policys() -> None:
    case = prescribed(approved(doses=6), doses=6)
    assert deviations(case, context(policy=policy(first_supply_doses=3)), doses=3, milligrams="300") == ()


def followed_up(before: Case) -> Case:
    """A case whose review was done again and approved for twelve doses, with a prescription of eight."""
    case = told(before, opening(nobody)(before, screened(), context()))
    return prescribed(approved(case, doses=12), context(seed="event:urn:kapcare:intake/e3"), doses=8)


@pytest.mark.parametrize(("doses", "found"), [(3, ()), (6, ()), (7, ("next-supply-above-policy",))])
def test_r17_after_a_follow_up_more_may_be_supplied(doses: int, found: tuple[str, ...]) -> None:
    assert deviations(followed_up(dispensed()), doses=doses, milligrams="700") == found


def test_r17_a_later_approval_before_anything_was_supplied_is_no_follow_up() -> None:
    assert deviations(followed_up(prescribed()), doses=3, milligrams="300") == ("first-supply-above-policy",)


@pytest.mark.parametrize(
    "changed",
    [
        {"milligrams": "0"},
        {"milligrams": "-200"},
        {"milligrams": "1e9"},
        {"milligrams": "NaN"},
        {"milligrams": None},
        {"fill_number": 0},
        {"fill_number": 101},
        {"doses": 0},
        {"lot": ""},
        {"dispenser": ""},
        {"dispensed_on": "2026-02-30"},
        {"dispensed_on": "2026-03-02T10:00:00Z"},
        {"deviations": []},
    ],
)
def test_malformed_dispensings(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(RecordDispensing, dispensing(**changed))


@pytest.mark.parametrize(("milligrams", "found"), [("10", ()), ("9.98", ("no-dose-in-milligrams",)), ("0.2", ("no-dose-in-milligrams",))])
def test_r18_a_fill_in_another_unit_is_recorded_and_named(milligrams: str, found: tuple[str, ...]) -> None:
    """Two doses under the tongue, each plausible from 5 mg on by the shipped policy."""
    assert deviations(prescribed(), milligrams=milligrams, doses=2) == found
