"""The whole conversation with a partner over HTTP: registered, told, asks, decides; and everything it must not get away with."""

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
import pytest
import pytest_asyncio
import uvicorn
from aiohttp import web
from joserfc.jwk import OKPKey

from deploy.local.issuer import ISSUER, Issuer
from deploy.local.ports import free_port
from services.prescriber.app import build, define
from shared.clock import system_now
from shared.events import intake
from shared.events.clinical import Finding
from shared.events.prescriber import DecisionReceived, EligibilityApproved
from shared.log.commit import Cause, Commit
from shared.service.definition import Origin
from shared.service.runtime import Runtime
from shared.webhooks.signing import PrivateKey, PublicKey, SigningKey, sign, verify
from tests import toy
from tests.integration.partner_stub import PartnerStub, partner, serving
from tests.unit.prescriber.given import POLICY, finding, plan, summary

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
"""The development issuer signs with EdDSA, which newer texts call Ed25519."""

Answer = tuple[int, dict[str, Any]]


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

    async def post(self, path: str, body: Any, role: str, organisation: str | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {self.token(role, organisation)}", "Idempotency-Key": uuid.uuid4().hex}
        async with self.session.post(self.url + path, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def get(self, path: str, role: str, organisation: str | None = None, clinic: str = "riverside") -> Answer:
        headers = {"Authorization": f"Bearer {self.token(role, organisation, clinic)}"}
        async with self.session.get(self.url + path, headers=headers) as response:
            return response.status, await response.json()

    async def register(self, stub: PartnerStub) -> Answer:
        self.partners[stub.slug] = stub
        return await self.post("/partners", self.registration(stub), "admin")

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
            intake.ConsentGiven(version="c1", scopes=("treatment", "disclosure_to_prescriber"), given_at=now),
            intake.ScreeningCompleted(summary=summary(*findings), completed_at=now, policy_version=POLICY.version),
        ]
        cause = Cause.http("test", "clinician", uuid.uuid4().hex, b"m" * 32)
        await self.intake.decisions.run(
            case, lambda _state, _context: events, cause, toy.CLINICIAN, origin=Origin("riverside", "patient-1")
        )
        return case

    async def told(self) -> tuple[PartnerStub, dict[str, Any]]:
        """Wait until a partner was told of one more review."""

        async def look() -> Any:
            return next(((stub, json.loads(stub.taken.pop(0).body)) for stub in self.partners.values() if stub.taken), None)

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

    async def state(self, case: str) -> Any:
        return (await self.prescriber.load(case)).state


def decision(case: str, request: int = 1, kind: str = "eligible", **changed: Any) -> bytes:
    """A partner's message."""
    data: dict[str, Any] = {"case": case, "request": request, "decision": kind, "reasons": ["indication-met"], "prescriber": "dr-7"}
    if kind == "eligible":
        data["plan"] = plan(expires_at=system_now() + timedelta(days=30)).model_dump(mode="json")
        data["evaluation"] = {"mode": "in_person"}  # which holds in every year
    message = {"type": "review.decided", "timestamp": system_now().isoformat(), "data": {**data, **changed}}
    return json.dumps(message).encode()


@asynccontextmanager
async def clinic_on(mongo_url: str, bootstrap: str) -> AsyncIterator[Clinic]:
    issuer = Issuer(OKPKey.generate_key("Ed25519"))

    async def keys(_request: web.Request) -> web.Response:
        return web.json_response(issuer.public_keys())

    async with serving(keys) as issuer_url:
        port = free_port()
        settings = toy.settings_for(
            mongo_url, bootstrap, toy.unique(), port=port, issuer=ISSUER, jwks_url=f"{issuer_url}/jwks.json", allow_loopback_webhooks=True
        )
        await toy.make_topics(bootstrap, settings.topic_prefix)
        app = build(settings)
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False))
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
                            # Nothing is approved before intake was heard.
                            return response.status == 200 and (await response.json())["views"]["intake"] is not None
                    except aiohttp.ClientError:
                        return False

                await toy.eventually(ready)
                yield clinic
            finally:
                server.should_exit = True
                await toy.finish(serving_task)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def clinic(mongo_url: str, kafka_bootstrap: str) -> AsyncIterator[Clinic]:
    """One service with two partners for all tests of this file; each test has a case of its own."""
    async with clinic_on(mongo_url, kafka_bootstrap) as running, partner("north") as north, partner("south") as south:
        for stub in (north, south):
            status, body = await running.register(stub)
            assert status == 201, body
        await asyncio.sleep(0.5)
        yield running


