"""The stack and the patients that the journeys are told on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.demo.begin import carry, partner_at_work
from deploy.demo.calls import Calls
from deploy.demo.records import read_cohort
from deploy.demo.simulator import Person
from deploy.demo.summary import Report
from deploy.local.ports import free_port
from deploy.local.stack import LocalStack
from tests.journey.hands import Hands

SEED = "70"
CHOSEN = (1, 3, 5, 16, 23, 24)
"""Of the cohort's first patients: some are deferred, declined, held, asked for clearance, dosed."""


@pytest.fixture(scope="session")
def people() -> list[Person]:
    """Six patients."""
    records = read_cohort(max(CHOSEN))
    return [Person(number, records[number - 1], SEED) for number in CHOSEN]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def undisturbed(tmp_path_factory: pytest.TempPathFactory, people: list[Person]) -> AsyncIterator[tuple[Report, Hands]]:
    """The report of a demo that nothing disturbed, and hands on its stack, which is still up."""
    folder: Path = tmp_path_factory.mktemp("journey")
    async with (
        LocalStack(folder, port_base=free_port(), care_clock="movable") as stack,
        partner_at_work(stack.data) as (office, session),
    ):
        calls = Calls(stack.data, session)
        yield await carry(calls, office, people), Hands(stack, session)
