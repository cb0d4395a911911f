"""What an auditor asks, read from query parameters: typed, checked and frozen, and as a filter of equalities and ranges.

Nothing of what was sent reaches the database but as the value of an equality on a field that is named here, as one of the event
types that exist, or as a moment or an index; no operator, no pattern.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeVar

from services.audit.domain.clear import outcome_of
from shared.access.decide import ROLES
from shared.access.record import PURPOSES
from shared.events.registry import BY_TYPE
from shared.events.topics import RECORDERS, source_of

PAGE_LIMIT: Final = 500
PAGE_DEFAULT: Final = 100
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)

Name = TypeVar("Name", bound=str)
Order = Literal["oldest", "newest"]
Format = Literal["ndjson", "csv", "fhir"]
By = Literal[
    "type", "clinic", "actor", "role", "day", "happened_day", "source", "policy", "partner", "outcome", "case", "patient", "purpose",
    "about",
]  # fmt: skip
ORDERS: Final[tuple[Order, ...]] = ("oldest", "newest")
FORMATS: Final[tuple[Format, ...]] = ("ndjson", "csv", "fhir")
Parameters = Iterable[tuple[str, str]]
"""Query parameters as they came: name and value, repeated ones too."""

COUNTED: Final[Mapping[By, str]] = {
    "type": "type",
    "clinic": "clinic",
    "actor": "actor",
    "role": "roles",
    "day": "time",
    "happened_day": "happened",
    "source": "source",
    "policy": "policy",
    "partner": "partners",
    "outcome": "outcome",
    "case": "stream",
    "patient": "patient",
    "purpose": "purpose",
    "about": "about",
}
"""What can be counted by -> field of the entry; `day` is the UTC day of the record, `happened_day` that on which it happened."""
DAYS: Final = frozenset({"day", "happened_day"})
LISTS: Final = frozenset({"role", "partner", "clinic", "patient", "about"})
"""Of these an entry can have several, or none."""


class QueryRefused(Exception):
    """A question that cannot be asked; `what` says why, and holds nothing that was sent."""

    def __init__(self, slug: str, what: str) -> None:
        super().__init__(slug)
        self.slug = slug
        self.what = what


@dataclass(frozen=True, slots=True)
class Range:
    """From `since` to before `until`; None: however early, however late."""

    since: datetime | None = None
    until: datetime | None = None

    def __bool__(self) -> bool:
        """Whether it leaves anything out."""
        return self.since is not None or self.until is not None

    @property
    def condition(self) -> dict[str, datetime]:
        """What must hold of a moment in it."""
        return {operator: moment for operator, moment in (("$gte", self.since), ("$lt", self.until)) if moment is not None}


ANY_TIME: Final = Range()


@dataclass(frozen=True, slots=True)
class Query:
    """Which entries: each of `equal` (field and value), one of `types` (None: any), recorded, and happened, in these ranges of time."""

    equal: tuple[tuple[str, str], ...] = ()
    types: tuple[str, ...] | None = None
    recorded: Range = ANY_TIME
    happened: Range = ANY_TIME
    said: tuple[tuple[str, str], ...] = ()
    """The filters as they were given: name and value."""

    @property
    def whole_case(self) -> str | None:
        """The stream of which this asks for every entry, and for nothing else."""
        return self.said[0][1] if [name for name, _ in self.said] == ["case"] else None

    @property
    def fields(self) -> dict[str, Any]:
        """The filter but for the times."""
        if self.types is None:
            return dict(self.equal)
        return {**dict(self.equal), "type": self.types[0] if len(self.types) == 1 else {"$in": list(self.types)}}

    @property
    def times(self) -> dict[str, Range]:
        """The fields of which a range is asked for, and the range."""
        return {field: asked for field, asked in (("time", self.recorded), ("happened", self.happened)) if asked}

    @property
    def filter(self) -> dict[str, Any]:
        """The whole filter."""
        return {**self.fields, **{field: asked.condition for field, asked in self.times.items()}}


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of the answer: at most `limit` entries after `cursor`, the index of the last that was seen, in this order."""

    cursor: int | None = None
    limit: int = PAGE_DEFAULT
    order: Order = "oldest"


