"""A case goes to another clinic over the real services: there it is worked on, and here it exists no more."""

import asyncio
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from deploy.cli.__main__ import app
from deploy.demo.summary import Report
from tests.journey.hands import Hands

pytestmark = pytest.mark.timeout(300)


async def test_every_service_follows_a_case_to_its_new_clinic(journey: tuple[Report, Hands]) -> None:
    _, hands = journey
    person = {"system": "mrn", "value": "transfer-journey"}
    referral = {"clinic": "riverside", "patient": person, "birth_date": "1980-01-01", "sex": "male", "indication": "depression"}
    _, referred = await hands.post("coordinator", "intake", "/cases", referral)
    case = referred["case"]
    given_at = (await hands.care_time() - timedelta(minutes=1)).isoformat()
    consent = {"version": "v1", "scopes": ["treatment", "disclosure_to_prescriber"], "given_at": given_at}
    assert (await hands.post("coordinator", "intake", f"/cases/{case}/consents", consent))[0] == 200
    for service in ("prescriber", "session", "integration"):
        await hands.until("coordinator", service, f"/cases/{case}", lambda seen: seen["version"] >= 1)
    body = {"to_clinic": "hillside", "reason": "The patient moved."}
    assert (await hands.post("therapist", "intake", f"/cases/{case}/transfer", body))[0] == 403
    status, moved = await hands.post("coordinator", "intake", f"/cases/{case}/transfer", body, key="transfer-1")
    assert status == 200
    assert await hands.post("coordinator", "intake", f"/cases/{case}/transfer", body, key="transfer-1") == (200, moved)
    assert (await hands.get("coordinator", "intake", f"/cases/{case}"))[0] == 404
    assert (await hands.post("coordinator", "intake", f"/cases/{case}/transfer", body, key="transfer-2"))[0] == 404
    for service in ("intake", "prescriber", "session", "integration"):
        await hands.until("coordinator", service, f"/cases/{case}", lambda seen: seen["clinic"] == "hillside", clinic="hillside")
        assert (await hands.get("coordinator", service, f"/cases/{case}"))[0] == 404
    arguments = ["fhir", case, "--data", str(hands.stack.data.root)]
    exported = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert exported.exit_code == 0, exported.output
    assert "hillside" in exported.stdout
