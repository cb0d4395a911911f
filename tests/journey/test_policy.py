"""Policy over the real services: every decision of a demo explained and decided again, and a document adopted for all."""

import json
from typing import Any

import pytest

from deploy.demo.summary import Report
from shared.pathway.policy import SHIPPED
from tests.journey.hands import Hands

pytestmark = pytest.mark.timeout(300)

SERVICES = ("intake", "prescriber", "session", "integration")


RECORDED = ("SessionScheduled", "PreDoseChecked", "DosingAuthorised", "SessionDosed", "VitalsRecorded", "SessionCompleted")
"""Each is a decision of the session room by itself; what it refused, and pressures it missed, come on top."""


def stricter(**values: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(SHIPPED.read_text())
    content["version"] = "stricter-1"
    for name, value in (values or {"minimum_age_years": 99}).items():
        content["values"][name]["value"] = value
    return content


async def test_deciding_every_past_decision_again_under_its_own_policy_gives_the_same(journey: tuple[Report, Hands]) -> None:
    """How many there are is recounted from the ledger."""
    report, hands = journey
    tallies: dict[str, Any] = {}
    for service in SERVICES:
        status, tallies[service] = await hands.post("auditor", service, "/policy/replay", {})
        assert status == 200
        assert tallies[service]["decisions"] > 0
        assert tallies[service]["different"] == []
        assert tallies[service]["unread_cases"] == 0
        assert tallies[service]["same"] == tallies[service]["decisions"]
    assert tallies["session"]["decisions"] >= sum(report.events[name] for name in RECORDED)
    assert tallies["integration"]["decisions"] == report.events["OutcomeMeasured"]


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


async def test_a_weight_that_counts_for_no_time_would_have_refused_every_dose_that_was_authorised(journey: tuple[Report, Hands]) -> None:
    report, hands = journey
    status, tally = await hands.post("auditor", "session", "/policy/replay", {"document": stricter(weight_valid_days=0)})
    assert status == 200
    changed = [one for one in tally["different"] if one["was"][0] == "authorised"]
    assert len(changed) == report.events["DosingAuthorised"]
    assert all(one["would_be"] == ["refused", "R-18 weight-too-old"] for one in changed)
    assert {one["step"] for one in tally["different"]} == {"authorise a dose"}


async def test_every_decision_of_a_case_is_explained_to_an_auditor_and_to_no_coordinator(journey: tuple[Report, Hands]) -> None:
    report, hands = journey
    for case in report.case_ids:
        for service in SERVICES:
            status, explained = await hands.get("auditor", service, f"/cases/{case}/decisions")
            assert status == 200 or (service != "intake" and status == 404), "a case that was declined comes to no other service"
            assert all(decision["reproduced"] for decision in explained.get("decisions", ()))
            assert (await hands.get("coordinator", service, f"/cases/{case}/decisions"))[0] == 403
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