def _text(pattern: str) -> Callable[[str], str | None]:
    compiled = re.compile(pattern, re.ASCII)
    return lambda value: value if compiled.fullmatch(value) else None


def _actor(value: str) -> str | None:
    return value if 0 < len(value) <= 255 and value.isprintable() and not value.isspace() else None


def _source(value: str) -> str | None:
    return next((source for service in RECORDERS if value in (service, source := source_of(service))), None)


def _one_of(*known: str) -> Callable[[str], str | None]:
    return lambda value: value if value in known else None


_SLUG: Final = r"[a-z0-9][a-z0-9_.-]{0,63}"
_WORD: Final = r"[A-Za-z0-9][A-Za-z0-9:._-]{0,127}"

_FILTERS: Final[Mapping[str, tuple[str, Callable[[str], str | None], str]]] = {
    "case": ("stream", _text(_WORD), "the id of a case, or of another stream such as partner-<slug>"),
    "about": ("about", _text(_WORD), "the id of a case, or of another stream, that was accessed"),
    "patient": ("patient", _text(_WORD), "a patient's pseudonym"),
    "clinic": ("clinic", _text(_WORD), "the slug of a clinic"),
    "actor": ("actor", _actor, "the id of who acted, at most 255 characters"),
    "partner": ("partners", _text(_SLUG), "the slug of an organisation"),
    "role": ("roles", _one_of(*ROLES), f"one of {', '.join(ROLES)}"),
    "policy": ("policy", _text(_SLUG), "the version of a policy"),
    "source": ("source", _source, f"one of {', '.join(RECORDERS)}"),
    "purpose": ("purpose", _one_of(*PURPOSES), f"one of {', '.join(PURPOSES)}"),
    "address": (
        "address",
        _text(r"[0-9A-Fa-f.:/]{2,48}"),
        "the IP address that was called from; of failed logins by IPv6, its network of 64 bits",
    ),
    "outcome": ("outcome", _one_of("done", "refused"), "done or refused"),
}
"""Parameter -> field of the entry, what the value becomes (None: refused), and what it must be, in words."""
FILTERS: Final = frozenset({*_FILTERS, "type", "from", "to", "happened_from", "happened_to"})
FIELDS: Final = frozenset({*(field for field, _, _ in _FILTERS.values()), "type", "time", "happened"})
"""The fields that a filter can name."""


def read_page(asked: Parameters) -> tuple[Query, Page]:
    """Read what is asked of /ledger/events; raises QueryRefused."""
    given = once(asked, FILTERS | {"cursor", "limit", "order"})
    order = _choice(given, "order", ORDERS, "oldest")
    cursor = whole_number(given, "cursor", 0, 10**12 - 1)
    limit = whole_number(given, "limit", 1, PAGE_LIMIT)
    return _query(given), Page(cursor, PAGE_DEFAULT if limit is None else limit, order)


def read_export(asked: Parameters) -> tuple[Query, Format]:
    """Read what is asked of /ledger/export; raises QueryRefused."""
    given = once(asked, FILTERS | {"format"})
    return _query(given), _choice(given, "format", FORMATS, "ndjson")


def read_counts(asked: Parameters) -> tuple[Query, By]:
    """Read what is asked of /ledger/counts; raises QueryRefused."""
    given = once(asked, FILTERS | {"by"})
    return _query(given), _choice(given, "by", tuple(COUNTED), None)


def read_decision(asked: Parameters) -> str:
    """Read the event id that /ledger/known is asked about; raises QueryRefused."""
    given = once(asked, {"decision"})
    event = given.get("decision")
    if event is None or re.fullmatch(_WORD, event, re.ASCII) is None:
        raise QueryRefused("parameter", "`decision` must be the id of an event.")
    return event


