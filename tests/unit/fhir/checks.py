"""What every bundle must hold, checked by hand from the R4 (4.0.1) pages of its resources: these checks always run."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from shared.fhir import codes

REQUIRED: dict[str, tuple[str, ...]] = {
    "Patient": (),
    "Organization": ("identifier",),  # org-1: a name or an identifier
    "Consent": ("status", "scope", "category", "patient", "policyRule"),  # ppc-1, ppc-2, ppc-5
    "QuestionnaireResponse": ("status",),
    "Observation": ("status", "code"),
    "RiskAssessment": ("status", "subject"),
    "ServiceRequest": ("status", "intent", "subject"),
    "Task": ("status", "intent"),
    "MedicationRequest": ("status", "intent", "subject", "medicationCodeableConcept"),
    "MedicationDispense": ("status", "subject"),
    "Medication": ("code", "batch"),
    "MedicationAdministration": ("status", "subject"),
    "Encounter": ("status", "class"),
    "Appointment": ("status", "participant"),
    "CarePlan": ("status", "intent", "subject"),
    "Goal": ("lifecycleStatus", "description", "subject"),
    "AdverseEvent": ("actuality", "subject"),
    "Provenance": ("target", "recorded", "agent"),
}
"""Kinds that are exported, and the elements that R4 demands of each."""
STATUS: dict[str, frozenset[str]] = {
    "Consent": frozenset({"draft", "proposed", "active", "rejected", "inactive", "entered-in-error"}),
    "QuestionnaireResponse": frozenset({"in-progress", "completed", "amended", "entered-in-error", "stopped"}),
    "Observation": frozenset({"registered", "preliminary", "final", "amended", "corrected", "entered-in-error"}),
    "RiskAssessment": frozenset({"registered", "preliminary", "final", "amended", "corrected", "entered-in-error"}),
    "ServiceRequest": frozenset({"draft", "active", "on-hold", "revoked", "completed", "entered-in-error", "unknown"}),
    "Task": frozenset({"draft", "requested", "received", "accepted", "rejected", "on-hold", "in-progress", "completed"}),
    "MedicationDispense": frozenset({"completed", "entered-in-error"}),
    "MedicationRequest": frozenset({"active", "on-hold", "cancelled", "completed", "stopped", "draft", "entered-in-error"}),
    "MedicationAdministration": frozenset({"in-progress", "not-done", "on-hold", "completed", "entered-in-error", "stopped", "unknown"}),
    "Encounter": frozenset({"planned", "arrived", "in-progress", "finished", "cancelled", "entered-in-error"}),
    "Appointment": frozenset({"proposed", "booked", "fulfilled", "cancelled", "noshow", "entered-in-error"}),
    "CarePlan": frozenset({"draft", "active", "on-hold", "revoked", "completed", "entered-in-error", "unknown"}),
}
KNOWN_SYSTEMS = {
    codes.LOINC_SYSTEM,
    codes.SNOMED_SYSTEM,
    codes.NDC_SYSTEM,
    codes.LOCAL_SYSTEM,
    "http://terminology.hl7.org/CodeSystem/observation-category",
    "http://terminology.hl7.org/CodeSystem/consentscope",
    "http://terminology.hl7.org/CodeSystem/consentaction",
    "http://terminology.hl7.org/CodeSystem/v3-ActReason",
    "http://hl7.org/fhir/CodeSystem/task-code",
    "http://terminology.hl7.org/CodeSystem/v3-ActCode",
    "http://terminology.hl7.org/CodeSystem/adverse-event-seriousness",
}
IDENTIFIERS = {"urn:kapcare:patient", "urn:kapcare:person", "urn:kapcare:clinic", "urn:kapcare:prescriber", "urn:kapcare:case"}
NEVER = {"name", "telecom", "address", "contact", "photo", "note", "description", "contained", "valueString"}
"""Elements that would name a person, or carry what somebody wrote."""


def check(bundle: dict[str, Any]) -> None:
    """Fail with what is wrong first."""
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "collection")
    assert set(bundle) == {"resourceType", "identifier", "type", "entry"}
    addresses = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(set(addresses)) == len(addresses), "bdl-7: an address twice"
    for entry in bundle["entry"]:
        resource = entry["resource"]
        assert entry["fullUrl"] == f"urn:uuid:{UUID(resource['id'])}"
        _check_resource(resource)
    for element in elements(bundle):
        _check_element(element, set(addresses))


def _check_resource(resource: dict[str, Any]) -> None:
    kind = resource["resourceType"]
    assert kind in REQUIRED, f"{kind} is not exported"
    missing = [name for name in REQUIRED[kind] if name not in resource]
    assert not missing, f"{kind} lacks {missing}"
    if kind in {"MedicationDispense", "MedicationAdministration"}:
        assert len({"medicationCodeableConcept", "medicationReference"} & set(resource)) == 1, f"{kind} of no medication, or of two"
    assert kind not in STATUS or resource["status"] in STATUS[kind], f"{kind}.status {resource['status']}"


def _check_element(element: dict[str, Any], addresses: set[str]) -> None:
    for name, value in element.items():
        assert value is not None and value != [] and value != {}, f"{name} is empty"  # noqa: PT018
        # A goal is nothing without its words, which patient and therapist agreed on.
        agreed = name == "description" and element.get("resourceType") == "Goal"
        assert name not in NEVER or agreed, f"{name} is exported"
    if "reference" in element:
        assert element["reference"] in addresses, "a reference leads out of the bundle"
    if "identifier" in element:
        given = element["identifier"]
        assert {each["system"] for each in (given if isinstance(given, list) else [given])} <= IDENTIFIERS
    for coding in element.get("coding", []):
        assert coding["system"] in KNOWN_SYSTEMS
        assert coding["code"].strip()


def elements(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in it, at any depth."""
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from elements(part)
    elif isinstance(value, list):
        for part in value:
            yield from elements(part)


def of_kind(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind]


def coded(concept: dict[str, Any]) -> tuple[str, str]:
    (coding,) = concept["coding"]
    return coding["system"], coding["code"]


def by_code(bundle: dict[str, Any], code: str) -> dict[str, Any]:
    (found,) = (each for each in of_kind(bundle, "Observation") if coded(each["code"])[1] == code)
    return found
