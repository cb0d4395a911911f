"""B8 and B9: what a webhook id stands for is one message and one answer, for the life of the case; another message under it is kept
aside. Reliability 1.5: retries come for 75.6 hours, each with a fresh timestamp."""

import asyncio
import base64
import uuid
from datetime import timedelta
from typing import Any

import pytest

from shared.clock import system_now
from shared.events.partner import MessageQuarantined
from shared.events.prescriber import AlertRaised, DecisionReceived
from shared.service.runtime import Runtime
from shared.webhooks.signing import PublicKey, verify
from tests.integration.partner_clinic import Answer, Clinic, clinic_on, decision
from tests.integration.partner_stub import PartnerStub, partner
from tests.integration.raw_http import in_chunks, request_of, signed, wire

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
"""The development issuer signs with EdDSA, which newer texts call Ed25519."""

REUSED = (409, "urn:kapcare:problem:webhook-id-reused")


def told(answer: Answer) -> tuple[int, str]:
    """The status, and the problem if it is one."""
    return answer[0], answer[1].get("type", "")


async def effects(clinic: Clinic, stub: PartnerStub, webhook_id: str) -> int:
    """How many commits this id led to, anywhere in the service."""
    return await clinic.prescriber.database["commits"].count_documents({"receipt": f"webhook:{stub.slug}/{webhook_id}"})


async def kept_of(clinic: Clinic, stub: PartnerStub, webhook_id: str) -> list[MessageQuarantined]:
    events = await clinic.events(f"partner-{stub.slug}")
    return [event for event in events if isinstance(event, MessageQuarantined) and event.webhook_id == webhook_id]


async def test_b8_the_same_message_again_gets_the_same_answer_and_has_one_effect(clinic: Clinic) -> None:
    case = await clinic.screened()
    stub, _ = await clinic.told()
    body = decision(case)
    first = await clinic.decide(stub, body, webhook_id=f"msg_{case}")
    again = await clinic.decide(stub, body, webhook_id=f"msg_{case}", at=system_now() + timedelta(seconds=100))
    assert first == again
    assert first[0] == 200
    assert await effects(clinic, stub, f"msg_{case}") == 1
    assert await kept_of(clinic, stub, f"msg_{case}") == []


async def test_b8_sent_in_other_ways_it_is_still_the_same_message(clinic: Clinic) -> None:
    case = await clinic.screened()
    stub, _ = await clinic.told()
    body = decision(case)
    first = await clinic.decide(stub, body, webhook_id=f"msg_{case}")
    headers = signed(stub.private, f"msg_{case}".encode(), b"%d" % int(system_now().timestamp()), body)
    escaped = "".join(f"%{ord(letter):02x}" for letter in stub.slug).encode()
    async with wire(clinic.port) as line:
        by_escapes = await line.post(b"/partners/" + escaped + b"/decisions?x=1", headers, body)
        path = f"/partners/{stub.slug}/decisions".encode()
        in_pieces = await line.exchange(request_of(path, [*headers, (b"Transfer-Encoding", b"chunked")], in_chunks(body, [9])))
    assert first[0] == by_escapes.status == in_pieces.status == 200
    assert by_escapes.body == in_pieces.body
    assert await effects(clinic, stub, f"msg_{case}") == 1


async def test_b8_many_at_once_have_one_effect_and_one_answer(clinic: Clinic) -> None:
    case = await clinic.screened()
    stub, _ = await clinic.told()
    body = decision(case)
    answers = await asyncio.gather(*(clinic.decide(stub, body, webhook_id=f"msg_{case}") for _ in range(12)))
    assert {status for status, _ in answers} == {200}
    assert all(answer == answers[0] for answer in answers)
    assert await effects(clinic, stub, f"msg_{case}") == 1