def once(asked: Parameters, known: Iterable[str]) -> dict[str, str]:
    """Return the parameters, each given once; raises QueryRefused for one that is not known."""
    pairs = list(asked)
    given = dict(pairs)
    names = set(known)
    if set(given) - names or len(given) != len(pairs):
        raise QueryRefused("unknown-parameter", f"Each of these may be given once: {', '.join(sorted(names))}.")
    return given


def _query(given: Mapping[str, str]) -> Query:
    equal: list[tuple[str, str]] = []
    for parameter, (field, read, wanted) in _FILTERS.items():
        if parameter in given:
            value = read(given[parameter])
            if value is None:
                raise QueryRefused("parameter", f"`{parameter}` must be {wanted}.")
            equal.append((field, value))
    recorded, happened = _range(given, "from", "to"), _range(given, "happened_from", "happened_to")
    types, outcome = _types(given.get("type")), given.get("outcome")
    if types is not None and outcome is not None:
        # The type alone says what came of it: fewer types are found faster than two conditions.
        types = tuple(name for name in types if outcome_of(name) == outcome)
        equal = [(field, value) for field, value in equal if field != "outcome"]
    said = tuple((name, value) for name, value in given.items() if name in FILTERS)
    return Query(tuple(equal), types, recorded, happened, said)


def _range(given: Mapping[str, str], since: str, until: str) -> Range:
    asked = Range(moment_of(given, since), moment_of(given, until))
    if asked.since is not None and asked.until is not None and asked.since > asked.until:
        raise QueryRefused("parameter", f"`{since}` lies after `{until}`.")
    return asked


def _types(value: str | None) -> tuple[str, ...] | None:
    """Return the types of a list such as `kapcare.session.*,kapcare.intake.StepRefused.v1`; `*` is any part, or all that follow."""
    if value is None:
        return None
    wanted = value.split(",")
    found = [{name for name in BY_TYPE if _is_of(name, each)} for each in wanted if len(each) <= 128] if len(wanted) <= 32 else []
    if len(found) != len(wanted) or not all(found):
        raise QueryRefused(
            "parameter", "`type` must be event types that exist, with commas between; kapcare.session.* is all of one service."
        )
    return tuple(sorted(set().union(*found)))


def _is_of(name: str, wanted: str) -> bool:
    parts, asked = name.split("."), wanted.split(".")
    if asked[-1] == "*":
        parts = parts[: len(asked)]
    return len(parts) == len(asked) and all(one in ("*", part) for part, one in zip(parts, asked, strict=True))


def moment_of(given: Mapping[str, str], name: str) -> datetime | None:
    """Return a moment that was given; raises QueryRefused for one without its zone."""
    if name not in given:
        return None
    try:
        moment = datetime.fromisoformat(given[name])
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not EARLIEST <= moment <= LATEST:
        raise QueryRefused("parameter", f"`{name}` must be a time with its zone, such as 2026-03-01T00:00:00Z.")
    return moment.astimezone(UTC)


def whole_number(given: Mapping[str, str], name: str, lowest: int, highest: int) -> int | None:
    """Return a whole number that was given; raises QueryRefused."""
    value = given.get(name)
    if value is None:
        return None
    if re.fullmatch(r"0|[1-9][0-9]{0,11}", value, re.ASCII) is None or not lowest <= int(value) <= highest:
        raise QueryRefused("parameter", f"`{name}` must be a whole number from {lowest} to {highest}.")
    return int(value)


def _choice(given: Mapping[str, str], name: str, known: tuple[Name, ...], default: Name | None) -> Name:
    value = given.get(name, default)
    found = next((one for one in known if one == value), None)
    if found is None:
        raise QueryRefused("parameter", f"`{name}` must be one of {', '.join(known)}.")
    return found
