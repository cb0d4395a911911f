"""The one access decision: a pure function over role, clinic, organisation and the case. Deny unless a row allows."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Role = Literal["coordinator", "therapist", "prescriber", "medical_monitor", "medical_director", "auditor", "admin", "partner"]
ROLES: tuple[Role, ...] = ("coordinator", "therapist", "prescriber", "medical_monitor", "medical_director", "auditor", "admin", "partner")


class Permission(StrEnum):
    """What can be asked for."""

    REFER = "refer"
    SCREEN = "screen"
    TRANSFER = "transfer"
    CONSENT = "consent"
    STOP = "stop"
    LIFT_HOLD = "lift_hold"
    READ_CASE = "read_case"
    CLEAR = "clear"
    DECIDE_ELIGIBILITY = "decide_eligibility"
    REVIEW_AS_PARTNER = "review_as_partner"
    PREPARE = "prepare"
    DECIDE_ON_PRESSURE = "decide_on_pressure"
    AUTHORISE_DOSE = "authorise_dose"
    RECORD_CARE = "record_care"
    ACCOUNT_FOR_SUPPLY = "account_for_supply"
    INTEGRATE = "integrate"
    MANAGE_PARTNERS = "manage_partners"
    ADOPT_POLICY = "adopt_policy"
    RECALL_LOT = "recall_lot"
    EXPLAIN = "explain"
    QUERY_LEDGER = "query_ledger"
    READ_PROGRESS = "read_progress"
    OPERATE = "operate"
    ACKNOWLEDGE = "acknowledge"
    READ_ALERTS = "read_alerts"
    READ_OUTCOMES = "read_outcomes"
    READ_NETWORK_OUTCOMES = "read_network_outcomes"
    OPEN_EMERGENCY_ACCESS = "open_emergency_access"
    REVIEW_EMERGENCY_ACCESS = "review_emergency_access"


ALLOWED: dict[Permission, frozenset[Role]] = {
    Permission.REFER: frozenset({"coordinator", "therapist"}),
    Permission.SCREEN: frozenset({"coordinator", "therapist", "medical_monitor"}),
    Permission.TRANSFER: frozenset({"coordinator"}),
    Permission.CONSENT: frozenset({"coordinator", "therapist"}),
    Permission.STOP: frozenset({"coordinator", "therapist", "prescriber", "medical_monitor"}),
    Permission.LIFT_HOLD: frozenset({"prescriber", "medical_monitor"}),
    Permission.READ_CASE: frozenset({"coordinator", "therapist", "prescriber", "medical_monitor"}),
    Permission.CLEAR: frozenset({"coordinator", "therapist", "medical_monitor"}),
    Permission.DECIDE_ELIGIBILITY: frozenset({"prescriber"}),
    Permission.REVIEW_AS_PARTNER: frozenset({"partner"}),
    Permission.PREPARE: frozenset({"coordinator", "therapist"}),
    Permission.DECIDE_ON_PRESSURE: frozenset({"prescriber"}),
    Permission.AUTHORISE_DOSE: frozenset({"prescriber", "medical_monitor"}),
    Permission.RECORD_CARE: frozenset({"therapist", "prescriber", "medical_monitor"}),
    Permission.ACCOUNT_FOR_SUPPLY: frozenset({"coordinator", "therapist", "prescriber", "medical_monitor"}),
    Permission.INTEGRATE: frozenset({"coordinator", "therapist"}),
    Permission.MANAGE_PARTNERS: frozenset({"admin"}),
    Permission.ADOPT_POLICY: frozenset({"medical_director"}),
    Permission.RECALL_LOT: frozenset({"prescriber", "medical_monitor", "admin"}),
    Permission.EXPLAIN: frozenset({"medical_director", "auditor"}),
    Permission.QUERY_LEDGER: frozenset({"auditor"}),
    Permission.READ_PROGRESS: frozenset({"auditor", "admin"}),
    Permission.OPERATE: frozenset({"admin"}),
    Permission.ACKNOWLEDGE: frozenset({"coordinator", "therapist", "prescriber", "medical_monitor"}),
    Permission.READ_ALERTS: frozenset({"coordinator", "therapist", "prescriber", "medical_monitor", "admin"}),
    Permission.READ_OUTCOMES: frozenset({"coordinator"}),
    Permission.READ_NETWORK_OUTCOMES: frozenset({"medical_director", "auditor"}),
    Permission.OPEN_EMERGENCY_ACCESS: frozenset({"therapist", "prescriber", "medical_monitor"}),
    Permission.REVIEW_EMERGENCY_ACCESS: frozenset({"medical_monitor"}),
}
"""Which roles hold which permission. A therapist cannot prescribe, a prescriber does not do the therapy."""

NETWORK_WIDE: frozenset[Permission] = frozenset(
    {
        Permission.MANAGE_PARTNERS,
        Permission.ADOPT_POLICY,
        Permission.RECALL_LOT,
        Permission.EXPLAIN,
        Permission.QUERY_LEDGER,
        Permission.READ_PROGRESS,
        Permission.OPERATE,
        Permission.READ_NETWORK_OUTCOMES,
        Permission.OPEN_EMERGENCY_ACCESS,
    }
)
"""Permissions that name no clinic."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who an access token speaks for; `subject` is an opaque id."""

    issuer: str
    subject: str
    roles: frozenset[str]
    clinics: frozenset[str]
    organisation: str | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """What is asked about: the clinic a case belongs to, the partner it is assigned to, if any, and to whom it is open in an emergency."""

    clinic: str | None
    partner: str | None = None
    emergency: frozenset[str] = frozenset()


class Verdict(StrEnum):
    """`hidden` answers 404: what is not yours does not exist for you. `emergency`: allowed, by an emergency access alone (R-32)."""

    ALLOWED = "allowed"
    EMERGENCY = "emergency"
    FORBIDDEN = "forbidden"
    HIDDEN = "hidden"


def decide(principal: Principal, permission: Permission, resource: Resource | None = None) -> Verdict:
    """Decide whether the principal may do this to the resource (None: before it is known which)."""
    if not principal.roles & ALLOWED[permission]:
        return Verdict.FORBIDDEN
    if resource is None or permission in NETWORK_WIDE:
        return Verdict.ALLOWED
    if permission is Permission.REVIEW_AS_PARTNER:
        assigned = principal.organisation is not None and principal.organisation == resource.partner
        return Verdict.ALLOWED if assigned else Verdict.HIDDEN
    if resource.clinic in principal.clinics:
        return Verdict.ALLOWED
    if permission is Permission.READ_CASE and principal.subject in resource.emergency:
        return Verdict.EMERGENCY
    return Verdict.HIDDEN
