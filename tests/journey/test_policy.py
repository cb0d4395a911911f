"""Policy over the real services: every decision of a demo explained and decided again, and a document adopted for all."""

import json
from typing import Any

import pytest

from deploy.demo.summary import Report
from shared.pathway.policy import SHIPPED
from tests.journey.hands import Hands

pytestmark = pytest.mark.timeout(300)

SERVICES = ("intake", "prescriber", "session", "integration")


def stricter() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(SHIPPED.read_text())
    content["version"] = "stricter-1"
    content["values"]["minimum_age_years"]["value"] = 99
    return content


async def test_deciding_every_past_decision_again_under_its_own_policy_gives_the_same(journey: tuple[Report, Hands]) -> None:
    _, hands = journey
    for service in ("intake", "prescriber"):
        status, tally = await hands.post("auditor", service, "/policy/replay", {})
        assert status == 200
        assert tally["decisions"] > 0
        assert tally["different"] == []
        assert tally["same"] == tally["decisions"]


async def test_a_stricter_policy_names_the_cases_that_it_would_have_changed_and_changes_nothing(journey: tuple[Report, Hands]) -> None:
    """At 99 years of age nobody would have been screened in; the screenings are those of the ledger."""
    report, hands = journey
    before = await hands.get("auditor", "intake", "/operations/progress")
    status, tally = await hands.post("auditor", "intake", "/policy/replay", {"document": stricter()})
    assert status == 200
    changed = [one for one in tally["different"] if one["step"] == "screening"]
    assert {one["case"] for one in changed} <= set(report.case_ids)
    assert len(changed) == report.events["ScreeningCompleted"] + report.events.get("ScreenedOut", 0)
    assert all(one["would_be"][0] == "screened out" for one in changed)
    after = await hands.get("auditor", "intake", "/operations/progress")
    assert after[1]["committed"] == before[1]["committed"]


async def test_every_decision_of_a_case_is_explained_to_an_auditor_and_to_no_coordinator(journey: tuple[Report, Hands]) -> None:
    report, hands = journey
    for case in report.case_ids:
        status, explained = await hands.get("auditor", "intake", f"/cases/{case}/decisions")
        assert status == 200
        assert all(decision["reproduced"] for decision in explained["decisions"])
        assert (await hands.get("coordinator", "intake", f"/cases/{case}/decisions"))[0] == 403
    assert (await hands.get("auditor", "intake", f"/cases/case-{'0' * 32}/decisions"))[0] == 404


async def test_an_adopted_document_is_held_by_every_service_and_decides_from_then_on(journey: tuple[Report, Hands]) -> None:
    _, hands = journey
    body = {"document": stricter(), "adopted_by": "Dr Ada Example"}
    assert (await hands.post("prescriber", "prescriber", "/policy/adoption", body))[0] == 403
    assert (await hands.post("medical_director", "prescriber", "/policy/adoption", body))[0] == 201
    for service in SERVICES:
        await hands.until("auditor", service, "/policy", lambda seen: seen["in_force"]["version"] == "stricter-1")
    status, refused = await hands.post("medical_director", "prescriber", "/policy/adoption", body)
    assert (status, refused["type"].rpartition("/")[2].rpartition(":")[2]) == (409, "version-used")
    person = {"system": "mrn", "value": "policy-journey"}
    status, referred = await hands.post(
        "coordinator",
        "intake",
        "/cases",
        {"clinic": "riverside", "patient": person, "birth_date": "1980-01-01", "sex": "male", "indication": "depression"},
    )
    assert status == 201
    answers = {"instrument": "phq-9", "answers": [0] * 9, "answered_at": (await hands.care_time()).isoformat()}
    assert (await hands.post("therapist", "intake", f"/cases/{referred['case']}/instruments", answers))[0] == 200
    _, explained = await hands.get("auditor", "intake", f"/cases/{referred['case']}/decisions")
    assert [decision["policy_version"] for decision in explained["decisions"]] == ["stricter-1"]
    assert explained["decisions"][0]["reproduced"]
