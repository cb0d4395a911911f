"""Reading a FHIR R4 bundle: one patient, and the conditions, allergies, medications and observations that screening uses.

What intake does not use is passed over. What it would use but cannot read is refused with its path; a value is never
repeated. Kept are conditions in the table of codes, every medication that is taken, and every active condition of another
code: no rule reads it, but the prescriber does. Of those that are over only the ones are kept whose name warns (R-02, R-03), and
none that is recorded as a social circumstance: the least that screening needs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from services.intake.domain.chart import nameless
from services.intake.domain.codes import (
    DRUG_NAMES,
    LONGEST_PREGNANCY,
    MEASURES,
    PREGNANCY_STATUS,
    PREGNANT,
    PREGNANT_CODE,
    Measure,
    System,
    condition_of,
    drug_classes,
    reads_like,
)
from services.intake.domain.fhir_element import (
    SYSTEM_NAMES,
    Element,
    code_of_words,
    read_codings,
    read_codings_or_words,
    read_day,
    unreadable,
)
from services.intake.domain.state_facts import in_kept_unit
from shared.events.clinical import Fact, Sex
from shared.pathway.refusal import Refusal

SEXES: Mapping[str, Sex] = {"male": "male", "female": "female"}
NOT_SO = ("entered-in-error", "refuted")
OVER = ("inactive", "remission", "resolved")
CONDITION_SYSTEMS: tuple[System, ...] = ("snomed", "icd-10-cm", "rxnorm")
MEDICATION_DATES = {"MedicationRequest": ("authoredOn",), "MedicationStatement": ("effectiveDateTime", "dateAsserted")}
SOCIAL = "sdoh"
"""The category of US Core for social determinants of health."""


@dataclass(frozen=True, slots=True)
class ReadBundle:
    """What a bundle says of its patient."""

    birth_date: date
    sex: Sex
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class _Reading:
    """A value of a measure as it stands in the bundle."""

    measure: Measure
    quantity: Element
    on: date | None


def identify(bundle: Mapping[str, Any]) -> tuple[str, str]:
    """Return system and value of the patient's first complete identifier, or else of the resource id."""
    _, patient = _patient(_entries(bundle))
    for identifier in patient.list_of("identifier"):
        system, value = identifier.get("system"), identifier.get("value")
        if system is not None and value is not None:
            return system.text(), value.text()
    return "Patient.id", patient.need("id").text()


def read_bundle(bundle: Mapping[str, Any], today: date) -> ReadBundle:
    """Read the bundle; raise Refusal naming the path of what is missing or cannot be."""
    entries = _entries(bundle)
    full_url, patient = _patient(entries)
    if patient.get("deceasedDateTime") is not None or patient.value("deceasedBoolean") is True:
        raise Refusal("patient-deceased", f"{patient.path}: the patient is recorded as deceased.")
    birth_date = patient.need("birthDate").whole_day()
    conditions: list[Fact] = []
    medications: list[Fact] = []
    readings: list[_Reading] = []
    pregnancies: list[Fact] = []
    for _, resource in entries:
        match resource.value("resourceType"):
            case "Condition":
                _require_subject(resource, "subject", full_url, patient)
                conditions.extend(_condition(resource, today))
            case "AllergyIntolerance":
                _require_subject(resource, "patient", full_url, patient)
                conditions.extend(_condition(resource, today))
            case "MedicationRequest" | "MedicationStatement":
                _require_subject(resource, "subject", full_url, patient)
                medications.extend(_medication(resource, entries, today))
            case "Observation":
                _require_subject(resource, "subject", full_url, patient)
                readings.extend(_readings(resource, today))
                pregnancies.extend(_pregnancy(resource, today))
            case _:
                pass
    facts = (*_gravest([*conditions, *_newest(pregnancies)]), *_once(medications), *_latest(readings))
    gender = patient.get("gender")
    return ReadBundle(birth_date, "unknown" if gender is None else SEXES.get(gender.text(), "unknown"), facts)


def _entries(bundle: Mapping[str, Any]) -> tuple[tuple[str | None, Element], ...]:
    """Return full URL and resource of each entry that has a resource."""
    root = Element(bundle, "")
    if root.value("resourceType") != "Bundle":
        raise Refusal("not-a-bundle", "resourceType is not Bundle.")
    root.need("entry")
    entries = [(entry.value("fullUrl"), resource) for entry in root.list_of("entry") if (resource := entry.get("resource")) is not None]
    for _, resource in entries:
        resource.need("resourceType").text()
    return tuple((full_url if isinstance(full_url, str) else None, resource) for full_url, resource in entries)


