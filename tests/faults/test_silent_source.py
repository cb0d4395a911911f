"""A service that falls silent is not taken to have nothing to say: until it is heard again no dose is authorised (R-20)."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from deploy.bench.patient import Patient, Staff
from deploy.local.ports import free_port
from deploy.local.stack import LocalStack
from shared.pathway.policy import SHIPPED
from tests import toy

pytestmark = pytest.mark.timeout(240)

BOUND_SECONDS = 6
"""Short, so that the test is; a heartbeat comes every 2 s."""


def policy_in(folder: Path) -> Path:
    content: dict[str, Any] = json.loads(SHIPPED.read_text())
    content["version"] = "short-view-1"
    content["values"]["view_at_most_seconds_old"]["value"] = BOUND_SECONDS
    file = folder / "policy.json"
    file.write_text(json.dumps(content))
    return file


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def staff(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Staff]:
    """Who works at a stack that is up for all tests of this file; each has a patient of its own."""
    folder = tmp_path_factory.mktemp("silent")
    settings = {"KAPCARE_POLICY_FILE": str(policy_in(folder))}
    async with LocalStack(folder / "kap", port_base=free_port(), settings=settings) as stack, aiohttp.ClientSession() as session:
        yield Staff(stack, session)


@pytest.mark.parametrize("silent", ["intake", "integration"])
async def test_r20_a_silent_service_stops_every_dose_and_it_heals_by_itself(silent: str, staff: Staff) -> None:
    """Stopped where it stands, as a machine that hangs: nothing is closed, so only its silence tells."""
    patient = await Patient.ready_for_a_dose(staff, f"lot-{silent}")

    async def asked() -> tuple[int, list[dict[str, Any]]]:
        status, answer = await patient.ask_for_the_dose()
        return status, answer.get("refusals", [])

    async def authorised() -> bool:
        return (await asked())[0] == 200

    await toy.eventually(authorised)
    os.kill(staff.stack.pid(silent), signal.SIGSTOP)
    try:

        async def refused() -> bool:
            return (await asked())[0] == 409

        await toy.eventually(refused, BOUND_SECONDS + 20, every=0.5)
        status, refusals = await asked()
        assert (status, [(each["rule"], each["because"]) for each in refusals]) == (409, [("R-20", "view-too-old")])
        assert silent in refusals[0]["detail"]
        await asyncio.sleep(1)
        assert (await asked())[0] == 409
    finally:
        os.kill(staff.stack.pid(silent), signal.SIGCONT)
    await toy.eventually(authorised, 40, every=0.5)
    course = await patient.view("session")
    assert {line["event"] for line in course["sessions"][0]["timeline"]} == {"SessionScheduled", "PreDoseChecked", "DosingAuthorised"}
