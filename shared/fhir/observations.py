"""Observations. `effective` is when it was so, `issued` when it was recorded: the two tell what was recorded late. Pure."""

from datetime import datetime

from shared.fhir.codes import Code
from shared.fhir.corrections import Standing
from shared.fhir.elements import Element, concept, moment
from shared.fhir.record import Record, Resource


def observation(
    record: Record,
    standing: Standing,
    kind: str,
    code: Element,
    category: Code,
    *,
    effective: datetime | str | None,
    issued: datetime | None = None,
    preliminary: bool = False,
    **elements: object,
) -> Resource:
    """Return an Observation of an entry; `effective` as a moment, or as a day in ISO 8601."""
    at = moment(effective) if isinstance(effective, datetime) else effective
    return record.resource(
        "Observation",
        standing.key(kind),
        status=standing.status("preliminary") if preliminary else standing.status("final", replacing="corrected"),
        category=[concept(category, str(category.display))],
        code=code,
        subject=record.subject,
        **standing.told(effectiveDateTime=at, issued=moment(issued), **elements),
    )
