"""A lot of a medicine as a resource of its own, for no other element of R4 carries a lot number. Pure."""

from collections.abc import Iterable, Iterator

from shared.events.base import Slug
from shared.events.clinical import Route
from shared.fhir.codes import MEDICATION
from shared.fhir.elements import Element, concept
from shared.fhir.record import Record, Resource

ANOTHERS: Element = {"text": "another patient's medication"}
"""R4 demands a medication, and this record may not name that one."""
UNKNOWN: Element = {"text": "ketamine, on a prescription unknown here"}
Lot = tuple[Route | None, Slug]
"""By which route it is given, None where that is not known, and its number."""


def lot_reference(record: Record, lot: Lot) -> Element:
    """Return a reference to a lot."""
    return record.reference("Medication", _key(lot))


def lots(record: Record, named: Iterable[Lot]) -> Iterator[Resource]:
    """Yield each lot once."""
    for route, number in dict.fromkeys(named):
        code = UNKNOWN if route is None else concept(*MEDICATION[route])
        yield record.resource("Medication", _key((route, number)), code=code, batch={"lotNumber": number})


def _key(lot: Lot) -> str:
    route, number = lot
    return f"{route or 'unknown'}/{number}"
