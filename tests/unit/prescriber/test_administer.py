"""A dose given in a session leaves the supply; it is a fact, whatever was dispensed for it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.prescriber.domain.review import opening
from services.prescriber.domain.state import Case
from services.prescriber.reactions import table
from shared.events import intake, session
from shared.events.supply import MedicationAdministered
from shared.pathway.context import Context
from tests.unit.prescriber.given import NOW, context, nobody, screened, told
from tests.unit.prescriber.moved import approved, dispensed, dose, dosed, policy, prescribed


def test_a_dosed_session_leads_to_it() -> None:
    reaction = table(nobody)[session.SessionDosed]
    (administered,) = reaction(dispensed(), dosed("120.5", session=3), context())
    assert administered == MedicationAdministered(session=3, milligrams=Decimal("120.5"), given_at=NOW)
    balance = told(dispensed(), [administered]).supply.balance
    assert (balance.administered, balance.on_hand) == (Decimal("120.5"), Decimal("79.5"))


@pytest.mark.parametrize(("milligrams", "found"), [("200", ()), ("200.01", ("not-dispensed",))])
def test_a_dose_beyond_what_was_dispensed_is_recorded_and_waits(milligrams: str, found: tuple[str, ...]) -> None:
    (administered,) = dose(dispensed(), milligrams=milligrams)
    assert isinstance(administered, MedicationAdministered)
    assert administered.deviations == found
    assert administered.reconcile_by == (NOW + timedelta(hours=24) if found else None)


def test_it_may_be_the_first_thing_heard_of_a_case() -> None:
    (administered,) = dose(Case())
    case = told(Case(), [administered])
    assert case.supply.balance.on_hand == -100
    assert case.deadlines == {"supply_reconciled": NOW + timedelta(hours=24)}


def test_the_hours_are_the_policys() -> None:
    (administered,) = dose(Case(), context(policy=policy(supply_reconcile_hours=6)))
    assert isinstance(administered, MedicationAdministered)
    assert administered.reconcile_by == NOW + timedelta(hours=6)


def test_a_stopped_case_keeps_the_fact() -> None:
    case = told(dispensed(), [intake.SafetyHoldPlaced(hold="h", reason="other", placed_at=NOW)])
    assert [type(event) for event in dose(case)] == [MedicationAdministered]


@pytest.mark.parametrize(
    ("given_at", "found"),
    [
        # 23:59 of 2 September in New York, four hours behind UTC in summer; and the midnight after.
        (datetime(2026, 9, 3, 3, 59, tzinfo=UTC), ()),
        (datetime(2026, 9, 3, 4, 0, tzinfo=UTC), ("beyond-six-months",)),
    ],
)
def test_r15_a_dose_dated_more_than_six_months_after_every_prescription(given_at: datetime, found: tuple[str, ...]) -> None:
    at: Context = context(now=given_at)
    (administered,) = dose(dispensed(), at, given_at=given_at)
    assert isinstance(administered, MedicationAdministered)
    assert administered.deviations == found


def test_r15_a_newer_prescription_covers_the_dose() -> None:
    late = datetime(2026, 9, 10, 12, tzinfo=UTC)
    reviewed = told(dispensed(), opening(nobody)(dispensed(), screened(), context(now=late)))
    case = prescribed(approved(reviewed, now=late), context(now=late, seed="event:urn:kapcare:intake/e2"), issued_on="2026-09-10")
    (administered,) = dose(case, context(now=late), given_at=late)
    assert isinstance(administered, MedicationAdministered)
    assert administered.deviations == ()