async def test_b8_after_75_hours_a_restart_and_another_decision_the_first_answer_still_stands(
    mongo_url: str, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with partner("north") as stub:
        async with clinic_on(mongo_url, kafka_bootstrap) as clinic:
            assert (await clinic.register(stub))[0] == 201
            case = await clinic.screened()
            await clinic.told()
            body, stale = decision(case), decision(case, request=2)
            first = await clinic.decide(stub, body, webhook_id="msg_first")
            refused = await clinic.decide(stub, stale, webhook_id="msg_refused")
            revocation = {"reason": "new-finding", "note": "ECG"}
            assert (await clinic.post(f"/partner/reviews/{case}/revocation", revocation, "partner", stub.slug))[0] == 200
            prefix = clinic.prescriber.settings.database_prefix
        assert (first[0], told(refused)) == (200, (409, "urn:kapcare:problem:no-open-review"))
        later = timedelta(hours=75, minutes=36)
        monkeypatch.setattr(Runtime, "system_clock", lambda _runtime: system_now() + later)
        async with clinic_on(mongo_url, kafka_bootstrap, prefix) as clinic:
            at = system_now() + later
            assert (await clinic.decide(stub, body, webhook_id="msg_first", at=system_now()))[1]["reason"] == "too-old"
            assert await clinic.decide(stub, body, webhook_id="msg_first", at=at) == first
            assert await clinic.decide(stub, stale, webhook_id="msg_refused", at=at) == refused
            assert told(await clinic.decide(stub, stale, webhook_id="msg_first", at=at)) == REUSED
            assert (await clinic.state(case)).status == "revoked"
            assert await effects(clinic, stub, "msg_first") == 1


@pytest.mark.parametrize(
    "other",
    [
        lambda body: body.replace(b'"eligible"', b'"eligible" '),
        lambda body: body + b"\n",
        lambda _: b"not json",
        lambda _: b"",
        lambda _: b"\xff\xfe\x00",
        lambda body: body.replace(b'"type"', b'"type": "x", "type"'),
        lambda body: body.replace(b"case-", b"partner-"),
        lambda _: b'{"' + b"x" * 40_000 + b'":1}',
    ],
)
async def test_b9_whatever_else_is_signed_under_a_used_id_is_kept_aside(clinic: Clinic, other: Any) -> None:
    case = await clinic.screened()
    stub, _ = await clinic.told()
    body, webhook_id = decision(case), f"msg_{case}"
    assert (await clinic.decide(stub, body, webhook_id=webhook_id))[0] == 200
    before = await clinic.commits(case)
    answers = [await clinic.decide(stub, other(body), webhook_id=webhook_id, at=system_now() - timedelta(seconds=age)) for age in range(3)]
    assert {told(answer) for answer in answers} == {REUSED}
    (kept,) = await kept_of(clinic, stub, webhook_id)
    assert base64.b64decode(kept.body) == other(body)
    headers = [
        (b"webhook-id", kept.webhook_id.encode()),
        (b"webhook-timestamp", str(kept.timestamp).encode()),
        (b"webhook-signature", kept.signature.encode()),
    ]
    assert verify(headers, other(body), [PublicKey.parse(kept.decision_key)], system_now()).id == webhook_id
    assert await clinic.commits(case) == before
    assert await clinic.decide(stub, body, webhook_id=webhook_id) == await clinic.decide(stub, body, webhook_id=webhook_id)


async def test_b9_an_id_is_used_on_any_case(clinic: Clinic) -> None:
    first = await clinic.screened()
    stub, _ = await clinic.told()
    webhook_id = f"msg_{first}"
    assert (await clinic.decide(stub, decision(first), webhook_id=webhook_id))[0] == 200
    nowhere = f"case-{uuid.uuid4().hex}"
    assert told(await clinic.decide(stub, decision(nowhere), webhook_id=webhook_id)) == REUSED
    other_stub = None
    while other_stub is not stub:
        other = await clinic.screened()
        other_stub, _ = await clinic.told()
    assert told(await clinic.decide(stub, decision(other), webhook_id=webhook_id)) == REUSED
    assert (await clinic.state(other)).status == "in_review"
    assert len(await kept_of(clinic, stub, webhook_id)) == 2
    # Another organisation's ids are its own.
    (neighbour,) = (one for one in clinic.partners.values() if one is not stub)
    assert (await clinic.decide(neighbour, decision(other), webhook_id=webhook_id))[0] == 404


async def test_b9_two_different_messages_at_once_one_is_recorded_and_the_other_kept(clinic: Clinic) -> None:
    case = await clinic.screened()
    stub, _ = await clinic.told()
    bodies = [decision(case, kind="ineligible", reasons=[f"reason-{number}"]) for number in range(6)]
    answers = await asyncio.gather(*(clinic.decide(stub, body, webhook_id=f"msg_{case}") for body in bodies))
    assert sorted(told(answer) for answer in answers) == [(200, ""), *[REUSED] * 5]
    (recorded,) = (event for event in await clinic.events(case) if isinstance(event, DecisionReceived))
    kept = [base64.b64decode(one.body).decode() for one in await kept_of(clinic, stub, f"msg_{case}")]
    assert sorted([recorded.body, *kept]) == sorted(body.decode() for body in bodies)


async def test_b9_an_admin_is_called_once_for_as_long_as_nobody_took_it_on(mongo_url: str, kafka_bootstrap: str) -> None:
    async with clinic_on(mongo_url, kafka_bootstrap) as clinic, partner("north") as stub:
        assert (await clinic.register(stub))[0] == 201
        case = await clinic.screened()
        await clinic.told()
        assert (await clinic.decide(stub, decision(case), webhook_id="msg_1"))[0] == 200
        for number in range(3):
            assert told(await clinic.decide(stub, b"%d" % number, webhook_id="msg_1")) == REUSED
        events = await clinic.events("partner-north")
        assert len([event for event in events if isinstance(event, MessageQuarantined)]) == 3
        (alert,) = (event for event in events if isinstance(event, AlertRaised))
        assert (alert.role, alert.why) == ("admin", "webhook-equivocation")
        assert (await clinic.state("partner-north")).quarantined == 3
