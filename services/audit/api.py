"""The routes of the ledger: questions, exports, the root, verification. No clinical value is here."""

from dataclasses import asdict

from fastapi import APIRouter
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from services.audit.checkpoints import Checkpoints
from services.audit.domain.note import VerifierKey
from services.audit.domain.query import read_export
from services.audit.ledger import Ledger
from services.audit.log_routes import newest
from services.audit.proved_export import export_lines
from services.audit.questions import Questions, admit_auditor, asked
from services.audit.reading import Reader
from services.audit.tiles import KeptTiles
from services.audit.verify import heads_over_http, verify
from shared.log.heads import heads_page
from shared.service.runtime import Runtime


class LedgerRoutes:
    """The routes under /ledger."""

    def __init__(self, runtime: Runtime, ledger: Ledger, tiles: KeptTiles, checkpoints: Checkpoints, log: VerifierKey) -> None:
        self._runtime = runtime
        self._ledger = ledger
        self._reader = Reader(ledger.entries)
        self._questions = Questions(runtime, self._reader, ledger.count)
        self._tiles = tiles
        self._checkpoints = checkpoints
        self._log = log

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/ledger", tags=["ledger"])
        for path, endpoint in (
            ("/events", self._questions.events),
            ("/counts", self._questions.counts),
            ("/known", self._questions.known),
            ("/disclosures", self._questions.disclosures),
            ("/export", self.export),
            ("/root", self.root),
            ("/verification", self.verification),
        ):
            router.add_api_route(path, endpoint, methods=["GET"], response_model=None)
        return router

    async def export(self, request: Request) -> Response:
        """Stream matching entries in CSV, as AuditEvents, or as NDJSON: each with its proof against the checkpoint in the first line."""
        await self._admit(request)
        query, form = asked(request, read_export)
        if form != "ndjson":
            return await self._questions.export(query, form)
        lines = export_lines(self._reader, self._tiles, await newest(self._checkpoints), query)
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
        authorization = request.headers["authorization"]
        heads = {service: heads_over_http(url, authorization) for service, url in services.items()}
        result = await verify(self._ledger, self._checkpoints, self._log, {**heads, "audit": self._own_heads})
        return Response(to_json({"verified": result.verified, **asdict(result)}), media_type="application/json")

    async def _own_heads(self) -> dict[str, int]:
        heads: dict[str, int] = {}
        after: str | None = ""
        while after is not None:
            page, after = await heads_page(self._runtime.access_store.collection, after=after)
            heads.update(page)
        return heads

    async def _admit(self, request: Request) -> None:
        await admit_auditor(self._runtime, request)
