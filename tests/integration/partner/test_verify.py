"""What a partner's messages must not get away with: unproven, repeated, malformed, or about a case of another."""

import uuid
from datetime import timedelta
from typing import Any

import pytest

from shared.clock import system_now
from shared.webhooks.signing import PrivateKey
from tests.integration.partner_clinic import Clinic, decision

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
"""The development issuer signs with EdDSA, which newer texts call Ed25519."""


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
