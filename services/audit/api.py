"""The routes of the ledger: questions, exports, the root, verification. No clinical value is here."""

import base64
from collections.abc import AsyncIterator
from dataclasses import asdict

from fastapi import APIRouter
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from services.audit.domain.query import read_export
from services.audit.ledger import Ledger
from services.audit.questions import Questions, admit_auditor, asked
from services.audit.reading import Reader
from services.audit.verify import verify
from shared.service.runtime import Runtime


class LedgerRoutes:
    """The routes under /ledger."""

    def __init__(self, runtime: Runtime, ledger: Ledger) -> None:
        self._runtime = runtime
        self._ledger = ledger
        self._questions = Questions(runtime, Reader(ledger.entries), lambda: ledger.tree.size)

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/ledger", tags=["ledger"])
        for path, endpoint in (
            ("/events", self._questions.events),
            ("/counts", self._questions.counts),
            ("/known", self._questions.known),
            ("/export", self.export),
            ("/root", self.root),
            ("/verification", self.verification),
        ):
            router.add_api_route(path, endpoint, methods=["GET"], response_model=None)
        return router

    async def export(self, request: Request) -> Response:
        """Stream matching entries in CSV, as AuditEvents, or as NDJSON: index, clear headers, sealed data in base64, leaf hash in hex."""
        await self._admit(request)
        query, form = asked(request, read_export)
        if form != "ndjson":
            return self._questions.export(query, form)

        async def lines() -> AsyncIterator[bytes]:
            async for entry in self._ledger.read(query.filter):
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
        await admit_auditor(self._runtime, request)
