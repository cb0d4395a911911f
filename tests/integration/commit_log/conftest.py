"""A runtime of its own for each test."""

from collections.abc import AsyncIterator

import pytest_asyncio

from shared.service.runtime import Runtime
from tests import toy


@pytest_asyncio.fixture
async def runtime(mongo_url: str) -> AsyncIterator[Runtime]:
    async with toy.runtime_of(toy.INTAKE, toy.settings_for(mongo_url, "127.0.0.1:1", toy.unique())) as made:
        yield made
