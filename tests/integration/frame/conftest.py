"""The served toy, once for each module."""

from collections.abc import AsyncIterator

import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.integration.frame.served import Client, Keys, _no_lifespan, client_of, served, settings_of


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def keys() -> AsyncIterator[tuple[Keys, str]]:
    made = Keys()

    async def jwks(_request: HttpRequest) -> JSONResponse:
        return JSONResponse(made.public())

    async with served(Starlette(routes=[Route("/jwks.json", jwks)], lifespan=_no_lifespan)) as base:
        yield made, f"{base}/jwks.json"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(mongo_url: str, kafka_bootstrap: str, keys: tuple[Keys, str]) -> AsyncIterator[Client]:
    async with client_of(settings_of(mongo_url, kafka_bootstrap, keys[1], body_limit_bytes=20_000), keys[0]) as made:
        yield made