async def test_a_partner_is_told_asks_and_decides(clinic: Clinic) -> None:
    case = await clinic.screened()
    stub, notice = await clinic.told()
    assert notice["data"]["case"] == case
    status, review = await clinic.get(notice["data"]["review_url"], "partner", stub.slug)
    assert (status, review["request"], review["summary"]["medications"]) == (200, 1, ["sertraline"])
    status, answer = await clinic.decide(stub, decision(case))
    assert status == 200, answer
    assert [event["type"].split(".")[2] for event in answer["events"]] == ["DecisionReceived", "EligibilityApproved"]
    assert (await clinic.state(case)).status == "approved"
    status, shown = await clinic.get(f"/cases/{case}", "coordinator")
    assert (status, shown["status"], shown["plan"]["doses"]) == (200, "approved", 2)


async def test_r14_the_record_proves_who_decided(clinic: Clinic) -> None:
    case = await clinic.screened()
    stub, _ = await clinic.told()
    sent = decision(case)
    await clinic.decide(stub, sent)
    commits = [commit async for commit in clinic.prescriber.database["commits"].find({"stream": case}).sort([("version", 1)])]
    recorded = await clinic.prescriber.open_events([Commit.from_document(commits[-1])])
    proof, approved = (one.data for one in recorded)
    assert isinstance(proof, DecisionReceived)
    assert isinstance(approved, EligibilityApproved)
    assert (approved.partner, approved.decided_by) == (stub.slug, f"partner:{stub.slug}/dr-7")
    headers = [
        (b"webhook-id", proof.webhook_id.encode()),
        (b"webhook-timestamp", str(proof.timestamp).encode()),
        (b"webhook-signature", proof.signature.encode()),
    ]
    assert proof.body.encode() == sent
    assert verify(headers, proof.body.encode(), [PublicKey.parse(proof.decision_key)], system_now()).id == proof.webhook_id


async def test_b8_the_same_message_again_gets_the_same_answer_and_has_one_effect(clinic: Clinic) -> None:
    case = await clinic.screened()
    stub, _ = await clinic.told()
    body = decision(case)
    first = await clinic.decide(stub, body, webhook_id=f"msg_{case}")
    again = await clinic.decide(stub, body, webhook_id=f"msg_{case}", at=system_now() + timedelta(seconds=100))
    assert first == again
    assert first[0] == 200
    assert await clinic.prescriber.database["commits"].count_documents({"receipt": f"webhook:{stub.slug}/msg_{case}"}) == 1


async def test_b9_the_same_id_with_another_body_is_refused(clinic: Clinic) -> None:
    case = await clinic.screened()
    stub, _ = await clinic.told()
    await clinic.decide(stub, decision(case), webhook_id=f"msg_{case}")
    status, problem = await clinic.decide(stub, decision(case, kind="ineligible"), webhook_id=f"msg_{case}")
    assert (status, problem["type"]) == (409, "urn:kapcare:problem:webhook-id-reused")
    other_stub = None
    while other_stub is not stub:
        other = await clinic.screened()
        other_stub, _ = await clinic.told()
    status, problem = await clinic.decide(stub, decision(other), webhook_id=f"msg_{case}")
    assert (status, problem["type"]) == (409, "urn:kapcare:problem:webhook-id-reused")