def _patient(entries: tuple[tuple[str | None, Element], ...]) -> tuple[str | None, Element]:
    patients = [(full_url, resource) for full_url, resource in entries if resource.value("resourceType") == "Patient"]
    if not patients:
        raise Refusal("malformed", "entry: no Patient resource.")
    if len(patients) > 1:
        raise Refusal("malformed", f"{patients[1][1].path}: a second Patient resource.")
    return patients[0]


def _require_subject(resource: Element, name: str, full_url: str | None, patient: Element) -> None:
    """Refuse what is said of someone else: a fact must never reach the wrong patient's case."""
    subject = resource.get(name)
    reference = None if subject is None else subject.get("reference")
    if reference is None:
        return
    stated, identity = reference.text(), patient.value("id")
    if stated == full_url or (isinstance(identity, str) and stated in (f"Patient/{identity}", f"urn:uuid:{identity}")):
        return
    if isinstance(identity, str) and stated.endswith(f"/Patient/{identity}"):
        return
    raise Refusal("malformed", f"{reference.path} is not the patient of the bundle.")


def _condition(resource: Element, today: date) -> Iterator[Fact]:
    """Read a condition, or an allergy as the condition of being allergic to its substance."""
    concept = resource.need("code")
    codings = read_codings_or_words(concept, CONDITION_SYSTEMS)
    if _status(resource, "verificationStatus") in NOT_SO:
        return
    ended = read_day(resource, ("abatementDateTime",), today, last=True)
    status = _status(resource, "clinicalStatus")
    over = status in OVER or (status is None and any(name.startswith("abatement") for name in resource.names()))
    on = read_day(resource, ("onsetDateTime", "recordedDate"), today)
    known = {(system, code): row.display for system, code in codings if (row := condition_of(system, code)) is not None}
    allergy = "Allergy: " if resource.value("resourceType") == "AllergyIntolerance" else ""
    rows = [row for system, code in known if (row := condition_of(system, code)) is not None]
    # What a code that is known is called, whoever signed the table has seen.
    read = {item for row in rows for item in (*row.items, *reads_like(f"{allergy}{row.display}"))}
    names = [f"{allergy}{words}" for words in concept.all_words()]
    warning = next((name for name in names if not read.issuperset(reads_like(name))), None)
    if not known:
        name = warning or next(iter(names), f"{allergy}{codings[0][1]}")
        known = {codings[0]: name} if warning or not (over or _is_social(resource)) else {}
    elif warning is not None:
        known["text", code_of_words(warning)] = warning
    for (system, code), label in known.items():
        yield Fact(kind="condition", code=code, system=system, label=label, active=not over, on=on, ended=ended if over else None)


def _is_social(resource: Element) -> bool:
    """Whether the condition is recorded as a social determinant of health."""
    categories = (coding.value("code") for concept in resource.list_of("category") for coding in concept.list_of("coding"))
    return SOCIAL in categories


def _medication(resource: Element, entries: tuple[tuple[str | None, Element], ...], today: date) -> Iterator[Fact]:
    """Read what is prescribed, or said to be taken, under the name that tells most: one with a class of R-34 before all others."""
    status = resource.need("status").text()
    concept = resource.get("medicationCodeableConcept") or _referenced_medication(resource, entries)
    codings = read_codings_or_words(concept, ("rxnorm",))
    on = read_day(resource, MEDICATION_DATES[resource.need("resourceType").text()], today)
    if status not in ("active", "on-hold", "unknown") or resource.value("doNotPerform") is True:
        return
    named = [(system, code, name) for system, code in codings for name in _names(concept, system, code)]
    system, code, label = next((each for each in named if drug_classes(each[1], each[2])), named[0])
    yield Fact(kind="medication", code=code, system=system, label=label, on=on)


def _names(concept: Element, system: System, code: str) -> Iterator[str]:
    """Yield what a medication is called, the display of its code first; at least one name, if only its code."""
    display, words = concept.display_of(SYSTEM_NAMES.get(system, ""), code), concept.words()
    given = [name for name in (display, DRUG_NAMES.get(code) if system == "rxnorm" else None, words) if name is not None]
    yield from given or [nameless(code)]


