"""What the room must show before a dose, for every route and place. Expectations: R-20 and R-26 as domain.md states them, with
JC9 (the chaperone is there 15 minutes before), MA1 and IA1 (food 2 h, liquids 30 min, nasal spray 1 h), RM1 (enrolled, certified)."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.session.domain.stated import StatedChaperone, StatedGroup, StatedHomeSafety, StatedIntake, StatedMedication
from shared.events.base import EventData
from shared.events.clinical import Route, TreatmentPlan
from shared.events.dosing import LastIntake
from shared.events.session import DosingAuthorised, PreDoseChecked, SessionDosed, SessionScheduled
from shared.pathway.policy import Policy
from shared.pathway.refusal import Refusal
from tests.unit.session.room import PLAN, POLICY, T0, Room, approved_room, checked_room, plan, policy, rules

ESKETAMINE = plan(route="intranasal_esketamine", dose_mg_low=Decimal(56), dose_mg_high=Decimal(84), mg_per_kg_high=Decimal(5))
INTRAMUSCULAR = plan(route="intramuscular", dose_mg_low=Decimal(1), dose_mg_high=Decimal(140), mg_per_kg_high=Decimal(10))
INTRAVENOUS = plan(route="intravenous", dose_mg_low=Decimal(1), dose_mg_high=Decimal(140), mg_per_kg_high=Decimal(10))
DOSE: dict[Route, str] = {"sublingual": "200", "intranasal_esketamine": "56", "intramuscular": "50", "intravenous": "35"}
HOME = StatedHomeSafety(emergency_contact_confirmed=True, address_confirmed=True, kilometres_to_emergency_care=Decimal("4.5"))


def expect(decided: list[EventData], refusals: set[tuple[str, str]]) -> None:
    if refusals:
        assert rules(decided) == refusals
    else:
        assert isinstance(decided[0], DosingAuthorised)


def chaperone(**changes: Any) -> StatedChaperone:
    return StatedChaperone(**{"id": "chaperone-1", "adult": True, "present_since": T0 - timedelta(minutes=15), **changes})


def home_room(approved: TreatmentPlan = PLAN, in_force: Policy = POLICY, **checks: Any) -> Room:
    """A session at home, with everything that it asks for unless a test takes it away."""
    room = approved_room(approved, in_force)
    room.prepare()
    assert isinstance(room.schedule(setting="home")[0], SessionScheduled)
    room.check(**{"monitor": None, "chaperone": chaperone(), "home": HOME, **checks})
    return room


# Adults


@pytest.mark.parametrize(
    ("checks", "because"), [({}, None), ({"monitor_adult": False}, "monitor-not-adult"), ({"monitor": None}, "no-monitor")]
)
def test_r20_who_monitors_is_an_adult(checks: dict[str, Any], because: str | None) -> None:
    expect(checked_room(**checks).authorise(), set() if because is None else {("R-20", because)})


def test_r20_checks_of_an_older_release_that_did_not_ask_for_an_age_or_times_are_still_read() -> None:
    """A bare yes to fasting, and a monitor without a word on their age, were the whole question then."""
    room = checked_room(ESKETAMINE)
    written = room.course.require(1).checks[0].model_dump(mode="json")
    for later in ("monitor_adult", "last_intake", "chaperone", "medications_taken", "home", "group"):
        del written[later]
    room.take([PreDoseChecked.model_validate({**written, "fasting": True})])
    expect(room.authorise("56"), set())
    room.take([PreDoseChecked.model_validate({**written, "fasting": False})])
    expect(room.authorise("56"), {("R-20", "not-fasting")})


# At home


def test_r20_at_home_a_chaperone_stands_for_the_monitor() -> None:
    expect(home_room().authorise(), set())


@pytest.mark.parametrize(
    ("checks", "because"),
    [
        ({"chaperone": None}, {"no-chaperone"}),
        ({"chaperone": None, "monitor": "monitor-1"}, {"no-chaperone"}),
        ({"chaperone": chaperone(adult=False)}, {"chaperone-not-adult"}),
        ({"chaperone": chaperone(present_since=T0 - timedelta(minutes=15) + timedelta(seconds=1))}, {"chaperone-too-late"}),
        ({"home": None}, {"no-emergency-contact", "address-not-confirmed", "distance-not-stated"}),
        ({"home": HOME.model_copy(update={"emergency_contact_confirmed": False})}, {"no-emergency-contact"}),
        ({"home": HOME.model_copy(update={"address_confirmed": False})}, {"address-not-confirmed"}),
        ({"home": HOME.model_copy(update={"kilometres_to_emergency_care": None})}, {"distance-not-stated"}),
        ({"escort_named": False}, {"no-escort"}),
    ],
)
def test_r20_each_of_what_a_session_at_home_asks_for_is_needed(checks: dict[str, Any], because: set[str]) -> None:
    room = home_room(**checks)
    expect(room.authorise(), {("R-20", each) for each in because})
    dosed = room.dose()[0]
    assert isinstance(dosed, SessionDosed)
    assert set(dosed.deviations) == {*because, "not-authorised"}


def test_r20_a_chaperone_who_came_late_is_there_in_time_once_the_minutes_have_passed() -> None:
    room = home_room(chaperone=chaperone(present_since=T0 - timedelta(minutes=5)))
    expect(room.authorise(), {("R-20", "chaperone-too-late")})
    room.later(minutes=10)
    expect(room.authorise(), set())


@pytest.mark.parametrize("approved", [INTRAMUSCULAR, INTRAVENOUS, ESKETAMINE])
def test_r20_only_a_lozenge_is_scheduled_at_home_by_default(approved: TreatmentPlan) -> None:
    room = approved_room(approved)
    assert rules(room.schedule(setting="home")) == {("R-20", "route-not-at-home")}
    assert isinstance(room.schedule(setting="clinic")[0], SessionScheduled)


def test_r20_a_policy_may_let_another_route_be_given_at_home() -> None:
    expect(home_room(INTRAMUSCULAR, policy(home_routes=("sublingual", "intramuscular"))).authorise("50"), set())


def test_r26_whatever_the_policy_lets_be_given_at_home_esketamine_is_not() -> None:
    room = home_room(ESKETAMINE, policy(home_routes=("intranasal_esketamine",)))
    room.enrol()
    expect(room.authorise("56"), {("R-26", "setting-not-certified")})


def test_r20_an_injection_given_at_home_all_the_same_is_recorded_as_that() -> None:
    room = home_room()
    dosed = room.dose("50", route="intramuscular")[0]
    assert isinstance(dosed, SessionDosed)
    assert {"route-not-at-home", "route-differs"} <= set(dosed.deviations)


# Groups


def group_room(**checks: Any) -> Room:
    room = approved_room()
    room.prepare()
    room.schedule(group="tuesday-1")
    room.check(**checks)
    return room


@pytest.mark.parametrize(
    ("patients", "monitors", "allowed"), [(4, 1, True), (5, 1, False), (8, 2, True), (9, 2, False), (1, 0, False)]
)  # four patients for each who monitors
def test_r20_a_group_has_enough_who_monitor_it(patients: int, monitors: int, allowed: bool) -> None:
    room = group_room(group=StatedGroup(patients=patients, monitors=monitors))
    expect(room.authorise(), set() if allowed else {("R-20", "too-few-monitors")})


def test_r20_in_a_group_the_numbers_must_be_stated_and_elsewhere_they_need_not() -> None:
    expect(group_room().authorise(), {("R-20", "group-not-stated")})
    expect(checked_room().authorise(), set())


# Fasting


def intake(food: timedelta, drink: timedelta, spray: timedelta | None = None) -> StatedIntake:
    return StatedIntake(food_at=T0 - food, drink_at=T0 - drink, nasal_spray_at=None if spray is None else T0 - spray)


HOURS, HALF, SECOND = timedelta(hours=2), timedelta(minutes=30), timedelta(seconds=1)


@pytest.mark.parametrize(
    ("last", "because"),
    [
        (intake(HOURS, HALF), set()),
        (intake(HOURS - SECOND, HALF), {"food-too-recent"}),
        (intake(HOURS, HALF - SECOND), {"drink-too-recent"}),
        (intake(HOURS, HALF, timedelta(hours=1)), set()),
        (intake(HOURS, HALF, timedelta(hours=1) - SECOND), {"nasal-spray-too-recent"}),
        (StatedIntake(drink_at=T0 - HOURS), {"fasting-times-unknown"}),
        (StatedIntake(food_at=T0 - HOURS), {"fasting-times-unknown"}),
        (StatedIntake(), {"fasting-times-unknown"}),
    ],
)
def test_r20_before_esketamine_food_drink_and_sprays_lie_far_enough_back(last: StatedIntake, because: set[str]) -> None:
    expect(checked_room(ESKETAMINE, last_intake=last).authorise("56"), {("R-20", each) for each in because})


def test_r20_fasting_is_reckoned_at_the_dose_not_at_the_checks() -> None:
    room = checked_room(ESKETAMINE, last_intake=intake(HOURS, HALF - SECOND))
    expect(room.authorise("56"), {("R-20", "drink-too-recent")})
    room.later(seconds=1)
    expect(room.authorise("56"), set())


@pytest.mark.parametrize("approved", [PLAN, INTRAMUSCULAR, INTRAVENOUS])
def test_r20_fasting_is_asked_for_other_routes_only_where_the_policy_says_so(approved: TreatmentPlan) -> None:
    just_ate = intake(SECOND, SECOND)
    expect(checked_room(approved, last_intake=just_ate).authorise(DOSE[approved.route]), set())
    strict = checked_room(approved, policy(fasting_routes=(approved.route,)), last_intake=just_ate)
    expect(strict.authorise(DOSE[approved.route]), {("R-20", "food-too-recent"), ("R-20", "drink-too-recent")})


@pytest.mark.parametrize(
    "checks",
    [
        {"last_intake": StatedIntake(food_at=T0 + SECOND)},
        {"last_intake": StatedIntake(nasal_spray_at=T0 + SECOND)},
        {"chaperone": chaperone(present_since=T0 + SECOND)},
        {"medications_taken": (StatedMedication(kind="opioid", last_taken_at=T0 + SECOND),)},
    ],
)
def test_what_is_stated_of_earlier_lies_before_the_checks(checks: dict[str, Any]) -> None:
    room = checked_room()
    with pytest.raises(Refusal) as future:
        room.check(**checks)
    room.later(minutes=1)
    with pytest.raises(Refusal) as later:
        room.check(checked_at=T0, **{"weighed_at": T0, "last_intake": StatedIntake(), **checks})
    assert (future.value.slug, later.value.slug) == ("time-in-the-future", "out-of-range")


def test_the_times_are_kept_as_they_were_stated() -> None:
    checked = checked_room(last_intake=intake(HOURS, HALF)).course.require(1).checks[0]
    assert checked.last_intake == LastIntake(food_at=T0 - HOURS, drink_at=T0 - HALF)


# Enrolment for esketamine


def unenrolled_room() -> Room:
    room = approved_room(ESKETAMINE)
    room.prepare()
    room.schedule()
    room.check()
    return room


def test_r26_esketamine_asks_for_enrolment_by_the_day_of_the_dose_and_a_certified_setting() -> None:
    room = unenrolled_room()
    expect(room.authorise("56"), {("R-26", "not-enrolled"), ("R-26", "setting-not-certified")})
    room.enrol(setting_certified=False)
    expect(room.authorise("56"), {("R-26", "setting-not-certified")})
    room.enrol(enrolled_on=date(2026, 3, 2))  # T0's day
    expect(room.authorise("56"), set())


@pytest.mark.parametrize("approved", [PLAN, INTRAMUSCULAR, INTRAVENOUS])
def test_r26_other_routes_ask_for_no_enrolment(approved: TreatmentPlan) -> None:
    room = approved_room(approved)
    room.prepare()
    room.schedule()
    room.check()
    expect(room.authorise(DOSE[approved.route]), set())


@pytest.mark.parametrize(("enrolled_on", "covered"), [(date(2026, 3, 1), True), (date(2026, 3, 2), True), (date(2026, 3, 3), False)])
def test_r26_esketamine_given_before_the_enrolment_is_a_deviation(enrolled_on: date, covered: bool) -> None:
    """Given at T0, on the 2nd of March; charted two days later, when the enrolment is known."""
    room = unenrolled_room()
    room.later(days=2)
    room.enrol(enrolled_on=enrolled_on)
    dosed = room.dose("56", route="intranasal_esketamine", given_at=T0)[0]
    assert isinstance(dosed, SessionDosed)
    assert ("not-enrolled" in dosed.deviations) is not covered


def test_r26_a_day_of_enrolment_that_has_not_come_is_refused_and_the_day_is_the_clinics() -> None:
    room = approved_room(ESKETAMINE)
    room.now = T0.replace(day=3, hour=4)  # still the 2nd in New York
    room.enrol(enrolled_on=date(2026, 3, 2))
    with pytest.raises(Refusal) as refused:
        room.enrol(enrolled_on=date(2026, 3, 3))
    assert (refused.value.slug, refused.value.rule) == ("time-in-the-future", "R-26")