async def test_b10_another_partner_finds_no_such_review(clinic: Clinic) -> None:
    case = await clinic.screened()
    stub, notice = await clinic.told()
    (other,) = (one for one in clinic.partners.values() if one is not stub)
    assert (await clinic.decide(other, decision(case)))[0] == 404
    assert (await clinic.decide(stub, decision(case), path=other.slug))[0] == 401
    assert (await clinic.decide(other, decision(case), path=stub.slug))[0] == 401
    assert (await clinic.get(notice["data"]["review_url"], "partner", other.slug))[0] == 404
    assert (await clinic.get(notice["data"]["review_url"], "coordinator"))[0] == 403
    assert (await clinic.get(f"/cases/{case}", "coordinator", clinic="hillside"))[0] == 404
    assert (await clinic.state(case)).status == "in_review"


async def test_a_review_taken_from_a_partner_is_told_to_the_next_and_its_late_answer_changes_nothing(clinic: Clinic) -> None:
    case = await clinic.screened()
    loser, notice = await clinic.told()
    status, answer = await clinic.post(f"/cases/{case}/reassignment", {"reason": "too-busy"}, "coordinator")
    assert status == 200, answer
    winner, told = await clinic.told()
    assert (winner is loser, told["data"]["case"], told["data"]["request"]) == (False, case, 2)
    assert (await clinic.get(notice["data"]["review_url"], "partner", loser.slug))[0] == 404
    assert (await clinic.get(told["data"]["review_url"], "partner", winner.slug))[0] == 200
    status, answer = await clinic.decide(loser, decision(case, kind="ineligible"))
    assert status == 200, answer
    assert [event["type"].split(".")[2] for event in answer["events"]] == ["DecisionReceived", "LateDecisionReceived", "AlertRaised"]
    assert (await clinic.state(case)).status == "in_review"
    assert (await clinic.decide(winner, decision(case, request=2)))[0] == 200


async def test_a_partner_takes_its_approval_back_and_is_asked_again(clinic: Clinic) -> None:
    case = await clinic.screened()
    stub, _ = await clinic.told()
    (other,) = (one for one in clinic.partners.values() if one is not stub)
    assert (await clinic.decide(stub, decision(case)))[0] == 200
    path, body = f"/partner/reviews/{case}/revocation", {"reason": "new-finding", "note": "ECG"}
    assert (await clinic.post(path, body, "partner", other.slug))[0] == 404
    assert (await clinic.post(path, body, "therapist"))[0] == 403
    assert (await clinic.post(f"/cases/{case}/revocation", body, "therapist"))[0] == 403
    status, answer = await clinic.post(path, body, "partner", stub.slug)
    assert status == 200, answer
    assert (await clinic.state(case)).status == "revoked"
    status, problem = await clinic.post(f"/cases/{case}/revocation", body, "prescriber")
    assert (status, problem["type"]) == (409, "urn:kapcare:problem:not-approved")
    status, answer = await clinic.post(f"/cases/{case}/review", {}, "coordinator")
    assert status == 200, answer
    again, notice = await clinic.told()
    assert (again.slug, notice["data"]["case"], notice["data"]["request"]) == (stub.slug, case, 2)


async def test_b1_b5_b7_unproven_messages_get_one_answer(clinic: Clinic) -> None:
    case = await clinic.screened()
    stub, _ = await clinic.told()
    body = decision(case)
    now = system_now()
    answers = [
        await clinic.decide(stub, body, key=PrivateKey.generate()),
        await clinic.decide(stub, body, key=stub.secret),
        await clinic.decide(stub, body, changed={"webhook-signature": "v1a,é"}),
        await clinic.decide(stub, body, changed={"webhook-signature": "v1a,AAAA v1a,"}),
        await clinic.decide(stub, body, changed={"webhook-timestamp": str(int(now.timestamp()))[:-1]}),
        await clinic.decide(stub, body, at=now - timedelta(seconds=310)),
        await clinic.decide(stub, body, at=now + timedelta(seconds=310)),
        await clinic.decide(stub, body, webhook_id="a.b"),
        await clinic.decide(stub, b"not json", key=PrivateKey.generate()),
        await clinic.decide(stub, body, path="nobody"),
    ]
    assert {(status, problem["type"]) for status, problem in answers} == {(401, "urn:kapcare:problem:webhook-refused")}
    unknown, wrong_key = answers[-1][1], answers[0][1]
    assert unknown == wrong_key
    assert (await clinic.state(case)).status == "in_review"


