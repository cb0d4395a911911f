"""From referral to integration over real HTTP: the demo's own patients, and one patient by hand."""

import asyncio
import json
import random
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from deploy.cli.__main__ import app
from deploy.demo.actors import as_time
from deploy.demo.care import dosing_slot
from deploy.demo.simulator import Person, spread
from deploy.demo.summary import Report
from deploy.local.failure import StackError
from services.intake.domain.codes import QUESTIONS
from shared.pathway.instrument_items import FORMS
from tests.journey.conftest import CHOSEN
from tests.journey.hands import Hands

pytestmark = pytest.mark.timeout(300)

MAIN_EVENTS = {
    "PartnerRegistered", "PatientReferred", "ConsentGiven", "FactsStated", "InstrumentAnswered", "SuicideRiskScreenRequired",
    "ScreeningCompleted", "ScreenedOut", "ReviewAssigned", "DecisionReceived", "ClearanceRequested", "ClearanceAnswered",
    "EligibilityApproved", "EligibilityDeclined", "CourseOpened", "PreparationCompleted", "SessionScheduled", "PreDoseChecked",
    "DosingAuthorised", "SessionDosed", "VitalsRecorded", "SessionCompleted", "IntegrationScheduled", "IntegrationHeld", "GoalSet",
    "OutcomeMeasured", "MeasurementDue", "OutcomeNotFollowed", "CourseCompleted", "IntegrationCompleted", "SafetyHoldPlaced", "StopNoted",
}  # fmt: skip


async def test_every_patient_reaches_an_end_and_everything_holds(journey: tuple[Report, Hands]) -> None:
    report, _ = journey
    assert report.what_does_not_hold() is None
    assert (report.parked, report.gaps, report.ledger_verified) == (0, 0, True)
    assert sum(report.outcomes.values()) == report.patients == len(CHOSEN)
    assert set(report.events) >= MAIN_EVENTS
    assert report.ledger_size >= sum(report.events.values()) + sum(report.accesses.values())
    assert set(report.accesses) >= {"InstanceStarted", "RecordRead"}
    assert report.webhooks == {"due": report.webhooks["due"], "verified": report.webhooks["due"], "refused": 0}
    assert set(report.to_json()) >= {"patients", "outcomes", "events", "parked", "ledger", "seconds"}


async def test_r29_the_outcomes_of_all_who_were_dosed_are_reported_and_groups_this_small_are_not(
    journey: tuple[Report, Hands], tmp_path: Path
) -> None:
    report, hands = journey
    picture = tmp_path / "outcomes.svg"
    command = ["outcomes", "--data", str(hands.stack.data.root)]
    result = await asyncio.to_thread(CliRunner().invoke, app, [*command, "--json", "--picture", str(picture)])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert 0 < report.phq9.dosed < 5  # fewer than the floor in any group
    groups = [group for clinic in answer["clinics"] for group in clinic["groups"]]
    assert groups
    assert all(row == {**row, "withheld": "below-floor"} for row in groups)
    assert answer["network"] == {"withheld": "below-floor"}
    assert "No group is large enough to be shown." in picture.read_text()
    table = await asyncio.to_thread(CliRunner().invoke, app, command)
    assert (table.exit_code, "fewer patients than the policy's floor" in table.stdout) == (0, True)
    wrong = await asyncio.to_thread(CliRunner().invoke, app, [*command, "--instrument", "audit-c"])
    assert isinstance(wrong.exception, StackError)


async def test_a_foreign_clinic_sees_nothing(journey: tuple[Report, Hands], people: list[Person]) -> None:
    report, hands = journey
    clinic, case = people[0].record.clinic, report.case_ids[0]
    for service in ("intake", "prescriber"):
        assert (await hands.get("therapist", service, f"/cases/{case}", clinic))[0] == 200
        status, problem = await hands.get("therapist", service, f"/cases/{case}", "elsewhere")
        assert (status, problem["type"]) == (404, "urn:kapcare:problem:not-found")
        status, problem = await hands.post("therapist", service, f"/cases/{case}/holds", {"reason": "other"}, "elsewhere")
        assert (status, problem["type"]) == (404, "urn:kapcare:problem:not-found")
        assert (await hands.get("therapist", service, "/cases", "elsewhere"))[1]["cases"] == []


