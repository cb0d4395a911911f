"""The one access decision. Expectations: deny unless a row allows; another clinic's case does not exist; the table below was written
from the care pathway (who refers, prescribes, doses, integrates, audits), not from the code (design, section 6)."""

from itertools import chain, combinations

from hypothesis import given
from hypothesis import strategies as st

from shared.access.decide import NETWORK_WIDE, ROLES, Permission, Principal, Resource, Verdict, decide

MAY = {
    "coordinator": "refer screen transfer consent stop read_case clear prepare account_for_supply integrate acknowledge read_alerts "
    "read_outcomes",
    "therapist": "refer screen consent stop read_case clear prepare record_care account_for_supply integrate acknowledge read_alerts"
    " open_emergency_access",
    "prescriber": "stop lift_hold read_case decide_eligibility decide_on_pressure authorise_dose record_care account_for_supply acknowledge"
    " read_alerts recall_lot open_emergency_access",
    "medical_monitor": "screen stop lift_hold read_case clear authorise_dose record_care account_for_supply acknowledge read_alerts"
    " recall_lot open_emergency_access review_emergency_access",
    "medical_director": "adopt_policy explain read_network_outcomes",
    "auditor": "explain query_ledger read_progress read_network_outcomes",
    "admin": "manage_partners read_progress operate read_alerts recall_lot",
    "partner": "review_as_partner",
}
HERE, ELSEWHERE = Resource("riverside"), Resource("hillside")
ASSIGNED = (Resource("riverside", "lakeside"), Resource("hillside", "lakeside"))
NOBODYS = Resource(None)
LAKESIDES = Resource(None, "lakeside")
"""What belongs to an organisation and no clinic: its endpoints, what it was sent."""


def principal(*roles: str, clinics: frozenset[str] = frozenset({"riverside"}), organisation: str | None = None) -> Principal:
    return Principal("issuer", "subject", frozenset(roles), clinics, organisation)


def test_every_cell_of_role_permission_and_resource() -> None:
    cells = 0
    for role in ROLES:
        for permission in Permission:
            may = permission.value in MAY[role].split()
            for resource in (
                None,
                HERE,
                ELSEWHERE,
                NOBODYS,
                Resource("riverside", "lakeside"),
                Resource("hillside", "lakeside"),
                LAKESIDES,
            ):
                verdict = decide(principal(role), permission, resource)
                if not may:
                    expected = Verdict.FORBIDDEN
                elif resource is None or permission in NETWORK_WIDE:
                    expected = Verdict.ALLOWED
                elif role == "partner":
                    expected = Verdict.HIDDEN  # it belongs to no organisation
                else:
                    expected = Verdict.ALLOWED if resource.clinic == "riverside" else Verdict.HIDDEN
                assert verdict is expected, (role, permission, resource)
                cells += 1
    assert cells == len(ROLES) * len(Permission) * 7


def test_two_roles_may_what_either_may_and_no_more() -> None:
    for one, other in combinations(ROLES, 2):
        for permission in Permission:
            either = permission.value in f"{MAY[one]} {MAY[other]}".split()
            assert (decide(principal(one, other), permission) is Verdict.ALLOWED) is either


def test_no_one_role_prescribes_and_does_the_therapy() -> None:
    for role in ROLES:
        may = set(MAY[role].split())
        assert not {"decide_eligibility", "integrate"} <= may
        assert not {"decide_eligibility", "consent"} <= may
        assert not {"operate", "read_case"} <= may  # who runs the machines reads no cases
        assert not {"query_ledger", "operate"} <= may
        assert not {"adopt_policy", "decide_eligibility"} <= may  # who sets the thresholds decides no case
        assert not {"operate", "acknowledge"} <= may  # an alert is taken on by someone who can act for the patient


def test_a_partner_sees_the_cases_assigned_to_it_wherever_they_are_and_no_others() -> None:
    lakeside = principal("partner", clinics=frozenset(), organisation="lakeside")
    assert decide(lakeside, Permission.REVIEW_AS_PARTNER, Resource("hillside", "lakeside")) is Verdict.ALLOWED
    for resource in (Resource("hillside", "other"), Resource("riverside"), Resource(None)):
        assert decide(lakeside, Permission.REVIEW_AS_PARTNER, resource) is Verdict.HIDDEN
    assert decide(principal("partner"), Permission.REVIEW_AS_PARTNER, Resource("riverside", None)) is Verdict.HIDDEN


def test_what_belongs_to_an_organisation_is_there_for_its_members_with_the_one_permission_and_for_nobody_else() -> None:
    for role in ROLES:
        for organisation in (None, "", "lakeside", "Lakeside", "lakeside ", "other"):
            for permission in set(Permission) - NETWORK_WIDE:
                member = principal(role, clinics=frozenset({"riverside", "lakeside", "None", ""}), organisation=organisation)
                verdict = decide(member, permission, LAKESIDES)
                if permission.value not in MAY[role].split():
                    assert verdict is Verdict.FORBIDDEN
                else:
                    own = permission is Permission.REVIEW_AS_PARTNER and organisation == "lakeside"
                    assert verdict is (Verdict.ALLOWED if own else Verdict.HIDDEN), (role, organisation, permission)


def test_an_organisation_gives_nothing_without_the_role() -> None:
    for role in set(ROLES) - {"partner"}:
        member = principal(role, organisation="lakeside")
        assert decide(member, Permission.REVIEW_AS_PARTNER, Resource("riverside", "lakeside")) is Verdict.FORBIDDEN


def test_unknown_roles_and_no_roles_are_nothing() -> None:
    for roles in ((), ("root",), ("ADMIN",), ("coordinator ",), ("*",)):
        assert all(decide(principal(*roles), permission) is Verdict.FORBIDDEN for permission in Permission)


def test_no_clinic_is_no_wildcard() -> None:
    nowhere = principal(*ROLES, clinics=frozenset())
    for permission in set(Permission) - NETWORK_WIDE - {Permission.REVIEW_AS_PARTNER}:
        for resource in (HERE, NOBODYS, Resource("")):
            assert decide(nowhere, permission, resource) is Verdict.HIDDEN


@given(
    roles=st.frozensets(st.sampled_from([*chain(ROLES), "unknown"])),
    permission=st.sampled_from(list(Permission)),
    clinics=st.frozensets(st.sampled_from(["riverside", "hillside", ""])),
    organisation=st.sampled_from([None, "lakeside"]),
    clinic=st.sampled_from(["riverside", "hillside", "", None]),
    partner=st.sampled_from([None, "lakeside", "other"]),
)
def test_nothing_is_allowed_without_a_role_and_a_relation(
    roles: frozenset[str],
    permission: Permission,
    clinics: frozenset[str],
    organisation: str | None,
    clinic: str | None,
    partner: str | None,
) -> None:
    someone = Principal("issuer", "subject", roles, clinics, organisation)
    if decide(someone, permission, Resource(clinic, partner)) is Verdict.ALLOWED:
        assert any(permission.value in MAY[role].split() for role in roles if role in MAY)
        assigned = permission is Permission.REVIEW_AS_PARTNER and organisation == partner == "lakeside"
        assert assigned or permission in NETWORK_WIDE or clinic in clinics
