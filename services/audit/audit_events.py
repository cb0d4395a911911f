"""Entries as FHIR R4 AuditEvents, from their clear fields alone.

They follow the minimal pattern of IHE's Basic Audit Log Patterns: who, in which role, what kind of act, on which case of which patient,
when, from where, for which purpose, with what outcome, and who recorded it; identifiers only, queries but never results. They claim
none of its profiles, which are of FHIR's own reads and writes. Codes: DICOM PS3.16 (DCM), HL7 v3 ActReason and ParticipationType.
"""

import base64
from collections.abc import Mapping
from typing import Any, Final, Literal
from uuid import NAMESPACE_URL, uuid5

from shared.access.record import EMERGENCY
from shared.events.codec import time_text
from shared.fhir.codes import LOCAL_SYSTEM
from shared.fhir.elements import Element, said

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
        *("OutcomeJudgedAnew", "IntegrationCompleted", "CareDischarged", "EmergencyAccessReviewed"),
    }
)
"""Names of events after which something recorded before stands otherwise: changed, ended, marked, taken back."""
DICOM_KINDS: Final[Mapping[str, tuple[tuple[str, str], tuple[str, str]]]] = {
    "InstanceStarted": (("110100", "Application Activity"), ("110120", "Application Start")),
    "LoginFailed": (("110114", "User Authentication"), ("110122", "Login")),
    "TokenIssued": (("110114", "User Authentication"), ("110122", "Login")),
    "EmergencyAccessOpened": (("110113", "Security Alert"), ("110127", "Emergency Override Started")),
    "EmergencyAccessEnded": (("110113", "Security Alert"), ("110138", "Emergency Override Stopped")),
}
"""Names of events that DICOM has a type and a subtype for (R-32)."""

DISCLOSURES: Final = frozenset({"PartnerTold", "ReviewAssigned"})
"""Names of events by which an organisation, or the network's own prescribers, get to read of a case."""
OVERRIDES: Final = frozenset({"EmergencyAccessOpened", "EmergencyAccessEnded"})
"""Names of events of which an emergency is the purpose, whatever else they say."""

_INTERACTIONS: Final[Mapping[Action, str]] = {"C": "create", "R": "read", "U": "update"}
_PARTICIPATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_REASON: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_INTERNET: Final = "2"
"""Of a network address, in AuditEvent.agent.network.type: an IP address."""


def action_of(entry: Entry) -> Action:
    """Return the kind of act: E where it was refused or is none of the others, R where something is read or disclosed, U where
    something stands otherwise, else C."""
    name = _name(entry)
    if entry["outcome"] == "refused":
        return "E"
    if name == "RecordRead" or name in DISCLOSURES:
        return "R"
    if "route" in entry:
        return "E"
    return "U" if name in UPDATES else "C"


def audit_event(entry: Entry) -> Element:
    """Return an entry as a FHIR R4 AuditEvent (JSON); its id is the same in every export."""
    recorded, happened = time_text(entry["time"]), time_text(entry["happened"])
    purpose = EMERGENCY if _name(entry) in OVERRIDES else entry.get("purpose")
    return said(
        resourceType="AuditEvent",
        id=str(uuid5(NAMESPACE_URL, f"{entry['source']}/{entry['event']}")),
        type=_kind(entry),
        subtype=_subtypes(entry),
        action=action_of(entry),
        period={"start": happened, "end": happened} if happened != recorded else None,
        recorded=recorded,
        outcome="4" if entry["outcome"] == "refused" else "0",
        purposeOfEvent=[{"coding": [_coding(_REASON, purpose)]}] if purpose is not None else [],
        agent=[_agent(entry), *_recipients(entry), _recorder(entry)],
        source={
            "site": ",".join(_all(entry["clinic"])),
            "observer": _identified("Device", "service", _service(entry)),
            "type": [_coding("http://terminology.hl7.org/CodeSystem/security-source-type", "4", "Application Server")],
        },
        entity=_entities(entry),
    )


