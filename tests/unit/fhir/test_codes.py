"""The table of codes: none mistyped (check digits), none that was not verified, none twice in two places."""

from typing import get_args

import pytest

from shared.events.clinical import Indication, Route
from shared.fhir import codes
from shared.fhir.codes import INSTRUMENTS, LOCAL_SYSTEM, LOINC_SYSTEM, loinc
from shared.pathway.instrument_items import FORMS, LOINC
from tests.unit.intake.test_codes import verhoeff_holds

NOT_VERIFIED = {
    "44250-9",
    "44255-8",
    "44259-0",
    "44254-1",
    "44251-7",
    "44258-2",
    "44252-5",
    "44253-3",
    "44260-8",
    "68518-0",
    "82666-9",
    "6130",
}
"""Marked as such in the list of codes that this table was made from."""
TRAPS = {"68517-2", "LA9194-7", "81216-4", "442163000", "443422002", "713145008"}
"""Found in public examples, and wrong, contradictory or made up."""


def loinc_check_digit_holds(code: str) -> bool:
    """Mod 10 as LOINC defines it: odd places from the right doubled, digits added."""
    body, _, check = code.partition("-")
    total = sum(sum(divmod(int(digit) * (2 if place % 2 == 0 else 1), 10)) for place, digit in enumerate(reversed(body)))
    return (10 - total % 10) % 10 == int(check)


@pytest.mark.parametrize("code", codes._LOINC)
def test_loinc_codes_have_valid_check_digits(code: str) -> None:
    assert loinc_check_digit_holds(code)
    assert not loinc_check_digit_holds(f"{code[:-1]}{(int(code[-1]) + 1) % 10}")


def test_snomed_codes_have_valid_check_digits() -> None:
    for code in (codes.SUICIDE_RISK_ASSESSMENT, codes.INDICATION["ptsd"][0]):
        assert code.system == codes.SNOMED_SYSTEM
        assert verhoeff_holds(code.code)


def test_no_unverified_code_and_no_trap_is_in_the_table() -> None:
    assert not (NOT_VERIFIED | TRAPS) & set(codes._LOINC)
    with pytest.raises(KeyError):
        loinc("44260-8")


def test_every_instrument_has_a_code_for_each_item() -> None:
    for instrument, form in FORMS.items():
        named = INSTRUMENTS[instrument]
        assert len(named.items) == len(form.items)
        everything = [named.panel, named.total, *named.items]
        assert len({(code.system, code.code) for code in everything}) == len(everything)


def test_panels_and_totals_are_those_of_the_instruments() -> None:
    for instrument, known in LOINC.items():
        for stated, code in ((known.panel, INSTRUMENTS[instrument].panel), (known.total, INSTRUMENTS[instrument].total)):
            assert code.system == (LOCAL_SYSTEM if stated is None else LOINC_SYSTEM)
            assert stated is None or code.code == stated


def test_c_ssrs_items_go_by_codes_alone() -> None:
    assert [code.display for code in INSTRUMENTS["c-ssrs"].items] == [None] * 6


def test_compounded_lozenges_have_no_code_but_ours() -> None:
    assert codes.MEDICATION["sublingual"][0].system == LOCAL_SYSTEM


def test_every_route_and_indication_has_a_code() -> None:
    assert set(codes.MEDICATION) == set(codes.ROUTE) == set(get_args(Route))
    assert set(codes.INDICATION) == set(get_args(Indication))
