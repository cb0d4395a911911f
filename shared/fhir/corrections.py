"""How an entry stands in R4: marked ones go out as entered in error, replacements say that they are, and Provenance says when.

What is another patient's is named by its address and status alone, so that whoever holds it can take it away.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.events.base import CorrectionKind
from shared.fhir.codes import local
from shared.fhir.elements import Element, concept, moment
from shared.fhir.record import Record, Resource, reference_to

IN_ERROR: Final = "entered-in-error"


@dataclass(frozen=True, slots=True)
class Standing:
    """An entry's name, whether it was marked, and whether it replaces another. A mark changes a resource's status, not its address."""

    name: str | None = None
    """None for what was recorded before entries had names: its resources go by their kind alone."""
    marked: CorrectionKind | None = None
    replaces: bool = False

    def key(self, kind: str) -> str:
        """Return the key of the entry's resource of this kind."""
        return kind if self.name is None else f"{kind}/{self.name}"

    def status(self, otherwise: str, *, replacing: str | None = None) -> str:
        """Return the status of its resource; `replacing` is R4's word for one that replaces another, where R4 has one."""
        if self.marked is not None:
            return IN_ERROR
        return otherwise if replacing is None or not self.replaces else replacing

    def told(self, **elements: object) -> Element:
        """Return what the entry says; nothing of it if that is another patient's."""
        return {} if self.marked == "wrong_patient" else elements


def mark(record: Record, resources: Sequence[Resource], entry: str, kind: CorrectionKind, at: datetime) -> Resource:
    """Return the Provenance of a mark: which resources were taken back, when, and what kind of error it was."""
    return _provenance(record, f"mark/{entry}", resources, at, reason=[concept(local(f"correction.{kind}"), kind.replace("_", " "))])


def revision(record: Record, resources: Sequence[Resource], entry: str, replaced: Resource, at: datetime) -> Resource:
    """Return the Provenance of a replacement: what it is a revision of, and when it was recorded."""
    return _provenance(record, f"revision/{entry}", resources, at, entity=[{"role": "revision", "what": reference_to(replaced)}])


def _provenance(record: Record, key: str, resources: Sequence[Resource], at: datetime, **elements: object) -> Resource:
    return record.resource(
        "Provenance",
        key,
        target=[reference_to(resource) for resource in resources],
        recorded=moment(at),
        agent=[{"who": record.organisation_reference("clinic", record.clinic)}],
        **elements,
    )
