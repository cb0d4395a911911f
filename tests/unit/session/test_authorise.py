"""What allows a dose. Each expectation is the rule as domain.md 5c states it; numbers in brackets there come from the policy.

The plan is sublingual, 100 to 300 mg and 5 mg/kg at most; the patient weighs 70 kg; the policy is the shipped one.
"""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any

import pytest

from shared.events.base import EventData
from shared.events.clinical import Route, TreatmentPlan
from shared.events.session import DosingAuthorised
from shared.pathway.policy import Policy
from shared.pathway.refusal import Refusal
from tests.unit.session.gate_model import CLINIC_TIME
from tests.unit.session.room import (
    PLAN,
    POLICY,
    T0,
    Room,
    approval,
    approved_room,
    checked_room,
    consent,
    decline,
    dosed_room,
    finish_session,
    hold,
    plan,
    policy,
    policy_on,
    rules,
    run_session,
    with_limits,
    withdrawal,
)

INTRAVENOUS = plan(route="intravenous", dose_mg_low=Decimal(1), dose_mg_high=Decimal(500), mg_per_kg_high=Decimal(10))
INTRAMUSCULAR = plan(route="intramuscular", dose_mg_low=Decimal(1), dose_mg_high=Decimal(500), mg_per_kg_high=Decimal(10))
ESKETAMINE = plan(route="intranasal_esketamine", dose_mg_low=Decimal(28), dose_mg_high=Decimal(84), mg_per_kg_high=Decimal(5))


def authorised(events: list[EventData]) -> DosingAuthorised:
    (event,) = events
    assert isinstance(event, DosingAuthorised), event
    return event


def expect(decided: list[EventData], allowed: bool, refusal: tuple[str, str]) -> None:
    """Either the dose is authorised, or this one rule refuses."""
    if allowed:
        authorised(decided)
    else:
        assert rules(decided) == {refusal}


def decide(dose_mg: str, approved: TreatmentPlan = PLAN, in_force: Policy = POLICY, **checks: Any) -> list[EventData]:
    return checked_room(approved, in_force, **checks).authorise(dose_mg)


def test_a_dose_that_everything_allows_is_authorised() -> None:
    permission = authorised(decide("200"))
    assert permission.dose_mg == 200
    assert permission.mg_per_kg == Decimal("2.86")  # 200 / 70
    assert permission.warnings == ()
    assert permission.policy_version == POLICY.version
    assert permission.authorised_at == T0


# stops


def test_r10_a_safety_hold_refuses_a_dose() -> None:
    room = checked_room()
    room.hear(hold())
    assert ("R-10", "safety-hold") in rules(room.authorise())


def test_r20_withdrawn_consent_refuses_a_dose() -> None:
    room = checked_room()
    room.hear(withdrawal())
    assert rules(room.authorise()) == {("R-20", "consent-withdrawn")}


def test_r20_unknown_consent_refuses_a_dose() -> None:
    room = Room()
    room.dose(session=None)  # the only way to a session without an approval
    assert ("R-20", "consent-missing") in rules(room.authorise("50", booster=True))


# approval


def test_r14_no_approval_refuses_a_dose() -> None:
    room = Room()
    room.hear(consent())
    room.dose(session=None)
    assert ("R-14", "not-approved") in rules(room.authorise("50", booster=True))


def test_r14_a_later_decline_refuses_a_dose() -> None:
    room = checked_room()
    room.hear(decline())
    assert rules(room.authorise()) == {("R-14", "not-approved")}


@pytest.mark.parametrize(("before_expiry", "allowed"), [(timedelta(seconds=1), True), (timedelta(0), False)])
def test_r15_a_plan_allows_until_it_expires(before_expiry: timedelta, allowed: bool) -> None:
    room = checked_room(plan(expires_at=T0 + timedelta(hours=2)))
    room.now = T0 + timedelta(hours=2) - before_expiry
    decided = room.authorise()
    expect(decided, allowed, ("R-15", "plan-expired"))


def test_r17_a_session_beyond_the_plans_doses_refuses_a_dose() -> None:
    room = approved_room(plan(doses=1))
    room.prepare()
    room.schedule()
    room.dose(session=None)  # nobody had scheduled it: it uses the plan's only dose
    finish_session(room, session=2)
    room.check()
    assert ("R-17", "doses-used-up") in rules(room.authorise())


