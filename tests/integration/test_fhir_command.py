"""`kap fhir` on real services: a referred case at first, and the same case with an approved plan."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from typer.testing import CliRunner, Result

from deploy.cli.__main__ import app
from deploy.local.failure import StackError
from deploy.local.ports import free_port
from deploy.local.stack import LocalStack
from tests.unit.fhir.checks import check, of_kind
from tests.unit.intake.cases import NO_TO_ALL, NOTHING
from tests.unit.prescriber.given import plan

REFERRAL = {
    "clinic": "riverside",
    "patient": {"system": "mrn", "value": "1001"},
    "birth_date": "1986-04-02",
    "sex": "female",
    "indication": "depression",
}
LONG_AGO = "2026-01-01T09:00:00Z"


class Clinic:
    """Hands at one clinic, on a stack that is up."""

    def __init__(self, stack: LocalStack, session: aiohttp.ClientSession) -> None:
        self._stack, self._session = stack, session
        self.data = stack.data.root

    async def post(self, service: str, path: str, role: str, **body: Any) -> dict[str, Any]:
        headers = {**self._as(role), "Idempotency-Key": uuid.uuid4().hex}
        async with self._session.post(self._stack.running.url(service) + path, json=body, headers=headers) as answer:
            assert answer.ok, await answer.text()
            content: dict[str, Any] = await answer.json()
            return content

    async def until(self, service: str, path: str, role: str, shows: str = "events") -> None:
        """Wait until it is there, and shows what it is waited for if it has such a field at all."""
        async with asyncio.timeout(30):
            while True:
                async with self._session.get(self._stack.running.url(service) + path, headers=self._as(role)) as answer:
                    if answer.ok and (await answer.json()).get(shows, True):
                        return
                await asyncio.sleep(0.05)

    def _as(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._stack.issuer.mint(f'dev-{role}', [role], ['riverside'])}"}


@pytest_asyncio.fixture(loop_scope="session")
async def clinic(tmp_path: Path) -> AsyncIterator[Clinic]:
    services = ("intake", "prescriber", "session", "integration", "audit")
    async with LocalStack(tmp_path / "kap", port_base=free_port(), services=services) as stack, aiohttp.ClientSession() as session:
        yield Clinic(stack, session)


async def kap_fhir(clinic: Clinic, case: str, *more: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, ["fhir", case, "--data", str(clinic.data), *more])


@pytest.mark.timeout(180)
async def test_a_case_is_exported_from_referral_to_plan(clinic: Clinic, tmp_path: Path) -> None:
    case = (await clinic.post("intake", "/cases", "coordinator", **REFERRAL))["case"]
    await clinic.until("audit", f"/ledger/events?case={case}", "auditor")
    referred = await kap_fhir(clinic, case)
    assert referred.exit_code == 0, referred.output
    check(json.loads(referred.stdout))

    scopes = ["treatment", "disclosure_to_prescriber"]
    await clinic.post("intake", f"/cases/{case}/consents", "coordinator", version="2026-1", scopes=scopes, given_at=LONG_AGO)
    await clinic.post("intake", f"/cases/{case}/statements", "therapist", answers=NO_TO_ALL)
    for name, answers in NOTHING.items():
        answered = {"instrument": name, "answers": list(answers), "answered_at": LONG_AGO}
        await clinic.post("intake", f"/cases/{case}/instruments", "therapist", **answered)
    await clinic.post("intake", f"/cases/{case}/screening", "therapist", note="not for export")
    await clinic.until("prescriber", f"/cases/{case}", "coordinator")
    await _decide(clinic, case)
    await clinic.until("session", f"/cases/{case}", "therapist", shows="plan")

    out = tmp_path / "case.json"
    written = await kap_fhir(clinic, case, "--output", str(out))
    assert (written.exit_code, written.stdout) == (0, ""), written.output
    bundle = json.loads(out.read_text())
    assert out.stat().st_mode & 0o077 == 0, "only its owner may read it"
    check(bundle)
    assert "not for export" not in out.read_text()
    assert of_kind(bundle, "Task")[0]["status"] == "completed"
    kinds = ("MedicationRequest", "Patient", "CarePlan")
    assert [len(of_kind(bundle, kind)) for kind in kinds] == [1, 1, 1]
    again = await kap_fhir(clinic, case)
    assert json.loads(again.stdout) == bundle

    unknown = await kap_fhir(clinic, "case-" + "0" * 32)
    assert isinstance(unknown.exception, StackError)


async def _decide(clinic: Clinic, case: str) -> None:
    """Approve as soon as the screening has come over: consent may come first."""
    ordered = plan().model_dump(mode="json") | {"expires_at": _in_days(30)}
    async with asyncio.timeout(30):
        while True:
            try:
                await clinic.post(
                    "prescriber", f"/cases/{case}/decision", "prescriber", request=1, decision="eligible", reasons=["fit"], plan=ordered
                )
            except AssertionError:
                await asyncio.sleep(0.1)
            else:
                return


def _in_days(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()
