"""A stage of its own for each test."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests import toy


@pytest_asyncio.fixture
async def stage(mongo_url: str, kafka_bootstrap: str) -> AsyncIterator[toy.Stage]:
    async with toy.stage_on(mongo_url, kafka_bootstrap) as made:
        yield made