def test_r27_too_long_since_the_last_dose_refuses_a_dose_that_was_scheduled_in_time() -> None:
    room = dosed_room(plan(expires_at=T0 + timedelta(days=180)))
    finish_session(room)
    room.schedule(T0 + timedelta(weeks=12))
    room.now = T0 + timedelta(weeks=12)
    room.check(2)
    authorised(room.authorise(session=2))
    room.later(seconds=1)
    assert rules(room.authorise(session=2)) == {("R-27", "reclearance-needed")}


@pytest.mark.parametrize("psychoeducation", [None, False])
def test_a_dose_needs_preparation_with_psychoeducation(psychoeducation: bool | None) -> None:
    room = approved_room()
    if psychoeducation is not None:
        room.prepare(psychoeducation=psychoeducation)
    room.schedule()
    room.check()
    assert rules(room.authorise()) == {("preparation", "not-prepared")}


# checks and blood pressure


def test_r19_no_checks_no_dose() -> None:
    room = approved_room()
    room.prepare()
    room.schedule()
    assert rules(room.authorise()) == {("R-19", "no-checks")}


def test_r19_checks_of_another_day_allow_no_dose() -> None:
    room = checked_room(policy=policy(checks_valid_minutes=24 * 60))
    room.now = datetime(2026, 3, 2, 23, 59, tzinfo=CLINIC_TIME)
    authorised(room.authorise())
    room.now = datetime(2026, 3, 3, 0, 0, tzinfo=CLINIC_TIME)
    assert rules(room.authorise()) == {("R-19", "no-checks")}


def test_r19_checks_of_the_morning_allow_no_dose_in_the_evening() -> None:
    room = checked_room()
    room.later(minutes=240)
    authorised(room.authorise())
    room.later(seconds=1)
    assert rules(room.authorise()) == {("R-19", "checks-too-old")}


@pytest.mark.parametrize("stated_in", [UTC, CLINIC_TIME, timezone(timedelta(hours=-8))])
def test_r19_the_day_is_the_clinics_in_whatever_zone_its_times_are_stated(stated_in: tzinfo) -> None:
    room = approved_room()
    room.prepare()
    room.now = datetime(2026, 3, 2, 18, 50, tzinfo=CLINIC_TIME).astimezone(stated_in)
    room.schedule()
    room.check()
    room.now = datetime(2026, 3, 2, 19, 10, tzinfo=CLINIC_TIME).astimezone(UTC)  # already 3 March in UTC
    authorised(room.authorise())


@pytest.mark.parametrize(
    ("pressure", "held"), [((140, 90), False), ((141, 90), True), ((140, 91), True), ((141, 91), True), ((110, 70), False)]
)
def test_r19_either_number_above_the_patients_limit_holds_the_dose(pressure: tuple[int, int], held: bool) -> None:
    decided = decide("200", pressure=pressure)
    expect(decided, not held, ("R-19", "pressure-above-limit"))


@pytest.mark.parametrize(("pressure", "held"), [((150, 95), False), ((151, 95), True), ((150, 96), True)])
def test_r19_the_limit_is_the_one_the_prescriber_sent(pressure: tuple[int, int], held: bool) -> None:
    decided = decide("200", with_limits(150, 95), pressure=pressure)
    expect(decided, not held, ("R-19", "pressure-above-limit"))


def test_r19_the_last_pressure_counts_not_the_best() -> None:
    room = checked_room()
    room.later(minutes=5)
    room.vitals(pressure=(150, 80))
    assert rules(room.authorise()) == {("R-19", "pressure-above-limit")}
    room.later(minutes=5)
    room.check(pressure=(138, 80))
    authorised(room.authorise())


# the room


@pytest.mark.parametrize(
    ("missing", "because"),
    [
        ({"consent_reaffirmed": False}, "consent-not-reaffirmed"),
        ({"consent_version": "consent-0"}, "consent-version"),
        ({"monitor": None}, "no-monitor"),
        ({"escort_named": False}, "no-escort"),
    ],
)
def test_r20_each_of_the_room_is_needed(missing: dict[str, Any], because: str) -> None:
    assert rules(decide("200", **missing)) == {("R-20", because)}


