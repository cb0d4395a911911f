"""Problems for people, RFC 9457: what is wrong, where, what to do. Never an echo of what was sent."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, to_json
from starlette.responses import Response

MEDIA_TYPE: Final = "application/problem+json"

MALFORMED: Final = frozenset({"time-in-the-future", "out-of-range", "wrong-unit", "wrong-number-of-answers", "not-a-bundle", "malformed"})
"""Slugs of refusals that speak of the request itself (422); the others speak of the moment (409)."""

NOT_THERE: Final = frozenset({"no-such-partner", "no-such-endpoint"})
"""Slugs of refusals that speak of what the request names and is not there (404)."""

TITLES: Final[Mapping[int, str]] = {
    400: "The request cannot be read",
    401: "Who you are is not known",
    403: "This is not yours to do",
    404: "There is no such thing for you",
    405: "This cannot be done here",
    408: "The request came too slowly",
    409: "This cannot be done now",
    412: "What this is about has moved on",
    413: "The request is too large",
    415: "The request is not in a form that is taken",
    422: "The request does not hold",
    428: "A condition is missing",
    429: "Too many requests",
    500: "Something went wrong here",
    503: "Not available at the moment",
}


class Problem(Exception):
    """A problem document, raised anywhere below a route."""

    def __init__(self, status: int, slug: str, detail: str, headers: Mapping[str, str] | None = None, **extra: Any) -> None:
        super().__init__(slug)
        self.status = status
        self.slug = slug
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = extra

    def to_response(self) -> Response:
        """Return the problem document."""
        return problem(self.status, self.slug, self.detail, headers=self.headers, **self.extra)


def problem(status: int, slug: str, detail: str, headers: Mapping[str, str] | None = None, **extra: Any) -> Response:
    """Return an RFC 9457 response whose `type` is `urn:kapcare:problem:<slug>`."""
    document = {
        "type": f"urn:kapcare:problem:{slug}",
        "title": TITLES.get(status, "Problem"),
        "status": status,
        "detail": detail,
        **{name: value for name, value in extra.items() if value is not None},
    }
    return Response(to_json(document), status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def invalid_body(error: ValidationError, model: type[BaseModel]) -> Problem:
    """Say which fields do not hold and why, naming only fields that the model itself names."""
    names = _field_names(model.model_json_schema())
    wrong = [{"path": _path(item, names), "what": _what(item)} for item in error.errors(include_url=False, include_input=False)]
    return Problem(422, "invalid-body", "Some fields do not hold; see `errors`.", errors=wrong[:20])


def _path(item: ErrorDetails, names: frozenset[str]) -> str:
    parts: list[str] = []
    for part in item["loc"]:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        elif part in names:
            parts.append(f".{part}")
        else:
            parts.append(".?")
    return "".join(parts).lstrip(".") or "body"


def _what(item: ErrorDetails) -> str:
    if item["type"] == "extra_forbidden":
        return "a field that is not known"
    if item["type"].startswith("union_tag"):
        return "not one of the kinds that are known"
    return re.sub(r"\s+", " ", item["msg"].removeprefix("Value error, "))


def _field_names(schema: Any) -> frozenset[str]:
    return frozenset(_walk_names(schema))


def _walk_names(schema: Any) -> Iterable[str]:
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            yield from properties
        for value in schema.values():
            yield from _walk_names(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _walk_names(value)
