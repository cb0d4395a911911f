"""What a correction is in R4: the marked resource goes out as entered in error, what replaces it says so, and Provenance says when.

A resource that is another patient's is named by its address and status alone, so that whoever holds it can take it away.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from shared.events.base import CorrectionKind
from shared.fhir.codes import local
from shared.fhir.elements import concept, moment
from shared.fhir.record import Record, Resource, reference_to

IN_ERROR: Final = "entered-in-error"


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
