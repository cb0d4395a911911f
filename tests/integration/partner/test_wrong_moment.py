"""B16: a decision at the wrong moment changes nothing and is recorded, with the proof of who sent it; the answer to it never changes.
R-30: an out-of-order decision for an older request is rejected. Reliability 1.5: a stale version is 409, recorded."""

from datetime import timedelta
from typing import Any

import pytest

from shared.clock import system_now
from shared.events.base import EventData
from shared.events.partner import PartnerLeft
from shared.events.prescriber import DecisionReceived, DecisionRefused, EligibilityApproved, EligibilityExpired, LateDecisionReceived
from tests.integration.partner_clinic import Answer, Clinic, clinic_on, decision
from tests.integration.partner_stub import PartnerStub, partner

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
"""The development issuer signs with EdDSA, which newer texts call Ed25519."""


def named(event: EventData) -> str:
    return type(event).__name__


async def refused(clinic: Clinic, stub: PartnerStub, case: str, webhook_id: str, slug: str, **body: Any) -> Answer:
    """Send what comes at the wrong moment: refused with the slug, recorded beside its proof, and nothing else has changed."""
    before, state, sent = await clinic.events(case), await clinic.state(case), decision(case, **body)
    answer = await clinic.decide(stub, sent, webhook_id=webhook_id)
    assert (answer[0], answer[1]["type"], answer[1]["rule"]) == (409, f"urn:kapcare:problem:{slug}", "R-30")
    assert await clinic.state(case) == state
    proof, recorded = (await clinic.events(case))[len(before) :]
    assert isinstance(proof, DecisionReceived)
    assert (proof.webhook_id, proof.body.encode()) == (webhook_id, sent)
    assert isinstance(recorded, DecisionRefused)
    assert (recorded.partner, recorded.webhook_id, recorded.request, recorded.reason) == (stub.slug, webhook_id, body["request"], slug)
    assert answer[1]["detail"] == recorded.detail
    assert await clinic.decide(stub, sent, webhook_id=webhook_id, at=system_now() - timedelta(seconds=9)) == answer
    assert len(await clinic.events(case)) == len(before) + 2
    return answer


async def test_b16_what_was_not_asked_yet_is_refused_also_once_it_is_asked(clinic: Clinic) -> None:
    case = await clinic.screened()
    stub, _ = await clinic.told()
    sent = decision(case, request=2, kind="ineligible")
    too_soon = await clinic.decide(stub, sent, webhook_id=f"soon_{case}")
    assert (too_soon[0], too_soon[1]["type"]) == (409, "urn:kapcare:problem:no-open-review")
    assert (await clinic.decide(stub, decision(case, kind="needs_clearance", items=["cardiac"])))[0] == 200
    answers = {"answers": [{"item": "cardiac", "cleared": True, "note": "letter of 3 March"}]}
    assert (await clinic.post(f"/cases/{case}/clearances", answers, "coordinator"))[0] == 200
    assert (await clinic.told())[1]["data"]["request"] == 2
    assert await clinic.decide(stub, sent, webhook_id=f"soon_{case}") == too_soon
    assert (await clinic.state(case)).status == "in_review"
    await refused(clinic, stub, case, f"stale_{case}", "stale-request", request=1)
    assert (await clinic.decide(stub, sent, webhook_id=f"now_{case}"))[0] == 200


@pytest.mark.parametrize(("first", "then"), [("ineligible", "eligible"), ("eligible", "ineligible"), ("eligible", "eligible")])
async def test_b16_what_was_decided_is_decided(clinic: Clinic, first: str, then: str) -> None:
    case = await clinic.screened()
    stub, _ = await clinic.told()
    assert (await clinic.decide(stub, decision(case, kind=first)))[0] == 200
    await refused(clinic, stub, case, f"again_{case}", "no-open-review", request=1, kind=then)
    await refused(clinic, stub, case, f"next_{case}", "no-open-review", request=2, kind=then)


async def test_b16_an_expired_approval_is_not_brought_back(clinic: Clinic) -> None:
    case = await clinic.screened()
    stub, _ = await clinic.told()
    assert (await clinic.decide(stub, decision(case)))[0] == 200
    await clinic.say(case, EligibilityExpired(request=1, expires_at=system_now()))
    await refused(clinic, stub, case, f"late_{case}", "no-open-review", request=1)
    assert (await clinic.state(case)).status == "expired"


async def test_b16_who_was_never_asked_leaves_no_trace(clinic: Clinic) -> None:
    case = await clinic.screened()
    stub, _ = await clinic.told()
    (stranger,) = (one for one in clinic.partners.values() if one is not stub)
    before = await clinic.commits(case)
    for request in (1, 2):
        status, problem = await clinic.decide(stranger, decision(case, request=request), webhook_id=f"msg_{case}")
        assert (status, problem["type"]) == (404, "urn:kapcare:problem:not-found")
    parked = clinic.prescriber.database["parked"]
    await parked.insert_one({"_id": f"park_{case}", "lane": case, "source": "", "stream": case, "sequence": 0, "state": "parked"})
    try:
        # That something waits for a case is nothing to tell to who may not know that there is a case.
        assert (await clinic.decide(stranger, decision(case)))[0] == 404
        assert (await clinic.decide(stub, decision(case)))[1]["type"] == "urn:kapcare:problem:inbox-waits"
    finally:
        await parked.delete_one({"_id": f"park_{case}"})
    assert await clinic.commits(case) == before
    assert (await clinic.decide(stub, decision(case)))[0] == 200


async def test_r30_who_left_decides_nothing_and_its_late_answers_are_recorded(mongo_url: str, kafka_bootstrap: str) -> None:
    async with clinic_on(mongo_url, kafka_bootstrap) as clinic, partner("north") as north:
        assert (await clinic.register(north))[0] == 201
        still_its, lost = await clinic.screened(), await clinic.screened()
        for _ in range(2):
            await clinic.told()
        assert (await clinic.post(f"/cases/{lost}/reassignment", {"reason": "too-busy"}, "coordinator"))[0] == 200
        await clinic.say("partner-north", PartnerLeft(partner="north", reason="closed", left_at=system_now()))
        for case in (still_its, lost):
            status, problem = await clinic.decide(north, decision(case))
            assert (status, problem["type"]) == (409, "urn:kapcare:problem:late-decision")
            events = [named(event) for event in await clinic.events(case)]  # among them, perhaps already, that another one has the review
            proof = events.index(DecisionReceived.__name__)
            assert events[proof + 1] == LateDecisionReceived.__name__
            assert EligibilityApproved not in map(type, await clinic.events(case))
            assert (await clinic.state(case)).status == "in_review"