async def test_one_patient_by_hand(journey: tuple[Report, Hands]) -> None:
    _, hands = journey
    case = await refer_and_screen(hands)
    path = f"/cases/{case}"
    review = await hands.until("coordinator", "prescriber", path, lambda seen: seen["status"] == "approved")
    assert (review["partner"], review["request"]) == ("north-ketamine-medical", 1)
    course = await hands.until("coordinator", "session", path, lambda seen: seen["status"] == "preparing")
    assert (course["doses_left"], course["consent"]["in_force"]) == (2, True)

    now = await hands.care_time()
    await done(hands, "therapist", "session", f"{path}/preparation", {"psychoeducation": True, "completed_at": now.isoformat()})
    starts_at = dosing_slot(now + timedelta(days=1))
    await done(hands, "therapist", "session", f"{path}/sessions", {"starts_at": starts_at.isoformat(), "setting": "clinic"})
    await hands.move_to(starts_at)
    given_at = await dose(hands, path)
    integration = await hands.until("therapist", "integration", path, lambda seen: seen["status"] == "integrating")
    assert [each["purpose"] for each in integration["planned"]] == ["after_dose", *["follow_up"] * 4]
    assert [each["day"] for each in integration["measurements"]] == [14, 30, 90, 180]
    assert integration["baseline"][-1]["instrument"] == "phq-9"
    await stay_and_leave(hands, path, as_time(given_at))

    await hands.move_to(as_time(given_at) + timedelta(hours=24))
    now = await hands.care_time()
    held = {"id": integration["planned"][0]["id"], "held_at": now.isoformat(), "insights": ["I can rest."]}
    await done(hands, "therapist", "integration", f"{path}/integration-sessions", held)
    answers = {"instrument": "phq-9", "answers": [1] * 6 + [0] * 3, "measured_at": now.isoformat(), "simulated": True}
    await done(hands, "therapist", "integration", f"{path}/outcomes", answers)
    _, integration = await hands.get("therapist", "integration", path)
    assert integration["planned"][0]["held_at"] is not None
    assert (integration["outcomes"][0]["change"], integration["outcomes"][0]["response"]) == (-9, True)

    verification = await hands.until("auditor", "audit", "/ledger/verification", lambda seen: bool(seen["verified"]))
    assert verification["gaps"] == []
    _, ledger = await hands.get("auditor", "audit", f"/ledger/events?case={case}")
    assert {event["patient"] for event in ledger["events"]} == {review["patient"]}
    assert {event["type"].split(".")[1] for event in ledger["events"]} == {"intake", "prescriber", "session", "integration"}


async def test_the_whole_ledger_verifies_by_its_files_and_a_case_by_its_proofs(journey: tuple[Report, Hands], tmp_path: Path) -> None:
    report, hands = journey
    folder, mirror = str(hands.stack.data.root), str(tmp_path / "mirror")
    await hands.until("auditor", "audit", "/ledger/verification", lambda seen: bool(seen["verified"] and seen["signed"] > 0))
    whole = await asyncio.to_thread(CliRunner().invoke, app, ["audit", "verify", "--mirror", mirror, "--json", "--data", folder])
    assert whole.exit_code == 0, whole.output
    told = json.loads(whole.stdout)
    assert (told["gaps"], told["unreachable"]) == ([], [])
    assert 0 < told["log"]["size"] <= told["size"], "who took the files along is recorded meanwhile"
    assert told["log"]["warnings"] == []
    command = ["audit", "verify", "--case", report.case_ids[0], "--offline", mirror, "--data", folder]
    case = await asyncio.to_thread(CliRunner().invoke, app, command)
    assert (case.exit_code, "Nothing that the query asks for was left out" in case.stdout) == (0, True), case.output


