"""An alert reaches someone: it rings, stands on the work list of its role, goes on to the next, and ends when it is taken on.

The receiver verifies each ring with the independent `standardwebhooks` package.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest_asyncio
import uvicorn
from aiohttp import web
from joserfc.jwk import OKPKey
from pymongo import AsyncMongoClient
from standardwebhooks.webhooks import Webhook

from deploy.local.issuer import ISSUER, Issuer
from deploy.local.ports import free_port
from services.intake.app import DEFINITION, build
from shared.log.commit import Commit
from shared.service.on_call import OnCall
from shared.settings import Settings
from shared.webhooks.signing import SharedSecret
from tests import toy
from tests.integration.partner_stub import serving

SECRET = "whsec_" + "b25jYWxsLW9uY2FsbC1vbmNhbGwtb25jYWxsLTMyYg=="


@dataclass
class Phone:
    """Whoever is on call: rings as they came, and what to answer in turn, then 204."""

    statuses: list[int] = field(default_factory=list)
    rung: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        verified = Webhook(SECRET).verify(body, headers)
        assert verified == json.loads(body)
        self.rung.append((headers["webhook-id"], verified))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 204)

    async def rings(self, case: str, count: int) -> list[tuple[str, dict[str, Any]]]:
        """Wait for so many rings for a case."""

        async def enough() -> Any:
            found = [ring for ring in self.rung if ring[1]["data"]["case"] == case]
            return found if len(found) >= count else None

        found: list[tuple[str, dict[str, Any]]] = await toy.eventually(enough)
        assert len(found) == count
        return found


@dataclass
class Clinic:
    """Intake as its callers see it."""

    url: str
    issuer: Issuer
    session: aiohttp.ClientSession
    phone: Phone
    settings: Settings
    cache: Any
    """The collection that work lists are found by."""

    def headers(self, role: str, clinic: str) -> dict[str, str]:
        token = self.issuer.mint(f"{role}-1", [role], [clinic])
        return {"Authorization": f"Bearer {token}", "Idempotency-Key": uuid.uuid4().hex}

    async def post(self, path: str, body: Any, role: str = "therapist", clinic: str = "riverside") -> tuple[int, dict[str, Any]]:
        async with self.session.post(self.url + path, json=body, headers=self.headers(role, clinic)) as response:
            return response.status, await response.json()

    async def get(self, path: str, role: str = "therapist", clinic: str = "riverside") -> tuple[int, dict[str, Any]]:
        async with self.session.get(self.url + path, headers=self.headers(role, clinic)) as response:
            return response.status, await response.json()

    async def refer(self, clinic: str = "riverside", patient: str | None = None) -> str:
        body = {
            "clinic": clinic,
            "patient": {"system": "mrn", "value": patient or uuid.uuid4().hex},
            "birth_date": "1986-04-02",
            "sex": "female",
            "indication": "depression",
        }
        status, answer = await self.post("/cases", body, clinic=clinic)
        assert status == 201, answer
        case: str = answer["case"]
        return case

    async def now(self) -> datetime:
        _, progress = await self.get("/operations/progress", "admin")
        return datetime.fromisoformat(progress["care_time"])

    async def rings(self, result: str) -> float:
        """How many rings came to this, by the metric."""
        async with self.session.get(f"{self.url}/metrics") as response:
            text = await response.text()
        name = f'kapcare_on_call_rings_total{{result="{result}",service="intake"}} '
        return sum(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))

    async def answer_item_9(self, case: str) -> None:
        body = {"instrument": "phq-9", "answers": [0] * 8 + [1], "answered_at": (await self.now()).isoformat()}
        status, answer = await self.post(f"/cases/{case}/instruments", body)
        assert status == 200, answer

    async def listed(self, path: str, case: str, role: str = "therapist", *, there: bool = True) -> Any:
        """Wait until a case stands on a list, or no more; the cache that it is found by follows behind."""

        async def look() -> Any:
            status, answer = await self.get(path, role)
            assert status == 200, answer
            found = [row for row in answer[path.partition("?")[0].strip("/").replace("worklist", "cases")] if row["case"] == case]
            return (found or None) if there else not found

        return await toy.eventually(look)


@asynccontextmanager
async def clinic_on(mongo_url: str, bootstrap: str) -> AsyncIterator[Clinic]:
    issuer, phone = Issuer(OKPKey.generate_key("Ed25519")), Phone()

    async def keys(_request: web.Request) -> web.Response:
        return web.json_response(issuer.public_keys())

    async with (
        serving(keys) as issuer_url,
        serving(phone.take) as phone_url,
        aiohttp.ClientSession() as session,
        AsyncMongoClient[dict[str, Any]](mongo_url) as store,
    ):
        port = free_port()
        changes: Mapping[str, Any] = {
            "port": port,
            "issuer": ISSUER,
            "jwks_url": f"{issuer_url}/jwks.json",
            "allow_loopback_webhooks": True,
            "care_clock": "movable",
            "on_call_url": f"{phone_url}/on-call",
            "on_call_secret": SECRET,
        }
        settings = toy.settings_for(mongo_url, bootstrap, toy.unique(), **changes)
        await toy.make_topics(bootstrap, settings.topic_prefix)
        server = uvicorn.Server(uvicorn.Config(build(settings), host="127.0.0.1", port=port, log_config=None, access_log=False))
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.02)
            assert not task.done(), "the server did not start"
        try:
            yield Clinic(f"http://127.0.0.1:{port}", issuer, session, phone, settings, store[f"{settings.database_prefix}_intake"]["cases"])
        finally:
            server.should_exit = True
            await toy.finish(task)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def clinic(mongo_url: str, kafka_bootstrap: str) -> AsyncIterator[Clinic]:
    async with clinic_on(mongo_url, kafka_bootstrap) as running:
        yield running


async def test_an_alert_rings_stands_on_a_list_goes_on_and_ends_when_it_is_taken_on(clinic: Clinic) -> None:
    case = await clinic.refer()
    await clinic.answer_item_9(case)
    ((first_id, first),) = await clinic.phone.rings(case, 1)
    (row,) = await clinic.listed("/alerts?role=therapist", case)
    assert first["type"] == "kapcare.alert.raised"
    due = datetime.fromisoformat(row["due_at"])
    assert datetime.fromisoformat(first["data"].pop("due_at")) == due
    assert first["data"] == {"alert": row["alert"], "case": case, "clinic": "riverside", "role": "therapist", "level": 1}
    assert row["why"] == "suicide-risk-screen-required"
    assert due - datetime.fromisoformat(row["raised_at"]) == timedelta(minutes=30)

    status, answer = await clinic.post("/operations/care-clock", {"to": due.isoformat()}, "admin")
    assert status == 200, answer
    _, (second_id, second) = await clinic.phone.rings(case, 2)
    assert (second["type"], second["data"]["role"], second["data"]["level"]) == ("kapcare.alert.escalated", "medical_monitor", 2)
    assert first_id != second_id
    await clinic.listed("/alerts?role=medical_monitor", case)
    await clinic.listed("/alerts?role=therapist", case, there=False)

    command = {"alert": row["alert"], "note": "the patient is with me"}
    assert (await clinic.post(f"/cases/{case}/alerts/acknowledge", command, "medical_monitor"))[0] == 200
    await clinic.listed("/alerts", case, there=False)
    status, again = await clinic.post(f"/cases/{case}/alerts/acknowledge", command, "coordinator")
    assert (status, again["type"]) == (409, "urn:kapcare:problem:already-acknowledged")
    _, shown = await clinic.get(f"/cases/{case}")
    assert [alert["acknowledged_by"] for alert in shown["alerts"]] == ["medical_monitor-1"]


async def test_a_ring_that_is_not_taken_is_repeated_with_the_same_id_and_bytes(clinic: Clinic) -> None:
    clinic.phone.statuses = [503]
    case = await clinic.refer()
    await clinic.answer_item_9(case)
    once, again = await clinic.phone.rings(case, 2)
    assert once == again

    async def counted() -> bool:
        return await clinic.rings("rung") > 0

    await toy.eventually(counted)


async def test_a_ring_that_nobody_takes_is_given_up_and_counted_and_the_case_goes_on(clinic: Clinic, monkeypatch: Any) -> None:
    monkeypatch.setattr("shared.service.on_call.PAUSES_SECONDS", (0.01, 0.01, 0.01))
    clinic.phone.statuses = [500] * 4
    before = await clinic.rings("failed")
    case = await clinic.refer()
    await clinic.answer_item_9(case)
    await clinic.phone.rings(case, 4)

    async def counted() -> bool:
        return await clinic.rings("failed") == before + 1

    await toy.eventually(counted)
    await clinic.listed("/alerts?role=therapist", case)
    assert (await clinic.get("/health/ready"))[0] == 200


async def test_a_case_with_alerts_of_two_roles_shows_each_role_its_own_and_the_newest_deadline_first(clinic: Clinic) -> None:
    case = await clinic.refer()
    body = {"instrument": "c-ssrs", "answers": [0, 0, 0, 1, 0, 0], "answered_at": (await clinic.now()).isoformat()}
    assert (await clinic.post(f"/cases/{case}/instruments", body))[0] == 200
    await clinic.answer_item_9(case)  # the screener was answered before, so it is due again
    for role, why in (("medical_monitor", "suicide-risk-high"), ("therapist", "suicide-risk-screen-required")):
        rows = await clinic.listed(f"/alerts?role={role}", case)
        assert [(row["role"], row["why"]) for row in rows] == [(role, why)]
    assert [row["role"] for row in await clinic.listed("/alerts", case)] == ["therapist", "medical_monitor"]
    hold = (await clinic.get(f"/cases/{case}"))[1]["holds"]
    for row in await clinic.listed("/alerts", case):
        assert (await clinic.post(f"/cases/{case}/alerts/acknowledge", {"alert": row["alert"]}))[0] == 200
    _, shown = await clinic.get(f"/cases/{case}")
    assert (shown["status"], shown["holds"]) == ("on_hold", hold)
    assert len(hold) == 1


async def test_what_is_clear_in_the_store_says_whose_turn_it_is_and_not_why(clinic: Clinic) -> None:
    case = await clinic.refer()
    await clinic.answer_item_9(case)
    await clinic.listed("/alerts", case)
    entry = (await clinic.cache.find_one({"_id": case}))["last"]
    assert (entry["alert_roles"], entry["waits_on"]) == (["therapist"], "therapist")
    del entry["state"]  # sealed
    assert "suicide" not in str(entry)


async def test_another_instance_that_is_told_everything_again_rings_only_for_what_is_still_open(clinic: Clinic) -> None:
    """As after the relay lost its place."""
    settled, waiting = await clinic.refer(), await clinic.refer()
    for case in (settled, waiting):
        await clinic.answer_item_9(case)
        await clinic.phone.rings(case, 1)
    (row,) = await clinic.listed("/alerts", settled)
    assert (await clinic.post(f"/cases/{settled}/alerts/acknowledge", {"alert": row["alert"]}))[0] == 200
    async with toy.runtime_of(DEFINITION, clinic.settings) as runtime:
        assert clinic.settings.on_call_url is not None
        on_call = OnCall(runtime, clinic.settings.on_call_url, SharedSecret.parse(SECRET))
        task = asyncio.create_task(on_call.run())
        found = runtime.database["commits"].find({"stream": {"$in": [settled, waiting]}}).sort([("stream", 1), ("version", 1)])
        commits = [Commit.from_document(document) async for document in found]
        await on_call.follow(commits)
        first, again = await clinic.phone.rings(waiting, 2)
        await on_call.follow(commits)  # and once more: it remembers
        await on_call.stop()
        await toy.finish(task)
    assert first == again
    await clinic.phone.rings(waiting, 2)
    await clinic.phone.rings(settled, 1)


async def test_alerts_of_another_clinic_are_not_there_and_an_admin_is_not_told_why(clinic: Clinic) -> None:
    case = await clinic.refer()
    await clinic.answer_item_9(case)
    (row,) = await clinic.listed("/alerts", case, "admin")
    assert "why" not in row
    _, elsewhere = await clinic.get("/alerts", clinic="hillside")
    assert elsewhere == {"alerts": [], "next": None}
    _, elsewhere = await clinic.get("/alerts?clinic=riverside", clinic="hillside")
    assert elsewhere == {"alerts": [], "next": None}
    assert (await clinic.get("/alerts", "auditor"))[0] == 403
    assert (await clinic.get("/alerts?role=No%20role"))[0] == 422
    assert (await clinic.get("/alerts?on=therapist"))[0] == 422
    status, _ = await clinic.post(f"/cases/{case}/alerts/acknowledge", {"alert": row["alert"]}, "admin")
    assert status == 403
    status, _ = await clinic.post(f"/cases/{case}/alerts/acknowledge", {"alert": row["alert"]}, "therapist", "hillside")
    assert status == 404


async def test_the_work_list_says_what_a_case_waits_for_on_whom_and_that_the_patient_has_another(clinic: Clinic) -> None:
    patient = uuid.uuid4().hex
    case = await clinic.refer(patient=patient)
    (row,) = await clinic.listed("/worklist", case, "coordinator")
    assert (row["waiting"]["what"], row["waiting"]["on"], row["other_cases"]) == ("consent", "therapist", 0)
    assert row["waiting"]["since"] is not None
    await clinic.listed("/worklist?on=therapist", case, "coordinator")
    await clinic.listed("/worklist?on=coordinator", case, "coordinator", there=False)
    other = await clinic.refer("hillside", patient)

    async def known() -> Any:
        _, answer = await clinic.get("/worklist", "coordinator")
        return next((found for found in answer["cases"] if found["case"] == case and found["other_cases"] == 1), None)

    found = await toy.eventually(known)
    assert "hillside" not in json.dumps(found)
    assert other not in json.dumps(found)
    assert (await clinic.get("/worklist", "admin"))[0] == 403
    assert (await clinic.get("/worklist?role=therapist", "coordinator"))[0] == 422


async def test_a_work_list_of_one_role_is_in_the_order_of_deadlines_and_goes_on_page_by_page(clinic: Clinic, monkeypatch: Any) -> None:
    cases = [await clinic.refer() for _ in range(5)]
    for case in cases[1::2]:
        await clinic.answer_item_9(case)
        await clinic.listed("/alerts", case)
    await clinic.listed("/worklist", cases[-1])
    _, whole = await clinic.get("/worklist?on=therapist", "coordinator")
    order = [(row["next_deadline"] or "", row["case"]) for row in whole["cases"]]
    assert order == sorted(order)
    assert {row["case"] for row in whole["cases"]} >= set(cases)
    monkeypatch.setattr("shared.http.worklist.PAGE", 2)
    pages, after = [], ""
    while True:
        _, page = await clinic.get(f"/worklist?on=therapist{after}", "coordinator")
        pages += page["cases"]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert [row["case"] for row in pages] == [case for _, case in order]
