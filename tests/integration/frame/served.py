"""A toy service served for real on loopback, and clients and keys to speak to it."""

import asyncio
import base64
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

import aiohttp
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import ECKey, OKPKey, RSAKey
from pydantic import AwareDatetime
from starlette.types import ASGIApp

from deploy.local.ports import free_port
from shared.access.decide import Permission
from shared.events import intake
from shared.events.base import EventData, Slug, Text
from shared.events.clinical import Fact, Milligrams
from shared.pathway.context import Context
from shared.pathway.stop import Request
from shared.service.app import build_app
from shared.service.definition import Command, View
from shared.service.runtime import Extension, Runtime
from shared.settings import Settings
from tests import toy

ISSUER = "https://issuer.example/kap"
CANARY = "Zebulon-Quartermain-7731"


class Inner(Request):
    score: int
    when: AwareDatetime


class Everything(Request):
    """A body with a field of every kind that services use."""

    code: Slug
    choice: Literal["one", "two"]
    born: date
    dose: Milligrams
    count: int
    ratio: float
    flag: bool
    when: AwareDatetime
    words: tuple[Text, ...]
    answers: dict[str, int]
    inner: Inner
    note: Text | None = None


GOOD: dict[str, Any] = {
    "code": "fine",
    "choice": "one",
    "born": "1980-02-29",
    "dose": "50.0",
    "count": 1,
    "ratio": 0.5,
    "flag": True,
    "when": "2026-01-01T10:00:00Z",
    "words": ["a word"],
    "answers": {"item": 3},
    "inner": {"score": 1, "when": "2026-01-01T10:00:00Z"},
}


def take_everything(_state: toy.ToyCase, command: Everything, _context: Context) -> list[EventData]:
    return [intake.FactsStated(facts=(Fact(kind="statement", code=command.code, system="kapcare", label="toy"),))]


def refuse_by_rule(_state: toy.ToyCase, _command: toy.StateFact, _context: Context) -> list[EventData]:
    return [intake.StepRefused(step="screening", rule="R-99", detail="A rule of a test refuses this.", policy_version="1")]


def nothing(_state: toy.ToyCase, _command: toy.StateFact, _context: Context) -> list[EventData]:
    return []


def one_of_each(permission: Permission) -> Command:
    return Command(f"/cases/{{case}}/as/{permission.value}", toy.StateFact, toy.state_fact, permission, "A permission of its own")


def document(case: str, clinic: str, patient: str, state: toy.ToyCase) -> dict[str, Any]:
    return {"of": [case, clinic, patient.partition("-")[0]], "facts": list(state.facts)}


DEFINITION = replace(
    toy.INTAKE,
    commands=(
        *toy.COMMANDS,
        Command("/cases/{case}/everything", Everything, take_everything, Permission.SCREEN, "Everything"),
        Command("/cases/{case}/disclosures", toy.StateFact, toy.state_fact, Permission.SCREEN, "Disclose", waits_for_inbox=True),
        Command("/cases/{case}/refusals", toy.StateFact, refuse_by_rule, Permission.SCREEN, "Refused by a rule"),
        Command("/cases/{case}/nothing", toy.StateFact, nothing, Permission.SCREEN, "Nothing"),
        *(one_of_each(permission) for permission in Permission),
    ),
    views=(
        *toy.VIEWS,
        View("/cases/{case}/disclosed", Permission.READ_CASE, lambda _state: {}, "Disclosed", waits_for_inbox=True),
        View("/cases/{case}/document", Permission.READ_CASE, document, "A document", media_type="application/fhir+json", whole=True),
    ),
)


