"""Entries in auditors' formats, from their clear fields alone: CSV (RFC 4180) and FHIR R4 AuditEvents, one a line.

The AuditEvents follow the minimal pattern of IHE's Basic Audit Log Patterns: who, in which role, what kind of act, on which case of
which patient, when, with what outcome, and who recorded it; identifiers only. They claim none of its profiles, which are of RESTful
reads and writes: here it is the events of a record that are told.
"""

import csv
import io
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal
from uuid import NAMESPACE_URL, uuid5

from pydantic_core import to_json

from services.audit.domain.query import Format
from shared.events.codec import time_text
from shared.fhir.codes import LOCAL_SYSTEM
from shared.fhir.elements import Element, said

CHUNK_BYTES: Final = 65_536
CSV_COLUMNS: Final = (
    *("index", "time", "type", "case", "patient", "clinic", "actor", "roles", "policy", "outcome"),
    *("source", "sequence", "id", "correlation", "causation", "leaf"),
)
MEDIA_TYPES: Final[Mapping[Format, str]] = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8; header=present",
    "fhir": "application/fhir+ndjson",
}

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What makes spreadsheets compute a cell instead of showing it."""

Action = Literal["C", "R", "U", "E"]
Entry = Mapping[str, Any]

UPDATES: Final = frozenset(
    {
        *("EntryCorrected", "ScreeningReopened", "ScreeningRenewed", "ConsentWithdrawn", "SafetyHoldLifted", "CaseTransferred"),
        *("PartnerTermsChanged", "PartnerActivated", "PartnerLeft", "PartnerReturned", "EndpointChanged", "EndpointPaused"),
        *("EndpointDisabled", "EndpointResumed", "EndpointRemoved", "EndpointSecretRotated", "EndpointSecretsRevoked"),
        *("DecisionKeyRevoked", "CredentialRevoked", "ReviewReassigned", "ReviewRecalled", "EligibilityExpired", "EligibilityRevoked"),
        *("AlertAcknowledged", "AlertEscalated", "LotRecallWithdrawn", "CourseClosed", "CourseCompleted", "SessionCompleted"),
        *("SessionCancelled", "AdministrationEnded", "IntegrationWithdrawn", "GoalProgressed", "GoalChanged", "GoalKept", "GoalLetGo"),
        *("OutcomeJudgedAnew", "IntegrationCompleted", "CareDischarged"),
    }
)
"""Names of events after which something recorded before stands otherwise: changed, ended, marked, taken back."""
DISCLOSURES: Final = frozenset({"PartnerTold", "ReviewAssigned"})
"""Names of events by which an organisation gets to read of a case."""


def row_of(entry: Entry) -> dict[str, Any]:
    """Return an entry as auditors see it: the clear envelope under the names of the query, its index and its leaf in hex.

    One that was altered by hand is shown as it is, and None for what it lacks; verification names it.
    """
    moment, leaf = entry.get("time"), entry.get("leaf")
    return {
        "index": entry["_id"],
        "id": entry.get("event"),
        "source": entry.get("source"),
        "type": entry.get("type"),
        "case": entry.get("stream"),
        "sequence": entry.get("sequence"),
        "time": time_text(moment) if isinstance(moment, datetime) else None,
        "clinic": entry.get("clinic"),
        "patient": entry.get("patient"),
        "actor": entry.get("actor"),
        "roles": entry.get("roles", []),
        "policy": entry.get("policy"),
        "outcome": entry.get("outcome"),
        "correlation": entry.get("correlation"),
        "causation": entry.get("causation"),
        "leaf": leaf.hex() if isinstance(leaf, bytes) else None,
    }


def csv_line(cells: Sequence[object]) -> str:
    """Return one line of RFC 4180, with its end; what a spreadsheet would compute gets an apostrophe before it."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow([_shown(cell) for cell in cells])
    return line.getvalue()


def csv_row(entry: Entry) -> str:
    """Return an entry as a line of CSV_COLUMNS; several roles stand in one cell, with commas between."""
    row = row_of(entry)
    return csv_line([",".join(row["roles"]) if name == "roles" else row[name] for name in CSV_COLUMNS])


def action_of(entry: Entry) -> Action:
    """Return the kind of act: E where it was refused, R where it discloses, U where something stands otherwise, else C."""
    name = entry["type"].split(".")[-2]
    if entry["outcome"] == "refused":
        return "E"
    return "R" if name in DISCLOSURES else "U" if name in UPDATES else "C"


