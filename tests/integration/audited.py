"""A ledger with the events of a small network, and the audit service that answers about it over HTTP."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import uvicorn
from aiohttp import web
from joserfc.jwk import OKPKey
from pymongo import AsyncMongoClient

from deploy.local.issuer import ISSUER, Issuer
from deploy.local.ports import free_port
from services.audit.app import build
from services.audit.ledger import Ledger
from shared.events.base import Access, Envelope
from shared.events.codec import read_envelope, seal
from shared.events.intake import SuicideRiskScreenRequired
from shared.service.app import server_options
from shared.transport.arrival import Arrival
from shared.vault.port import CaseKey
from tests import toy
from tests.integration.partner_stub import serving

KEY = CaseKey(b"k" * 32)
BEGAN = datetime(2026, 3, 1, 8, tzinfo=UTC)
TYPES = {
    "intake": ("PatientReferred", "ConsentGiven", "StepRefused"),
    "prescriber": ("ReviewOpened", "DecisionRefused", "EligibilityApproved", "MessageQuarantined"),
    "session": ("CourseOpened", "SessionDosed", "EntryCorrected", "StepRefused"),
    "integration": ("GoalSet", "AlertRaised"),
}
ACTORS: tuple[tuple[str, frozenset[str]], ...] = (
    ("nurse-1", frozenset({"therapist"})),
    ("nurse-2", frozenset({"therapist", "coordinator"})),
    ("service:session", frozenset()),
    ("partner:oak/dr-7", frozenset({"partner"})),
    ("partner:oak.west", frozenset({"partner"})),
    ("=cmd|'/c calc'", frozenset({"prescriber"})),
)


def arrival(envelope: Envelope) -> Arrival:
    """An event as it comes from the broker; what is sealed in it is the same in all."""
    sealed = seal(SuicideRiskScreenRequired(because="test"), envelope, KEY)
    return Arrival(read_envelope(sealed.headers), sealed, f"kapcare.{envelope.source.rpartition(':')[2]}.v1", 0, envelope.sequence)


def small_network(count: int) -> list[Envelope]:
    """Events of six cases and one organisation's stream: every 7 minutes one, every 50th of them three days late; some are reactions.

    A quarter tells of what happened ten minutes or five hours before.
    """
    sequences: dict[tuple[str, str], int] = {}
    made: list[Envelope] = []
    for number in range(count):
        service = tuple(TYPES)[number * 7 // 3 % 4]
        name = TYPES[service][number // 4 % len(TYPES[service])]
        actor, roles = ACTORS[number // 5 % len(ACTORS)]
        stream = "partner-oak" if service == "prescriber" and number % 11 == 0 else f"case-{number % 6:032x}"
        lane = (service, stream)
        sequences[lane] = sequences.get(lane, 0) + 1
        made.append(
            Envelope(
                id=f"{number:032x}.0",
                source=f"urn:kapcare:{service}",
                type=f"kapcare.{service}.{name}.v1",
                subject=stream,
                time=(recorded := BEGAN + timedelta(minutes=7 * number) - timedelta(days=3 if number % 50 == 49 else 0)),
                happened=recorded - timedelta(minutes=(10, 300)[number % 2]) if number % 8 in (3, 6) else None,
                sequence=sequences[lane],
                clinic=("riverside", "northgate", "harbor")[number // 9 % 3],
                patient=f"patient-{number % 6}",
                actor=actor,
                correlation="c",
                causation=_latest_elsewhere(made, stream, service) if number // 6 % 3 == 1 else None,
                roles=roles,
                policy_version=None if number < 20 else f"network-{number // 200}",
            )
        )
    return made


def accesses(count: int) -> list[Envelope]:
    """Accesses after those events: single cases, lists of several clinics and patients, refusals, a partner's, emergencies."""
    made: list[Envelope] = []
    for number in range(count):
        name = ("RecordRead", "RecordRead", "RecordRead", "AccessRefused", "LoginFailed")[number % 5]
        several = number % 3 + 1 if name == "RecordRead" else 1
        cases = [(number + each) % 6 for each in range(several)] if name != "LoginFailed" else []
        partner = name == "RecordRead" and number % 7 == 0
        made.append(
            Envelope(
                id=f"{1_000_000 + number:032x}.0",
                source=f"urn:kapcare:{('intake', 'session', 'audit')[number % 3]}",
                type=f"kapcare.access.{name}.v1",
                subject=f"access-{number % 3}",
                time=BEGAN + timedelta(days=30, minutes=number),
                sequence=number // 3 + 1,
                clinic=",".join(sorted({("riverside", "northgate", "harbor")[case % 3] for case in cases})) or "network",
                patient=",".join(sorted(f"patient-{case}" for case in cases)) or "none",
                actor="oak.main" if partner else "nobody" if name == "LoginFailed" else "nurse-1",
                correlation="c",
                roles=frozenset({"partner"}) if partner else frozenset() if name == "LoginFailed" else frozenset({"therapist"}),
                policy_version="network-2",
                recipient="oak" if partner else None,
                access=Access(
                    route="GET /cases/{case}",
                    status={"RecordRead": 200, "AccessRefused": 404, "LoginFailed": 401}[name],
                    purpose="ETREAT" if number % 10 == 1 else "TREAT",
                    about=tuple(f"case-{case:032x}" for case in cases),
                    address=("10.0.0.7", "2001:db8::1")[number % 2],
                    detail="after=case-0" if several > 1 else None,
                    times=3 if name == "LoginFailed" else 1,
                ),
            )
        )
    return made


