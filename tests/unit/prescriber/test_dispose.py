"""What was wasted or returned is a fact; beyond what is on hand it is a deviation and alarms."""

from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from pydantic import ValidationError

from services.prescriber.domain.dispose import RecordReturn, RecordWastage
from services.prescriber.domain.state import Case
from shared.events import intake
from shared.events.supply import MedicationReturned, MedicationWasted
from shared.pathway.refusal import Refusal
from tests.unit.prescriber.given import NOW, context, told
from tests.unit.prescriber.moved import alarms, dispensed, give_back, read, returning, wastage, waste


def test_wastage_is_recorded_with_its_witness() -> None:
    entry = context().new_id("entry")
    assert waste(dispensed()) == [
        MedicationWasted(milligrams=Decimal(50), witnessed_by="nurse-2", reason="broken", wasted_at=NOW, entry=entry)
    ]


def test_a_return_is_recorded() -> None:
    entry = context().new_id("entry")
    assert give_back(dispensed()) == [MedicationReturned(milligrams=Decimal(50), to="Corner Pharmacy", returned_at=NOW, entry=entry)]


@pytest.mark.parametrize(("milligrams", "found"), [("200", ()), ("200.01", ("above-on-hand",))])
def test_no_more_leaves_than_was_dispensed(milligrams: str, found: tuple[str, ...]) -> None:
    expected = [("used-above-dispensed", Decimal("0.01"))] if found else []
    for events in (waste(dispensed(), milligrams=milligrams), give_back(dispensed(), milligrams=milligrams)):
        assert isinstance(events[0], MedicationWasted | MedicationReturned)
        assert events[0].deviations == found
        assert alarms(events) == expected


def test_who_destroys_it_is_not_its_witness() -> None:
    (wasted,) = waste(dispensed(), witnessed_by="prescriber-7")
    assert isinstance(wasted, MedicationWasted)
    assert wasted.deviations == ("own-witness",)


def test_a_stop_keeps_neither_out() -> None:
    case = told(dispensed(), [intake.ConsentWithdrawn(withdrawn_at=NOW, said_to="intake")])
    assert [type(event) for event in waste(case)] == [MedicationWasted]
    assert [type(event) for event in give_back(case)] == [MedicationReturned]


@pytest.mark.parametrize(
    ("at", "slug"), [(NOW + timedelta(seconds=1), "time-in-the-future"), (NOW.replace(year=1999), "out-of-range"), (NOW, None)]
)
def test_times_that_cannot_have_been(at: Any, slug: str | None) -> None:
    stated = at.isoformat()
    for record in (partial(waste, wasted_at=stated), partial(give_back, returned_at=stated)):
        if slug is None:
            assert len(record(dispensed())) == 1
            continue
        with pytest.raises(Refusal) as reason:
            record(dispensed())
        assert reason.value.slug == slug


@pytest.mark.parametrize("milligrams", ["0", "-1", "0.001", "100000", "NaN", "-Infinity", None, [], True])
def test_malformed_milligrams(milligrams: Any) -> None:
    with pytest.raises(ValidationError):
        read(RecordWastage, wastage(milligrams))
    with pytest.raises(ValidationError):
        read(RecordReturn, returning(milligrams))


@pytest.mark.parametrize(
    "changed", [{"witnessed_by": ""}, {"reason": ""}, {"wasted_at": "2026-03-02"}, {"wasted_at": "2026-03-02T10:00:00"}]
)
def test_malformed_wastage(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(RecordWastage, wastage(**changed))


def test_even_a_case_without_any_supply_keeps_the_fact() -> None:
    assert alarms(waste(Case())) == [("used-above-dispensed", Decimal(50))]
