"""The medication of a case and of a patient over HTTP: who sees what, across cases and clinics, and what a dose takes out."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from shared.clock import system_now
from shared.events import intake, session
from shared.log.commit import Cause
from shared.service.definition import Origin, ServiceDefinition, StreamKind
from shared.service.runtime import Runtime
from tests import toy
from tests.integration.partner_clinic import Answer, Clinic, clinic_on
from tests.unit.prescriber.given import POLICY, plan, summary
from tests.unit.prescriber.moved import dispensing, dosed, prescription, returning, wastage

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
"""The development issuer signs with EdDSA, which newer texts call Ed25519."""

ROOM = ServiceDefinition("session", "Toy session", "A toy.", session.EVENTS, (StreamKind("case", toy.ToyCase(), toy.evolve),), (), ())


@dataclass
class Network:
    """The prescriber service without partners, and an intake and a session room that publish to it."""

    clinic: Clinic
    room: Runtime

    async def publish(self, publisher: Runtime, case: str, origin: Origin, *events: Any) -> None:
        cause = Cause.http("test", "clinician", uuid.uuid4().hex, b"m" * 32)
        await publisher.decisions.run(case, lambda _state, _context: list(events), cause, toy.CLINICIAN, origin=origin)

    async def approved(self, patient: str, clinic: str = "riverside") -> str:
        """A case of the patient that the network's own prescriber approved: 100 to 200 mg, two doses."""
        case, now = f"case-{uuid.uuid4().hex}", system_now()
        await self.publish(
            self.clinic.intake,
            case,
            Origin(clinic, patient),
            intake.ConsentGiven(version="c1", scopes=("treatment", "disclosure_to_prescriber"), given_at=now),
            intake.ScreeningCompleted(summary=summary(), completed_at=now, policy_version=POLICY.version),
        )

        async def in_review() -> bool:
            status, seen = await self.get(f"/cases/{case}", clinic=clinic)
            return status == 200 and seen["status"] == "in_review"

        await toy.eventually(in_review)
        approval = plan(expires_at=now + timedelta(days=30)).model_dump(mode="json")
        decision = {"request": 1, "decision": "eligible", "reasons": ["indication-met"], "plan": approval}
        assert (await self.post(f"/cases/{case}/decision", decision, "prescriber", clinic))[0] == 200
        return case

    async def post(self, path: str, body: Any, role: str = "coordinator", clinic: str = "riverside") -> Answer:
        token = self.clinic.issuer.mint(f"{role}-1", [role], [clinic])
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": uuid.uuid4().hex}
        async with self.clinic.session.post(self.clinic.url + path, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def get(self, path: str, role: str = "coordinator", clinic: str = "riverside") -> Answer:
        return await self.clinic.get(path, role, clinic=clinic)

    async def supplied(self, patient: str, clinic: str = "riverside") -> str:
        """An approved case on which 200 mg were prescribed and dispensed today."""
        case = await self.approved(patient, clinic)
        today = self.clinic.prescriber.decisions.context(Cause.tick("x", system_now()), toy.CLINICIAN, clinic).today.isoformat()
        assert (await self.post(f"/cases/{case}/prescriptions", prescription(issued_on=today), "prescriber", clinic))[0] == 200
        _, ledger = await self.get(f"/cases/{case}/supply", clinic=clinic)
        body = dispensing(ledger["prescriptions"][0]["prescription"], dispensed_on=today)
        status, answer = await self.post(f"/cases/{case}/dispensings", body, "coordinator", clinic)
        assert (status, len(answer["events"])) == (200, 1), answer
        return case


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def network(mongo_url: str, kafka_bootstrap: str) -> AsyncIterator[Network]:
    async with (
        clinic_on(mongo_url, kafka_bootstrap) as clinic,
        toy.runtime_of(ROOM, clinic.prescriber.settings) as room,
        toy.relaying(room),
    ):
        yield Network(clinic, room)


def someone() -> str:
    return f"patient-{uuid.uuid4().hex}"


async def test_a_case_shows_its_ledger_line_by_line(network: Network) -> None:
    patient = someone()
    case = await network.supplied(patient)
    await network.publish(network.room, case, Origin("riverside", patient), dosed("120", given_at=system_now()))

    async def administered() -> Any:
        _, ledger = await network.get(f"/cases/{case}/supply")
        return ledger if len(ledger["lines"]) == 3 else None

    await toy.eventually(administered)
    earlier = (system_now() - timedelta(seconds=1)).isoformat()
    assert (await network.post(f"/cases/{case}/wastage", wastage("30", wasted_at=earlier)))[0] == 200
    status, answer = await network.post(f"/cases/{case}/returns", returning("60", returned_at=earlier))
    assert [event["type"].split(".")[2] for event in answer["events"]] == ["MedicationReturned", "DiversionSuspected", "AlertRaised"]
    status, ledger = await network.get(f"/cases/{case}/supply")
    assert status == 200
    assert [(line["kind"], int(Decimal(line["on_hand"]))) for line in ledger["lines"]] == [
        ("prescribed", 0),
        ("dispensed", 200),
        ("administered", 80),
        ("wasted", 50),
        ("returned", -10),
    ]
    assert [(alarm["why"], alarm["unaccounted"]) for alarm in ledger["alarms"]] == [("used-above-dispensed", "10")]


async def test_what_was_wrong_is_marked_leaves_the_sum_and_stays_to_be_seen(network: Network) -> None:
    case = await network.supplied(someone())
    earlier = (system_now() - timedelta(seconds=1)).isoformat()
    assert (await network.post(f"/cases/{case}/wastage", wastage("30", wasted_at=earlier)))[0] == 200
    _, ledger = await network.get(f"/cases/{case}/supply")
    issued, _, wasted = ledger["lines"]
    body = {"entry": wasted["entry"], "kind": "wrong_patient", "reason": "of another chart"}
    status, answer = await network.post(f"/cases/{case}/supply/corrections", body)
    assert (status, [event["type"] for event in answer["events"]]) == (200, ["kapcare.prescriber.EntryCorrected.v1"])
    status, problem = await network.post(f"/cases/{case}/supply/corrections", body)
    assert (status, problem["type"]) == (409, "urn:kapcare:problem:already-corrected")
    prescribing = {"prescription": issued["entry"], "kind": "entered_in_error", "reason": "never signed"}
    assert (await network.post(f"/cases/{case}/prescriptions/corrections", prescribing))[0] == 403
    status, answer = await network.post(f"/cases/{case}/prescriptions/corrections", prescribing, "prescriber")
    assert [event["type"].split(".")[2] for event in answer["events"]] == ["EntryCorrected", "DiversionSuspected", "AlertRaised"]
    _, ledger = await network.get(f"/cases/{case}/supply")
    assert (ledger["balance"]["wasted"], ledger["balance"]["prescribed"], ledger["balance"]["on_hand"]) == ("0", "0", "200")
    marked = ledger["lines"][2]["corrected"]
    assert (marked["kind"], marked["reason"], marked["by"]) == ("wrong_patient", "of another chart", "coordinator-1")
    assert [(alarm["why"], alarm["open"]) for alarm in ledger["alarms"]] == [("dispensed-without-prescription", True)]


async def test_r15_what_is_refused_says_its_rule(network: Network) -> None:
    case = await network.approved(someone())
    today = system_now().date().isoformat()
    status, problem = await network.post(f"/cases/{case}/prescriptions", prescription(issued_on="2999-01-01"), "prescriber")
    assert (status, problem["type"], problem["rule"]) == (422, "urn:kapcare:problem:time-in-the-future", "R-15")
    yesterday = (system_now() - timedelta(days=2)).date().isoformat()
    status, problem = await network.post(f"/cases/{case}/prescriptions", prescription(issued_on=yesterday), "prescriber")
    assert (status, problem["type"], problem["rule"]) == (409, "urn:kapcare:problem:refused-by-rule", "R-15")
    status, problem = await network.post(f"/cases/{case}/prescriptions", prescription(issued_on=today), "coordinator")
    assert (status, problem["type"]) == (403, "urn:kapcare:problem:role-may-not")
    status, problem = await network.post(f"/cases/{case}/wastage", wastage("NaN"))
    assert (status, problem["type"]) == (422, "urn:kapcare:problem:invalid-body")


async def test_a_patient_is_added_up_across_cases_and_clinics_and_itemised_in_ones_own(network: Network) -> None:
    patient = someone()
    here, also_here = await network.supplied(patient), await network.approved(patient)
    there = await network.supplied(patient, "hillside")
    await network.supplied(someone())

    async def found() -> Any:
        status, seen = await network.get(f"/patients/{patient}/supply")
        return seen if status == 200 and Decimal(seen["total"]["dispensed"]) == 400 and len(seen["cases"]) == 2 else None

    seen = await toy.eventually(found)
    assert (seen["total"]["prescribed"], seen["total"]["on_hand"]) == ("400", "400")
    assert {item["case"] for item in seen["cases"]} == {here, also_here}
    assert there not in str(seen)
    assert "hillside" not in str(seen)
    _, theirs = await network.get(f"/patients/{patient}/supply", clinic="hillside")
    assert ([item["case"] for item in theirs["cases"]], theirs["total"]) == ([there], seen["total"])


async def test_a_patient_of_others_does_not_exist_and_roles_are_asked_for(network: Network) -> None:
    patient = someone()
    await network.supplied(patient)

    async def found() -> bool:
        return (await network.get(f"/patients/{patient}/supply"))[0] == 200

    await toy.eventually(found)
    path = f"/patients/{patient}/supply"
    assert (await network.get(path, clinic="elsewhere"))[0] == 404
    assert (await network.get(path, "auditor"))[0] == 403
    for wrong in (someone(), "patient-1", "none", patient.upper(), f"{patient}0", "case-" + "0" * 32):
        assert (await network.get(f"/patients/{wrong}/supply"))[0] == 404
    async with network.clinic.session.get(network.clinic.url + path) as response:
        assert response.status == 401


async def test_an_altered_cache_moves_no_case_to_another_patient(network: Network) -> None:
    patient, other = someone(), someone()
    case = await network.supplied(patient)
    own = await network.approved(other)
    cases = network.clinic.prescriber.database["cases"]

    async def cached() -> bool:
        return await cases.count_documents({"_id": {"$in": [case, own]}}) == 2

    await toy.eventually(cached)
    await cases.update_one({"_id": case}, {"$set": {"last.patient": other}})
    status, seen = await network.get(f"/patients/{other}/supply")
    assert (status, seen["total"]["dispensed"]) == (200, "0")
    assert [item["case"] for item in seen["cases"]] == [own]


async def test_the_patient_is_found_by_an_index(network: Network) -> None:
    explained = await network.clinic.prescriber.database.command(
        "explain", {"find": "cases", "filter": {"last.patient": someone(), "last.kind": "case"}, "sort": {"_id": 1}}
    )
    assert "COLLSCAN" not in str(explained["queryPlanner"]["winningPlan"])
    assert "'indexName': 'of_patient'" in str(explained["queryPlanner"]["winningPlan"])
