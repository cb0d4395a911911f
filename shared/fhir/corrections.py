"""How an entry stands in R4: marked ones go out as entered in error, replacements say that they are, and Provenance says when.

What is another patient's is named by its address and status alone, so that whoever holds it can take it away.
"""

from collections.abc import Iterable, Iterator, Sequence
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
    """An entry's name, how it was marked, and what it replaces. A mark changes a resource's status, not its address."""

    name: str | None = None
    """None for what was recorded before entries had names: its resources go by their kind alone."""
    marked: CorrectionKind | None = None
    marked_at: datetime | None = None
    replaces: str | None = None
    """The name of what it replaces."""

    def key(self, kind: str) -> str:
        """Return the key of the entry's resource of this kind."""
        return kind if self.name is None else f"{kind}/{self.name}"

    def status(self, otherwise: str, *, replacing: str | None = None) -> str:
        """Return the status of its resource; `replacing` is R4's word for one that replaces another, where R4 has one."""
        if self.marked is not None:
            return IN_ERROR
        return otherwise if replacing is None or self.replaces is None else replacing

    def told(self, **elements: object) -> Element:
        """Return what the entry says; nothing of it if that is another patient's."""
        return {} if self.marked == "wrong_patient" else elements


def with_provenance(record: Record, entries: Iterable[tuple[Standing, Sequence[Resource]]]) -> Iterator[Resource]:
    """Yield each entry's resources, and its corrections: what was taken back when and why, and of what a replacement is a revision.

    A replacement stands after what it replaces, and was recorded in the same commit.
    """
    marked: dict[str, tuple[Resource, datetime]] = {}
    for standing, resources in entries:
        yield from resources
        if standing.name is None or not resources:
            continue
        if standing.marked is not None and standing.marked_at is not None:
            marked[standing.name] = resources[0], standing.marked_at
            why = concept(local(f"correction.{standing.marked}"), standing.marked.replace("_", " "))
            yield _provenance(record, f"mark/{standing.name}", resources, standing.marked_at, reason=[why])
        if standing.replaces is not None and standing.replaces in marked:
            replaced, at = marked[standing.replaces]
            entity = {"role": "revision", "what": reference_to(replaced)}
            yield _provenance(record, f"revision/{standing.name}", resources, at, entity=[entity])


def _provenance(record: Record, key: str, resources: Sequence[Resource], at: datetime, **elements: object) -> Resource:
    return record.resource(
        "Provenance",
        key,
        target=[reference_to(resource) for resource in resources],
        recorded=moment(at),
        agent=[{"who": record.organisation_reference("clinic", record.clinic)}],
        **elements,
    )
