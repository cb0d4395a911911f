"""What can be asked of the ledger: the query parameters, checked, as a query of entries."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request

from shared.http.problems import Problem

PAGE_LIMIT: Final = 500
PAGE_DEFAULT: Final = 100

FILTERS: Final[Mapping[str, str]] = {
    "case": "stream",
    "patient": "patient",
    "clinic": "clinic",
    "actor": "actor",
    "type": "type",
    "source": "source",
}
"""Query parameter -> field of the entry."""

_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]{0,127}")
_NUMBER: Final = re.compile(r"[0-9]{1,12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Query:
    """A checked query: fields of entries, times, and where a page begins and ends."""

    wanted: dict[str, Any]
    since: datetime | None
    until: datetime | None
    after: int
    limit: int
    said: Mapping[str, str] = field(default_factory=dict)
    """The filters as they were given."""

    @property
    def whole_case(self) -> str | None:
        """The case of which this asks for every entry, and for nothing else."""
        return self.said["case"] if set(self.said) == {"case"} else None


def read_query(request: Request, *, paging: bool) -> Query:
    """Read the query of a request; raises Problem 422 that repeats nothing of it."""
    known = {*FILTERS, "from", "to", *(("cursor", "limit") if paging else ())}
    given = read_parameters(request, known)
    wanted: dict[str, Any] = {}
    for parameter, name in FILTERS.items():
        value = given.get(parameter)
        if value is not None:
            if _WORD.fullmatch(value) is None:
                raise Problem(422, "parameter", f"`{parameter}` is not an id of this ledger.")
            wanted[name] = value
    since, until = _moment(given.get("from"), "from"), _moment(given.get("to"), "to")
    if since is not None and until is not None and since > until:
        raise Problem(422, "parameter", "`from` lies after `to`.")
    limit = min(read_number(given.get("limit"), "limit", PAGE_DEFAULT), PAGE_LIMIT)
    if limit == 0:
        raise Problem(422, "parameter", "`limit` must be at least 1.")
    said = {name: value for name, value in given.items() if name not in ("cursor", "limit")}
    return Query(wanted, since, until, read_number(given.get("cursor"), "cursor", -1), limit, said)


def read_parameters(request: Request, known: set[str]) -> Mapping[str, str]:
    """Return the parameters of a request, each given once; raises Problem 422 for one that is not known."""
    given = request.query_params
    if set(given) - known or len(given.multi_items()) != len(given):
        raise Problem(422, "unknown-parameter", f"Each of these may be given once: {', '.join(sorted(known))}.")
    return given


def read_number(value: str | None, name: str, default: int | None = None) -> int:
    """Return a whole number of at most twelve digits; raises Problem 422."""
    if value is None and default is not None:
        return default
    if value is None or _NUMBER.fullmatch(value) is None:
        raise Problem(422, "parameter", f"`{name}` must be a whole number.")
    return int(value)


def _moment(value: str | None, name: str) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Problem(422, "parameter", f"`{name}` must be a time with its zone, such as 2026-03-01T00:00:00Z.")
    return moment
