"""The whole conversation with a partner over HTTP: registered, told, asks, decides, and what it is refused."""

import uuid
from datetime import timedelta

import pytest

from shared.clock import system_now
from shared.events.partner import DecisionKeyAdded
from shared.events.prescriber import DecisionReceived, EligibilityApproved
from shared.log.commit import Cause, Commit
from shared.webhooks.signing import PrivateKey, PublicKey, verify
from tests import toy
from tests.integration.partner_clinic import Clinic, clinic_on, decision
from tests.unit.prescriber.given import finding, plan

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
"""The development issuer signs with EdDSA, which newer texts call Ed25519."""


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


@pytest.mark.parametrize("key", ["first", "second"])
async def test_the_record_names_the_key_of_several_that_signed(clinic: Clinic, key: str) -> None:
    second = PrivateKey.generate()
    case = await clinic.screened()
    stub, _ = await clinic.told()
    added = DecisionKeyAdded(partner=stub.slug, decision_key=str(second.public))
    cause = Cause.http("test", "admin", uuid.uuid4().hex, b"m" * 32)
    await clinic.prescriber.decisions.run(f"partner-{stub.slug}", lambda _state, _context: [added], cause, toy.CLINICIAN)

    async def known() -> bool:
        return (await clinic.decide(stub, decision(f"case-{uuid.uuid4().hex}"), key=second))[0] == 404

    await toy.eventually(known)
    signer = stub.private if key == "first" else second
    assert (await clinic.decide(stub, decision(case), key=signer))[0] == 200
    commit = await clinic.prescriber.database["commits"].find_one({"stream": case}, sort=[("version", -1)])
    assert commit is not None
    (proof, *_) = (one.data for one in await clinic.prescriber.open_events([Commit.from_document(commit)]))
    assert isinstance(proof, DecisionReceived)
    assert proof.decision_key == str(signer.public)


async def test_a_review_taken_from_a_partner_is_told_to_the_next_and_its_late_answer_is_recorded_and_refused(clinic: Clinic) -> None:
    case = await clinic.screened()
    loser, notice = await clinic.told()
    status, answer = await clinic.post(f"/cases/{case}/reassignment", {"reason": "too-busy"}, "coordinator")
    assert status == 200, answer
    winner, told = await clinic.told()
    assert (winner is loser, told["data"]["case"], told["data"]["request"]) == (False, case, 2)
    assert (await clinic.get(notice["data"]["review_url"], "partner", loser.slug))[0] == 404
    assert (await clinic.get(told["data"]["review_url"], "partner", winner.slug))[0] == 200
    late = decision(case, kind="ineligible")
    status, problem = first = await clinic.decide(loser, late, webhook_id=f"msg_{case}")
    assert (status, problem["type"]) == (409, "urn:kapcare:problem:late-decision")
    assert "recorded and changes nothing" in problem["detail"]
    assert await clinic.recorded(case, problem["version"]) == ["DecisionReceived", "LateDecisionReceived", "AlertRaised"]
    assert (await clinic.state(case)).status == "in_review"
    assert (await clinic.decide(winner, decision(case, request=2)))[0] == 200
    # Whatever has happened since: the same message is answered the same, and recorded once.
    assert await clinic.decide(loser, late, webhook_id=f"msg_{case}") == first
    assert (await clinic.prescriber.load(case)).version == problem["version"] + 1


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
    assert (status, problem["rule"], problem["refusals"][0]["because"]) == (409, "R-10", "safety-hold")
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
