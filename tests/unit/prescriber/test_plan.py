"""R-15, R-17, R-18: the limits of a plan, on both sides of each."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.prescriber.domain.decide import decide_in_house
from services.prescriber.domain.plan import months_after
from services.prescriber.domain.review import opening
from services.prescriber.domain.state import Case
from shared.events.prescriber import EligibilityApproved, StepRefused
from shared.pathway.policy import Policy
from tests.unit.prescriber.given import NOW, POLICY, context, decision, in_review, nobody, plan, rules, screened, told


def policy(**changed: Any) -> Policy:
    return POLICY.model_copy(update={"values": POLICY.values.model_copy(update=changed)})


def outcome(case: Case | None = None, in_force: Policy = POLICY, now: datetime = NOW, **plan_changed: Any) -> list[str]:
    """The rules that refuse the plan; none if it is approved exactly as it was stated."""
    command = decision(plan_changed=plan_changed)
    events = decide_in_house(case or in_review(), command, context(policy=in_force, now=now))
    if isinstance(events[0], EligibilityApproved):
        assert command.plan is not None
        assert events[0].plan == command.plan.to_event()
        return []
    return rules(events)


def warned(in_force: Policy = POLICY, **plan_changed: Any) -> tuple[str, ...]:
    (approved,) = decide_in_house(in_review(), decision(plan_changed=plan_changed), context(policy=in_force))
    assert isinstance(approved, EligibilityApproved)
    return approved.warnings


@pytest.mark.parametrize(
    ("expires_at", "refused"),
    [
        (NOW - timedelta(seconds=1), True),
        (NOW, True),
        (NOW + timedelta(seconds=1), False),
        (NOW + timedelta(days=90), False),
        (NOW + timedelta(days=90, seconds=1), True),
    ],
)
def test_r15_expiry_within_the_days_the_policy_gives(expires_at: datetime, refused: bool) -> None:
    assert outcome(expires_at=expires_at) == (["R-15"] if refused else [])


@pytest.mark.parametrize(
    ("expires_at", "refused"),
    [(datetime(2026, 9, 2, 9, 0, tzinfo=UTC), False), (datetime(2026, 9, 2, 9, 0, 1, tzinfo=UTC), True)],
)
def test_r15_no_policy_reaches_beyond_six_months(expires_at: datetime, refused: bool) -> None:
    assert outcome(in_force=policy(approval_valid_days=365), expires_at=expires_at) == (["R-15"] if refused else [])


@pytest.mark.parametrize(
    ("moment", "after"),
    [
        (datetime(2026, 8, 31, tzinfo=UTC), datetime(2027, 2, 28, tzinfo=UTC)),
        (datetime(2027, 8, 31, tzinfo=UTC), datetime(2028, 2, 29, tzinfo=UTC)),
        (datetime(2026, 6, 30, tzinfo=UTC), datetime(2026, 12, 30, tzinfo=UTC)),
        (datetime(2026, 7, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_six_months_by_the_calendar(moment: datetime, after: datetime) -> None:
    assert months_after(moment, 6) == after


def test_six_months_are_181_to_184_days() -> None:
    """From each day of nine years around 2100, which is no leap year."""
    for day in range(9 * 365):
        moment = datetime(2096, 1, 1, 23, 59, tzinfo=UTC) + timedelta(days=day)
        assert 181 <= (months_after(moment, 6) - moment).days <= 184, moment


@pytest.mark.parametrize(("low", "high", "refused"), [(100, 100, False), ("100.01", 100, True)])
def test_r18_a_band_runs_upwards(low: Any, high: Any, refused: bool) -> None:
    assert outcome(dose_mg_low=Decimal(low), dose_mg_high=Decimal(high)) == (["R-18"] if refused else [])


@pytest.mark.parametrize(
    ("low", "high", "refused"),
    [(56, 56, False), (56, 84, False), (84, 84, False), (28, 56, True), (56, 85, True), ("56.5", 84, True), (84, 112, True)],
)
def test_r18_esketamine_in_the_doses_of_the_label(low: Any, high: Any, refused: bool) -> None:
    changed: dict[str, Any] = {"route": "intranasal_esketamine", "dose_mg_low": Decimal(low), "dose_mg_high": Decimal(high)}
    assert outcome(**changed) == (["R-18"] if refused else [])


@pytest.mark.parametrize(
    ("route", "low", "high", "refused"),
    [
        ("sublingual", "5", "200", False),
        ("sublingual", "4.99", "200", True),
        ("sublingual", "100", "2000", False),
        ("sublingual", "100", "2000.01", True),
        ("sublingual", "0.1", "0.2", True),
        ("intramuscular", "2", "30", False),
        ("intramuscular", "1.99", "30", True),
    ],
)
def test_r18_a_plan_is_in_milligrams(route: str, low: str, high: str, refused: bool) -> None:
    """Plausible from 5 to 2000 mg under the tongue and from 2 mg into a muscle, by the shipped policy; 0.1 to 0.2 are grams."""
    found = outcome(route=route, dose_mg_low=Decimal(low), dose_mg_high=Decimal(high), mg_per_kg_high=Decimal("1"))
    assert found == (["R-18"] if refused else [])


def test_r18_28_mg_esketamine_where_the_policy_says_so() -> None:
    changed: dict[str, Any] = {"route": "intranasal_esketamine", "dose_mg_low": Decimal(28), "dose_mg_high": Decimal(56)}
    assert outcome(in_force=policy(esketamine_doses_mg=(28, 56, 84)), **changed) == []


@pytest.mark.parametrize("route", ["intravenous", "intramuscular"])
@pytest.mark.parametrize(("per_kilogram", "refused"), [("2.0", False), ("2.01", True)])
def test_r18_injections_stay_below_the_anaesthetic_range(route: str, per_kilogram: str, refused: bool) -> None:
    changed: dict[str, Any] = {
        "route": route,
        "dose_mg_low": Decimal(30),
        "dose_mg_high": Decimal(60),
        "mg_per_kg_high": Decimal(per_kilogram),
    }
    assert outcome(**changed) == (["R-18"] if refused else [])


@pytest.mark.parametrize(("dose", "refused"), [("140", False), ("140.01", True)])
def test_r18_the_milligrams_count_by_the_weight_at_screening(dose: str, refused: bool) -> None:
    changed: dict[str, Any] = {
        "route": "intramuscular",
        "dose_mg_low": Decimal(30),
        "dose_mg_high": Decimal(dose),
        "mg_per_kg_high": Decimal("1.5"),
    }
    assert outcome(in_review(weight_kg=Decimal(70)), **changed) == (["R-18"] if refused else [])
    assert outcome(in_review(weight_kg=None), **changed) == []


def test_r18_swallowed_doses_have_no_injection_limit() -> None:
    assert outcome(mg_per_kg_high=Decimal("5.0")) == []


def test_every_broken_limit_is_recorded_and_nothing_is_trimmed() -> None:
    command = decision(plan_changed={"dose_mg_low": Decimal(300), "expires_at": NOW + timedelta(days=400)})
    events = decide_in_house(in_review(), command, context())
    assert rules(events) == ["R-15", "R-18"]
    assert all(isinstance(event, StepRefused) and event.step == "approve" and event.facts for event in events)


@pytest.mark.parametrize(("doses", "warnings"), [(2, ()), (3, ("first-supply-above-policy",)), (12, ("first-supply-above-policy",))])
def test_r17_a_large_first_supply_is_approved_with_a_warning(doses: int, warnings: tuple[str, ...]) -> None:
    assert warned(doses=doses) == warnings


def next_warned(now: datetime, in_force: Policy = POLICY, *, doses: int = 6, **stated: Any) -> tuple[str, ...]:
    """The warnings of a second approval, after one at NOW."""
    case = told(in_review(), decide_in_house(in_review(), decision(), context()))
    case = told(case, opening(nobody)(case, screened(), context()))
    command = decision(request=2, plan_changed={"doses": doses, "expires_at": now + timedelta(days=30)}, **stated)
    (approved,) = decide_in_house(case, command, context(now=now, policy=in_force))
    assert isinstance(approved, EligibilityApproved)
    assert approved.follow_up_on == command.follow_up_on
    return approved.warnings


MONTH_LATER = NOW + timedelta(days=30)


@pytest.mark.parametrize(("doses", "warnings"), [(6, ()), (7, ("next-supply-above-policy",))])
def test_r17_a_later_supply_may_be_larger_up_to_the_policy(doses: int, warnings: tuple[str, ...]) -> None:
    assert next_warned(MONTH_LATER, doses=doses, follow_up_on="2026-04-01") == warnings


@pytest.mark.parametrize(
    ("follow_up_on", "warnings"),
    [
        (None, ("no-follow-up-visit",)),
        ("2026-03-01", ("no-follow-up-visit",)),  # before the first supply
        ("2026-03-02", ("early-follow-up-visit",)),
        ("2026-03-31", ("early-follow-up-visit",)),
        ("2026-04-01", ()),
        ("2026-04-02", ("no-follow-up-visit",)),  # still to come
    ],
)
def test_r17_the_next_supply_follows_a_visit_about_30_days_later(follow_up_on: str | None, warnings: tuple[str, ...]) -> None:
    assert next_warned(MONTH_LATER, follow_up_on=follow_up_on) == warnings


def test_r17_the_days_are_the_policys() -> None:
    assert next_warned(MONTH_LATER, policy(follow_up_after_days=29), follow_up_on="2026-03-31") == ()
    assert next_warned(MONTH_LATER, policy(next_supply_doses=5), follow_up_on="2026-04-01") == ("next-supply-above-policy",)


def test_r17_the_visit_is_on_the_clinics_day() -> None:
    late_evening = datetime(2026, 4, 2, 2, 0, tzinfo=UTC)  # still 1 April in New York
    assert next_warned(late_evening, follow_up_on="2026-04-01") == ()
    assert next_warned(late_evening, follow_up_on="2026-04-02") == ("no-follow-up-visit",)


def test_r17_a_first_supply_follows_no_visit() -> None:
    assert warned() == ()


@pytest.mark.parametrize(("kind", "more"), [("ineligible", {}), ("needs_clearance", {"items": ["cardiac"]})])
def test_a_follow_up_visit_belongs_to_an_approval(kind: str, more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        decision(kind, follow_up_on="2026-04-01", **more)


@pytest.mark.parametrize(("refills", "refused"), [(0, False), (5, False), (6, True), (99, True)])
@pytest.mark.parametrize("at_most", [5, 9])
def test_r15_at_most_five_refills_whatever_the_policy(refills: int, refused: bool, at_most: int) -> None:
    assert outcome(in_force=policy(refills_at_most=at_most), refills=refills) == (["R-15"] if refused else [])


@pytest.mark.parametrize(("refills", "refused"), [(2, False), (3, True)])
def test_r15_fewer_where_the_policy_says_so(refills: int, refused: bool) -> None:
    assert outcome(in_force=policy(refills_at_most=2), refills=refills) == (["R-15"] if refused else [])


def test_r15_a_plan_that_says_nothing_has_no_refills() -> None:
    assert plan().refills == 0
    assert decision().plan == decision(plan_changed={"refills": 0}).plan


@pytest.mark.parametrize(("dose", "warnings"), [("450", ()), ("450.01", ("sublingual-dose-above-usual",))])
def test_r18_a_high_sublingual_dose_is_approved_with_a_warning(dose: str, warnings: tuple[str, ...]) -> None:
    assert warned(dose_mg_high=Decimal(dose)) == warnings


@pytest.mark.parametrize(
    ("per_kilogram", "warnings"),
    [
        ("0.19", ("intravenous-dose-below-usual",)),
        ("0.2", ()),
        ("1.0", ()),
        ("1.01", ("intravenous-dose-above-usual",)),
        ("2.0", ("intravenous-dose-above-usual",)),
    ],
)
def test_r18_an_unusual_infusion_is_approved_with_a_warning(per_kilogram: str, warnings: tuple[str, ...]) -> None:
    changed: dict[str, Any] = {
        "route": "intravenous",
        "dose_mg_low": Decimal(10),
        "dose_mg_high": Decimal(35),
        "mg_per_kg_high": Decimal(per_kilogram),
    }
    assert warned(**changed) == warnings


def on_route(route: str, **changed: Any) -> Policy:
    """The policy with other values on one route, as a document with overrides gives it."""
    return POLICY.model_copy(update={"by_route": {route: POLICY.values.model_copy(update=changed)}})


SUBLINGUAL: dict[str, Any] = {}
ESKETAMINE: dict[str, Any] = {"route": "intranasal_esketamine", "dose_mg_low": Decimal(28), "dose_mg_high": Decimal(56)}
INFUSION: dict[str, Any] = {
    "route": "intravenous",
    "dose_mg_low": Decimal(10),
    "dose_mg_high": Decimal(35),
    "mg_per_kg_high": Decimal("0.5"),
}
INJECTION: dict[str, Any] = {**INFUSION, "route": "intramuscular"}


@pytest.mark.parametrize(
    ("route", "changed", "plan_changed", "before", "after"),
    [
        ("sublingual", {"approval_valid_days": 30}, SUBLINGUAL, [], ["R-15"]),
        ("sublingual", {"refills_at_most": 0}, {"refills": 1}, [], ["R-15"]),
        ("intranasal_esketamine", {"esketamine_doses_mg": (28, 56, 84)}, ESKETAMINE, ["R-18"], []),
        ("intramuscular", {"parenteral_block_above_mg_per_kg": 0.4}, INJECTION, [], ["R-18"]),
    ],
)
def test_a_routes_own_limits_hold_for_it_and_no_other(
    route: str, changed: dict[str, Any], plan_changed: dict[str, Any], before: list[str], after: list[str]
) -> None:
    other = "intravenous" if route != "intravenous" else "sublingual"
    assert outcome(**plan_changed) == before
    assert outcome(in_force=on_route(route, **changed), **plan_changed) == after
    assert outcome(in_force=on_route(other, **changed), **plan_changed) == before


@pytest.mark.parametrize(
    ("changed", "plan_changed", "warning"),
    [
        ({"first_supply_doses": 1}, SUBLINGUAL, "first-supply-above-policy"),
        ({"sublingual_warn_above_mg": 199}, SUBLINGUAL, "sublingual-dose-above-usual"),
        ({"intravenous_warn_above_mg_per_kg": 0.4}, INFUSION, "intravenous-dose-above-usual"),
        ({"intravenous_warn_below_mg_per_kg": 0.6}, INFUSION, "intravenous-dose-below-usual"),
    ],
)
def test_a_routes_own_warnings(changed: dict[str, Any], plan_changed: dict[str, Any], warning: str) -> None:
    route = plan_changed.get("route", "sublingual")
    assert warned(**plan_changed) == ()
    assert warned(on_route(route, **changed), **plan_changed) == (warning,)
    assert warned(on_route("intramuscular", **changed), **plan_changed) == ()


@given(
    route=st.sampled_from(["intravenous", "intramuscular"]),
    dose=st.decimals(2, 900, places=2),
    per_kilogram=st.decimals("0.01", 9, places=2),
    weight=st.decimals(30, 250, places=2),
)
def test_r18_no_approved_injection_ever_exceeds_the_limit(route: str, dose: Decimal, per_kilogram: Decimal, weight: Decimal) -> None:
    changed: dict[str, Any] = {"route": route, "dose_mg_low": dose, "dose_mg_high": dose, "mg_per_kg_high": per_kilogram}
    approved = outcome(in_review(weight_kg=weight), **changed) == []
    assert approved == (per_kilogram <= 2 and dose / weight <= 2)
