"""What auditors ask: events by what the clear envelope says, exports, the root, verification. No clinical value is here."""

import base64
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from services.audit.ledger import Ledger
from services.audit.verify import verify
from shared.access.decide import Permission
from shared.http.callers import admit, authenticate
from shared.http.problems import Problem
from shared.service.runtime import Runtime

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


class LedgerRoutes:
    """The routes under /ledger."""

    def __init__(self, runtime: Runtime, ledger: Ledger) -> None:
        self._runtime = runtime
        self._ledger = ledger

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/ledger", tags=["ledger"])
        for path, endpoint in (
            ("/events", self.events),
            ("/export", self.export),
            ("/root", self.root),
            ("/verification", self.verification),
        ):
            router.add_api_route(path, endpoint, methods=["GET"], response_model=None)
        return router

    async def events(self, request: Request) -> Response:
        """Return a page of events in ledger order; `cursor` is the `next` of the page before, and stays good for ever."""
        await self._admit(request)
        query = _read_query(request, paging=True)
        found = [entry async for entry in self._ledger.read(query.wanted, query.after, query.limit)]
        following = found[-1]["_id"] if len(found) == query.limit else None
        content = {"events": [_shown(entry) for entry in found], "next": following, "size": self._ledger.tree.size}
        return Response(to_json(content), media_type="application/json")

    async def export(self, request: Request) -> Response:
        """Stream matching entries as NDJSON: index, clear headers, sealed data in base64, leaf hash in hex."""
        await self._admit(request)
        query = _read_query(request, paging=False)

        async def lines() -> AsyncIterator[bytes]:
            async for entry in self._ledger.read(query.wanted):
                line = {
                    "index": entry["_id"],
                    "headers": entry["headers"],
                    "data": base64.b64encode(entry["data"]).decode(),
                    "leaf": bytes(entry["leaf"]).hex(),
                }
                yield to_json(line) + b"\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def root(self, request: Request) -> Response:
        """Return the size of the ledger and its Merkle root."""
        await self._admit(request)
        await self._ledger.prepare()
        tree = self._ledger.tree
        return Response(to_json({"size": tree.size, "root": tree.root.hex()}), media_type="application/json")

    async def verification(self, request: Request) -> Response:
        """Hash every entry again, look for gaps, and compare with each service's own heads."""
        await self._admit(request)
        settings = self._runtime.settings
        services = {
            "intake": settings.intake_url,
            "prescriber": settings.prescriber_url,
            "session": settings.session_url,
            "integration": settings.integration_url,
        }
        result = await verify(self._ledger, services, request.headers["authorization"])
        return Response(to_json({"verified": result.verified, **asdict(result)}), media_type="application/json")

    async def _admit(self, request: Request) -> None:
        admit(await authenticate(self._runtime, request), Permission.QUERY_LEDGER)


class _Query:
    """A checked query."""

    def __init__(self, wanted: dict[str, Any], after: int, limit: int) -> None:
        self.wanted = wanted
        self.after = after
        self.limit = limit


def _read_query(request: Request, *, paging: bool) -> _Query:
    given = request.query_params
    known = {*FILTERS, "from", "to", *(("cursor", "limit") if paging else ())}
    if set(given) - known or len(given.multi_items()) != len(given):
        raise Problem(422, "unknown-parameter", f"Each of these may be given once: {', '.join(sorted(known))}.")
    wanted: dict[str, Any] = {}
    for parameter, field in FILTERS.items():
        value = given.get(parameter)
        if value is not None:
            if _WORD.fullmatch(value) is None:
                raise Problem(422, "parameter", f"`{parameter}` is not an id of this ledger.")
            wanted[field] = value
    first, last = _moment(given.get("from"), "from"), _moment(given.get("to"), "to")
    if first is not None and last is not None and first > last:
        raise Problem(422, "parameter", "`from` lies after `to`.")
    between = {operator: moment for operator, moment in (("$gte", first), ("$lt", last)) if moment is not None}
    if between:
        wanted["time"] = between
    return _Query(
        wanted, _number(given.get("cursor"), "cursor", -1, 10**12), _number(given.get("limit"), "limit", PAGE_DEFAULT, PAGE_LIMIT)
    )


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


def _number(value: str | None, name: str, default: int, highest: int) -> int:
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) <= 12):
        raise Problem(422, "parameter", f"`{name}` must be a whole number.")
    number = min(int(value), highest)
    if name == "limit" and number == 0:
        raise Problem(422, "parameter", "`limit` must be at least 1.")
    return number


def _shown(entry: Mapping[str, Any]) -> dict[str, Any]:
    headers = entry["headers"]
    return {
        "index": entry["_id"],
        "id": headers["ce_id"],
        "source": entry["source"],
        "type": entry["type"],
        "case": entry["stream"],
        "sequence": entry["sequence"],
        "time": headers["ce_time"],
        "clinic": entry["clinic"],
        "patient": entry["patient"],
        "actor": entry["actor"],
        "correlation": headers["ce_correlationid"],
        "causation": headers.get("ce_causationid"),
        "leaf": bytes(entry["leaf"]).hex(),
    }
