"""Addresses that stay, references that resolve, bundles that merge."""

from decimal import Decimal

import pytest

from shared.fhir.elements import narrative, number, said
from shared.fhir.record import Record, bundle_of, merged
from tests.unit.fhir.checks import check, of_kind

CASE, OTHER = "case-" + "a" * 32, "case-" + "b" * 32


def record(case: str = CASE) -> Record:
    return Record(case, "riverside", "patient-1")


def test_an_address_depends_on_the_case_and_the_resource_alone() -> None:
    assert record().reference("Task", "review") == record().reference("Task", "review")
    assert record().reference("Task", "review") != record(OTHER).reference("Task", "review")
    assert record().reference("Task", "review") != record().reference("ServiceRequest", "review")


def test_the_address_is_what_it_was() -> None:
    """Receivers keep them: a change here makes every resource new to them. UUID version 5 is of RFC 9562."""
    assert record().subject == {"reference": "urn:uuid:14234475-5a69-5df3-b58f-5f78950221f1"}


def test_the_first_of_two_with_one_address_stands() -> None:
    full = bundle_of(lambda *_: [record().person("female", 1990)])("x", "", "", None)
    bare = bundle_of(lambda *_: [record().person(), record().organisation("clinic", "riverside")])("x", "", "", None)
    together = merged(CASE, [full, bare])
    check(together)
    (patient,) = of_kind(together, "Patient")
    assert (patient["gender"], patient["birthDate"]) == ("female", "1990")
    assert len(together["entry"]) == 2


def test_a_clinic_and_a_prescriber_of_one_name_are_two() -> None:
    assert record().organisation("clinic", "north")["id"] != record().organisation("prescriber", "north")["id"]


@pytest.mark.parametrize("sex", ["unknown", None])
def test_a_sex_that_is_not_known_is_not_said(sex: object) -> None:
    assert "gender" not in record().person(sex)  # type: ignore[arg-type]


def test_nothing_empty_is_said() -> None:
    assert said(a=None, b=[], c=0, d=False, e="x") == {"c": 0, "d": False, "e": "x"}


def test_decimals_are_numbers() -> None:
    assert [repr(number(value)) for value in (Decimal("100.00"), Decimal("3.50"), 7)] == ["100", "3.5", "7"]


def test_a_narrative_is_escaped() -> None:
    assert "<b>" not in narrative("<b>")["div"]
