"""CSV by Python's own reader, AuditEvents by `fhir.resources` and by R4's value sets as written in the specification."""

import base64
import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from fhir.resources.R4B.auditevent import AuditEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.audit.audit_events import DICOM_KINDS, DISCLOSURES, UPDATES, action_of, audit_event
from services.audit.domain.clear import clear_fields
from services.audit.renderings import CHUNK_BYTES, CSV_COLUMNS, csv_line, csv_row, rendered, row_of
from shared.events.base import Access, Envelope
from shared.events.registry import BY_TYPE

NOW = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)


def entry(name: str = "kapcare.session.SessionDosed.v1", **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"source": f"urn:kapcare:{name.split('.')[1]}", "type": name, "subject": "case-" + "a" * 32, "time": NOW}
    values |= {"id": "c.0", "sequence": 7, "clinic": "riverside", "patient": "patient-1", "actor": "nurse-1", "correlation": "c"}
    values |= {"roles": frozenset({"therapist"}), "policy_version": "network-2026.1"}
    return {"_id": 41, **clear_fields(Envelope(**(values | changes))), "leaf": b"\x01" * 32}


BEGINS_A_FORMULA = tuple("=+-@\t\r\n")
"""OWASP, CSV Injection: equals, plus, minus, at, tab, carriage return, line feed."""
CELLS = st.text(max_size=20) | st.builds(str.__add__, st.sampled_from(BEGINS_A_FORMULA), st.text(max_size=5))


@given(st.lists(CELLS, min_size=1, max_size=6))
def test_a_line_reads_back_and_no_cell_is_a_formula(cells: list[str]) -> None:
    """RFC 4180 as Python's own reader has it."""
    line = csv_line(cells)
    assert line.endswith("\r\n")
    (read,) = csv.reader(io.StringIO(line, newline=""))
    assert read == [f"'{cell}" if cell.startswith(BEGINS_A_FORMULA) else cell for cell in cells]


def test_a_formula_is_shown_and_not_computed() -> None:
    assert csv_line(["=1+1", "@SUM(A1)", "a=b", None, 7]) == "'=1+1,'@SUM(A1),a=b,,7\r\n"
    assert csv_row(entry(actor='=HYPERLINK("http://x")')).split(",")[7].startswith("\"'=HYPERLINK")


def test_a_row_has_the_clear_envelope() -> None:
    (row,) = csv.DictReader(io.StringIO(csv_line(CSV_COLUMNS) + csv_row(entry(roles=frozenset({"therapist", "coordinator"})))))
    assert row == {
        "index": "41",
        "time": "2026-03-02T10:30:00.000Z",
        "happened": "2026-03-02T10:30:00.000Z",
        "type": "kapcare.session.SessionDosed.v1",
        "case": "case-" + "a" * 32,
        "patient": "patient-1",
        "clinic": "riverside",
        "actor": "nurse-1",
        "roles": "coordinator,therapist",
        "policy": "network-2026.1",
        "outcome": "done",
        "source": "urn:kapcare:session",
        "sequence": "7",
        "id": "c.0",
        "correlation": "c",
        "causation": "",
        "leaf": "01" * 32,
        **dict.fromkeys(("recipient", "route", "status", "purpose", "about", "address", "detail", "times"), ""),
    }


def test_an_altered_entry_is_shown_all_the_same() -> None:
    shown = row_of({"_id": 41, "time": "yesterday", "leaf": 7, "actor": "nurse-1"})
    assert {name: value for name, value in shown.items() if value not in (None, [])} == {"index": 41, "actor": "nurse-1"}


VARIANTS: dict[str, dict[str, Any]] = {
    "a person": {},
    "a service": {"actor": "service:session", "roles": frozenset()},
    "a partner": {"actor": "partner:oak/dr-7", "roles": frozenset({"partner"})},
    "a stream that is no case": {"subject": "partner-oak"},
    "an event of an earlier release": {"roles": frozenset(), "policy_version": None},
}


@pytest.mark.parametrize("name", BY_TYPE)
def test_every_type_is_a_sound_audit_event(name: str) -> None:
    for changes in VARIANTS.values():
        AuditEvent.model_validate_json(json.dumps(audit_event(entry(name, **changes))))


@pytest.mark.parametrize("missing", ["type", "recorded", "agent", "source"])
def test_the_validator_looks(missing: str) -> None:
    """R4 makes these 1..1 or 1..*."""
    event = audit_event(entry())
    del event[missing]
    with pytest.raises(ValidationError):
        AuditEvent.model_validate_json(json.dumps(event))


def test_an_audit_event_says_who_in_which_role_did_what_on_whose_case() -> None:
    event = audit_event(entry())
    assert (event["action"], event["outcome"], event["recorded"]) == ("C", "0", "2026-03-02T10:30:00.000Z")
    user, recorder = event["agent"]
    assert user["who"]["identifier"] == {"system": "urn:kapcare:person", "value": "nurse-1"}
    assert [role["text"] for role in user["role"]] == ["therapist"]
    assert user["policy"] == ["urn:kapcare:policy:network-2026.1"]
    assert (user["requestor"], recorder["requestor"]) == (True, False)
    assert event["source"]["observer"]["identifier"]["value"] == "session"
    patient, case, recorded = event["entity"]
    assert (patient["what"]["identifier"]["value"], patient["type"]["code"], patient["role"]["code"]) == ("patient-1", "1", "1")
    assert (case["what"]["identifier"]["value"], case["type"]["code"]) == ("case-" + "a" * 32, "2")
    assert {detail["type"]: detail["valueString"] for detail in recorded["detail"]}["ledger-index"] == "41"


