"""The stack and the patients that the journeys are told on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
UNHURRIED = {"KAPCARE_KAFKA_FETCH_MAX_WAIT_MS": "50"}
"""The embedded broker answers a fetch when its wait ends: with the usual 10 ms an idle stack takes a whole core, with these half of one."""


@pytest.fixture(scope="session")
def people() -> list[Person]:
    """Six patients."""
    records = read_cohort(max(CHOSEN))
    return [Person(number, records[number - 1], SEED) for number in CHOSEN]


@asynccontextmanager
async def told_undisturbed(folder: Path, people: list[Person]) -> AsyncIterator[tuple[Report, Hands]]:
    """The report of a demo that nothing disturbs, and hands on its stack while that is still up."""
    async with (
        LocalStack(folder, port_base=free_port(), care_clock="movable", settings=UNHURRIED) as stack,
        partner_at_work(stack.data) as (office, session),
    ):
        yield await carry(Calls(stack.data, session), office, people), Hands(stack, session)


@pytest.fixture(scope="session")
def reports() -> list[Report]:
    """What undisturbed demos reported in this run."""
    return []


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def journey(
    tmp_path_factory: pytest.TempPathFactory, people: list[Person], reports: list[Report]
) -> AsyncIterator[tuple[Report, Hands]]:
    """An undisturbed demo; its stack is up until the module's end."""
    async with told_undisturbed(tmp_path_factory.mktemp("journey"), people) as (report, hands):
        reports.append(report)
        yield report, hands


@pytest_asyncio.fixture(loop_scope="session")
async def undisturbed(tmp_path: Path, people: list[Person], reports: list[Report]) -> Report:
    """What an undisturbed demo reported; its stack is down again, for an idle one costs time too."""
    if not reports:
        async with told_undisturbed(tmp_path / "undisturbed", people) as (report, _):
            reports.append(report)
    return reports[0]
