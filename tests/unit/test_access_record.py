"""What of a request is recorded, and for which purpose. Expectations: reliability of audit logs as IHE's Basic Audit Log Patterns have it
(who, what, where from, why, outcome; never what was read), and HL7 v3 PurposeOfUse for the codes."""

import pytest

from shared.access.decide import ALLOWED, Permission, Principal, Resource, Verdict, decide
from shared.access.record import OTHER_PURPOSES, UNRECORDED, Asking, access_event
from shared.events import access
from shared.events.base import EventData

SOMEONE = Principal("issuer", "therapist-1", frozenset({"therapist"}), frozenset({"riverside"}))


def asking(permission: Permission | None = Permission.READ_CASE, **changes: object) -> Asking:
    made = Asking(principal=SOMEONE, permission=permission)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("known", "status", "expected"),
    [
        (asking(), 200, access.RecordRead),
        (asking(), 299, access.RecordRead),
        (asking(), 401, access.LoginFailed),
        (Asking(), 401, access.LoginFailed),
        (asking(), 403, access.AccessRefused),
        (asking(), 404, access.AccessRefused),
        (asking(permission=None), 404, access.AccessRefused),
        (asking(Permission.READ_PROGRESS), 403, access.AccessRefused),
        (asking(token_issued=True), 200, access.TokenIssued),
        (asking(Permission.OPERATE, recorded=True), 202, None),
        (asking(), 429, access.LoginFailed),
        (asking(Permission.OPEN_EMERGENCY_ACCESS), 409, access.AccessRefused),
        (asking(Permission.OPEN_EMERGENCY_ACCESS), 422, access.AccessRefused),
        (asking(Permission.REVIEW_EMERGENCY_ACCESS), 400, access.AccessRefused),
        (asking(Permission.OPEN_EMERGENCY_ACCESS), 503, None),
        (asking(Permission.OPEN_EMERGENCY_ACCESS, committed=True), 200, None),
        (asking(), 400, None),
        (asking(), 409, None),
        (asking(), 412, None),
        (asking(), 422, None),
        (asking(), 503, None),
        (asking(committed=True), 200, None),
        (asking(permission=None), 200, access.RecordRead),
        (asking(permission=None, shared=True), 200, None),
        (asking(Permission.READ_PROGRESS), 200, None),
        (Asking(), 200, None),
        (Asking(), 404, None),
    ],
)
def test_which_event_a_request_is(known: Asking, status: int, expected: type[EventData] | None) -> None:
    event = access_event(known, status)
    assert (None if event is None else type(event)) == expected


def test_every_permission_is_for_something_and_care_is_for_treatment() -> None:
    assert {Asking(permission=permission).purpose for permission in Permission} == {"TREAT", *OTHER_PURPOSES.values()}
    assert asking(Permission.READ_CASE).purpose == "TREAT"
    assert asking(Permission.QUERY_LEDGER).purpose == "HCOMPL"
    assert set(OTHER_PURPOSES) <= set(ALLOWED)
    assert {Permission.READ_PROGRESS} == UNRECORDED


def test_r32_what_an_emergency_lets_in_is_for_emergency_treatment() -> None:
    """ETREAT: domain.md R-32, HL7's example of a break-glass AuditEvent."""
    assert asking(emergency=True).purpose == "ETREAT"
    assert asking(Permission.OPEN_EMERGENCY_ACCESS).purpose == "ETREAT"


@pytest.mark.parametrize("permission", Permission)
def test_r32_an_emergency_opens_reading_and_nothing_else(permission: Permission) -> None:
    everyone = Principal("issuer", "someone", ALLOWED[permission], frozenset({"riverside"}))
    elsewhere = Resource("northgate", emergency=frozenset({"someone"}))
    without = decide(everyone, permission, Resource("northgate"))
    assert decide(everyone, permission, elsewhere) is (Verdict.EMERGENCY if permission is Permission.READ_CASE else without)


def test_r32_an_emergency_is_one_person_s_and_needs_the_role() -> None:
    elsewhere = Resource("northgate", emergency=frozenset({"therapist-1"}))
    assert decide(SOMEONE, Permission.READ_CASE, elsewhere) is Verdict.EMERGENCY
    assert decide(SOMEONE, Permission.READ_CASE, Resource("riverside", emergency=frozenset({"therapist-1"}))) is Verdict.ALLOWED
    other = Principal("issuer", "therapist-2", SOMEONE.roles, SOMEONE.clinics)
    assert decide(other, Permission.READ_CASE, elsewhere) is Verdict.HIDDEN
    admin = Principal("issuer", "therapist-1", frozenset({"admin"}), frozenset())
    assert decide(admin, Permission.READ_CASE, elsewhere) is Verdict.FORBIDDEN


@pytest.mark.parametrize("role", ["coordinator", "medical_director", "auditor", "admin", "partner"])
def test_r32_who_does_not_treat_opens_nothing(role: str) -> None:
    someone = Principal("issuer", "someone", frozenset({role}), frozenset(), "oak")
    assert decide(someone, Permission.OPEN_EMERGENCY_ACCESS, Resource("northgate")) is Verdict.FORBIDDEN