async def refer_and_screen(hands: Hands) -> str:
    referral = {
        "clinic": "riverside",
        "patient": {"system": "urn:test", "value": "by-hand"},
        "birth_date": "1981-05-17",
        "sex": "female",
        "indication": "depression",
        "facts": [{"kind": "observation", "code": "29463-7", "system": "loinc", "value": "70", "unit": "kg"}],
        "simulated": True,
    }
    status, referred = await hands.post("coordinator", "intake", "/cases", referral, key="by-hand-referral")
    again = await hands.post("coordinator", "intake", "/cases", referral, key="by-hand-referral")
    assert (status, again) == (201, (201, referred))
    case = str(referred["case"])
    assert re.fullmatch(r"case-[0-9a-f]{32}", case)
    path, now = f"/cases/{case}", (await hands.care_time()).isoformat()
    consent = {"version": "consent-1", "scopes": ["treatment", "disclosure_to_prescriber"], "given_at": now}
    await done(hands, "coordinator", "intake", f"{path}/consents", consent)
    status, problem = await hands.post("therapist", "intake", f"{path}/screening", {})
    assert (status, problem["type"]) == (409, "urn:kapcare:problem:instrument-unscored")
    await done(hands, "coordinator", "intake", f"{path}/statements", {"answers": dict.fromkeys(QUESTIONS, False), "simulated": True})
    for instrument, answers in (("phq-9", [2] * 7 + [1, 0]), ("gad-7", [1] * 7), ("audit-c", [1, 0, 0])):
        body = {"instrument": instrument, "answers": answers, "answered_at": now, "simulated": True}
        await done(hands, "therapist", "intake", f"{path}/instruments", body)
    _, shown = await hands.get("therapist", "intake", path)
    assert shown["still_needed"] == {"instruments": [], "answers": []}
    await done(hands, "therapist", "intake", f"{path}/screening", {"note": "Two years of treatment without relief."})
    _, shown = await hands.get("therapist", "intake", path)
    assert (shown["status"], shown["screening"]["outcome"]) == ("screened", "completed")
    return case


async def dose(hands: Hands, path: str) -> str:
    now = (await hands.care_time()).isoformat()
    _, course = await hands.get("medical_monitor", "session", path)
    checks: dict[str, Any] = {
        "session": 1,
        "consent_reaffirmed": True,
        "consent_version": "consent-1",
        "monitor": "monitor-1",
        "monitor_adult": True,
        "escort_named": True,
        "fasting": True,
        "medications_taken": [],
        "weight_kg": "70",
        "weighed_at": now,
        "blood_pressure": {"systolic": 151, "diastolic": 92},
        "checked_at": now,
    }
    wanted = {"session": 1, "dose_mg": course["plan"]["dose_mg_low"], "intent": course["plan"]["intent"]}
    await done(hands, "medical_monitor", "session", f"{path}/checks", checks)
    status, problem = await hands.post("medical_monitor", "session", f"{path}/authorisation", wanted)
    assert (status, problem["rule"]) == (409, "R-19")
    now = (await hands.care_time()).isoformat()
    calmer = {**checks, "blood_pressure": {"systolic": 128, "diastolic": 81}, "weighed_at": now, "checked_at": now}
    await done(hands, "medical_monitor", "session", f"{path}/checks", calmer)
    await done(hands, "medical_monitor", "session", f"{path}/authorisation", wanted)
    given_at = (await hands.care_time()).isoformat()
    given = {"session": 1, "dose_mg": wanted["dose_mg"], "route": course["plan"]["route"], "given_at": given_at}
    await done(hands, "medical_monitor", "session", f"{path}/doses", given)
    _, course = await hands.get("medical_monitor", "session", path)
    assert (course["status"], course["doses_left"], course["sessions"][0]["phase"]) == ("monitoring", 1, "dosed")
    return given_at


