"""Query parameters of routes that ask for no events: each given once, and numbers as numbers."""

import re
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request

from shared.http.callers import asked_by_query
from shared.http.problems import Problem

_NUMBER: Final = re.compile(r"[0-9]{1,12}", re.ASCII)


def read_parameters(request: Request, known: set[str]) -> Mapping[str, str]:
    """Return the parameters of a request, each given once; raises Problem 422 for one that is not known."""
    given = request.query_params
    if set(given) - known or len(given.multi_items()) != len(given):
        raise Problem(422, "unknown-parameter", f"Each of these may be given once: {', '.join(sorted(known))}.")
    asked_by_query(request)
    return given


def read_number(value: str | None, name: str, default: int | None = None) -> int:
    """Return a whole number of at most twelve digits; raises Problem 422."""
    if value is None and default is not None:
        return default
    if value is None or _NUMBER.fullmatch(value) is None:
        raise Problem(422, "parameter", f"`{name}` must be a whole number.")
    return int(value)
