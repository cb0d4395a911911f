"""What auditors ask: events by what the clear envelope says, exports, the root, verification. No clinical value is here."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from services.audit.checkpoints import Checkpoints
from services.audit.domain.entry import MalformedEntry, read_entry
from services.audit.domain.note import VerifierKey
from services.audit.export import export_lines
from services.audit.ledger import Ledger
from services.audit.query import Query, read_query
from services.audit.tiles import KeptTiles
from services.audit.tlog_api import newest
from services.audit.verify import verify
from shared.access.decide import Permission
from shared.http.callers import admit, authenticate
from shared.service.runtime import Runtime


class LedgerRoutes:
    """The routes under /ledger."""

    def __init__(self, runtime: Runtime, ledger: Ledger, tiles: KeptTiles, checkpoints: Checkpoints, log: VerifierKey) -> None:
        self._runtime = runtime
        self._ledger = ledger
        self._tiles = tiles
        self._checkpoints = checkpoints
        self._log = log

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
        return Response(await page_of(self._ledger, read_query(request, paging=True)), media_type="application/json")

    async def export(self, request: Request) -> Response:
        """Stream matching entries as NDJSON, each with its proof against the newest checkpoint, which is in the first line."""
        await self._admit(request)
        query = read_query(request, paging=False)
        lines = export_lines(self._ledger, self._tiles, await newest(self._checkpoints), query)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    async def root(self, request: Request) -> Response:
        """Return the size of the newest checkpoint and its Merkle root."""
        await self._admit(request)
        last = await newest(self._checkpoints)
        return Response(to_json({"size": last.size, "root": last.tree.root.hex()}), media_type="application/json")

    async def verification(self, request: Request) -> Response:
        """Hash every entry again, compare with every checkpoint, look for gaps, and compare with each service's own heads."""
        await self._admit(request)
        settings = self._runtime.settings
        services = {
            "intake": settings.intake_url,
            "prescriber": settings.prescriber_url,
            "session": settings.session_url,
            "integration": settings.integration_url,
        }
        result = await verify(self._ledger, self._checkpoints, self._log, services, request.headers["authorization"])
        return Response(to_json({"verified": result.verified, **asdict(result)}), media_type="application/json")

    async def _admit(self, request: Request) -> None:
        admit(await authenticate(self._runtime, request), Permission.QUERY_LEDGER)


async def page_of(ledger: Ledger, query: Query) -> bytes:
    """Return a page of events as JSON."""
    found = [entry async for entry in ledger.read(query.wanted, after=query.after, limit=query.limit, since=query.since, until=query.until)]
    following = found[-1]["_id"] if len(found) == query.limit else None
    return to_json({"events": [_shown(entry) for entry in found], "next": following, "size": await ledger.count()})


def _shown(entry: Mapping[str, Any]) -> dict[str, Any]:
    try:
        headers = read_entry(bytes(entry["entry"])).headers
    except MalformedEntry:  # altered; to be shown all the same, and found by whoever verifies
        headers = {}
    return {
        "index": entry["_id"],
        "id": entry["event"],
        "source": entry["source"],
        "type": entry["type"],
        "case": entry["stream"],
        "sequence": entry["sequence"],
        "time": headers.get("ce_time"),
        "clinic": entry["clinic"],
        "patient": entry["patient"],
        "actor": entry["actor"],
        "correlation": headers.get("ce_correlationid"),
        "causation": headers.get("ce_causationid"),
        "leaf": bytes(entry["leaf"]).hex(),
    }
