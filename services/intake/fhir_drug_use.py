"""Drug use by DAST-10, in FHIR R4: a total that came as a fact or as a stated score, for its items are not asked here (R-12). Pure."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from services.intake.domain.codes import DAST10
from services.intake.domain.entries import Entry
from shared.fhir.codes import SURVEY, loinc
from shared.fhir.corrections import Standing
from shared.fhir.elements import concept, moment, quantity
from shared.fhir.observations import observation
from shared.fhir.record import Record, Resource


def drug_use(record: Record, entry: Entry, standing: Standing) -> Iterator[Resource]:
    """The newest DAST-10 total of an entry."""
    newest = newest_drug_use(entry)
    if newest is not None:
        effective, total = newest
        code, value = concept(loinc(DAST10.loinc), DAST10.name), quantity(total, DAST10.unit)
        issued = entry.recorded_at
        yield observation(record, standing, "dast-10/total", code, SURVEY, effective=effective, issued=issued, valueQuantity=value)


def newest_drug_use(entry: Entry) -> tuple[str | None, Decimal] | None:
    """Return the day or the moment, and the total; None where the entry has none."""
    if entry.score is not None:
        return (moment(entry.score.answered_at), Decimal(entry.score.total)) if entry.score.instrument == "dast-10" else None
    totals = [fact for fact in entry.facts if fact.kind == "observation" and fact.code == DAST10.loinc and fact.value is not None]
    newest = max(reversed(totals), key=lambda fact: fact.on or date.min, default=None)
    if newest is None or newest.value is None:
        return None
    return None if newest.on is None else newest.on.isoformat(), newest.value
