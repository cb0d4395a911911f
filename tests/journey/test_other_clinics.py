"""What another clinic may do with a case, over the real services: take it over, or read it in an emergency; and what organisations outside
were told and read. Expectations: domain.md R-31 and R-32; reliability.md (an emergency access is told at once, read only, ends by itself,
and stays open until it is reviewed by someone else)."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.cli.__main__ import app
from deploy.demo.summary import Report
from tests.journey.hands import Hands

pytestmark = pytest.mark.timeout(300)

SERVICES = ("intake", "prescriber", "session", "integration")


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


async def referred(hands: Hands) -> str:
    person = {"system": "mrn", "value": "emergency-journey"}
    referral = {"clinic": "riverside", "patient": person, "birth_date": "1980-01-01", "sex": "male", "indication": "depression"}
    _, made = await hands.post("coordinator", "intake", "/cases", referral)
    case = str(made["case"])
    given_at = (await hands.care_time() - timedelta(minutes=1)).isoformat()
    consent = {"version": "v1", "scopes": ["treatment", "disclosure_to_prescriber"], "given_at": given_at}
    assert (await hands.post("coordinator", "intake", f"/cases/{case}/consents", consent))[0] == 200
    for service in SERVICES:
        await hands.until("coordinator", service, f"/cases/{case}", lambda seen: seen["version"] >= 1)
    return case


async def entries(hands: Hands, query: str, least: int = 1) -> list[dict[str, Any]]:
    found = await hands.until("auditor", "audit", f"/ledger/events?limit=500&{query}", lambda seen: len(seen["events"]) >= least)
    events: list[dict[str, Any]] = found["events"]
    return events


async def test_r32_a_case_is_read_elsewhere_in_an_emergency_and_every_step_of_it_is_in_the_ledger(journey: tuple[Report, Hands]) -> None:
    _, hands = journey
    case = await referred(hands)
    path, elsewhere = f"/cases/{case}", "hillside"
    assert (await hands.get("therapist", "session", path, elsewhere))[0] == 404
    opening = {"reason": "patient_in_danger", "explanation": "Found unresponsive at our clinic; we must know what was given."}
    assert (await hands.post("therapist", "intake", f"{path}/emergency-access", {"reason": "patient_in_danger"}, elsewhere))[0] == 422
    assert (await hands.post("admin", "intake", f"{path}/emergency-access", opening, elsewhere))[0] == 403
    assert (await hands.post("therapist", "intake", f"/cases/case-{'0' * 32}/emergency-access", opening, elsewhere))[0] == 404
    status, _ = await hands.post("therapist", "intake", f"{path}/emergency-access", opening, elsewhere)
    assert status == 200
    for service in SERVICES:
        await hands.until("therapist", service, path, lambda seen: seen["clinic"] == "riverside", elsewhere)
        assert (await hands.get("prescriber", service, path, elsewhere))[0] == 404, "it is one person's"
    hold = {"reason": "clinical_concern"}
    assert (await hands.post("therapist", "session", f"{path}/holds", hold, elsewhere))[0] == 404, "reading, and nothing else"
    assert case not in str((await hands.get("therapist", "intake", "/cases", elsewhere))[1])

    (alert,) = (await hands.get("medical_monitor", "intake", path))[1]["alerts"]
    assert (alert["why"], alert["role"], alert["emergency"]) == ("emergency-access", "medical_monitor", True)
    _, shown = await hands.get("medical_monitor", "intake", path)
    (to_review,) = shown["emergency_accesses"]
    assert to_review["explanation"] == opening["explanation"]
    assert (to_review["opened_by"], to_review["reason"]) == (f"test-therapist-{elsewhere}", "patient_in_danger")

    grant = {"grant": to_review["grant"]}
    assert (await hands.post("therapist", "intake", f"{path}/emergency-access/close", grant, elsewhere))[0] == 200
    for service in SERVICES:
        await hands.until("coordinator", service, path, lambda seen: seen["version"] >= 1)
        end = await hands.care_time() + timedelta(seconds=10)
        while (await hands.get("therapist", service, path, elsewhere))[0] != 404:
            assert await hands.care_time() < end, f"{service} still shows it"
    review = {**grant, "justified": True, "note": "The ambulance asked for it."}
    assert (await hands.post("therapist", "intake", f"{path}/emergency-access/review", review))[0] == 403
    assert (await hands.post("medical_monitor", "intake", f"{path}/emergency-access/review", review, elsewhere))[0] == 404
    assert (await hands.post("medical_monitor", "intake", f"{path}/emergency-access/review", review))[0] == 200
    _, shown = await hands.get("medical_monitor", "intake", path)
    assert [access["review"]["justified"] for access in shown["emergency_accesses"]] == [True]
    assert [alert["acknowledged_at"] for alert in shown["alerts"] if alert["acknowledged_at"] is None] == []

    told = await entries(hands, f"case={case}&type=kapcare.intake.*", least=7)
    names = [event["type"].split(".")[2] for event in told]
    steps = ["EmergencyAccessOpened", "EmergencyAccessEnded", "EmergencyAccessReviewed"]
    assert [name for name in names if name in steps] == steps
    reads = await entries(hands, f"about={case}&purpose=ETREAT&type=kapcare.access.RecordRead.v1", least=4)
    assert {event["source"].rpartition(":")[2] for event in reads} == set(SERVICES)
    assert {event["actor"] for event in reads} == {f"test-therapist-{elsewhere}"}
    refused = await entries(hands, f"about={case}&type=kapcare.access.AccessRefused.v1", least=7)
    assert {(event["status"], event["purpose"]) for event in refused} >= {(422, "ETREAT"), (403, "ETREAT"), (404, "TREAT")}
    assert {"session"} <= {event["source"].rpartition(":")[2] for event in refused}
    assert opening["explanation"] not in str(told) + str(reads)
    question = "/ledger/events?limit=500&order=newest&source=audit&type=kapcare.access.RecordRead.v1"
    asked = await hands.until("auditor", "audit", question, lambda seen: any(f"about={case}" in str(each) for each in seen["events"]))
    assert {(each["purpose"], each["route"], each["actor"]) for each in asked["events"] if f"about={case}" in str(each)} == {
        ("HCOMPL", "GET /ledger/events", "test-auditor-riverside")
    }, "the question is recorded, and no answer"


async def test_r31_what_a_partner_was_told_and_read_of_a_patient_is_accounted_for(journey: tuple[Report, Hands]) -> None:
    """45 CFR 164.528: date, recipient, address if known, what, what for. The demo's partner is told by webhook and fetches reviews."""
    report, hands = journey
    rows: list[dict[str, Any]] = []
    for case in report.case_ids:
        _, shown = await hands.get("auditor", "audit", f"/ledger/events?case={case}&limit=1")
        patient = shown["events"][0]["patient"]
        status, answer = await hands.get("auditor", "audit", f"/ledger/disclosures?patient={patient}")
        assert status == 200
        rows += answer["disclosures"]
        for row in answer["disclosures"]:
            assert case in row["cases"]
    fetched = [row for row in rows if row["address"] is not None]
    told = [row for row in rows if row["address"] is None]
    assert fetched
    assert told
    assert {row["address"] for row in fetched} == {"127.0.0.1"}
    assert {(row["purpose"], row["must_be_listed"]) for row in rows} == {("TREAT", False)}
    assert len({row["recipient"] for row in rows}) == 1
    assert (await hands.get("coordinator", "audit", "/ledger/disclosures?patient=x"))[0] == 403
    assert (await hands.get("auditor", "audit", "/ledger/disclosures?patient=x"))[0] == 422
