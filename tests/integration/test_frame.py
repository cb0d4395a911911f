"""The HTTP frame, served for real on loopback with a toy service in it. Expectations: design sections 2, 5 and 6; RFC 9457 for problems;
the Idempotency-Key draft (07); RFC 9068 for tokens; bad input B11-B15, B20, B22-B24, B38. No answer holds what was sent."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

import aiohttp
import pytest
import pytest_asyncio
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from pydantic import AwareDatetime
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from deploy.local.ports import free_port
from shared.access.decide import ROLES, Permission
from shared.events import intake
from shared.events.base import EventData, Slug, Text
from shared.events.clinical import Fact, Milligrams
from shared.pathway.context import Context
from shared.pathway.stop import Request
from shared.service.app import build_app
from shared.service.definition import Command, View
from shared.service.runtime import Background, Extension, Runtime
from shared.settings import Settings
from tests import toy
from tests.faults.injected import commits_of, failing

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
    views=(*toy.VIEWS, View("/cases/{case}/disclosed", Permission.READ_CASE, lambda _state: {}, "Disclosed", waits_for_inbox=True)),
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


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def keys() -> AsyncIterator[tuple[Keys, str]]:
    made = Keys()

    async def jwks(_request: HttpRequest) -> JSONResponse:
        return JSONResponse(made.public())

    async with served(Starlette(routes=[Route("/jwks.json", jwks)], lifespan=_no_lifespan)) as base:
        yield made, f"{base}/jwks.json"


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


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(mongo_url: str, kafka_bootstrap: str, keys: tuple[Keys, str]) -> AsyncIterator[Client]:
    async with client_of(settings_of(mongo_url, kafka_bootstrap, keys[1], body_limit_bytes=20_000), keys[0]) as made:
        yield made


# Idempotency and versions


async def test_a_command_without_a_good_key_is_refused(client: Client) -> None:
    case = await client.case()
    for key in (None, "", "x" * 129, "with space", "näh"):
        answer = await client.post(f"/cases/{case}/facts", {"code": "one"}, idempotency_key=key)
        assert (answer.status, answer.slug) == (400, "idempotency-key")
    assert (await client.get(f"/cases/{case}")).json()["version"] == 1


async def test_a_retry_gets_the_same_bytes_even_after_later_changes(client: Client) -> None:
    key = uuid.uuid4().hex
    first = await client.post("/cases", {"clinic": "riverside", "patient": "p"}, idempotency_key=key)
    case = first.json()["case"]
    fact = await client.post(f"/cases/{case}/facts", {"code": "one"}, idempotency_key="fact", if_match=first.headers["etag"])
    for code in ("two", "three"):
        assert (await client.post(f"/cases/{case}/facts", {"code": code})).status == 200
    begun = await client.post("/cases", {"clinic": "riverside", "patient": "p"}, idempotency_key=key)
    again = await client.post(f"/cases/{case}/facts", {"code": "one"}, idempotency_key="fact", if_match=first.headers["etag"])
    assert (first.status, fact.status) == (201, 200)
    assert (begun.status, begun.body, begun.headers["etag"]) == (201, first.body, '"1"')
    assert (again.status, again.body, again.headers["etag"]) == (200, fact.body, '"2"')
    assert (await client.get(f"/cases/{case}")).headers["etag"] == '"4"'


async def test_a_retry_of_a_refusal_by_rule_gets_the_same_refusal(client: Client) -> None:
    case = await client.case()
    answers = [await client.post(f"/cases/{case}/refusals", {"code": "one"}, idempotency_key="refused") for _ in range(2)]
    assert answers[0].slug == "refused-by-rule"
    assert answers[0].status == 409
    assert answers[0].json()["rule"] == "R-99"
    assert answers[0].body == answers[1].body
    assert answers[0].headers["etag"] == answers[1].headers["etag"] == '"2"'
    assert len(await commits_of(client.runtime, case)) == 2


async def test_retries_at_once_have_one_effect_and_one_answer(client: Client) -> None:
    key = uuid.uuid4().hex
    answers = await asyncio.gather(
        *(client.post("/cases", {"clinic": "riverside", "patient": "p"}, idempotency_key=key) for _ in range(10))
    )
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == 1


async def test_a_key_used_again_for_something_else_is_refused(client: Client) -> None:
    case, other = await client.case(), await client.case()
    assert (await client.post(f"/cases/{case}/facts", {"code": "one"}, idempotency_key="k")).status == 200
    for path, content in (
        (f"/cases/{case}/facts", {"code": "two"}),
        (f"/cases/{other}/facts", {"code": "one"}),
        (f"/cases/{case}/refusals", {"code": "one"}),
        ("/cases", {"clinic": "riverside", "patient": "p"}),
    ):
        answer = await client.post(path, content, idempotency_key="k")
        assert (answer.status, answer.slug) == (422, "key-reused")
    spaced = await client.send("POST", f"/cases/{case}/facts", b'{"code":  "one"}', idempotency_key="k")
    assert spaced.status == 422  # the bytes are another request
    somebody_else = f"Bearer {token(client.keys, sub='clinician-2')}"
    assert (await client.post(f"/cases/{case}/facts", {"code": "two"}, idempotency_key="k", authorization=somebody_else)).status == 200


async def test_if_match(client: Client) -> None:
    case = await client.case()
    stale = await client.post(f"/cases/{case}/facts", {"code": "one"}, if_match='"7"')
    assert (stale.status, stale.slug, stale.headers["etag"]) == (412, "stale-version", '"1"')
    for nonsense in ("1", 'W/"1"', '"x"', '"1", "2"', '"-1"'):
        answer = await client.post(f"/cases/{case}/facts", {"code": "one"}, if_match=nonsense)
        assert (answer.status, answer.slug) == (400, "if-match")
    assert (await client.post(f"/cases/{case}/facts", {"code": "one"}, if_match="*")).status == 200
    assert (await client.post(f"/cases/{case}/facts", {"code": "two"}, if_match='"2"')).status == 200


async def test_a_refusal_and_a_decision_of_nothing_leave_no_trace(client: Client) -> None:
    case = await client.case()
    assert (await client.post(f"/cases/{case}/facts", {"code": "one"})).status == 200
    known = await client.post(f"/cases/{case}/facts", {"code": "one"})
    empty = await client.post(f"/cases/{case}/nothing", {"code": "one"})
    assert (known.status, known.slug) == (409, "already-stated")
    assert (empty.status, empty.slug) == (409, "nothing-to-do")
    assert len(await commits_of(client.runtime, case)) == 2


async def test_reading_changes_no_etag(client: Client) -> None:
    case = await client.case()
    assert [(await client.get(f"/cases/{case}")).headers["etag"] for _ in range(3)] == ['"1"'] * 3


# Bodies


def bad_bodies() -> Iterator[tuple[str, bytes, int, str]]:
    good = json.dumps(GOOD)

    def text(name: str, raw: str) -> bytes:
        return json.dumps(GOOD | {name: "@@"}).replace('"@@"', raw).encode()

    for name in GOOD:
        yield f"without {name}", json.dumps({key: value for key, value in GOOD.items() if key != name}).encode(), 422, "invalid-body"
        for wrong in (CANARY, [CANARY], {CANARY: CANARY}, None):
            if not (name in {"words"} and isinstance(wrong, list)):
                yield f"{name} {type(wrong).__name__}", json.dumps(GOOD | {name: wrong}).encode(), 422, "invalid-body"
    yield "unknown field", json.dumps(GOOD | {CANARY: 1}).encode(), 422, "invalid-body"
    yield "mass assignment", json.dumps(GOOD | {"_id": CANARY, "version": 9, "clinic": CANARY}).encode(), 422, "invalid-body"
    yield "unknown inner field", json.dumps(GOOD | {"inner": {**GOOD["inner"], CANARY: CANARY}}).encode(), 422, "invalid-body"
    yield "wrong inner", json.dumps(GOOD | {"answers": {CANARY: CANARY}}).encode(), 422, "invalid-body"
    yield "number as text", json.dumps(GOOD | {"count": "1"}).encode(), 422, "invalid-body"
    yield "text as number", json.dumps(GOOD | {"code": 7731}).encode(), 422, "invalid-body"
    yield "flag as number", json.dumps(GOOD | {"flag": 1}).encode(), 422, "invalid-body"
    yield "impossible date", json.dumps(GOOD | {"born": "2026-02-30"}).encode(), 422, "invalid-body"
    yield "no time zone", json.dumps(GOOD | {"when": "2026-01-01T10:00:00"}).encode(), 422, "invalid-body"
    yield "operator", json.dumps(GOOD | {"code": {"$gt": CANARY}}).encode(), 422, "invalid-body"
    yield "lone surrogate", text("note", f'"\\ud800{CANARY}"'), 422, "invalid-body"
    for constant in ("NaN", "Infinity", "-Infinity"):
        yield constant, text("ratio", constant), 400, "not-plain-json"
    yield "1e400", text("ratio", "1e400"), 422, "invalid-body"
    yield "dose 1e400", text("dose", '"1e400000"'), 422, "invalid-body"
    yield "dose NaN", text("dose", '"NaN"'), 422, "invalid-body"
    yield "many digits", text("count", "9" * 5000), 400, "not-plain-json"
    yield "double key", good.replace('"code"', f'"code": "{CANARY}", "code"', 1).encode(), 400, "double-key"
    yield "double inner key", text("answers", f'{{"{CANARY}": 1, "{CANARY}": 2}}'), 400, "double-key"
    yield "nested deeply", b'{"a":' * 2500 + f'"{CANARY}"'.encode() + b"}" * 2500, 400, "not-plain-json"
    yield "nested lists", b'{"a":' + b"[" * 9000 + b"]" * 9000 + b"}", 400, "not-plain-json"
    yield "nested a little too deeply", b'{"a":' + b"[" * 70 + b"]" * 70 + b"}", 400, "not-plain-json"
    yield "not an object", json.dumps([CANARY]).encode(), 400, "not-an-object"
    yield "a text", json.dumps(CANARY).encode(), 400, "not-an-object"
    yield "null", b"null", 400, "not-an-object"
    yield "nothing", b"", 400, "not-plain-json"
    yield "not JSON", CANARY.encode(), 400, "not-plain-json"
    yield "half", good[:40].encode() + CANARY.encode(), 400, "not-plain-json"
    yield "two objects", (good + good).encode(), 400, "not-plain-json"
    yield "not UTF-8", good.encode().replace(b"fine", b"\xff\xfe"), 400, "not-plain-json"
    yield "overlong UTF-8", good.encode().replace(b"fine", b"\xc0\xaf"), 400, "not-plain-json"
    yield "raw control", good.encode().replace(b"fine", b"fi\x00ne"), 400, "not-plain-json"
    yield "too large", json.dumps(GOOD | {"note": CANARY * 2000}).encode(), 413, "body-too-large"


async def test_bodies_that_do_not_hold_are_refused_and_nothing_is_echoed(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    case = await client.case()
    for name, body, status, slug in bad_bodies():
        answer = await client.send("POST", f"/cases/{case}/everything", body)
        assert answer.status == status, (name, answer.body)
        assert answer.slug == slug, name
        assert CANARY.encode() not in answer.body, name
        assert b"7731" not in answer.body, name
        assert len(answer.body) < 8000, name
    assert CANARY not in "".join(capfd.readouterr())
    assert (await client.get(f"/cases/{case}")).json()["version"] == 1
    assert (await client.post(f"/cases/{case}/everything", GOOD)).status == 200


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig", "utf-16-le"])
async def test_json_in_another_encoding_is_refused(client: Client, encoding: str) -> None:
    case = await client.case()
    answer = await client.send("POST", f"/cases/{case}/everything", json.dumps(GOOD).encode(encoding))
    assert answer.status in {400, 422}


async def test_other_media_types_are_refused(client: Client) -> None:
    case = await client.case()
    for media_type in (None, "text/plain", "application/x-www-form-urlencoded", f"application/{CANARY}", "application/jsonp"):
        answer = await client.post(f"/cases/{case}/everything", GOOD, content_type=media_type)
        assert (answer.status, answer.slug) == (415, "not-json"), media_type
    assert (await client.post(f"/cases/{case}/everything", GOOD, content_type="Application/JSON; charset=utf-8")).status == 200


async def test_a_body_that_grows_beyond_the_limit_without_saying_so_is_cut_off(client: Client) -> None:
    case = await client.case()

    async def drip() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b" " * 1000

    async with client.session.post(
        f"{client.base}/cases/{case}/everything",
        data=drip(),
        headers={"authorization": f"Bearer {client.token}", "content-type": "application/json", "idempotency-key": "drip"},
    ) as answer:
        assert answer.status == 413


async def test_nothing_sent_in_any_other_place_is_echoed(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    case = await client.case()
    answers = [
        await client.get(f"/cases/{CANARY}"),
        await client.get(f"/cases/{case}/{CANARY}"),
        await client.get(f"/{CANARY}"),
        await client.get(f"/cases?{CANARY}={CANARY}"),
        await client.get(f"/cases?status={CANARY}"),
        await client.get("/cases?clinic[$ne]=x"),
        await client.send("PROPFIND", f"/cases/{case}"),
        await client.send("DELETE", f"/cases/{case}"),
        await client.get(f"/cases/{case}", authorization=f"Bearer {CANARY}"),
        await client.get(f"/cases/{case}", authorization=CANARY),
        await client.post(f"/cases/{case}/facts", {"code": "one"}, idempotency_key=f"{CANARY} {CANARY}"),
        await client.post(f"/cases/{case}/facts", {"code": "one"}, if_match=CANARY),
        await client.post("/cases", {"clinic": CANARY, "patient": CANARY}),
        await client.get(f"/operations/heads?after={CANARY}"),
        await client.post(f"/operations/parked/{CANARY}/replay", {}),
    ]
    for answer in answers:
        assert 400 <= answer.status < 500, answer
        assert answer.slug
        assert CANARY.encode() not in answer.body
        assert not any(CANARY in value for value in answer.headers.values())
    assert CANARY not in "".join(capfd.readouterr())


# Who may


async def test_a_case_of_another_clinic_does_not_exist_on_any_route(client: Client) -> None:
    """The same bytes for a case of another clinic, one that never was, and an id that is none."""
    foreign = await client.case("elsewhere")
    every_role = [role for role in ROLES if role not in {"admin", "auditor", "partner"}]
    client_token = f"Bearer {token(client.keys, roles=every_role)}"
    ids = (foreign, f"case-{'0' * 32}", "case-1", "..%2f..", "partner-unknown", "%00", "case-" + "A" * 32)
    rows: list[Command | View] = [*DEFINITION.commands, *DEFINITION.views]
    paths = [row.path for row in rows if "{case}" in row.path]
    reachable = 0
    for path in paths:
        answers = []
        for name in ids:
            where = path.replace("{case}", name)
            if any(view.path == path for view in DEFINITION.views):
                answers.append(await client.get(where, authorization=client_token))
            else:
                content = GOOD if path.endswith("everything") else {"code": "one"}
                answers.append(await client.post(where, content, authorization=client_token))
        if answers[0].status == 403:
            continue  # the roles named above do not hold this permission at all
        reachable += 1
        assert {answer.status for answer in answers} == {404}, path
        assert len({answer.body for answer in answers[:3]}) == 1, path
    assert reachable >= 15
    assert len(await commits_of(client.runtime, foreign)) == 1
    listed = (await client.get("/cases?clinic=elsewhere")).json()["cases"]
    assert listed == []


async def test_nobody_begins_a_case_in_a_clinic_that_is_not_theirs(client: Client) -> None:
    answer = await client.post("/cases", {"clinic": "elsewhere", "patient": "p"})
    assert (answer.status, answer.slug) == (403, "not-your-clinic")


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_may_do_what_its_permissions_say_and_nothing_else(client: Client, role: str) -> None:
    """Read off the care domain: who refers, screens, prescribes, doses, integrates, operates, audits."""
    may = {
        "coordinator": {"refer", "screen", "consent", "stop", "read_case", "clear", "prepare", "integrate"},
        "therapist": {"refer", "screen", "consent", "stop", "read_case", "clear", "prepare", "record_care", "integrate"},
        "prescriber": {"stop", "lift_hold", "read_case", "decide_eligibility", "authorise_dose", "record_care"},
        "medical_monitor": {"screen", "stop", "lift_hold", "read_case", "clear", "authorise_dose", "record_care"},
        "auditor": {"query_ledger", "read_progress"},
        "admin": {"manage_partners", "read_progress", "operate"},
        "partner": {"review_as_partner"},
    }[role]
    case = await client.case()
    bearer = f"Bearer {token(client.keys, roles=[role])}"
    for permission in Permission:
        answer = await client.post(f"/cases/{case}/as/{permission.value}", {"code": permission.value}, authorization=bearer)
        expected = 200 if permission.value in may else 403
        if permission is Permission.REVIEW_AS_PARTNER and role == "partner":
            expected = 404  # a partner that the case is not assigned to
        assert answer.status == expected, permission


async def test_every_route_but_health_metrics_and_the_document_wants_a_token(client: Client) -> None:
    document = (await client.get("/openapi.json", authorization=None)).json()
    case = await client.case()
    for path, operations in document["paths"].items():
        for method in operations:
            answer = await client.send(method.upper(), path.replace("{case}", case).replace("{identity}", "x"), b"{}", authorization=None)
            if path.startswith("/health/"):
                assert answer.status == 200
            else:
                assert answer.status == 401, path
                assert answer.headers["www-authenticate"].startswith("Bearer")


def bad_tokens(keys: Keys) -> Iterator[tuple[str, str]]:
    now = int(time.time())
    good = token(keys)
    head, body, signature = good.split(".")

    def unsigned(header: dict[str, Any], signature: bytes) -> str:
        return f"{b64(json.dumps(header).encode())}.{body}.{b64(signature)}"

    yield "none", unsigned({"alg": "none", "typ": "at+jwt"}, b"")
    yield "none with a signature", unsigned({"alg": "none", "typ": "at+jwt", "kid": "ed"}, b"x")
    for algorithm in ("HS256", "HS512"):
        start = f"{b64(json.dumps({'alg': algorithm, 'typ': 'at+jwt', 'kid': 'rsa'}).encode())}.{body}"
        for secret in (RSAKey.import_key(keys.rsa.public_key()).as_pem(private=False), b"", b"null"):
            mac = hmac.new(secret, start.encode(), hashlib.sha256 if algorithm == "HS256" else hashlib.sha512)
            yield f"{algorithm} with a public key", f"{start}.{b64(mac.digest())}"
    stranger = Keys()
    yield "another's key", token(stranger)
    yield "key in the header", token(stranger, {"jwk": json.loads(json.dumps(stranger.public()["keys"][0])), "kid": None})
    yield "key address in the header", token(stranger, {"jku": "http://127.0.0.1:1/keys", "kid": "other"})
    yield "certificate address", token(stranger, {"x5u": "http://127.0.0.1:1/c"})
    yield "unknown kid", token(stranger, {"kid": "unknown"})
    yield "kid as a path", token(stranger, {"kid": "../../etc/passwd"})
    yield "kid as a list", token(keys, {"kid": ["ed"]})
    yield "key for encryption", token(keys, {"kid": "enc"})
    yield "another kid's key", token(keys, {"kid": "ec"})
    yield "another algorithm named", token(keys, {"alg": "ES256", "kid": "ec"})
    yield "lower case algorithm", token(keys, {"alg": "eddsa"})
    yield "unknown critical extension", token(keys, {"crit": ["exp2"], "exp2": 1})
    yield "unencoded payload", token(keys, {"crit": ["b64"], "b64": False})
    yield "an id token", token(keys, {"typ": "JWT"})
    yield "no typ", token(keys, {"typ": None})
    yield "another issuer", token(keys, iss="https://issuer.example/other")
    yield "issuer and a slash", token(keys, iss=ISSUER + "/")
    yield "no issuer", token(keys, without="iss")
    yield "another audience", token(keys, aud="other")
    yield "no audience", token(keys, without="aud")
    yield "no subject", token(keys, without="sub")
    yield "subject not opaque", token(keys, sub="ann@clinic.example")
    yield "subject a number", token(keys, sub=7)
    yield "expired", token(keys, exp=now - 60)
    yield "no expiry", token(keys, without="exp")
    yield "expiry as text", token(keys, exp=str(now + 600))
    yield "expiry true", token(keys, exp=True)
    yield "expiry null", token(keys, exp=None)
    yield "expiry NaN", token(keys, exp=float("nan"))
    yield "expiry infinite", token(keys, exp=float("inf"))
    yield "not yet", token(keys, nbf=now + 600)
    yield "not before as text", token(keys, nbf=str(now))
    yield "issued in the future", token(keys, iat=now + 600)
    yield "roles a text", token(keys, roles="admin")
    yield "roles of objects", token(keys, roles=[{"name": "admin"}])
    yield "clinics a text", token(keys, clinics="riverside")
    yield "clinic not opaque", token(keys, clinics=["river side"])
    yield "padded", f"{head}=.{body}.{signature}"
    yield "padded signature", f"{good}=="
    yield "spare bits", good[:-1] + chr(ord(good[-1]) + 1)
    yield "standard alphabet", f"{head}.{body}.{signature[:-2]}+/"
    yield "white space", f"{head}.{body}. {signature}"
    yield "two parts", f"{head}.{body}"
    yield "four parts", f"{good}.{signature}"
    yield "five parts", f"{good}.{signature}.{signature}"
    yield "empty parts", ".."
    yield "64 KiB", "a" * 65_536
    yield "64 KiB of claims", token(keys, filler="x" * 40_000)
    yield "header nested deeply", f"{b64(b'[' * 3000)}.{body}.{signature}"
    yield "header nested objects", b64(b'{"a":' * 1000) + f".{body}.{signature}"
    yield "header a list", f"{b64(b'[]')}.{body}.{signature}"
    yield "header not JSON", f"{b64(b'xyz')}.{body}.{signature}"
    yield "header not UTF-8", f"{b64(bytes([255, 254, 0]))}.{body}.{signature}"
    yield "claims a list", _signed(keys, b"[]")
    yield "claims nested deeply", _signed(keys, b"[" * 3000)
    yield "claims not JSON", _signed(keys, b"xyz")
    yield "one bit of the claims", f"{head}.{'f' if body[10] != 'f' else 'g'}{body[1:]}.{signature}"
    yield "MAC with no key", unsigned({"alg": "HS256", "typ": "at+jwt", "jwk": OctKey.generate_key(256).as_dict(private=True)}, b"x")


def _signed(keys: Keys, claims: bytes) -> str:
    message = f"{b64(json.dumps({'alg': 'EdDSA', 'typ': 'at+jwt', 'kid': 'ed'}).encode())}.{b64(claims)}"
    return f"{message}.{b64(keys.sign('EdDSA', message.encode()))}"


async def test_bad_tokens_are_refused_alike_and_cause_no_fetch(client: Client) -> None:
    case = await client.case()
    fetched = client.keys.fetched
    bodies = set()
    for name, bad in bad_tokens(client.keys):
        answer = await client.get(f"/cases/{case}", authorization=f"Bearer {bad}")
        if len(bad) > 60_000 and answer.status in {400, 431}:
            continue  # the server's own limit on headers
        assert answer.status == 401, name
        bodies.add(answer.body)
    assert len(bodies) == 1
    assert client.keys.fetched <= fetched + 1  # for the kid that is unknown, and not again within a minute
    assert (await client.get(f"/cases/{case}")).status == 200


async def test_good_tokens_of_each_algorithm_are_taken(client: Client) -> None:
    case = await client.case()
    for header, signed_as in (({"alg": "EdDSA", "kid": "ed"}, "EdDSA"), ({"alg": "ES256", "kid": "ec"}, "ES256")):
        for changes in ({}, {"typ": "application/at+jwt"}, {"typ": "AT+JWT"}):
            good = token(client.keys, header | changes, signed_as)
            assert (await client.get(f"/cases/{case}", authorization=f"bearer {good}")).status == 200
    assert (await client.get(f"/cases/{case}", authorization=f"Bearer {token(client.keys, aud=['other', 'kapcare'])}")).status == 200


async def test_two_authorizations_are_none(client: Client) -> None:
    case = await client.case()
    headers = [("authorization", f"Bearer {client.token}"), ("authorization", f"Bearer {client.token}")]
    async with client.session.get(f"{client.base}/cases/{case}", headers=headers) as answer:
        assert answer.status == 401


async def test_a_token_that_expires_is_not_remembered_beyond(client: Client) -> None:
    case = await client.case()
    short = token(client.keys, exp=int(time.time()) - 3)  # within the leeway of 5 seconds
    assert (await client.get(f"/cases/{case}", authorization=f"Bearer {short}")).status == 200
    await asyncio.sleep(3.5)
    assert (await client.get(f"/cases/{case}", authorization=f"Bearer {short}")).status == 401


# What waits, health, failure


async def test_while_an_event_is_parked_nothing_is_disclosed_and_facts_go_on(client: Client) -> None:
    case = await client.case()
    done = await client.post(f"/cases/{case}/disclosures", {"code": "before"}, idempotency_key="before")
    assert done.status == 200
    parked = client.runtime.database["parked"]
    row = {"lane": f"x|{case}", "source": "x", "stream": case, "sequence": 1, "state": "parked", "type": "t", "reason": "r", "attempts": 1}
    await parked.insert_one({"_id": "x/1", **row, "seen_at": toy.now()})
    refused = await client.post(f"/cases/{case}/disclosures", {"code": "after"})
    assert (refused.status, refused.slug) == (409, "inbox-waits")
    assert (await client.get(f"/cases/{case}/disclosed")).status == 409
    again = await client.post(f"/cases/{case}/disclosures", {"code": "before"}, idempotency_key="before")
    assert (again.status, again.body) == (200, done.body)  # what was done stays done
    assert (await client.post(f"/cases/{case}/facts", {"code": "fact"})).status == 200
    await parked.update_one({"_id": "x/1"}, {"$set": {"state": "discarded"}})
    assert (await client.post(f"/cases/{case}/disclosures", {"code": "after"})).status == 200


async def test_operations_are_the_operators_and_discards_want_a_reason(client: Client) -> None:
    admin = f"Bearer {token(client.keys, roles=['admin'])}"
    assert (await client.get("/operations/parked")).status == 403
    assert (await client.get("/operations/parked", authorization=admin)).json() == {"parked": []}
    missing = await client.post("/operations/parked/urn:kapcare:intake/none.0/discard", {"reason": "x"}, authorization=admin)
    assert (missing.status, missing.slug) == (409, "not-parked")
    assert (await client.post("/operations/parked/a/b/discard", {}, authorization=admin)).status == 422
    row = {"lane": "y|case-y", "source": "y", "stream": "case-y", "sequence": 1, "state": "parked", "type": "t", "reason": "r"}
    await client.runtime.database["parked"].insert_one({"_id": "y/1.0", **row, "attempts": 1, "seen_at": toy.now(), "data": b"sealed"})
    listed = (await client.get("/operations/parked", authorization=admin)).json()["parked"]
    assert [(item["id"], item["reason"]) for item in listed] == [("y/1.0", "r")]
    assert "data" not in listed[0]
    assert (await client.post("/operations/parked/y/1.0/discard", {"reason": "a test"}, authorization=admin)).status == 200
    acts: list[Any] = await client.runtime.database["operations"].find({"event": "y/1.0"}).to_list()
    assert [(act["act"], act["reason"], act["by"]) for act in acts] == [("discard", "a test", "clinician-1")]
    assert (await client.post("/operations/care-clock", {"to": "2030-01-01T00:00:00Z"}, authorization=admin)).status == 404


async def test_heads_and_progress(client: Client) -> None:
    case = await client.case()
    await client.post(f"/cases/{case}/facts", {"code": "one"})
    auditor = f"Bearer {token(client.keys, roles=['auditor'])}"
    heads = (await client.get("/operations/heads", authorization=auditor)).json()
    assert heads["heads"][case] == 2
    progress = (await client.get("/operations/progress", authorization=auditor)).json()
    assert progress["service"] == "intake"
    assert progress["committed"] == sum(heads["heads"].values())


async def test_health_and_metrics(client: Client) -> None:
    assert (await client.get("/health/live", authorization=None)).json() == {"live": True}
    assert (await client.get("/health/ready", authorization=None)).json() == {"ready": True}
    metrics = await client.get("/metrics", authorization=None)
    assert metrics.headers["content-type"].startswith("text/plain")
    assert b"kapcare_published_events_total" in metrics.body
    assert b"case-" not in metrics.body


async def test_the_document_says_what_commands_take(client: Client) -> None:
    document = (await client.get("/openapi.json", authorization=None)).json()
    operation = document["paths"]["/cases/{case}/facts"]["post"]
    assert {parameter["name"] for parameter in operation["parameters"]} == {"case", "Idempotency-Key", "If-Match"}
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert document["components"]["schemas"][reference]["additionalProperties"] is False


async def test_a_store_that_is_down_is_a_503_with_retry_and_the_same_key_works_later(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.log.store.RESEND_SECONDS", 0.5)
    case = await client.case()
    async with failing(client.runtime, ["insert"], errorCode=189):
        answer = await client.post(f"/cases/{case}/facts", {"code": "one"}, idempotency_key="later")
    assert (answer.status, answer.slug, answer.headers["retry-after"]) == (503, "store-unavailable", "1")
    assert (await client.post(f"/cases/{case}/facts", {"code": "one"}, idempotency_key="later")).status == 200
    assert len(await commits_of(client.runtime, case)) == 2


async def test_a_background_task_that_dies_makes_the_service_unready_and_end(
    mongo_url: str, kafka_bootstrap: str, keys: tuple[Keys, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr("shared.service.tasks.os.kill", lambda process, signal: signals.append((process, signal)))
    die = asyncio.Event()

    async def dying() -> None:
        await die.wait()
        raise OSError(CANARY)

    extension = Extension(tasks={"dying": Background(dying)})
    async with client_of(settings_of(mongo_url, kafka_bootstrap, keys[1]), keys[0], extension) as client:
        assert (await client.get("/health/ready", authorization=None)).status == 200
        die.set()
        await asyncio.sleep(0.1)
        unready = await client.get("/health/ready", authorization=None)
        assert (unready.status, unready.slug) == (503, "task-ended")
        assert CANARY.encode() not in unready.body
        assert (await client.get("/health/live", authorization=None)).status == 200
        assert len(signals) == 1
        assert signals[0][1] == 15  # SIGTERM, to this process