def test_an_audit_event_has_the_period_of_what_happened_before_it_was_recorded() -> None:
    """R4: `period` is when the activity occurred, `recorded` the time when the event was recorded."""
    event = audit_event(entry(happened=datetime(2026, 3, 1, 22, tzinfo=UTC)))
    AuditEvent.model_validate_json(json.dumps(event))
    assert event["period"] == dict.fromkeys(("start", "end"), "2026-03-01T22:00:00.000Z")
    assert event["recorded"] == "2026-03-02T10:30:00.000Z"
    assert "period" not in audit_event(entry())


def accessed(name: str, **changes: Any) -> dict[str, Any]:
    access = Access(
        "GET /cases/{case}", changes.pop("status", 200), changes.pop("purpose", "TREAT"), ("case-1", "case-2"), "10.0.0.7", "a=b"
    )
    given = {"subject": "access-1", "patient": "patient-1,patient-2", "clinic": "north,south", "access": access}
    return entry(f"kapcare.access.{name}.v1", **(given | changes))


def test_a_read_says_who_got_what_of_whom_from_where_and_what_for_and_no_result() -> None:
    """IHE BALP's minimum: identifiers only, the query (base64 in R4), purpose of use, network address."""
    event = audit_event(accessed("RecordRead", recipient="oak"))
    AuditEvent.model_validate_json(json.dumps(event))
    assert (event["type"]["code"], event["subtype"][0]["code"], event["action"], event["outcome"]) == ("110110", "read", "R", "0")
    assert event["purposeOfEvent"] == [
        {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}]},
    ]
    reader, recipient, _ = event["agent"]
    assert (reader["network"], recipient["type"]["coding"][0]["code"]) == ({"address": "10.0.0.7", "type": "2"}, "IRCP")
    assert recipient["who"]["identifier"] == {"system": "urn:kapcare:organisation", "value": "oak"}
    named = [entity["what"]["identifier"]["value"] for entity in event["entity"]]
    assert named == ["patient-1", "patient-2", "case-1", "case-2", "GET /cases/{case}", "c.0"]
    assert base64.b64decode(event["entity"][4]["query"]) == b"a=b"
    assert event["source"]["site"] == "north,south"


@pytest.mark.parametrize(
    ("name", "kind", "subtype", "action", "outcome"),
    [
        ("AccessRefused", "110110", "kapcare.access.AccessRefused.v1", "E", "4"),
        ("LoginFailed", "110114", "110122", "E", "4"),
        ("TokenIssued", "110114", "110122", "E", "0"),
        ("InstanceStarted", "110100", "110120", "E", "0"),
        ("OperationAsked", "110110", "kapcare.access.OperationAsked.v1", "E", "0"),
    ],
)
def test_accesses_have_the_codes_of_dicom(name: str, kind: str, subtype: str, action: str, outcome: str) -> None:
    """DICOM PS3.16: 110114 User Authentication, 110122 Login, 110100 Application Activity, 110120 Application Start."""
    event = audit_event(accessed(name))
    AuditEvent.model_validate_json(json.dumps(event))
    assert (event["type"]["code"], event["subtype"][0]["code"]) == (kind, subtype)
    assert (event["action"], event["outcome"]) == (action, outcome)


@pytest.mark.parametrize(("name", "subtype"), [("EmergencyAccessOpened", "110127"), ("EmergencyAccessEnded", "110138")])
def test_r32_an_emergency_override_stands_out(name: str, subtype: str) -> None:
    """domain.md R-32: type DCM 110113 Security Alert, subtype 110127 Emergency Override Started, purpose ETREAT."""
    event = audit_event(entry(f"kapcare.intake.{name}.v1"))
    assert (event["type"]["code"], event["subtype"][0]["code"]) == ("110113", subtype)
    assert event["purposeOfEvent"][0]["coding"][0]["code"] == "ETREAT"
    read = audit_event(accessed("RecordRead", purpose="ETREAT"))
    assert read["purposeOfEvent"][0]["coding"][0]["code"] == "ETREAT"


def test_a_refusal_is_an_attempt_that_failed() -> None:
    event = audit_event(entry("kapcare.session.StepRefused.v1"))
    assert (event["action"], event["outcome"]) == ("E", "4")


def test_kinds_of_act_name_events_that_exist() -> None:
    names = {name.split(".")[2] for name in BY_TYPE}
    assert names >= UPDATES
    assert names >= set(DICOM_KINDS)
    assert names >= DISCLOSURES
    assert (
        action_of(entry("kapcare.prescriber.PartnerTold.v1"))
        == action_of(entry("kapcare.prescriber.PartnerTold.v1", recipient="oak"))
        == "R"
    )
    assert action_of(entry("kapcare.session.EntryCorrected.v1")) == "U"


def test_the_same_event_has_the_same_id_in_every_export() -> None:
    assert audit_event(entry())["id"] == audit_event(entry())["id"] != audit_event(entry(id="c.1"))["id"]


@pytest.mark.parametrize("form", ["csv", "fhir"])
async def test_an_export_comes_in_chunks_that_do_not_grow_with_it(form: Literal["csv", "fhir"]) -> None:
    async def many() -> AsyncIterator[dict[str, Any]]:
        for _ in range(1000):
            yield entry()

    chunks = [chunk async for chunk in rendered(many(), form)]
    assert max(map(len, chunks)) < CHUNK_BYTES + 5000
    assert b"".join(chunks).count(b"\n") == 1000 + (form == "csv")
