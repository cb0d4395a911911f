"""GET /outcomes over HTTP on a real store: who sees which clinic, what is counted, and what an altered cache cannot move.

The counts are recounted from the list of cases that the test makes.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import uvicorn
from aiohttp import web
from joserfc.jwk import OKPKey

from deploy.local.issuer import ISSUER, Issuer
from deploy.local.ports import free_port
from services.integration.app import DEFINITION, build
from services.integration.domain.not_followed import RecordNotFollowed, record_not_followed
from shared.events.base import EventData
from shared.log.commit import Cause
from shared.service.definition import Origin
from shared.service.runtime import Runtime
from tests import toy
from tests.integration.partner_stub import serving
from tests.unit.integration_service.story import SHIPPED, T0, Story, approval, dosed, phq9, screening

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
"""The development issuer signs with EdDSA, which newer texts call Ed25519."""

Answer = tuple[int, dict[str, Any]]


class Recording(Story):
    """A story that keeps its events."""

    def __init__(self) -> None:
        super().__init__(SHIPPED)
        self.events: list[EventData] = []

    def take(self, events: list[EventData]) -> list[EventData]:
        self.events += events
        return super().take(events)


def followed(total: int | None, partner: str = "north") -> list[EventData]:
    """A patient who was dosed half a year ago; measured on day 14, or declined to be."""
    story = Recording()
    story.hear(approval(partner))
    story.hear(screening(phq_9=18))
    story.hear(dosed(given_at=T0 + timedelta(hours=1), intent="psychedelic"))
    story.on_day(14)
    if total is None:
        story.do(record_not_followed, RecordNotFollowed(measurement="outcome-1-day-14", because="declined", at=story.now))
    else:
        story.measure("phq-9", phq9(total))
    return story.events


@dataclass
class Network:
    """The integration service as its callers see it, and its store."""

    url: str
    issuer: Issuer
    session: aiohttp.ClientSession
    store: Runtime

    async def get(self, query: str = "", role: str = "medical_director", *clinics: str) -> Answer:
        token = self.issuer.mint(f"{role}-1", [role], list(clinics))
        async with self.session.get(f"{self.url}/outcomes{query}", headers={"Authorization": f"Bearer {token}"}) as response:
            return response.status, await response.json()

    async def admit(self, clinic: str, *histories: Sequence[EventData]) -> list[str]:
        """Store cases with these histories, and their folded state."""
        cases = [f"case-{uuid.uuid4().hex}" for _ in histories]

        async def store(case: str, events: Sequence[EventData]) -> None:
            cause = Cause.http("test", "clinician", uuid.uuid4().hex, b"m" * 32)
            origin = Origin(clinic, f"patient-{uuid.uuid4().hex}")
            await self.store.decisions.run(case, lambda _state, _context: list(events), cause, toy.CLINICIAN, origin=origin)

        await asyncio.gather(*(store(case, events) for case, events in zip(cases, histories, strict=True)))
        await self.store.streams.keep_cache(dict.fromkeys(cases, 1))
        return cases


@pytest_asyncio.fixture(loop_scope="session")
async def network(mongo_url: str, kafka_bootstrap: str) -> AsyncIterator[Network]:
    issuer = Issuer(OKPKey.generate_key("Ed25519"))

    async def keys(_request: web.Request) -> web.Response:
        return web.json_response(issuer.public_keys())

    async with serving(keys) as issuer_url, aiohttp.ClientSession() as session:
        port = free_port()
        changes: dict[str, Any] = {"port": port, "issuer": ISSUER, "jwks_url": f"{issuer_url}/jwks.json"}
        settings = toy.settings_for(mongo_url, kafka_bootstrap, toy.unique(), **changes)
        await toy.make_topics(kafka_bootstrap, settings.topic_prefix)
        server = uvicorn.Server(uvicorn.Config(build(settings), host="127.0.0.1", port=port, log_config=None, access_log=False))
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.02)
            assert not task.done(), "the server did not start"
        try:
            async with toy.runtime_of(DEFINITION, settings) as store:
                yield Network(f"http://127.0.0.1:{port}", issuer, session, store)
        finally:
            server.should_exit = True
            await toy.finish(task)


async def test_r29_each_sees_the_clinics_that_are_theirs_and_the_network_only_who_answers_for_it(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.integration.outcome_report.AT_ONCE", 4)
    await network.admit("riverside", *(followed(6) for _ in range(5)), *(followed(None) for _ in range(3)))
    await network.admit("riverside", followed(6, "south"))
    await network.admit("hillside", *(followed(20) for _ in range(6)))
    await network.admit("hillside", Recording().hear(screening(phq_9=18)))  # referred, never dosed

    status, seen = await network.get()
    assert (status, seen["instrument"], seen["erased"], seen["simulated"]) == (200, "phq-9", 0, False)
    hillside, riverside = seen["clinics"]
    (group,) = hillside["groups"]
    assert (group["partner"], group["route"], group["intent"], group["treated"]) == ("north", "sublingual", "psychedelic", 6)
    assert [group.get("treated") for group in riverside["groups"]] == [8, None]
    at = riverside["groups"][0]["follow_up"][0]
    assert (at["day"], at["followed"], at["not_followed"]) == (14, 5, {"declined": 3})
    assert at["response"] == {"of": 5, "n": 5, "rate": 1.0}
    assert riverside["groups"][0]["follow_up"][2]["not_followed"] == {"unknown": 8}
    assert riverside["total"] == seen["network"] == {"withheld": "would-reveal-a-group-below-the-floor"}

    assert (await network.get("", "auditor"))[1]["clinics"] == seen["clinics"]
    _, own = await network.get("", "coordinator", "hillside")
    assert (own["clinics"], "network" in own) == ([hillside], False)
    _, both = await network.get("", "coordinator", "hillside", "riverside")
    assert (both["clinics"], "network" in both) == (seen["clinics"], False)
    for query, role, clinics, expected in (
        ("?clinic=hillside", "medical_director", (), [hillside]),
        ("?clinic=riverside", "coordinator", ("hillside",), []),
        ("?clinic=nowhere", "auditor", (), []),
        ("", "coordinator", ("nowhere",), []),
    ):
        status, answer = await network.get(query, role, *clinics)
        assert (status, answer["clinics"], "network" in answer) == (200, expected, False)


async def test_who_may_not_read_outcomes_and_what_cannot_be_asked(network: Network) -> None:
    for role in ("therapist", "prescriber", "admin", "partner"):
        assert (await network.get("", role, "riverside"))[0] == 403
    for query, slug in (("?instrument=c-ssrs", "instrument"), ("?instrument=", "instrument"), ("?from=2026-01-01", "unknown-parameter")):
        status, problem = await network.get(query)
        assert (status, problem["type"]) == (422, f"urn:kapcare:problem:{slug}")
    assert (await network.get("?instrument=pcl-5"))[1]["clinics"] == []
    async with network.session.get(f"{network.url}/outcomes") as response:
        assert response.status == 401


async def test_an_altered_cache_moves_no_case_to_another_clinic_and_an_erased_one_is_in_no_number(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = await network.admit("riverside", *(followed(6) for _ in range(6)))
    await network.store.database["cases"].update_one({"_id": cases[0]}, {"$set": {"last.clinic": "hillside"}})
    assert (await network.get("", "coordinator", "hillside"))[1]["clinics"] == []
    assert (await network.get("", "auditor"))[1]["clinics"][0]["groups"][0]["treated"] == 6
    monkeypatch.setattr("shared.vault.mongo.REMEMBERED_SECONDS", -1.0)
    await network.store.vault.destroy(cases[1])
    _, seen = await network.get("", "auditor")
    assert (seen["erased"], seen["clinics"][0]["groups"][0]["treated"]) == (1, 5)


async def test_the_cases_are_found_by_an_index(network: Network) -> None:
    await network.admit("riverside", followed(6))
    wanted = {"last.clinic": {"$gt": ""}, "last.kind": "case", "last.status": {"$ne": "awaiting_dose"}}
    explained = await network.store.database.command(
        "explain", {"find": "cases", "filter": wanted, "projection": {"_id": 1}, "hint": "work_list"}
    )
    assert "FETCH" not in str(explained["queryPlanner"]["winningPlan"])