def audit_event(entry: Entry) -> Element:
    """Return an entry as a FHIR R4 AuditEvent (JSON); its id is the same in every export."""
    case = entry["stream"].startswith("case-")
    action = action_of(entry)
    return {
        "resourceType": "AuditEvent",
        "id": str(uuid5(NAMESPACE_URL, f"{entry['source']}/{entry['event']}")),
        "type": _dicom("110110", "Patient Record") if case else _dicom("110100", "Application Activity"),
        "subtype": [
            *([_coding("http://hl7.org/fhir/restful-interaction", _INTERACTIONS[action])] if action != "E" else []),
            _coding(LOCAL_SYSTEM, entry["type"]),
        ],
        "action": action,
        "recorded": time_text(entry["time"]),
        "outcome": "4" if entry["outcome"] == "refused" else "0",
        "agent": [_agent(entry), _recorder(entry)],
        "source": {
            "site": entry["clinic"],
            "observer": _identified("Device", "service", _service(entry)),
            "type": [_coding("http://terminology.hl7.org/CodeSystem/security-source-type", "4", "Application Server")],
        },
        "entity": [
            *([_entity(_identified("Patient", "patient", entry["patient"]), ("1", "Person"), ("1", "Patient"))] if case else []),
            _entity(_identified(None, "case" if case else "stream", entry["stream"]), ("2", "System Object"), ("4", "Domain Resource")),
            {
                **_entity(_identified(None, "event", entry["event"]), ("2", "System Object"), ("20", "Job")),
                "detail": [
                    {"type": "ledger-index", "valueString": str(entry["_id"])},
                    {"type": "ledger-leaf", "valueString": bytes(entry["leaf"]).hex()},
                    {"type": "sequence", "valueString": str(entry["sequence"])},
                ],
            },
        ],
    }


async def rendered(entries: AsyncIterator[Entry], form: Literal["csv", "fhir"]) -> AsyncIterator[bytes]:
    """Yield an export in chunks of about CHUNK_BYTES; what is in memory does not grow with it."""
    line: Callable[[Entry], bytes]
    if form == "csv":
        chunk, line = bytearray(csv_line(CSV_COLUMNS).encode()), lambda entry: csv_row(entry).encode()
    else:
        chunk, line = bytearray(), lambda entry: to_json(audit_event(entry)) + b"\n"
    async for entry in entries:
        chunk += line(entry)
        if len(chunk) >= CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk)


_INTERACTIONS: Final[Mapping[Action, str]] = {"C": "create", "R": "read", "U": "update"}


def _shown(cell: object) -> str:
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _agent(entry: Entry) -> Element:
    actor = entry["actor"]
    automatic = actor.startswith("service:")
    roles = [{"coding": [_coding(LOCAL_SYSTEM, role)], "text": role.replace("_", " ")} for role in entry.get("roles", [])]
    policy = entry.get("policy")
    return said(
        type={"coding": [_dicom("110150", "Application") if automatic else _coding(_PARTICIPATION, "AUT", "author (originator)")]},
        role=roles,
        who=_identified(None if automatic else "Practitioner", "person", actor),
        requestor=True,
        policy=[] if policy is None else [f"urn:kapcare:policy:{policy}"],
    )


def _recorder(entry: Entry) -> Element:
    return {
        "type": {"coding": [_dicom("110152", "Destination Role ID")]},
        "who": _identified("Device", "service", _service(entry)),
        "requestor": False,
    }


_PARTICIPATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"


def _service(entry: Entry) -> str:
    service: str = entry["source"].rpartition(":")[2]
    return service


def _identified(kind: str | None, system: str, value: str) -> Element:
    return said(type=kind, identifier={"system": f"urn:kapcare:{system}", "value": value})


def _entity(what: Element, kind: tuple[str, str], role: tuple[str, str]) -> Element:
    return {
        "what": what,
        "type": _coding("http://terminology.hl7.org/CodeSystem/audit-entity-type", *kind),
        "role": _coding("http://terminology.hl7.org/CodeSystem/object-role", *role),
    }


def _dicom(code: str, display: str) -> Element:
    return _coding("http://dicom.nema.org/resources/ontology/DCM", code, display)


def _coding(system: str, code: str, display: str | None = None) -> Element:
    return said(system=system, code=code, display=display)