class Keys:
    """An issuer with a key of each kind, made by hand so that wrong tokens can be made as well."""

    def __init__(self) -> None:
        self.ed25519 = ed25519.Ed25519PrivateKey.generate()
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.fetched = 0

    def public(self) -> dict[str, Any]:
        self.fetched += 1
        keys: list[tuple[str, str, Any]] = [
            ("ed", "sig", OKPKey.import_key(self.ed25519.public_key())),
            ("rsa", "sig", RSAKey.import_key(self.rsa.public_key())),
            ("ec", "sig", ECKey.import_key(self.ec.public_key())),
            ("enc", "enc", OKPKey.import_key(self.ed25519.public_key())),
        ]
        return {"keys": [{**key.as_dict(private=False), "kid": kid, "use": use} for kid, use, key in keys]}

    def sign(self, algorithm: str, message: bytes) -> bytes:
        if algorithm in {"EdDSA", "Ed25519"}:
            return self.ed25519.sign(message)
        if algorithm == "ES256":
            r, s = decode_dss_signature(self.ec.sign(message, ec.ECDSA(SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        raise ValueError(algorithm)


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def token(keys: Keys, header: dict[str, Any] | None = None, signed_as: str = "EdDSA", without: str = "", **claims: Any) -> str:
    """An access token; good unless told otherwise."""
    now = int(time.time())
    good = {
        "iss": ISSUER,
        "aud": "kapcare",
        "sub": "clinician-1",
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "roles": ["coordinator", "therapist"],
        "clinics": ["riverside"],
    }
    body = {name: value for name, value in (good | claims).items() if name != without}
    head = {"alg": "EdDSA", "typ": "at+jwt", "kid": "ed"} | (header or {})
    head = {name: value for name, value in head.items() if value is not None}
    message = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(body).encode())}"
    return f"{message}.{b64(keys.sign(signed_as, message.encode()))}"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def slug(self) -> str:
        assert self.headers["content-type"] == "application/problem+json"
        problem = self.json()
        assert set(problem) >= {"type", "title", "status", "detail"}
        assert problem["status"] == self.status
        kind: str = problem["type"]
        assert kind.startswith("urn:kapcare:problem:")
        return kind.removeprefix("urn:kapcare:problem:")


class Client:
    """Speaks to the served toy."""

    def __init__(self, session: aiohttp.ClientSession, base: str, keys: Keys, runtime: Runtime) -> None:
        self.session = session
        self.base = base
        self.keys = keys
        self.runtime = runtime
        self.token = token(keys)

    async def send(self, method: str, path: str, body: bytes | None = None, **headers: Any) -> Answer:
        """One request; `authorization`, `content_type`, `idempotency_key` are there unless given as None."""
        sent: dict[str, str | None] = {"authorization": f"Bearer {self.token}"}
        if method == "POST":
            sent |= {"content_type": "application/json", "idempotency_key": uuid.uuid4().hex}
        sent |= headers
        named = {name.replace("_", "-"): value for name, value in sent.items() if value is not None}
        skip = ["Content-Type"] if body is not None and "content-type" not in named else []
        async with self.session.request(method, self.base + path, data=body, headers=named, skip_auto_headers=skip) as answer:
            return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, await answer.read())

    async def post(self, path: str, content: Any, **headers: Any) -> Answer:
        return await self.send("POST", path, body=json.dumps(content).encode(), **headers)

    async def get(self, path: str, **headers: Any) -> Answer:
        return await self.send("GET", path, **headers)

    async def case(self, clinic: str = "riverside") -> str:
        made = await self.post("/cases", {"clinic": clinic, "patient": "p-1"}, authorization=f"Bearer {token(self.keys, clinics=[clinic])}")
        assert made.status == 201, made.body
        case: str = made.json()["case"]
        return case


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """An application on a loopback port."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=2))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.02)
        assert not task.done(), "the server did not start"
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def _no_lifespan(_app: Any) -> AsyncIterator[None]:
    yield


def settings_of(mongo_url: str, bootstrap: str, jwks_url: str, **changes: Any) -> Settings:
    prefix = toy.unique()
    url = f"{mongo_url}{'&' if '?' in mongo_url else '/?'}appName={prefix}_intake"  # so that failpoints can be meant for it
    return toy.settings_for(url, bootstrap, prefix, issuer=ISSUER, jwks_url=jwks_url, **changes)


@asynccontextmanager
async def client_of(settings: Settings, keys: Keys, extension: Extension | None = None) -> AsyncIterator[Client]:
    await toy.make_topics(settings.kafka_bootstrap, settings.topic_prefix)
    runtimes: list[Runtime] = []

    def extend(runtime: Runtime) -> Extension:
        runtimes.append(runtime)
        return extension or Extension()

    app = build_app(DEFINITION, settings, extend)
    async with served(app) as base, aiohttp.ClientSession() as session:
        yield Client(session, base, keys, runtimes[0])