@pytest.mark.parametrize(
    ("change", "status", "slug"),
    [
        (lambda body: body.replace(b'"decision": "eligible"', b'"decision": "ineligible", "decision": "eligible"'), 400, "double-key"),
        (lambda body: body.replace(b'"doses": 2', b'"doses": NaN'), 400, "not-plain-json"),
        (lambda body: b"[" + body + b"]", 400, "not-an-object"),
        (lambda body: b"\xef\xbb\xbf" + body, 400, "not-plain-json"),
        (lambda body: body.decode().encode("utf-16"), 400, "not-plain-json"),
        (lambda body: body.replace(b'"dr-7"', b'"dr-\xff"'), 400, "not-plain-json"),
        (lambda body: body.replace(b'"dr-7"', b'"\\ud800"'), 422, "invalid-body"),
        (lambda body: body.replace(b"review.decided", b"review.undecided"), 422, "invalid-body"),
        (lambda body: body.replace(b'"request": 1', b'"request": "1"'), 422, "invalid-body"),
        (lambda body: body.replace(b'"prescriber": "dr-7"', b'"prescriber": "dr-7", "status": "approved"'), 422, "invalid-body"),
        (lambda body: body.replace(b"case-", b"partner-"), 422, "invalid-body"),
        (lambda body: body.replace(b'"case-', b'"CASE-'), 422, "invalid-body"),
        (lambda body: body + b" " * 65_536, 413, "body-too-large"),
    ],
)
async def test_b11_b12_b14_signed_messages_that_do_not_hold(clinic: Clinic, change: Any, status: int, slug: str) -> None:
    stub = clinic.partners["north"]
    body = change(decision(f"case-{uuid.uuid4().hex}"))
    answer = await clinic.decide(stub, body)
    assert (answer[0], answer[1]["type"]) == (status, f"urn:kapcare:problem:{slug}")
    assert "indication-met" not in str(answer[1])


async def test_b16_an_unknown_case_is_not_found(clinic: Clinic) -> None:
    assert (await clinic.decide(clinic.partners["north"], decision(f"case-{uuid.uuid4().hex}")))[0] == 404


async def test_r30_b16_out_of_order_decisions_are_refused(clinic: Clinic) -> None:
    case = await clinic.screened()
    stub, _ = await clinic.told()
    status, problem = await clinic.decide(stub, decision(case, request=2))
    assert (status, problem["type"], problem["rule"]) == (409, "urn:kapcare:problem:no-open-review", "R-30")
    assert (await clinic.decide(stub, decision(case, kind="needs_clearance", items=["cardiac"])))[0] == 200
    answers = {"answers": [{"item": "cardiac", "cleared": True, "note": "letter of 3 March"}]}
    status, answered = await clinic.post(f"/cases/{case}/clearances", answers, "coordinator")
    assert status == 200, answered
    _, notice = await clinic.told()
    assert notice["data"]["request"] == 2
    status, problem = await clinic.decide(stub, decision(case, request=1))
    assert (status, problem["type"]) == (409, "urn:kapcare:problem:stale-request")
    assert (await clinic.decide(stub, decision(case, request=2)))[0] == 200
    status, problem = await clinic.decide(stub, decision(case, request=2, kind="ineligible"))
    assert (status, problem["type"]) == (409, "urn:kapcare:problem:no-open-review")
    assert (await clinic.state(case)).status == "approved"