def test_r20_a_newer_consent_form_must_be_the_one_reaffirmed() -> None:
    room = checked_room()
    room.hear(consent(version="consent-2", given_at=T0))
    assert rules(room.authorise()) == {("R-20", "consent-version")}
    room.check(consent_version="consent-2")
    authorised(room.authorise())


@pytest.mark.parametrize(("approved", "dose_mg", "allowed"), [(ESKETAMINE, "56", False), (PLAN, "200", True), (INTRAMUSCULAR, "50", True)])
def test_r20_fasting_is_asked_for_esketamine_only(approved: TreatmentPlan, dose_mg: str, allowed: bool) -> None:
    decided = decide(dose_mg, approved, fasting=False)
    expect(decided, allowed, ("R-20", "not-fasting"))


def test_every_rule_that_objects_is_recorded() -> None:
    decided = decide("400", escort_named=False, monitor=None, pressure=(160, 100))
    assert rules(decided) == {
        ("R-18", "outside-plan"),
        ("R-18", "above-plan-per-kilogram"),
        ("R-19", "pressure-above-limit"),
        ("R-20", "no-escort"),
        ("R-20", "no-monitor"),
    }


# weight and dose


@pytest.mark.parametrize(("age", "allowed"), [(timedelta(days=30), True), (timedelta(days=30, seconds=1), False)])
def test_r18_a_weight_older_than_thirty_days_blocks(age: timedelta, allowed: bool) -> None:
    decided = decide("200", weighed_at=T0 - age)
    expect(decided, allowed, ("R-18", "weight-too-old"))


@pytest.mark.parametrize(("dose_mg", "allowed"), [("99.99", False), ("100", True), ("300", True), ("300.01", False)])
def test_r18_the_dose_lies_inside_the_plans_band(dose_mg: str, allowed: bool) -> None:
    decided = decide(dose_mg)
    expect(decided, allowed, ("R-18", "outside-plan"))


@pytest.mark.parametrize(("weight_kg", "allowed"), [("50", True), ("49.99", False)])
def test_r18_the_dose_is_at_most_the_plans_milligrams_per_kilogram(weight_kg: str, allowed: bool) -> None:
    decided = decide("250", weight_kg=Decimal(weight_kg))  # 5 mg/kg x 50 kg = 250 mg
    expect(decided, allowed, ("R-18", "above-plan-per-kilogram"))


@pytest.mark.parametrize("approved", [INTRAVENOUS, INTRAMUSCULAR])
@pytest.mark.parametrize(("dose_mg", "allowed"), [("140", True), ("140.01", False)])
def test_r18_an_injection_above_two_milligrams_per_kilogram_blocks(approved: TreatmentPlan, dose_mg: str, allowed: bool) -> None:
    decided = decide(dose_mg, approved)  # 2.0 mg/kg x 70 kg = 140 mg
    expect(decided, allowed, ("R-18", "anaesthetic-range"))


def test_r18_a_lozenge_may_exceed_two_milligrams_per_kilogram() -> None:
    authorised(decide("200"))  # 2.86 mg/kg swallowed or held in the mouth is no injection


@pytest.mark.parametrize(("dose_mg", "allowed"), [("28", False), ("55.99", False), ("56", True), ("84", True), ("70", False)])
def test_r18_esketamine_is_given_in_its_own_doses(dose_mg: str, allowed: bool) -> None:
    decided = decide(dose_mg, ESKETAMINE)
    expect(decided, allowed, ("R-18", "not-an-esketamine-dose"))


def test_r18_twenty_eight_milligrams_of_esketamine_where_the_policy_says_so() -> None:
    authorised(decide("28", ESKETAMINE, policy(esketamine_doses_mg=(28, 56, 84))))


@pytest.mark.parametrize(
    ("dose_mg", "warning"),
    [("13.99", "intravenous-below-usual"), ("14", None), ("70", None), ("70.01", "intravenous-above-usual")],
)
def test_r18_an_infusion_outside_its_usual_range_warns(dose_mg: str, warning: str | None) -> None:
    # 0.2 and 1.0 mg/kg x 70 kg = 14 and 70 mg
    assert authorised(decide(dose_mg, INTRAVENOUS)).warnings == (() if warning is None else (warning,))


