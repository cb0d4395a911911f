"""A clinic with two partners."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest_asyncio

from shared.webhooks.signing import PrivateKey
from tests.integration.partner.desk import Desk
from tests.integration.partner_clinic import Clinic, clinic_on
from tests.integration.partner_stub import partner

MANY = 1_000_000
"""Failures that no test of a message reaches: limits have tests of their own."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def clinic(mongo_url: str, kafka_bootstrap: str) -> AsyncIterator[Clinic]:
    """One service with two partners for all tests of this file; each test has a case of its own."""
    async with (
        clinic_on(mongo_url, kafka_bootstrap, webhook_failures_at_once=MANY) as running,
        partner("north") as north,
        partner("south") as south,
    ):
        for stub in (north, south):
            status, body = await running.register(stub)
            assert status == 201, body
        await asyncio.sleep(0.5)
        yield running


@pytest_asyncio.fixture
async def desk(clinic: Clinic) -> AsyncIterator[Desk]:
    """A partner of its own in the sandbox, with a decision key and nothing else."""
    slug = f"p-{uuid.uuid4().hex[:12]}"
    registration = {"slug": slug, "name": "Cascade", "decision_key": str(PrivateKey.generate().public), "sandbox": True}
    status, answer = await clinic.post("/partners", registration, "admin")
    assert status == 201, answer
    yield Desk(clinic, slug)
