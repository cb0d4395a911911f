"""The prescriber service over HTTP with partners, and an intake that publishes to it."""

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import uvicorn
from aiohttp import web
from joserfc.jwk import OKPKey

from deploy.local.issuer import ISSUER, Issuer
from deploy.local.ports import free_port
from services.prescriber.app import build, define
from shared.clock import system_now
from shared.events import intake
from shared.events.base import EventData
from shared.events.clinical import Finding
from shared.events.intake import ConsentScope
from shared.log.commit import Cause, Commit
from shared.service.app import server_options
from shared.service.definition import Origin
from shared.service.runtime import Runtime
from shared.webhooks.signing import SigningKey, sign
from tests import toy
from tests.integration.partner_stub import PartnerStub, serving
from tests.unit.prescriber.given import POLICY, plan, summary

Answer = tuple[int, dict[str, Any]]
SCOPES: tuple[ConsentScope, ...] = ("treatment", "disclosure_to_prescriber")


@dataclass
class Clinic:
    """The prescriber service as its callers see it, and an intake that publishes to it."""

    url: str
    intake: Runtime
    prescriber: Runtime
    issuer: Issuer
    session: aiohttp.ClientSession
    partners: dict[str, PartnerStub] = field(default_factory=dict)

    def token(self, role: str, organisation: str | None = None, clinic: str = "riverside") -> str:
        return self.issuer.mint(f"{role}-1", [role], [clinic] if organisation is None else [], organisation)

    async def post(self, path: str, body: Any, role: str, organisation: str | None = None, key: str | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {self.token(role, organisation)}", "Idempotency-Key": key or uuid.uuid4().hex}
        async with self.session.post(self.url + path, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def get(self, path: str, role: str, organisation: str | None = None, clinic: str = "riverside") -> Answer:
        headers = {"Authorization": f"Bearer {self.token(role, organisation, clinic)}"}
        async with self.session.get(self.url + path, headers=headers) as response:
            return response.status, await response.json()

    async def register(self, stub: PartnerStub, **terms: Any) -> Answer:
        self.partners[stub.slug] = stub
        return await self.post("/partners", {**self.registration(stub), **terms}, "admin")

    def registration(self, stub: PartnerStub) -> dict[str, str]:
        return {
            "slug": stub.slug,
            "name": f"{stub.slug} medical",
            "webhook_url": stub.url,
            "webhook_secret": "whsec_" + base64.b64encode(stub.secret.key).decode(),
            "decision_key": str(stub.private.public),
        }

    async def screened(self, *findings: Finding) -> str:
        """A consented case with a completed screening, as intake publishes it."""
        case = f"case-{uuid.uuid4().hex}"
        now = system_now()
        events = [
            intake.ConsentGiven(version="c1", scopes=SCOPES, given_at=now),
            intake.ScreeningCompleted(summary=summary(*findings), completed_at=now, policy_version=POLICY.version),
        ]
        cause = Cause.http("test", "clinician", uuid.uuid4().hex, b"m" * 32)
        await self.intake.decisions.run(
            case, lambda _state, _context: events, cause, toy.CLINICIAN, origin=Origin("riverside", "patient-1")
        )
        return case

    async def said_at_intake(self, case: str, *said: EventData) -> None:
        """Record events of a case at intake, which publishes them."""
        cause = Cause.http("test", "clinician", uuid.uuid4().hex, b"m" * 32)
        await self.intake.decisions.run(case, lambda _state, _context: said, cause, toy.CLINICIAN)

    async def told(self) -> tuple[PartnerStub, dict[str, Any]]:
        """Wait until a partner was told of one more review; what else it was told is let go."""

        async def look() -> Any:
            for stub in self.partners.values():
                while stub.taken:
                    message = json.loads(stub.taken.pop(0).body)
                    if message["type"] == "kapcare.review.assigned":
                        return stub, message
            return None

        found: tuple[PartnerStub, dict[str, Any]] = await toy.eventually(look)
        return found

    async def decide(
        self,
        stub: PartnerStub,
        body: bytes,
        *,
        key: SigningKey | None = None,
        webhook_id: str | None = None,
        at: datetime | None = None,
        path: str | None = None,
        changed: dict[str, str] | None = None,
    ) -> Answer:
        """Send a decision as the partner would, unless told otherwise."""
        headers = sign(webhook_id or f"msg_{uuid.uuid4().hex}", at or system_now(), body, [key or stub.private])
        headers |= {"Content-Type": "application/json", **(changed or {})}
        async with self.session.post(f"{self.url}/partners/{path or stub.slug}/decisions", data=body, headers=headers) as response:
            return response.status, await response.json()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def commits(self, stream: str) -> int:
        """How many commits a stream has."""
        return await self.prescriber.database["commits"].count_documents({"stream": stream})

    async def events(self, stream: str) -> list[EventData]:
        """Everything that a stream records, in order."""
        commits = [commit async for commit in self.prescriber.database["commits"].find({"stream": stream}).sort([("version", 1)])]
        return [one.data for one in await self.prescriber.open_events([Commit.from_document(commit) for commit in commits])]

    async def say(self, stream: str, *said: EventData) -> None:
        """Record events on a stream, as if the service had decided them."""
        cause = Cause.http("test", "clinician", uuid.uuid4().hex, b"m" * 32)
        await self.prescriber.decisions.run(stream, lambda _state, _context: said, cause, toy.CLINICIAN)

    async def state(self, case: str) -> Any:
        return (await self.prescriber.load(case)).state

    async def recorded(self, case: str, version: int) -> list[str]:
        """The names of what a commit recorded."""
        document = await self.prescriber.database["commits"].find_one({"stream": case, "version": version})
        assert document is not None
        return [event.type.split(".")[2] for event in Commit.from_document(document).events]


def decision(case: str, request: int = 1, kind: str = "eligible", **changed: Any) -> bytes:
    """A partner's message."""
    data: dict[str, Any] = {"case": case, "request": request, "decision": kind, "reasons": ["indication-met"], "prescriber": "dr-7"}
    if kind == "eligible":
        data["plan"] = plan(expires_at=system_now() + timedelta(days=30)).model_dump(mode="json")
        data["evaluation"] = {"mode": "in_person"}  # which holds in every year
    message = {"type": "review.decided", "timestamp": system_now().isoformat(), "data": {**data, **changed}}
    return json.dumps(message).encode()


@asynccontextmanager
async def clinic_on(mongo_url: str, bootstrap: str, prefix: str | None = None, **changed: Any) -> AsyncIterator[Clinic]:
    """One prescriber service as it is served in production; with the `prefix` of an earlier one, that one started again."""
    issuer = Issuer(OKPKey.generate_key("Ed25519"))

    async def keys(_request: web.Request) -> web.Response:
        return web.json_response(issuer.public_keys())

    async with serving(keys) as issuer_url:
        port = free_port()
        values = {"port": port, "issuer": ISSUER, "jwks_url": f"{issuer_url}/jwks.json", "allow_loopback_webhooks": True}
        settings = toy.settings_for(mongo_url, bootstrap, prefix or toy.unique(), **{**values, **changed})
        if prefix is None:
            await toy.make_topics(bootstrap, settings.topic_prefix)
        app = build(settings)
        server = uvicorn.Server(uvicorn.Config(app, **server_options(settings)))
        serving_task = asyncio.create_task(server.serve())
        async with (
            toy.runtime_of(toy.INTAKE, settings) as intake_runtime,
            toy.runtime_of(define(tuple, allow_loopback=True), settings) as prescriber_runtime,
            toy.relaying(intake_runtime),
            aiohttp.ClientSession() as session,
        ):
            clinic = Clinic(f"http://127.0.0.1:{port}", intake_runtime, prescriber_runtime, issuer, session)
            try:

                async def ready() -> bool:
                    try:
                        async with session.get(f"{clinic.url}/health/ready") as response:
                            return response.status == 200
                    except aiohttp.ClientError:
                        return False

                await toy.eventually(ready)
                yield clinic
            finally:
                server.should_exit = True
                await toy.finish(serving_task)
