"""The table of codes is whole, and no code in it is mistyped: SNOMED CT and LOINC identifiers carry check digits."""

from typing import Literal

import pytest

from services.intake.domain import rules
from services.intake.domain.codes import (
    CONDITIONS,
    ITEMS,
    MEASURES,
    MEDICATIONS,
    ONLY_IF_NOT_MALE,
    QUESTIONS,
    SUBSTANCE_USE_DISORDERS,
    Code,
)
from services.intake.domain.rules import RULES
from shared.events.clinical import Fact
from tests.unit.intake.cases import chart

# Verhoeff 1969: multiplication in the dihedral group of order 10, and its position permutation.
TIMES = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
    [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
    [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
    [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
    [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
    [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
    [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
    [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
    [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
]
TURN = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]
EVERY_CODE = (*CONDITIONS.values(), *MEDICATIONS.values())


def verhoeff_holds(digits: str) -> bool:
    check = 0
    for place, digit in enumerate(reversed(digits)):
        turned = int(digit)
        for _ in range(place % 8):
            turned = TURN[turned]
        check = TIMES[check][turned]
    return check == 0


def test_the_check_itself_finds_a_mistyped_digit() -> None:
    assert verhoeff_holds("370143000")
    assert not verhoeff_holds("370143001")
    assert not verhoeff_holds("370134000")


@pytest.mark.parametrize("code", [code for code in EVERY_CODE if code.system == "snomed"], ids=lambda code: code.code)
def test_snomed_codes_have_valid_check_digits(code: Code) -> None:
    assert verhoeff_holds(code.code)


def test_loinc_codes_have_valid_check_digits() -> None:
    for loinc in MEASURES:
        digits, _, check = loinc.partition("-")
        luhn = sum(sum(divmod(int(d) * 2, 10)) if place % 2 == 0 else int(d) for place, d in enumerate(reversed(digits)))
        assert int(check) == -luhn % 10, loinc


def test_every_code_names_its_source_and_an_item_of_the_table() -> None:
    assert all(code.source and code.display and code.item in ITEMS for code in EVERY_CODE)
    assert all(item.source and item.rule for item in ITEMS.values())


def test_what_can_be_asked_is_asked_of_everyone_it_concerns() -> None:
    assert set(SUBSTANCE_USE_DISORDERS) <= set(QUESTIONS)
    assert set(QUESTIONS) >= ONLY_IF_NOT_MALE
    assert set(ITEMS) - set(QUESTIONS) == {
        "stroke",
        "suicidality_in_chart",
        "benzodiazepine",
        "opioid",
        "psychostimulant",
        "monoamine_oxidase_inhibitor",
    }


@pytest.mark.parametrize("code", EVERY_CODE, ids=lambda code: f"{code.system}-{code.code}")
def test_every_code_comes_to_a_finding_of_its_rule(code: Code) -> None:
    kind: Literal["medication", "condition"] = "medication" if code in MEDICATIONS.values() else "condition"
    fact = Fact(kind=kind, system=code.system, code=code.code, label=code.display)
    found = rules.findings(chart(fact))
    assert [finding.rule for finding in found] == [ITEMS[code.item].rule]
    assert found[0].because == (code.code,)


@pytest.mark.parametrize("item", QUESTIONS)
def test_every_yes_comes_to_a_finding_and_every_no_to_none(item: str) -> None:
    def stated(answer: bool) -> Fact:
        return Fact(kind="statement", system="kapcare", code=item, label=item, active=answer)

    assert [finding.rule for finding in rules.findings(chart(stated(True)))] == [ITEMS[item].rule]
    assert rules.findings(chart(stated(False))) == ()


def test_each_rule_is_in_the_table_once() -> None:
    named = {name for name in vars(rules) if name.startswith("r") and name[1:3].isdigit()}
    assert [rule.__name__ for rule in RULES] == sorted(named, key=[rule.__name__ for rule in RULES].index)
    assert len(RULES) == len(named)