def test_r18_the_usual_range_of_infusions_is_not_that_of_other_injections() -> None:
    assert authorised(decide("100", INTRAMUSCULAR)).warnings == ()


@pytest.mark.parametrize(("dose_mg", "warned"), [("450", False), ("450.01", True)])
def test_r18_a_lozenge_above_four_hundred_and_fifty_milligrams_warns(dose_mg: str, warned: bool) -> None:
    generous = plan(dose_mg_high=Decimal(600), mg_per_kg_high=Decimal(10))
    assert ("sublingual-above-usual" in authorised(decide(dose_mg, generous)).warnings) is warned


# Boosters


@pytest.mark.parametrize(("dose_mg", "allowed"), [("100", True), ("100.01", False)])
def test_r18_a_booster_stays_with_the_dose_before_it_inside_the_plan(dose_mg: str, allowed: bool) -> None:
    room = dosed_room()  # 200 of at most 300 mg
    room.later(minutes=15)
    decided = room.authorise(dose_mg, booster=True)
    expect(decided, allowed, ("R-18", "outside-plan"))


def test_r22_no_booster_after_an_emergency() -> None:
    room = dosed_room()
    room.later(minutes=15)
    room.vitals(sedation=0)
    assert rules(room.authorise("50", booster=True)) == {("R-22", "emergency")}


def test_r19_no_booster_on_a_pressure_above_the_limit() -> None:
    room = dosed_room()
    room.later(minutes=15)
    room.vitals(pressure=(150, 85))
    assert rules(room.authorise("50", booster=True)) == {("R-19", "pressure-above-limit")}


@pytest.mark.parametrize(("booster", "dosed", "slug"), [(True, False, "not-dosed"), (False, True, "already-dosed")])
def test_a_booster_follows_a_dose_and_only_a_booster_does(booster: bool, dosed: bool, slug: str) -> None:
    room = dosed_room() if dosed else checked_room()
    with pytest.raises(Refusal) as refused:
        room.authorise("50", booster=booster)
    assert refused.value.slug == slug


def test_r23_no_dose_while_the_patient_is_under_another() -> None:
    room = checked_room()
    room.dose(session=None)
    assert ("R-23", "another-session-running") in rules(room.authorise())


@pytest.mark.parametrize("session", [1, 9])
def test_no_dose_in_a_session_that_is_closed_or_never_was(session: int) -> None:
    room = dosed_room()
    finish_session(room)
    with pytest.raises(Refusal) as refused:
        room.authorise(session=session)
    assert refused.value.slug == ("session-closed" if session == 1 else "no-such-session")


def test_a_refusal_names_the_policy_and_the_facts_it_was_decided_on() -> None:
    (refused,) = decide("200", pressure=(150, 80))
    facts = refused.model_dump()
    assert facts["policy_version"] == POLICY.version
    assert facts["facts"] == {"because": "pressure-above-limit", "pressure": "150/80", "hold_above": "140/90"}


def test_an_approval_after_the_plan_was_used_up_allows_again() -> None:
    room = approved_room()
    room.prepare()
    run_session(room, 1)
    run_session(room, 2)
    room.hear(approval(request=2))
    room.schedule()
    room.check(3)
    authorised(room.authorise(session=3))


@pytest.mark.parametrize(("route", "warned"), [("sublingual", True), ("intramuscular", False)])
def test_r18_a_policy_of_the_route_counts_for_its_doses_only(route: Route, warned: bool) -> None:
    room = checked_room()
    room.policy = policy_on(route, sublingual_warn_above_mg=150)
    (authorised,) = room.authorise("200")
    assert isinstance(authorised, DosingAuthorised)
    assert ("sublingual-above-usual" in authorised.warnings) == warned


def test_r18_the_age_of_a_weight_is_that_of_the_route() -> None:
    room = checked_room(weighed_at=T0 - timedelta(days=10))
    room.policy = policy_on("sublingual", weight_valid_days=7)
    assert rules(room.authorise("200")) == {("R-18", "weight-too-old")}