async def stay_and_leave(hands: Hands, path: str, given_at: Any) -> None:
    leaving = {
        "session": 1,
        "assessed_by": "monitor-1",
        "at_baseline": True,
        "escort_present": True,
        "no_driving_instruction": True,
        "aftercare_contact": "on-call-1",
    }
    for minutes in (40, 100):
        await hands.move_to(given_at + timedelta(minutes=minutes))
        now = (await hands.care_time()).isoformat()
        vitals = {"session": 1, "taken_at": now, "blood_pressure": {"systolic": 134, "diastolic": 84}, "sedation": 5}
        await done(hands, "medical_monitor", "session", f"{path}/vitals", vitals)
    early = {**leaving, "discharged_at": (await hands.care_time()).isoformat()}
    status, problem = await hands.post("medical_monitor", "session", f"{path}/discharge", early)
    assert (status, problem["rule"]) == (409, "R-23")
    await hands.move_to(given_at + timedelta(minutes=121))
    await done(
        hands, "medical_monitor", "session", f"{path}/discharge", {**leaving, "discharged_at": (await hands.care_time()).isoformat()}
    )
    _, course = await hands.get("medical_monitor", "session", path)
    assert (course["status"], course["sessions"][0]["phase"]) == ("ready", "completed")


async def done(hands: Hands, role: str, service: str, path: str, body: dict[str, Any]) -> None:
    """Do something that is allowed."""
    status, answer = await hands.post(role, service, path, body)
    assert status == 200, answer


@pytest.mark.parametrize("total", [0, 1, 9, 17, 24, 27])
def test_simulated_items_add_up_to_the_total_of_the_record(total: int) -> None:
    draw = random.Random(total)
    answers = spread(total, FORMS["phq-9"].highest, draw, 0.25)
    assert sum(answers) == total
    assert all(0 <= answer <= 3 for answer in answers)


def test_a_person_answers_the_same_each_time(people: list[Person]) -> None:
    for person in people:
        again = Person(person.number, person.record, person.seed)
        assert again.answers("phq-9") == person.answers("phq-9")
        assert again.vitals(1, 40) == person.vitals(1, 40)
        recorded = person.record.totals.get("phq-9")
        assert recorded is None or sum(person.answers("phq-9")) == recorded


async def test_a_session_is_drawn_and_one_that_never_was_is_not(journey: tuple[Report, Hands], tmp_path: Path) -> None:
    report, hands = journey
    case = await dosed_case(report, hands)
    drawn = tmp_path / "session.svg"
    assert (await kap_timeline(hands, case, "--output", str(drawn))) is None
    assert drawn.stat().st_mode & 0o077 == 0, "only its owner may read it"
    words = [element.text or "" for element in ElementTree.parse(drawn).getroot().iter("{http://www.w3.org/2000/svg}text")]
    assert {"systolic mmHg", "limit 140 mmHg"} <= set(words)
    assert any(word.startswith("Session 1: ") and " mg " in word for word in words)
    missing = tmp_path / "none.svg"
    assert "no session 99" in str(await kap_timeline(hands, case, "--session", "99", "--output", str(missing)))
    assert not missing.exists()


async def dosed_case(report: Report, hands: Hands) -> str:
    for clinic in ("riverside", "hillside", "lakeshore"):
        for case in report.case_ids:
            status, course = await hands.get("coordinator", "session", f"/cases/{case}", clinic)
            if status == 200 and any(session["phase"] == "completed" for session in course["sessions"]):
                return case
    raise AssertionError("nobody of the demo was dosed")


async def kap_timeline(hands: Hands, case: str, *more: str) -> StackError | None:
    arguments = ["timeline", case, "--data", str(hands.stack.data.root), *more]
    done = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert done.exception is None or isinstance(done.exception, StackError), done.exception
    return done.exception
