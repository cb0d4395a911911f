"""A case's resources: stable addresses, references that resolve within one bundle, and bundles that merge."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from shared.events.clinical import Sex
from shared.fhir.codes import TEST_DATA
from shared.fhir.elements import Element, said, tagged

MEDIA_TYPE: Final = "application/fhir+json"

Resource = dict[str, Any]
Bundle = dict[str, Any]
Export = Callable[[str, str, str, Any], list[Resource]]
"""(case, clinic, patient's pseudonym, folded state) -> resources."""


@dataclass(frozen=True, slots=True)
class Record:
    """Whose record it is. A resource is named by kind and key, and has the same address in every export of the case."""

    case: str
    clinic: str
    patient: str

    def resource(self, kind: str, key: str, **elements: Any) -> Resource:
        """Return a resource with the elements that say something."""
        return {"resourceType": kind, "id": self._id(kind, key), **said(**elements)}

    def reference(self, kind: str, key: str) -> Element:
        """Return a reference to a resource of this record."""
        return {"reference": _full_url(self._id(kind, key))}

    @property
    def subject(self) -> Element:
        """A reference to the patient."""
        return self.reference("Patient", self.patient)

    def person(self, sex: Sex | None = None, birth_year: int | None = None, *, simulated: bool = False) -> Resource:
        """Return the patient as a bare pseudonym, with sex and year of birth only where they are known."""
        return self.resource(
            "Patient",
            self.patient,
            meta=tagged(TEST_DATA) if simulated else None,
            identifier=[{"system": "urn:kapcare:patient", "value": self.patient}],
            gender=sex if sex in ("male", "female") else None,
            birthDate=None if birth_year is None else f"{birth_year:04}",
        )

    def organisation(self, kind: str, slug: str) -> Resource:
        """Return an organisation by its slug in the network; `kind` is clinic or prescriber."""
        return self.resource("Organization", f"{kind}/{slug}", identifier=[{"system": f"urn:kapcare:{kind}", "value": slug}])

    def organisation_reference(self, kind: str, slug: str) -> Element:
        """Return a reference to it."""
        return self.reference("Organization", f"{kind}/{slug}")

    def practitioner_reference(self, person: str) -> Element:
        """Return who did something, by the opaque id that the network knows them under; no resource says who that is."""
        return {"type": "Practitioner", "identifier": {"system": "urn:kapcare:person", "value": person}}

    def _id(self, kind: str, key: str) -> str:
        return str(uuid5(NAMESPACE_URL, f"urn:kapcare:{self.case}/{kind}/{key}"))


def reference_to(resource: Resource) -> Element:
    """Return a reference to a resource of the bundle."""
    return {"reference": _full_url(resource["id"])}


def bundle_of(export: Export) -> Callable[[str, str, str, Any], Bundle]:
    """Return the view that renders a service's part of a case as a bundle of its own."""

    def render(case: str, clinic: str, patient: str, state: Any) -> Bundle:
        return _bundle(case, ({"fullUrl": _full_url(each["id"]), "resource": each} for each in export(case, clinic, patient, state)))

    return render


def merged(case: str, parts: Iterable[Mapping[str, Any]]) -> Bundle:
    """Return one bundle of the case; of resources with one address, the first part's stands."""
    entries: dict[str, Element] = {}
    for part in parts:
        for entry in part["entry"]:
            entries.setdefault(entry["fullUrl"], entry)
    return _bundle(case, entries.values())


def _bundle(case: str, entries: Iterable[Element]) -> Bundle:
    identifier = {"system": "urn:kapcare:case", "value": case}
    return {"resourceType": "Bundle", "identifier": identifier, "type": "collection", "entry": list(entries)}


def _full_url(identity: str) -> str:
    return f"urn:uuid:{identity}"
