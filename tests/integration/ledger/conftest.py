"""A ledger of its own for each test."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest_asyncio
from pymongo import AsyncMongoClient

from tests.integration.ledger.kept import Kept


@pytest_asyncio.fixture(loop_scope="session")
async def another(mongo_url: str, database: str) -> AsyncIterator[Callable[[], Kept]]:
    """Makes another process over the same ledger."""
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo_url, w="majority", journal=True, readConcernLevel="majority", tz_aware=True) as client:
        yield lambda: Kept(client[database])
        await client.drop_database(database)


@pytest_asyncio.fixture(loop_scope="session")
async def kept(another: Callable[[], Kept]) -> Kept:
    """The ledger."""
    made = another()
    await made.ledger.prepare()
    return made
