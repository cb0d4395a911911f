"""The audit service as it is run, on loopback, and an auditor who calls it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from pymongo import AsyncMongoClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from services.audit.app import build
from shared.settings import Settings
from tests import toy
from tests.integration.frame.served import ISSUER, Answer, Keys, _no_lifespan, served, token
from tests.integration.ledger.kept import KEY as LOG_KEY
from tests.integration.ledger.kept import Kept, files

SEED = "c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M="
"""Base64 of the seed of `LOG_KEY`."""


@dataclass
class Auditor:
    """Calls the service; `kept` is its ledger, seen from another process."""

    session: aiohttp.ClientSession
    base: str
    keys: Keys
    kept: Kept
    settings: Settings

    async def get(self, path: str, *, roles: list[str] | None = None, bearer: str | None = "") -> Answer:
        """One GET with the auditor's token, or that of other roles, or none (`bearer=None`)."""
        made = token(self.keys, roles=roles or ["auditor"]) if bearer == "" else bearer
        headers = {} if made is None else {"Authorization": f"Bearer {made}"}
        async with self.session.get(self.base + path, headers=headers) as answer:
            return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, await answer.read())

    async def fetch(self, path: str) -> bytes:
        """A file of the log."""
        answer = await self.get(f"/ledger/tlog/{path}")
        assert answer.status == 200, (path, answer.body)
        return answer.body

    async def served_files(self, size: int) -> dict[str, bytes]:
        """Every file of the log, each over HTTP."""
        paths = list(await files(self.kept, size))
        return dict(zip(paths, await asyncio.gather(*(self.fetch(path) for path in paths)), strict=True))


@asynccontextmanager
async def issuing(mongo_url: str, bootstrap: str, **changes: Any) -> AsyncIterator[tuple[Settings, Keys]]:
    """Settings of a service on a database and topics of its own, and the keys of an issuer that is there."""
    keys = Keys()

    async def jwks(_request: Request) -> JSONResponse:
        return JSONResponse(keys.public())

    async with served(Starlette(routes=[Route("/jwks.json", jwks)], lifespan=_no_lifespan)) as issuer:
        given = {"ledger_origin": LOG_KEY.origin, "ledger_signing_key": SEED, "issuer": ISSUER, "jwks_url": f"{issuer}/jwks.json"}
        settings = toy.settings_for(mongo_url, bootstrap, toy.unique(), **given, **changes)
        await toy.make_topics(bootstrap, settings.topic_prefix)
        yield settings, keys


@asynccontextmanager
async def auditing(mongo_url: str, bootstrap: str, **changes: Any) -> AsyncIterator[Auditor]:
    """The service on a database and topics of its own."""
    async with issuing(mongo_url, bootstrap, **changes) as (settings, keys), running(settings, keys) as auditor:
        yield auditor


@asynccontextmanager
async def running(settings: Settings, keys: Keys) -> AsyncIterator[Auditor]:
    """The service on what is there."""
    client: AsyncMongoClient[dict[str, Any]]
    with toy.untold():
        async with (
            served(build(settings)) as base,
            aiohttp.ClientSession() as session,
            AsyncMongoClient(settings.mongo_url, w="majority", journal=True, readConcernLevel="majority", tz_aware=True) as client,
        ):
            yield Auditor(session, base, keys, Kept(client[f"{settings.database_prefix}_audit"]), settings)