def _kind(entry: Entry) -> Element:
    known = DICOM_KINDS.get(_name(entry))
    if known is not None:
        return _dicom(*known[0])
    return _dicom("110110", "Patient Record") if _cases(entry) else _dicom("110100", "Application Activity")


def _subtypes(entry: Entry) -> list[Element]:
    known, action = DICOM_KINDS.get(_name(entry)), action_of(entry)
    subtypes = [_coding(LOCAL_SYSTEM, entry["type"])]
    if known is not None:
        return [_dicom(*known[1]), *subtypes]
    if action != "E":
        subtypes.insert(0, _coding("http://hl7.org/fhir/restful-interaction", _INTERACTIONS[action]))
    return subtypes


def _entities(entry: Entry) -> list[Element]:
    cases = _cases(entry)
    patients = _all(entry["patient"]) if cases else []
    streams = [entry["stream"]] if "route" not in entry else entry.get("about", [])
    return [
        *(_entity(_identified("Patient", "patient", patient), ("1", "Person"), ("1", "Patient")) for patient in patients),
        *(
            _entity(_identified(None, "case" if stream in cases else "stream", stream), ("2", "System Object"), ("4", "Domain Resource"))
            for stream in streams
        ),
        *_asked(entry),
        {
            **_entity(_identified(None, "event", entry["event"]), ("2", "System Object"), ("20", "Job")),
            "detail": [
                {"type": "ledger-index", "valueString": str(entry["_id"])},
                {"type": "ledger-leaf", "valueString": bytes(entry["leaf"]).hex()},
                {"type": "sequence", "valueString": str(entry["sequence"])},
            ],
        },
    ]


def _asked(entry: Entry) -> list[Element]:
    """Return the request of an access: its route, and its query as it was sent, in base64 as R4 wants it."""
    if "route" not in entry:
        return []
    query = entry.get("detail")
    asked = _entity(_identified(None, "route", entry["route"]), ("2", "System Object"), ("24", "Query"))
    return [{**asked, **({} if query is None else {"query": base64.b64encode(query.encode()).decode()})}]


def _agent(entry: Entry) -> Element:
    actor = entry["actor"]
    automatic = actor.startswith("service:")
    reads = "route" in entry and "recipient" not in entry
    took_part = ("IRCP", "information recipient") if reads else ("AUT", "author (originator)")
    roles = [{"coding": [_coding(LOCAL_SYSTEM, role)], "text": role.replace("_", " ")} for role in entry.get("roles", [])]
    policy = entry.get("policy")
    return said(
        type={"coding": [_dicom("110150", "Application") if automatic else _coding(_PARTICIPATION, *took_part)]},
        role=roles,
        who=_identified("Practitioner" if roles and "partner" not in entry.get("roles", []) else None, "person", actor),
        requestor=True,
        policy=[] if policy is None else [f"urn:kapcare:policy:{policy}"],
        network={"address": entry["address"], "type": _INTERNET} if "address" in entry else None,
    )


def _recipients(entry: Entry) -> list[Element]:
    """Return who was told, or for whom a partner's software read."""
    if "recipient" not in entry:
        return []
    who = _identified("Organization", "organisation", entry["recipient"])
    return [{"type": {"coding": [_coding(_PARTICIPATION, "IRCP", "information recipient")]}, "who": who, "requestor": False}]


def _recorder(entry: Entry) -> Element:
    return {
        "type": {"coding": [_dicom("110152", "Destination Role ID")]},
        "who": _identified("Device", "service", _service(entry)),
        "requestor": False,
    }


def _cases(entry: Entry) -> list[str]:
    streams = entry.get("about", []) if "route" in entry else [entry["stream"]]
    return [stream for stream in streams if stream.startswith("case-")]


def _all(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names


def _name(entry: Entry) -> str:
    name: str = entry["type"].split(".")[-2]
    return name


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