async def test_r14_a_refusal_by_rule_is_recorded_and_answered_the_same_again(clinic: Clinic) -> None:
    case = await clinic.screened(finding("cystitis"))
    stub, notice = await clinic.told()
    _, review = await clinic.get(notice["data"]["review_url"], "partner", stub.slug)
    assert review["clearances"] == ["cystitis"]
    body = decision(case)
    first = await clinic.decide(stub, body, webhook_id=f"msg_{case}")
    assert (first[0], first[1]["type"], first[1]["rule"]) == (409, "urn:kapcare:problem:refused-by-rule", "R-14")
    assert await clinic.decide(stub, body, webhook_id=f"msg_{case}") == first
    cleared = [{"item": "cystitis", "cleared": True, "note": "urology"}]
    assert (await clinic.decide(stub, decision(case, clearances=cleared)))[0] == 200


async def test_b34_while_a_hold_is_in_force_nothing_is_disclosed_or_approved(clinic: Clinic) -> None:
    case = await clinic.screened()
    stub, notice = await clinic.told()
    status, _ = await clinic.post(f"/cases/{case}/holds", {"reason": "adverse_event", "note": "rash"}, "therapist")
    assert status == 200
    status, problem = await clinic.get(notice["data"]["review_url"], "partner", stub.slug)
    assert (status, problem["type"]) == (409, "urn:kapcare:problem:safety-hold")
    status, problem = await clinic.decide(stub, decision(case))
    assert (status, problem["rule"]) == (409, "safety-hold")
    (hold,) = (await clinic.state(case)).stops.holds
    assert (await clinic.post(f"/cases/{case}/holds/lift", {"hold": hold, "reason": "assessed"}, "prescriber"))[0] == 200
    assert (await clinic.decide(stub, decision(case)))[0] == 200


async def test_in_house_prescribers_do_not_decide_for_a_partner(clinic: Clinic) -> None:
    case = await clinic.screened()
    await clinic.told()
    body = {"request": 1, "decision": "ineligible", "reasons": ["other"]}
    status, problem = await clinic.post(f"/cases/{case}/decision", body, "prescriber")
    assert (status, problem["type"]) == (409, "urn:kapcare:problem:not-assigned")
    assert (await clinic.post(f"/cases/{case}/decision", body, "therapist"))[0] == 403


async def test_a_partner_is_registered_once_and_by_an_admin(clinic: Clinic) -> None:
    registration = clinic.registration(clinic.partners["north"])
    status, problem = await clinic.post("/partners", registration, "admin")
    assert (status, problem["type"]) == (409, "urn:kapcare:problem:partner-exists")
    status, problem = await clinic.post("/partners", {**registration, "slug": "third"}, "admin")
    assert (status, problem["type"]) == (409, "urn:kapcare:problem:key-in-use")
    assert (await clinic.post("/partners", {**registration, "slug": "third"}, "prescriber"))[0] == 403
    status, problem = await clinic.post("/partners", {**registration, "webhook_secret": "whsec_c2hvcnQ="}, "admin")
    assert (status, problem["type"]) == (422, "urn:kapcare:problem:invalid-body")
    assert "whsec_c2" not in str(problem)


async def test_without_partners_the_networks_own_prescribers_decide(mongo_url: str, kafka_bootstrap: str) -> None:
    async with clinic_on(mongo_url, kafka_bootstrap) as clinic:
        case = await clinic.screened()

        async def opened() -> bool:
            status: str = (await clinic.state(case)).status
            return status == "in_review"

        await toy.eventually(opened)
        body = {
            "request": 1,
            "decision": "eligible",
            "reasons": ["indication-met"],
            "plan": plan(expires_at=system_now() + timedelta(days=30)).model_dump(mode="json"),
            "evaluation": {"mode": "in_person"},
        }
        status, answer = await clinic.post(f"/cases/{case}/decision", body, "prescriber")
        assert status == 200, answer
        state = await clinic.state(case)
        assert (state.status, state.partner) == ("approved", "in-house")
