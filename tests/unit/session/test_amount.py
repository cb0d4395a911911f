"""How much, of what and how: units, boosters, intent, devices, infusions, lots (R-18). Expectations: domain.md 2.3 and 5c.

The plan is sublingual, 100 to 300 mg, psycholytic; the patient weighs 70 kg; esketamine devices hold 28 mg and are 5 minutes apart
(SP5); 0.5 mg/kg run in over 40 minutes (OL1). The bounds of what can be milligrams at all are the shipped policy's, and the site's.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from shared.events import supply
from shared.events.base import EventData, StepRefused
from shared.events.clinical import Route
from shared.events.dosing import AskedDose
from shared.events.session import DosingAuthorised, SessionDosed, SupplyNoted
from shared.events.session import StepRefused as SessionStepRefused
from shared.pathway.refusal import Refusal
from tests.unit.session.room import POLICY, T0, Room, checked_room, dosed_room, plan, policy, rules

WIDE: dict[str, Any] = {"dose_mg_low": Decimal("0.01"), "dose_mg_high": Decimal(99999), "mg_per_kg_high": Decimal(999)}
INTRAVENOUS = plan(route="intravenous", dose_mg_low=Decimal(1), dose_mg_high=Decimal(140), mg_per_kg_high=Decimal(10))
ESKETAMINE = plan(route="intranasal_esketamine", dose_mg_low=Decimal(56), dose_mg_high=Decimal(84), mg_per_kg_high=Decimal(5))
SECOND = timedelta(seconds=1)


def authorised(events: list[EventData]) -> DosingAuthorised:
    (event,) = events
    assert isinstance(event, DosingAuthorised), event
    return event


def dosed(events: list[EventData]) -> SessionDosed:
    assert isinstance(events[0], SessionDosed)
    return events[0]


# Another unit is no dose

BOUNDS: list[tuple[Route, str, str, bool]] = [
    ("sublingual", "5", "2000", True),
    ("sublingual", "4.99", "2000.01", False),
    ("intramuscular", "2", "1500", True),
    ("intramuscular", "1.99", "1500.01", False),
    ("intravenous", "2", "1000", True),
    ("intravenous", "1.99", "1000.01", False),
    ("intranasal_esketamine", "14", "168", True),
    ("intranasal_esketamine", "13.99", "168.01", False),
]


@pytest.mark.parametrize(("route", "low", "high", "possible"), BOUNDS)
def test_r18_what_can_be_no_dose_in_milligrams_is_refused_and_never_clamped(route: Route, low: str, high: str, possible: bool) -> None:
    for milligrams in (low, high):
        asking, given = checked_room(plan(route=route, **WIDE)), checked_room(plan(route=route, **WIDE))
        if possible:
            asking.authorise(milligrams)
            assert dosed(given.dose(milligrams, route=route)).dose_mg == Decimal(milligrams)
            continue
        with pytest.raises(Refusal) as asked:
            asking.authorise(milligrams)
        with pytest.raises(Refusal) as recorded:
            given.dose(milligrams, route=route)
        for refused in (asked.value, recorded.value):
            assert (refused.slug, refused.rule) == ("out-of-range", "R-18")
            assert milligrams not in refused.detail
        assert given.course.require(1).doses == ()


@pytest.mark.parametrize(("route", "meant"), [("intravenous", "0.5"), ("intramuscular", "1.5"), ("sublingual", "3"), ("sublingual", "0.2")])
def test_r18_milligrams_per_kilogram_or_grams_given_as_milligrams_are_refused(route: Route, meant: str) -> None:
    with pytest.raises(Refusal) as refused:
        checked_room(plan(route=route, **WIDE)).authorise(meant)
    assert refused.value.rule == "R-18"


def test_r18_a_real_overdose_is_recorded() -> None:
    # a whole vial of 500 mg into the vein, ten times what was planned
    overdose = dosed(checked_room(INTRAVENOUS).dose("500", route="intravenous"))
    assert {"outside-plan", "anaesthetic-range"} <= set(overdose.deviations)


def test_r18_the_bounds_are_the_policys() -> None:
    room = checked_room(policy=policy(sublingual_plausible_mg=(150.0, 250.5)))
    with pytest.raises(Refusal):
        room.dose("149.99")
    with pytest.raises(Refusal):
        room.dose("250.51")
    assert dosed(room.dose("250.5")).dose_mg == Decimal("250.5")


# Boosters


@pytest.mark.parametrize(("after", "allowed"), [(timedelta(minutes=15), True), (timedelta(minutes=15) - SECOND, False)])
def test_r18_a_booster_waits_until_the_dose_before_it_can_be_felt(after: timedelta, allowed: bool) -> None:
    room = dosed_room()
    room.now += after
    decided = room.authorise("50", booster=True)
    assert (rules(decided) if not allowed else authorised(decided).warnings) == (
        () if allowed else {("R-18", "booster-too-soon")}  # set by the site; onset after 15 to 20 minutes (SG1)
    )
    given = dosed(room.dose("50", booster=True))
    assert set(given.deviations) == (set() if allowed else {"booster-too-soon", "not-authorised"})


def test_r18_the_minutes_count_from_the_last_booster() -> None:
    room = dosed_room(policy=policy(booster_after_minutes=20))
    room.later(minutes=20)
    authorised(room.authorise("30", booster=True))
    room.dose("30", booster=True)
    room.later(minutes=19)
    assert rules(room.authorise("30", booster=True)) == {("R-18", "booster-too-soon")}


def test_r18_a_booster_charted_late_is_judged_by_the_doses_before_it() -> None:
    room = dosed_room()
    room.later(minutes=60)
    room.dose("80", booster=True)
    given = dosed(room.dose("50", booster=True, given_at=T0 + timedelta(minutes=20)))
    assert "booster-too-soon" not in given.deviations
    assert "outside-plan" not in given.deviations  # 200 + 50 until then; 330 only later
    assert "outside-plan" in dosed(room.dose("50", booster=True)).deviations  # 200 + 80 + 50 + 50


# Intent


def test_r18_the_intent_is_stated_before_the_dose() -> None:
    assert rules(checked_room().authorise(intent=None)) == {("R-18", "intent-not-stated")}


@pytest.mark.parametrize("role", ["medical_monitor", "therapist"])
def test_r18_another_intent_than_the_plans_is_a_prescribers_to_state(role: str) -> None:
    assert rules(checked_room().authorise(role=role, intent="psychedelic")) == {("R-18", "intent-differs")}
    permission = authorised(checked_room().authorise(role="prescriber", intent="psychedelic"))
    assert (permission.intent, permission.warnings) == ("psychedelic", ("intent-changed",))


def test_r18_a_dose_is_recorded_with_the_intent_that_was_authorised() -> None:
    room = checked_room()
    room.authorise(role="prescriber", intent="psychedelic")
    given = dosed(room.dose())
    assert (given.intent, given.deviations) == ("psychedelic", ())


def test_r18_a_change_of_intent_changes_no_other_rule() -> None:
    decided = checked_room().authorise("301", role="prescriber", intent="psychedelic")
    assert rules(decided) == {("R-18", "outside-plan")}


# An authorisation lapses


@pytest.mark.parametrize(("after", "lapsed"), [(timedelta(minutes=60), False), (timedelta(minutes=60) + SECOND, True)])
def test_r18_an_authorisation_lapses(after: timedelta, lapsed: bool) -> None:
    room = checked_room()
    assert authorised(room.authorise()).valid_until == T0 + timedelta(minutes=60)
    room.now += after
    assert dosed(room.dose()).deviations == (("authorisation-lapsed",) if lapsed else ())


def test_r18_an_authorisation_keeps_the_minutes_of_the_policy_it_was_given_under() -> None:
    room = checked_room(policy=policy(authorisation_valid_minutes=10))
    room.authorise()
    room.policy = POLICY
    room.later(minutes=11)
    assert dosed(room.dose()).deviations == ("authorisation-lapsed",)


def test_an_authorisation_of_an_older_release_has_no_end() -> None:
    room = checked_room()
    older = authorised(room.authorise()).model_copy(update={"valid_until": None, "asked": None})
    room.take([older])
    room.later(minutes=200)
    assert dosed(room.dose()).deviations == ()


# What a decision rests on goes with it


def test_an_authorisation_says_what_was_asked_and_what_it_rests_on() -> None:
    permission = authorised(checked_room(pressure=(131, 77)).authorise(lot="lot-7"))
    assert permission.asked == AskedDose(session=1, dose_mg=Decimal(200), intent="psycholytic", lot="lot-7")
    assert permission.facts == {
        "route": "sublingual",
        "setting": "clinic",
        "total_mg": "200",
        "weight_kg": "70",
        "weighed_at": T0.isoformat(),
        "checked_at": T0.isoformat(),
        "consent_version": "consent-1",
        "pressure": "131/77",
        "measured_at": T0.isoformat(),
        "hold_above": "140/90",
    }


def test_a_refusal_says_what_was_asked() -> None:
    refused = checked_room().authorise("301", role="prescriber", intent="psychedelic", lot="lot-7")[0]
    assert isinstance(refused, SessionStepRefused)
    asked = AskedDose(session=1, dose_mg=Decimal(301), intent="psychedelic", lot="lot-7", by_prescriber=True)
    assert AskedDose.model_validate(refused.asked) == asked
    assert isinstance(refused, StepRefused)


# Lots


def dispensing(lot: str) -> supply.MedicationDispensed:
    return supply.MedicationDispensed(
        prescription="p-1", fill_number=1, milligrams=Decimal(600), doses=2, lot=lot, dispensed_on=T0.date(), dispenser="Pharmacy"
    )


def test_a_lot_that_was_never_dispensed_for_the_case_warns_and_no_more() -> None:
    room = checked_room()
    assert authorised(room.authorise(lot="lot-7")).warnings == ("lot-not-dispensed",)
    given = dosed(room.dose(lot="lot-7"))
    assert (given.lot, given.warnings, given.deviations) == ("lot-7", ("lot-not-dispensed",), ())


def test_a_lot_that_was_dispensed_does_not_warn_and_is_noted_once() -> None:
    room = checked_room()
    assert room.hear(dispensing("lot-7")) == [SupplyNoted(lot="lot-7")]
    assert room.hear(dispensing("lot-7")) == []
    assert authorised(room.authorise(lot="lot-7")).warnings == ()
    assert dosed(room.dose(lot="lot-7")).warnings == ()


@pytest.mark.parametrize(
    ("authorised_lot", "given_lot", "differs"), [("a", "b", True), ("a", "a", False), ("a", None, False), (None, "b", False)]
)
def test_another_lot_than_was_authorised_is_a_deviation(authorised_lot: str | None, given_lot: str | None, differs: bool) -> None:
    room = checked_room()
    room.authorise(lot=authorised_lot)
    assert dosed(room.dose(lot=given_lot)).deviations == (("lot-differs",) if differs else ())


# Every deviation of the gate


def test_what_the_gate_would_have_refused_is_a_deviation_of_the_dose_given_all_the_same() -> None:
    """One dose against many rules at once; each slug of the refusals stands among the deviations."""

    def room() -> Room:
        made = checked_room(ESKETAMINE, pressure=(150, 80), escort_named=False, monitor=None, consent_reaffirmed=False, fasting=False)
        made.enrol(setting_certified=False)
        made.prepare(psychoeducation=False)
        return made

    refused = {because for _, because in rules(room().authorise("70"))}
    assert len(refused) == 8
    given = dosed(room().dose("70", route="intranasal_esketamine"))
    assert set(given.deviations) == {*refused, "not-authorised"}
