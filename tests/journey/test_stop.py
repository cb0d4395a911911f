"""A stop reaches every service: what the bench measures, with a few stops, and the patient's other case."""

import uuid
from typing import Any

import pytest

from deploy.bench.stop import KINDS, SERVICES, measure, summarise
from deploy.demo.summary import Report
from tests.journey.hands import Hands

pytestmark = pytest.mark.timeout(300)


async def test_the_bench_sees_each_kind_of_stop_refused_by_every_service() -> None:
    """It raises where a service goes on, refuses before the stop, or for another reason."""
    measured = await measure(1, lambda _text: None)
    assert [one.kind for one in measured] == list(KINDS)
    for one in measured:
        assert set(one.after_ms) == set(SERVICES)
    summary = summarise(measured)
    assert summary["stops"] == 3
    assert summary["stop_p99_ms"] == max(round(one.last_ms, 1) for one in measured)
    assert summary["kinds"]["recall"]["stop_p50_ms"] == round(measured[2].last_ms, 1)


async def test_a_hold_at_one_clinic_holds_the_patients_case_at_another_in_every_service(journey: tuple[Report, Hands]) -> None:
    _, hands = journey
    identifier = {"system": "mrn", "value": f"sibling-{uuid.uuid4().hex}"}

    async def referred(clinic: str) -> str:
        body = {"clinic": clinic, "patient": identifier, "birth_date": "1980-01-01", "sex": "male", "indication": "depression"}
        status, answer = await hands.post("coordinator", "intake", "/cases", body, clinic)
        assert status == 201, answer
        return str(answer["case"])

    def held(view: dict[str, Any]) -> bool:
        return bool(view["holds"])

    one, other = await referred("riverside"), await referred("hillside")
    status, _ = await hands.post("medical_monitor", "intake", f"/cases/{one}/holds", {"reason": "suicide_risk"})
    assert status == 200
    for service in ("intake", "prescriber", "session", "integration"):
        await hands.until("medical_monitor", service, f"/cases/{other}", held, "hillside")
    later = await referred("riverside")
    view = await hands.until("medical_monitor", "intake", f"/cases/{later}", held)
    (hold,) = view["holds"]
    assert view["held_for_another_case"] == [hold]
    assert (await hands.post("medical_monitor", "intake", f"/cases/{one}/holds/lift", {"hold": hold, "reason": "Seen."}))[0] == 200
    for case, clinic in ((other, "hillside"), (later, "riverside")):
        for service in ("intake", "session"):
            await hands.until("medical_monitor", service, f"/cases/{case}", lambda view: not view["holds"], clinic)


async def test_a_lot_that_is_recalled_is_shown_with_how_far_its_holds_have_come(journey: tuple[Report, Hands]) -> None:
    """Of a lot that nobody has on hand nothing waits; who may not recall sees nothing; another recall of it is refused."""
    _, hands = journey
    lot = f"unused-{uuid.uuid4().hex[:8]}"
    body = {"reason": "Particles.", "source": "Manufacturer", "recalled_at": (await hands.care_time()).isoformat()}
    assert (await hands.get("medical_monitor", "prescriber", f"/lots/{lot}"))[0] == 404
    assert (await hands.post("therapist", "prescriber", f"/lots/{lot}/recall", body))[0] == 403
    assert (await hands.post("admin", "prescriber", "/lots/Not%20A%20Lot/recall", body))[0] == 404
    assert (await hands.post("admin", "prescriber", f"/lots/{lot}/recall", body))[0] == 201
    shown = await hands.until("prescriber", "prescriber", f"/lots/{lot}", lambda seen: seen["status"] == "recalled")
    assert shown["cases"] == {"on_hand": 0, "held": 0, "waiting": 0}
    assert shown["recall"]["source"] == "Manufacturer"
    status, refused = await hands.post("medical_monitor", "prescriber", f"/lots/{lot}/recall", body)
    assert (status, refused["type"].rpartition(":")[2]) == (409, "already-recalled")
    assert (await hands.post("medical_monitor", "prescriber", f"/lots/{lot}/recall/withdrawal", {"reason": "Another one."}))[0] == 200
    await hands.until("prescriber", "prescriber", f"/lots/{lot}", lambda seen: seen["status"] == "not_recalled")
    status, refused = await hands.post("medical_monitor", "prescriber", f"/lots/{lot}/recall/withdrawal", {"reason": "Another one."})
    assert (status, refused["type"].rpartition(":")[2]) == (409, "not-recalled")


async def test_health_and_metrics_say_how_old_the_view_of_each_service_is(journey: tuple[Report, Hands]) -> None:
    _, hands = journey
    ready = await hands.until("admin", "session", "/health/ready", lambda seen: None not in seen["views"].values())
    assert set(ready["views"]) == {"intake", "prescriber", "integration"}
    assert all(0 <= seconds < 15 for seconds in ready["views"].values())
    async with hands.session.get(hands.stack.running.url("session") + "/metrics") as answer:
        metrics = await answer.text()
    for service in ready["views"]:
        assert f'kapcare_view_age_seconds{{of="{service}",service="session"}}' in metrics