def _referenced_medication(resource: Element, entries: tuple[tuple[str | None, Element], ...]) -> Element:
    """Return the code of the Medication referred to: contained, or an entry of the bundle."""
    pointer = resource.get("medicationReference")
    if pointer is None:
        raise unreadable(f"{resource.path}.medicationCodeableConcept")
    name = pointer.value("display")
    reference = pointer.need("reference")
    wanted = reference.text()
    for contained in resource.list_of("contained"):
        if wanted == f"#{contained.value('id')}":
            return contained.need("code")
    for full_url, entry in entries:
        if entry.value("resourceType") == "Medication" and wanted in (full_url, f"Medication/{entry.value('id')}"):
            return entry.need("code")
    if isinstance(name, str) and name.strip():
        return Element({"text": name}, pointer.path)
    raise unreadable(reference.path)


def _readings(resource: Element, today: date) -> Iterator[_Reading]:
    """Read an observation and its components; one without a value, or of another code, is passed over."""
    status = resource.need("status").text()
    if status in ("entered-in-error", "cancelled"):
        resource.need("code")
        return
    on = read_day(resource, ("effectiveDateTime", "effectiveInstant", "issued"), today)
    for observed in (resource, *resource.list_of("component")):
        quantity = observed.get("valueQuantity") or observed.get("valueInteger")
        codings = read_codings(observed.need("code"))
        measures = [MEASURES[code] for system, code in codings if system == "loinc" and code in MEASURES]
        if measures and quantity is not None:
            yield _Reading(measures[0], quantity, on)


def _pregnancy(resource: Element, today: date) -> Iterator[Fact]:
    """Read whether the patient was seen to be pregnant (R-04); one seen longer ago than a pregnancy lasts is over."""
    answer = resource.get("valueCodeableConcept")
    if resource.value("status") in ("entered-in-error", "cancelled") or answer is None:
        return
    if ("loinc", PREGNANCY_STATUS) not in read_codings(resource.need("code")) or not answer.list_of("coding"):
        return
    on = read_day(resource, ("effectiveDateTime", "effectiveInstant", "issued"), today)
    pregnant = not PREGNANT.isdisjoint(read_codings(answer)) and (on is None or today - on <= LONGEST_PREGNANCY)
    system, code = PREGNANT_CODE
    yield Fact(kind="condition", code=code, system=system, label="Pregnant", active=pregnant, on=on)


def _newest(observed: list[Fact]) -> tuple[Fact, ...]:
    """Keep the newest of several observations where it affirms: what was observed not to be is no condition."""
    newest = max(reversed(observed), key=lambda fact: fact.on or date.min, default=None)
    return () if newest is None or not newest.active else (newest,)


def _gravest(conditions: list[Fact]) -> tuple[Fact, ...]:
    """Keep one fact per code: an active one, else one without an end, else the one that ended last."""
    kept: dict[tuple[str, str], Fact] = {}
    for fact in conditions:
        key = (fact.system, fact.code)
        kept[key] = max(kept.get(key, fact), fact, key=_gravity)
    return tuple(kept.values())


def _gravity(fact: Fact) -> tuple[bool, bool, date]:
    return fact.active, fact.ended is None, fact.ended or date.max


def _once(medications: list[Fact]) -> tuple[Fact, ...]:
    return tuple({(fact.system, fact.code): fact for fact in medications}.values())


def _latest(readings: list[_Reading]) -> Iterator[Fact]:
    """Keep the most recent reading of each measure, in the unit that intake keeps."""
    newest: dict[str, _Reading] = {}
    for reading in readings:
        known = newest.get(reading.measure.loinc)
        if known is None or (reading.on or date.min) >= (known.on or date.min):
            newest[reading.measure.loinc] = reading
    for reading in newest.values():
        measure = reading.measure
        unit, unit_path = _unit(reading.quantity)
        kept = in_kept_unit(measure, _amount(reading.quantity), unit, reading.quantity.path, unit_path)
        yield Fact(kind="observation", code=measure.loinc, system="loinc", label=measure.name, value=kept, unit=measure.unit, on=reading.on)


def _amount(quantity: Element) -> Decimal:
    return quantity.number() if quantity.path.endswith("valueInteger") else quantity.need("value").number()


def _unit(quantity: Element) -> tuple[str | None, str]:
    """Return the unit, the code before the words, and the path where it stands or should."""
    if quantity.path.endswith("valueInteger"):
        return None, quantity.path
    unit = quantity.get("code") or quantity.get("unit")
    return (None, f"{quantity.path}.code") if unit is None else (unit.text(), unit.path)


def _status(resource: Element, name: str) -> str | None:
    """Return the first code of a status concept."""
    concept = resource.get(name)
    codings = () if concept is None else concept.list_of("coding")
    return next((code.text() for coding in codings if (code := coding.get("code")) is not None), None)
