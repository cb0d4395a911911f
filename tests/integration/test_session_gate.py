"""The session room over HTTP: who sees which members of a group session, and who ends the hold of a pressure."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import uvicorn
from aiohttp import web
from joserfc.jwk import OKPKey

from deploy.local.issuer import ISSUER, Issuer
from deploy.local.ports import free_port
from services.session.app import DEFINITION, build
from services.session.domain.authorise import HEARD
from shared.clock import system_now
from shared.events import session as events
from shared.events.base import EventData
from shared.events.stay import SecondPressure
from shared.events.topics import source_of
from shared.log.commit import Cause
from shared.service.definition import Origin
from shared.service.runtime import Runtime
from shared.transport.heartbeat import Heartbeat
from tests import toy
from tests.integration.partner_stub import serving
from tests.unit.session.room import plan

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
"""The development issuer signs with EdDSA, which newer texts call Ed25519."""


@dataclass
class Clinic:
    """The session service as its callers see it, and a runtime beside it that writes into its store."""

    url: str
    runtime: Runtime
    issuer: Issuer
    session: aiohttp.ClientSession

    async def ask(self, method: str, path: str, role: str, clinics: tuple[str, ...], **request: Any) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.issuer.mint(f'{role}-1', [role], list(clinics))}", "Idempotency-Key": uuid.uuid4().hex}
        async with self.session.request(method, self.url + path, headers=headers, **request) as response:
            return response.status, await response.json()

    async def get(self, path: str, role: str = "therapist", *clinics: str) -> tuple[int, dict[str, Any]]:
        return await self.ask("GET", path, role, clinics or ("riverside",))

    async def post(self, path: str, body: Any, role: str = "medical_monitor") -> tuple[int, dict[str, Any]]:
        return await self.ask("POST", path, role, ("riverside",), json=body)

    async def course(self, clinic: str, *said: EventData) -> str:
        """A case whose course is open, with what else was said in it."""
        case, now = f"case-{uuid.uuid4().hex}", system_now()
        opened = events.CourseOpened(plan=plan(expires_at=now + timedelta(days=60)), request=1, opened_at=now, decided_at=now)
        consented = events.StopNoted(
            kind="consent_given", at=now, noted_from="urn:kapcare:intake", consent_version="c1", scopes=("treatment",)
        )
        cause = Cause.http("test", "clinician", uuid.uuid4().hex, b"m" * 32)
        origin = Origin(clinic, f"patient-{uuid.uuid4().hex}")
        await self.runtime.decisions.run(case, lambda _state, _context: [consented, opened, *said], cause, toy.CLINICIAN, origin=origin)
        return case

    async def heard(self) -> None:
        """What the other services say of a case is known up to now, as their heartbeats would tell."""
        told = {(source_of(service), partition): Heartbeat(system_now(), 2) for service in HEARD for partition in (0, 1)}
        await self.runtime.views.hear(told)

    async def members(self, group: str, count: int, *clinics: str) -> list[dict[str, Any]]:
        """Wait until so many members are found; the cache that they are found by follows behind."""

        async def look() -> Any:
            status, seen = await self.get(f"/groups/{group}", "therapist", *clinics)
            return seen["members"] if status == 200 and len(seen["members"]) == count else None

        found: list[dict[str, Any]] = await toy.eventually(look)
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def clinic(mongo_url: str, kafka_bootstrap: str) -> AsyncIterator[Clinic]:
    issuer = Issuer(OKPKey.generate_key("Ed25519"))

    async def keys(_request: web.Request) -> web.Response:
        return web.json_response(issuer.public_keys())

    async with serving(keys) as issuer_url:
        port = free_port()
        settings = toy.settings_for(mongo_url, kafka_bootstrap, toy.unique(), port=port, issuer=ISSUER, jwks_url=f"{issuer_url}/jwks.json")
        await toy.make_topics(kafka_bootstrap, settings.topic_prefix)
        server = uvicorn.Server(uvicorn.Config(build(settings), host="127.0.0.1", port=port, log_config=None, access_log=False))
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.02)
            assert not task.done(), "the server did not start"
        async with toy.runtime_of(DEFINITION, settings) as runtime, aiohttp.ClientSession() as session:
            try:
                yield Clinic(f"http://127.0.0.1:{port}", runtime, issuer, session)
            finally:
                server.should_exit = True
                await toy.finish(task)


def scheduled(group: str | None, number: int = 1) -> events.SessionScheduled:
    return events.SessionScheduled(session=number, starts_at=system_now() + timedelta(days=number), setting="clinic", group=group)


def name() -> str:
    return f"group-{uuid.uuid4().hex[:12]}"


async def test_a_group_lists_the_members_of_ones_own_clinics_and_where_each_stands(clinic: Clinic) -> None:
    group = name()
    waiting = await clinic.course("riverside", scheduled(group))
    cancelled = await clinic.course("riverside", scheduled(group), events.SessionCancelled(session=1, reason="patient-ill"))
    there = await clinic.course("hillside", scheduled(group))
    await clinic.course("riverside", scheduled(name()))
    await clinic.course("riverside", scheduled(None))
    own = await clinic.members(group, 2)
    assert {(member["case"], member["phase"]) for member in own} == {(waiting, "scheduled"), (cancelled, "cancelled")}
    assert {(member["clinic"], member["session"]) for member in own} == {("riverside", 1)}
    assert there not in str(own)
    assert [member["case"] for member in await clinic.members(group, 1, "hillside")] == [there]
    assert {member["case"] for member in await clinic.members(group, 3, "riverside", "hillside")} == {waiting, cancelled, there}


async def test_a_case_in_two_groups_is_in_each_with_its_own_session(clinic: Clinic) -> None:
    first, second = name(), name()
    ended = events.SessionCancelled(session=1, reason="patient-ill")
    case = await clinic.course("riverside", scheduled(first), ended, scheduled(second, 2))
    assert [(member["case"], member["session"]) for member in await clinic.members(first, 1)] == [(case, 1)]
    assert [(member["case"], member["session"]) for member in await clinic.members(second, 1)] == [(case, 2)]


async def test_a_group_of_others_does_not_exist_and_roles_are_asked_for(clinic: Clinic) -> None:
    group = name()
    await clinic.course("riverside", scheduled(group))
    await clinic.members(group, 1)
    assert (await clinic.get(f"/groups/{group}", "therapist", "hillside"))[0] == 404
    assert (await clinic.get(f"/groups/{group}", "auditor"))[0] == 403
    for wrong in (name(), "UPPER", "a%20b", "x" * 65):
        assert (await clinic.get(f"/groups/{wrong}"))[0] == 404
    async with clinic.session.get(f"{clinic.url}/groups/{group}") as response:
        assert response.status == 401


async def test_an_altered_cache_shows_no_case_of_another_clinic_or_group(clinic: Clinic) -> None:
    group, other = name(), name()
    there, here = await clinic.course("hillside", scheduled(group)), await clinic.course("riverside", scheduled(other))
    await clinic.members(group, 1, "hillside")
    await clinic.members(other, 1)
    cases = clinic.runtime.database["cases"]
    await cases.update_one({"_id": there}, {"$set": {"last.clinic": "riverside"}})
    await cases.update_one({"_id": here}, {"$set": {"last.groups": [group]}})
    assert (await clinic.get(f"/groups/{group}"))[0] == 404


async def test_a_group_is_found_by_an_index(clinic: Clinic) -> None:
    wanted = {"last.groups": name(), "last.clinic": {"$in": ["riverside"]}, "last.kind": "case"}
    explained = await clinic.runtime.database.command("explain", {"find": "cases", "filter": wanted, "sort": {"_id": 1}})
    assert "'indexName': 'of_group'" in str(explained["queryPlanner"]["winningPlan"])


async def test_r19_only_a_prescriber_ends_the_hold_of_a_pressure(clinic: Clinic) -> None:
    now = system_now().isoformat()
    prepared = events.PreparationCompleted(psychoeducation=True, completed_at=system_now())
    case = await clinic.course("riverside", prepared, scheduled(None))
    checks = {
        "session": 1, "consent_reaffirmed": True, "consent_version": "c1", "monitor": "monitor-1", "monitor_adult": True,
        "escort_named": True, "fasting": False, "medications_taken": [{"kind": "benzodiazepine", "last_taken_at": now}],
        "weight_kg": "70", "weighed_at": now, "blood_pressure": {"systolic": 150, "diastolic": 85}, "checked_at": now,
    }  # fmt: skip
    status, answer = await clinic.post(f"/cases/{case}/checks", checks)
    assert status == 200, answer
    assert [event["type"].split(".")[2] for event in answer["events"]] == ["PreDoseChecked", *["PrescriberAsked"] * 2, *["AlertRaised"] * 2]
    await clinic.heard()
    asking = {"session": 1, "dose_mg": "200", "intent": "psycholytic", "lot": "lot-1"}
    status, problem = await clinic.post(f"/cases/{case}/authorisation", asking)
    assert (status, problem["rule"], len(problem["refusals"])) == (409, "R-19", 1)
    going_on = {"session": 1, "decision": "proceed", "until": (system_now() + timedelta(hours=1)).isoformat(), "reason": "Usual for them."}
    for role in ("medical_monitor", "therapist", "coordinator"):
        assert (await clinic.post(f"/cases/{case}/pressure-decisions", going_on, role))[0] == 403
    status, answer = await clinic.post(f"/cases/{case}/pressure-decisions", going_on, "prescriber")
    assert status == 200, answer
    status, answer = await clinic.post(f"/cases/{case}/authorisation", asking)
    assert status == 200, answer
    status, problem = await clinic.post(f"/cases/{case}/doses", {"session": 1, "dose_mg": "2.5", "route": "sublingual", "given_at": now})
    assert (status, problem["type"], problem["rule"]) == (422, "urn:kapcare:problem:out-of-range", "R-18")
    _, shown = await clinic.get(f"/cases/{case}")
    lines = {line["event"]: line for line in shown["sessions"][0]["timeline"]}
    assert lines["PressureDecided"]["decided_by"] == "prescriber-1"
    assert lines["DosingAuthorised"]["warnings"] == ["benzodiazepine-recent", "lot-not-dispensed"]


async def test_r21_an_alarm_ends_with_what_it_waited_for_and_calls_again_when_that_was_an_error(clinic: Clinic) -> None:
    given_at = system_now() - timedelta(hours=1)
    due_at, minutes = given_at + timedelta(minutes=40), timedelta(minutes=10)
    window = SecondPressure(due_at=due_at, earliest=due_at - minutes, latest=due_at + minutes, escalate_at=due_at + timedelta(hours=5))
    dose = events.SessionDosed(
        session=1,
        dose_mg=Decimal(200),
        route="sublingual",
        given_at=given_at,
        given_by="monitor-1",
        second_pressure=window,
        entry="entry-dose",
    )
    case = await clinic.course("riverside", scheduled(None), dose)

    async def calls(number: int) -> Any:
        _, seen = await clinic.get("/alerts", "medical_monitor")
        return len([alert for alert in seen["alerts"] if alert["case"] == case]) == number or None

    await toy.eventually(lambda: calls(1))
    vitals = {"session": 1, "taken_at": due_at.isoformat(), "blood_pressure": {"systolic": 130, "diastolic": 80}}
    status, problem = await clinic.post(f"/cases/{case}/vitals", {**vitals, "oxygen_saturation": 0.97})
    assert (status, problem["type"], problem["rule"]) == (422, "urn:kapcare:problem:wrong-unit", "R-22")
    status, answer = await clinic.post(f"/cases/{case}/vitals", vitals)
    assert (status, [event["type"].split(".")[2] for event in answer["events"]]) == (200, ["VitalsRecorded", "AlertAcknowledged"])
    await toy.eventually(lambda: calls(0))
    _, shown = await clinic.get(f"/cases/{case}")
    (line,) = [line for line in shown["sessions"][0]["timeline"] if line["event"] == "VitalsRecorded"]
    assert line["late"] is True
    correction = {"entry": line["entry"], "kind": "wrong_patient", "reason": "The next room's."}
    status, answer = await clinic.post(f"/cases/{case}/corrections", correction)
    assert status == 200, answer
    await toy.eventually(lambda: calls(1))
    status, problem = await clinic.post(f"/cases/{case}/corrections", correction)
    assert (status, problem["type"]) == (409, "urn:kapcare:problem:already-corrected")
    assert (await clinic.get(f"/cases/{case}/rems-forms"))[1]["forms"] == []
