"""R-15: what may be prescribed under an approval, on both sides of each limit (21 CFR 1306.22(a))."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from services.prescriber.domain.decide import decide_in_house
from services.prescriber.domain.prescribe import IssuePrescription
from services.prescriber.domain.review import opening
from services.prescriber.domain.state import Case
from shared.events import intake
from shared.events.base import EventData
from shared.events.prescriber import StepRefused
from shared.events.supply import PrescriptionIssued
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from tests.unit.prescriber.given import NOW, POLICY, context, decision, in_review, nobody, rules, screened, told
from tests.unit.prescriber.moved import approved, issue, last, policy, prescribed, prescription, read

TWELVE = approved(doses=12)


def outcome(case: Case | None = None, at: Context | None = None, **changed: Any) -> list[str]:
    """The rules that refuse; none if the prescription is recorded and nothing else."""
    events = issue(case or TWELVE, at, **changed)
    return [] if [type(event) for event in events] == [PrescriptionIssued] else rules(events)


def test_r15_a_prescription_under_the_approval_is_recorded() -> None:
    (issued,) = issue(TWELVE, refills=5)
    assert issued == PrescriptionIssued(
        prescription=context().new_id("prescription"),
        request=1,
        route="sublingual",
        milligrams_per_dose=Decimal(100),
        doses=2,
        refills=5,
        issued_on=date(2026, 3, 2),
        issued_by="prescriber-7",
        policy_version=POLICY.version,
    )
    case = told(TWELVE, [issued])
    # 100 mg x 2 doses x (1 + 5 refills)
    assert case.supply.balance.prescribed == Decimal(1200)
    assert (case.status, case.supply.deadlines) == ("approved", {})


def test_who_signed_may_be_another_than_who_records() -> None:
    (issued,) = issue(TWELVE, issued_by="dr-partner-9")
    assert isinstance(issued, PrescriptionIssued)
    assert issued.issued_by == "dr-partner-9"


@pytest.mark.parametrize(("refills", "refused"), [(0, []), (4, []), (5, []), (6, ["R-15"])])
def test_r15_at_most_five_refills(refills: int, refused: list[str]) -> None:
    assert outcome(doses=1, refills=refills) == refused


def test_r15_a_policy_may_allow_fewer_refills_but_never_more_than_the_law() -> None:
    assert outcome(at=context(policy=policy(refills_at_most=1)), doses=1, refills=1) == []
    assert outcome(at=context(policy=policy(refills_at_most=1)), doses=1, refills=2) == ["R-15"]
    assert outcome(at=context(policy=policy(refills_at_most=9)), doses=1, refills=6) == ["R-15"]


@pytest.mark.parametrize(
    ("doses", "refills", "refused"), [(12, 0, []), (13, 0, ["R-15"]), (2, 5, []), (3, 3, []), (3, 4, ["R-15"]), (4, 3, ["R-15"])]
)
def test_r15_with_its_refills_no_more_doses_than_approved(doses: int, refills: int, refused: list[str]) -> None:
    assert outcome(doses=doses, refills=refills) == refused


def test_r15_all_prescriptions_on_an_approval_share_its_doses() -> None:
    case = prescribed(TWELVE, doses=5, refills=1)
    at = context(seed="event:urn:kapcare:intake/e2")
    assert outcome(case, at, doses=2) == []
    assert outcome(case, at, doses=3) == ["R-15"]


@pytest.mark.parametrize(("dose", "refused"), [("99.99", ["R-15"]), ("100", []), ("200", []), ("200.01", ["R-15"])])
def test_r15_within_the_dose_band(dose: str, refused: list[str]) -> None:
    assert outcome(milligrams_per_dose=dose) == refused


def test_r15_by_the_approved_route_only() -> None:
    assert outcome(route="intramuscular") == ["R-15"]


def declined() -> Case:
    case = told(TWELVE, opening(nobody)(TWELVE, screened(), context()))
    return told(case, decide_in_house(case, decision("ineligible", request=2), context()))


@pytest.mark.parametrize("case", [Case(), in_review(), declined()])
def test_r15_without_an_approval_in_force(case: Case) -> None:
    consented = told(case, [intake.ConsentGiven(version="c", scopes=("treatment",), given_at=NOW)])
    assert outcome(consented) == ["R-15"]


@pytest.mark.parametrize(("late", "refused"), [(-1, []), (0, ["R-15"])])
def test_r15_an_expired_approval_is_none(late: int, refused: list[str]) -> None:
    case = approved(doses=12, expires_at=NOW + timedelta(days=60))
    assert outcome(case, context(now=NOW + timedelta(days=60, seconds=late))) == refused


@pytest.mark.parametrize(("issued_on", "refused"), [("2026-03-01", ["R-15"]), ("2026-03-02", []), ("2026-03-03", [])])
def test_r15_not_issued_before_its_approval(issued_on: str, refused: list[str]) -> None:
    assert outcome(at=context(now=NOW + timedelta(days=1)), issued_on=issued_on) == refused


def test_the_day_of_the_approval_is_the_clinics() -> None:
    # 2026-03-03 03:00 UTC is 2026-03-02 22:00 in New York.
    case = approved(now=datetime(2026, 3, 3, 3, tzinfo=UTC))
    assert outcome(case, context(now=datetime(2026, 3, 3, 4, tzinfo=UTC)), issued_on="2026-03-02") == []


HOLD = intake.SafetyHoldPlaced(hold="hold-1", reason="adverse_event", placed_at=NOW)


@pytest.mark.parametrize(
    ("stop", "rule", "because"),
    [(HOLD, "R-10", "safety-hold"), (intake.ConsentWithdrawn(withdrawn_at=NOW, said_to="intake"), "R-20", "consent-withdrawn")],
)
def test_r10_r20_a_stop_refuses_prescribing(stop: EventData, rule: str, because: str) -> None:
    assert outcome(told(TWELVE, [stop])) == [rule]
    assert [event.facts for event in issue(told(TWELVE, [stop])) if isinstance(event, StepRefused)] == [{"because": because}]


def test_every_limit_is_named_and_the_refusal_changes_nothing() -> None:
    events = issue(TWELVE, refills=6, doses=12, milligrams_per_dose="500", route="intravenous")
    assert rules(events) == ["R-15"] * 4
    assert all(isinstance(event, StepRefused) and event.step == "issue-prescription" and event.facts for event in events)
    assert told(TWELVE, events) == TWELVE


@pytest.mark.parametrize(
    ("now", "issued_on", "slug"),
    [
        # 23:59 of 2 March in New York, though 3 March by UTC; and a minute later.
        (datetime(2026, 3, 3, 4, 59, tzinfo=UTC), "2026-03-03", "time-in-the-future"),
        (datetime(2026, 3, 3, 5, 0, tzinfo=UTC), "2026-03-03", None),
        (NOW, "1999-12-31", "out-of-range"),
        (NOW, "0001-01-01", "out-of-range"),
        (NOW, "9999-12-31", "time-in-the-future"),
    ],
)
def test_r15_a_day_that_cannot_have_been_at_the_clinic(now: datetime, issued_on: str, slug: str | None) -> None:
    if slug is None:
        assert outcome(at=context(now=now), issued_on=issued_on) == []
        return
    with pytest.raises(Refusal) as reason:
        issue(TWELVE, context(now=now), issued_on=issued_on)
    assert (reason.value.slug, reason.value.rule) == (slug, "R-15")


@pytest.mark.parametrize(
    "changed",
    [
        {"milligrams_per_dose": "0"},
        {"milligrams_per_dose": "-1"},
        {"milligrams_per_dose": "0.001"},
        {"milligrams_per_dose": "100000"},
        {"milligrams_per_dose": "NaN"},
        {"milligrams_per_dose": "Infinity"},
        {"milligrams_per_dose": float("nan")},
        {"milligrams_per_dose": True},
        {"doses": 0},
        {"doses": -1},
        {"doses": 1.5},
        {"refills": -1},
        {"refills": 101},
        {"issued_on": "2026-02-29"},
        {"issued_on": "2026-13-01"},
        {"issued_on": "yesterday"},
        {"issued_on": 20260302},
        {"issued_on": None},
        {"issued_by": ""},
        {"route": "oral"},
        {"prescription": "mine"},
    ],
)
def test_malformed_prescriptions(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(IssuePrescription, prescription(**changed))


def test_each_prescription_has_an_id_of_its_own() -> None:
    first = prescribed(TWELVE)
    second = prescribed(first, context(seed="event:urn:kapcare:intake/e2"))
    assert last(first) != last(second)
