"""The accounting of disclosures of one patient (45 CFR 164.528, R-31): every time an organisation outside was told of a case, or read it.

The ledger holds no clinical value, so a disclosure is described by what kind of thing was told. Each row says whether the accounting
that a patient may ask for must list it: what is disclosed for treatment, payment or health care operations need not be
(164.528(a)(1)(i)), and is shown all the same to whoever wants to see everything.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from services.audit.domain.clear import IN_HOUSE
from services.audit.domain.query import EARLIEST, PAGE_DEFAULT, PAGE_LIMIT, Parameters, QueryRefused, moment_of, once, whole_number

YEARS: Final = 6
"""How far back an accounting goes (164.528(a)(1)); documents are kept as long (164.316(b)(2)(i))."""
EXEMPT: Final = frozenset({"TREAT", "ETREAT", "HOPERAT", "HQUALIMP"})
"""Purposes that an accounting need not list: treatment and health care operations."""

_PATIENT: Final = re.compile(r"patient-[0-9a-f]{32}", re.ASCII)
_DESCRIPTIONS: Final[Mapping[str, str]] = {
    "kapcare.prescriber.ReviewAssigned.v1": "asked for a medical review: told that there is a case to review, and its id",
    "kapcare.prescriber.PartnerTold.v1": "told of a change in a case it reviewed or approved: the kind of change, and the case's id",
}
_TELLING: Final = frozenset(_DESCRIPTIONS)
_READ: Final[Mapping[str, str]] = {
    "GET /partner/reviews/{case}": "read the review: what the screening found, and what it rests on",
    "GET /partner/reviews": "saw the case in the list of its open reviews: its id and until when to answer",
    "GET /partner/events": "read again what it had been told: the kind of change, and the case's id",
}
_OTHERWISE: Final = "read what its review is about"
SEALED: Final = "sealed: recorded by an earlier release, perhaps to the network's own prescribers"


@dataclass(frozen=True, slots=True)
class Accounting:
    """Of whom, from when to before when, after which index, and at most how many."""

    patient: str
    since: datetime
    until: datetime
    cursor: int | None = None
    limit: int = PAGE_DEFAULT

    @property
    def filter(self) -> dict[str, Any]:
        """The filter of the entries that are disclosures."""
        after = {} if self.cursor is None else {"_id": {"$gt": self.cursor}}
        times = {"$gte": self.since, "$lt": self.until}
        # Before recipients stood in the clear, what tells organisations of a case was of these types alone.
        told = [{"recipient": {"$exists": True, "$ne": IN_HOUSE}}, {"recipient": {"$exists": False}, "type": {"$in": sorted(_TELLING)}}]
        return {"patient": self.patient, "$or": told, "time": times, "outcome": "done", **after}


def read_accounting(asked: Parameters, now: datetime) -> Accounting:
    """Read what is asked of /ledger/disclosures: `patient`, and `from` and `to`, or the six years up to now; raises QueryRefused."""
    given = once(asked, {"patient", "from", "to", "cursor", "limit"})
    patient = given.get("patient", "")
    if _PATIENT.fullmatch(patient) is None:
        raise QueryRefused("parameter", "`patient` must be a patient's pseudonym.")
    until = moment_of(given, "to") or now + timedelta(seconds=1)
    since = moment_of(given, "from") or max(EARLIEST, years_before(until, YEARS))
    if since > until:
        raise QueryRefused("parameter", "`from` lies after `to`.")
    limit = whole_number(given, "limit", 1, PAGE_LIMIT)
    return Accounting(patient, since, until, whole_number(given, "cursor", 0, 10**12 - 1), PAGE_DEFAULT if limit is None else limit)


def years_before(moment: datetime, years: int) -> datetime:
    """Return the same day so many years before; of 29 February the 28th."""
    try:
        return moment.astimezone(UTC).replace(year=moment.year - years)
    except ValueError:
        return moment.astimezone(UTC).replace(year=moment.year - years, day=28)


def disclosure_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of an entry: when, to whom, at which address if that is known, what, what for, and where the proof is found."""
    purpose = entry.get("purpose", "TREAT")
    route = entry.get("route")
    described = _DESCRIPTIONS.get(entry["type"]) or _READ.get(route or "", _OTHERWISE)
    return {
        "index": entry["_id"],
        "date": entry["time"],
        "recipient": entry.get("recipient", SEALED),
        "address": entry.get("address"),
        "description": described,
        "purpose": purpose,
        "must_be_listed": purpose not in EXEMPT,
        "cases": entry.get("about", [entry["stream"]]),
        "id": entry["event"],
    }


def summarised(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return repeated disclosures to one recipient for one purpose as the first, how many, and the last (164.528(b)(3))."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rows:
        key = (row["recipient"], row["purpose"], row["description"])
        known = found.get(key)
        if known is None:
            shown = {name: row[name] for name in ("recipient", "purpose", "description", "must_be_listed")}
            found[key] = {**shown, "first": row["date"], "last": row["date"], "times": 1}
        else:
            known["times"] += 1
            known["last"] = row["date"]
    return list(found.values())