def _latest_elsewhere(made: list[Envelope], stream: str, service: str) -> str | None:
    """The last event but one of the stream that another service recorded: its lane went on since."""
    others = [envelope.id for envelope in made if envelope.subject == stream and not envelope.source.endswith(service)]
    return others[-2] if len(others) > 1 else None


@dataclass
class Audited:
    """The audit service as an auditor sees it; `recorded` is what its ledger holds, in ledger order."""

    url: str
    issuer: Issuer
    session: aiohttp.ClientSession
    recorded: list[Envelope]
    entries: Any

    async def raw(self, path: str, role: str | None = "auditor") -> tuple[int, str, bytes]:
        """Status, media type and body of an answer."""
        headers = {} if role is None else {"Authorization": f"Bearer {self.issuer.mint('someone', [role], ['riverside'])}"}
        async with self.session.get(self.url + path, headers=headers) as answer:
            return answer.status, answer.content_type, await answer.read()

    async def get(self, path: str) -> Any:
        """What a good answer says."""
        headers = {"Authorization": f"Bearer {self.issuer.mint('auditor-1', ['auditor'])}"}
        async with self.session.get(self.url + path, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


@asynccontextmanager
async def audited(mongo_url: str, bootstrap: str, recorded: list[Envelope]) -> AsyncIterator[Audited]:
    """The audit service, as it is served in production, over a ledger of these events, to which nobody's questions are added."""
    with toy.untold():
        async with _serving(mongo_url, bootstrap, recorded) as found:
            yield found


@asynccontextmanager
async def _serving(mongo_url: str, bootstrap: str, recorded: list[Envelope]) -> AsyncIterator[Audited]:
    issuer = Issuer(OKPKey.generate_key("Ed25519"))

    async def keys(_request: web.Request) -> web.Response:
        return web.json_response(issuer.public_keys())

    async with (
        serving(keys) as issuer_url,
        AsyncMongoClient[dict[str, Any]](mongo_url, w="majority", journal=True, tz_aware=True) as client,
        aiohttp.ClientSession() as session,
    ):
        port, prefix = free_port(), toy.unique()
        given = {"issuer": ISSUER, "jwks_url": f"{issuer_url}/jwks.json", "ledger_signing_key": base64.b64encode(b"s" * 32).decode()}
        settings = toy.settings_for(mongo_url, bootstrap, prefix, port=port, **given)
        await toy.make_topics(bootstrap, settings.topic_prefix)
        database = client[f"{prefix}_audit"]
        ledger = Ledger(database["entries"])
        for begin in range(0, len(recorded), 500):
            await ledger.append([arrival(envelope) for envelope in recorded[begin : begin + 500]])
        server = uvicorn.Server(uvicorn.Config(build(settings), **server_options(settings)))
        serving_task = asyncio.create_task(server.serve())
        try:

            async def ready() -> bool:
                try:
                    async with session.get(f"http://127.0.0.1:{port}/health/live") as response:
                        return response.status == 200
                except aiohttp.ClientError:
                    return False

            await toy.eventually(ready)
            yield Audited(f"http://127.0.0.1:{port}", issuer, session, recorded, database["entries"])
        finally:
            server.should_exit = True
            await toy.finish(serving_task)
