"""The cohort: stripped Synthea FHIR R4 bundles, one patient to a line, and what a clinic reads in one before it refers."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

COHORT: Final = Path(__file__).parent / "cohort" / "cohort.ndjson"
CLINICS: Final = ("riverside", "hillside", "lakeshore")
TOTALS: Final[Mapping[str, str]] = {"44261-6": "phq-9", "70274-6": "gad-7", "75626-2": "audit-c"}
WEIGHT, SYSTOLIC, DIASTOLIC = "29463-7", "8480-6", "8462-4"
PTSD: Final = "47505003"
ANXIOUS: Final = 10

Resource = Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """One patient's bundle; `repetition` counts how often this patient came before in this demo."""

    bundle: Mapping[str, Any]
    totals: Mapping[str, int]
    active: frozenset[str]
    """Codes of conditions that are active."""
    weight: float | None
    blood_pressure: tuple[int, int] | None
    clinic: str
    repetition: int

    @property
    def indication(self) -> Literal["depression", "anxiety", "ptsd"]:
        """What the therapist refers for."""
        if PTSD in self.active:
            return "ptsd"
        return "anxiety" if self.totals.get("gad-7", 0) >= ANXIOUS > self.totals.get("phq-9", 0) else "depression"


def read_cohort(patients: int, cohort: Path = COHORT) -> list[Record]:
    """Return so many records; beyond the cohort's size its patients come again under other identifiers."""
    lines = [line for line in cohort.read_text(encoding="utf-8").splitlines() if line]
    return [_read(lines[number % len(lines)], number, number // len(lines)) for number in range(patients)]


def size_of_cohort(cohort: Path = COHORT) -> int:
    """Return how many patients there are."""
    return sum(1 for line in cohort.read_text(encoding="utf-8").splitlines() if line)


def _read(line: str, number: int, repetition: int) -> Record:
    bundle = json.loads(line)
    if repetition:
        identity = next(resource["id"] for resource in _resources(bundle, "Patient"))
        bundle = json.loads(line.replace(identity, str(uuid.uuid5(uuid.NAMESPACE_OID, f"{identity}/{repetition}"))))
    values = _latest_values(bundle)
    pressure = (values.get(SYSTOLIC), values.get(DIASTOLIC))
    return Record(
        bundle=bundle,
        totals={instrument: round(values[code]) for code, instrument in TOTALS.items() if code in values},
        active=frozenset(_active_conditions(bundle)),
        weight=values.get(WEIGHT),
        blood_pressure=None if pressure[0] is None or pressure[1] is None else (round(pressure[0]), round(pressure[1])),
        clinic=CLINICS[number % len(CLINICS)],
        repetition=repetition,
    )


def _resources(bundle: Mapping[str, Any], kind: str) -> list[Resource]:
    return [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind]


def _active_conditions(bundle: Mapping[str, Any]) -> list[str]:
    return [
        coding["code"]
        for condition in _resources(bundle, "Condition")
        if condition.get("clinicalStatus", {}).get("coding", [{}])[0].get("code") == "active"
        for coding in condition["code"]["coding"]
    ]


def _latest_values(bundle: Mapping[str, Any]) -> dict[str, float]:
    values: dict[str, float] = {}
    for observation in sorted(_resources(bundle, "Observation"), key=lambda each: str(each.get("effectiveDateTime", ""))):
        for observed in (observation, *observation.get("component", ())):
            if "valueQuantity" in observed:
                values[observed["code"]["coding"][0]["code"]] = observed["valueQuantity"]["value"]
    return values
