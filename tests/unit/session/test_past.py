"""The session room's past decisions: found in a history, the same again under their own policy, different where another one says so.

Expectations: the rules as domain.md 5c states them, and the numbers of the shipped policy, said in each test that changes one.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.session.domain.transfer import take_transfer
from shared.events.base import EventData
from shared.events.codec import Recorded
from shared.events.session import SessionCompleted, SessionDosed, StepRefused
from tests.unit.session.recorded import MOVED, RecordedRoom, approved, changed, checked, dosed, same, steps
from tests.unit.session.room import POLICY, T0, approval, finish_session, hold, plan, with_limits


def test_a_whole_session_is_a_chain_of_decisions_that_come_out_the_same_again() -> None:
    room = dosed()
    finish_session(room)
    assert steps(room) == [
        ("schedule a session", "scheduled"),
        ("escalate checks", "nothing to escalate"),
        ("authorise a dose", "authorised"),
        ("watch the pressure after a dose", "watched"),
        ("escalate vitals", "nothing to escalate"),
        ("escalate vitals", "nothing to escalate"),
        ("discharge", "discharged"),
    ]
    assert {past.policy_version for past in room.past()} == {POLICY.version}
    same(room)


def test_r18_a_shorter_validity_of_the_weight_would_have_refused_the_dose() -> None:
    """30 days in the shipped policy."""
    room = checked(weighed_at=T0 - timedelta(days=5))
    room.authorise()
    same(room)
    assert changed(room, weight_valid_days=5) == []
    assert changed(room, weight_valid_days=4) == [("authorise a dose", ("refused", "R-18 weight-too-old"))]


def test_r18_a_longer_validity_of_the_weight_would_have_let_a_refused_dose_through() -> None:
    room = checked(weighed_at=T0 - timedelta(days=31))
    room.authorise()
    assert room.last().result == ("refused", "R-18 weight-too-old")
    same(room)
    assert changed(room, weight_valid_days=31) == [("authorise a dose", ("authorised",))]


@pytest.mark.parametrize(("above", "warned"), [(200, False), (199, True)])
def test_r18_a_lower_sublingual_dose_would_have_been_warned_of(above: int, warned: bool) -> None:
    room = dosed()
    expected = [("authorise a dose", ("authorised", "warning sublingual-above-usual"))] if warned else []
    assert changed(room, sublingual_warn_above_mg=above) == expected


@pytest.mark.parametrize(("block", "refused"), [(1.0, False), (0.9, True)])
def test_r18_a_lower_anaesthetic_range_would_have_refused_an_injection(block: float, refused: bool) -> None:
    """70 mg for 70 kg are 1 mg/kg, which the shipped policy allows (Hull 2022; block above 2)."""
    room = checked(plan(route="intramuscular", dose_mg_low=Decimal(50), mg_per_kg_high=Decimal(2)))
    room.authorise("70")
    same(room)
    expected = [("authorise a dose", ("refused", "R-18 anaesthetic-range"))] if refused else []
    assert changed(room, parenteral_block_above_mg_per_kg=block) == expected


def test_all_that_one_request_was_refused_for_is_one_decision_with_what_was_asked() -> None:
    room = checked(pressure=(150, 80), escort_named=False)
    room.hear(hold())
    room.authorise("350")
    past = room.last()
    assert past.result == ("refused", "R-10 safety-hold", "R-18 outside-plan", "R-19 pressure-above-limit", "R-20 no-escort")
    assert sum(isinstance(recorded.data, StepRefused) for recorded in room.history) == 4
    assert steps(room).count(("authorise a dose", "refused")) == 1
    facts = dict(past.facts)
    assert (facts["dose mg"], facts["consent or hold"], facts["escort named"]) == ("350", "safety-hold", "no")
    assert (facts["last pressure"], facts["limit of this patient"]) == ("150/80 at 2026-03-02T09:00+00:00", "140/90")
    same(room)


def test_a_booster_is_decided_again_as_a_booster() -> None:
    room = dosed()
    room.later(minutes=20)
    room.authorise("50", booster=True)
    room.dose("50", booster=True)
    assert [dict(past.facts)["booster"] for past in room.past() if past.step == "authorise a dose"] == ["no", "yes"]
    same(room)


def test_r27_fewer_weeks_would_have_sent_the_patient_back_to_the_prescriber() -> None:
    """12 weeks in the shipped policy (Mindbloom)."""
    room = dosed(plan(expires_at=T0 + timedelta(weeks=40)))
    finish_session(room)
    room.schedule(T0 + timedelta(weeks=8))
    same(room)
    assert changed(room, reclearance_after_weeks=8) == []
    assert changed(room, reclearance_after_weeks=7) == [("schedule a session", ("refused", "R-27 reclearance-needed"))]


def test_r27_more_weeks_would_have_scheduled_a_session_that_was_refused() -> None:
    room = dosed(plan(expires_at=T0 + timedelta(weeks=40)))
    finish_session(room)
    room.schedule(T0 + timedelta(weeks=13))
    assert room.last().result == ("refused", "R-27 reclearance-needed")
    assert ("starts at", "2026-06-01T09:00:00Z") in room.last().facts
    same(room)
    assert changed(room, reclearance_after_weeks=13) == [("schedule a session", ("scheduled",))]


@pytest.mark.parametrize(
    ("vitals", "value", "silent", "escalates", "because"),
    [
        ({"pressure": (170, 80)}, "escalate_systolic_above", 170, 169, "blood-pressure"),
        ({"pressure": (120, 100)}, "escalate_diastolic_above", 100, 99, "blood-pressure"),
        ({"oxygen_saturation": 94}, "oxygen_saturation_below", 94, 95, "oxygen-saturation"),
        ({"respiratory_rate": 12}, "respiratory_rate_below", 12, 13, "respiratory-rate"),
    ],
)
def test_r22_another_threshold_would_have_escalated_the_same_vitals(
    vitals: dict[str, Any], value: str, silent: int, escalates: int, because: str
) -> None:
    room = dosed()
    room.vitals(**vitals)
    same(room)
    assert changed(room, **{value: silent}) == []
    assert changed(room, **{value: escalates}) == [("escalate vitals", ("escalated", f"R-22 {because}"))]


def test_r22_the_pressure_of_the_checks_escalates_by_the_policy_too() -> None:
    room = checked(pressure=(185, 90))
    assert room.last().result == ("escalated", "R-22 blood-pressure")
    same(room)
    assert changed(room, escalate_systolic_above=185) == [("escalate checks", ("nothing to escalate",))]


def test_r35_no_response_is_an_emergency_under_every_policy() -> None:
    room = dosed()
    room.vitals(sedation=0, oxygen_saturation=80)
    assert room.last().result == ("escalated", "R-22 oxygen-saturation", "R-35 unresponsive (emergency)")
    assert changed(room, oxygen_saturation_below=80) == [("escalate vitals", ("escalated", "R-35 unresponsive (emergency)"))]


@pytest.mark.parametrize("answers", [{}, {"at_baseline": False}, {"assessed_by": None}, {"escort_present": False}])
def test_r23_a_refused_discharge_is_refused_again(answers: dict[str, Any]) -> None:
    room = dosed()
    room.later(minutes=60)
    room.discharge(**answers)
    assert room.last().result[0] == "refused"
    assert {"R-23 stay-too-short", "R-23 no-pressure-since-dose"} < {*room.last().result}
    same(room)


def stayed(room: RecordedRoom) -> None:
    """The second pressure is taken in time, and the minimum stay has passed."""
    room.later(minutes=40)
    room.vitals()
    room.later(minutes=80)


def test_r23_an_override_comes_out_the_same_again_and_only_a_prescribers_did() -> None:
    room = dosed()
    room.later(minutes=40)
    room.vitals()
    room.later(minutes=10)
    room.discharge(override_reason="calm, and lives next door")
    assert room.last().result == ("refused", "R-23 stay-too-short")
    assert room.last().roles == frozenset()
    room.discharge(1, "prescriber", override_reason="calm, and lives next door")
    assert room.last().result == ("discharged", "deviation stay-too-short")
    assert room.last().roles == {"prescriber"}
    same(room)


def test_r23_who_left_against_advice_left_under_every_policy() -> None:
    room = dosed()
    room.later(minutes=60)
    room.discharge(left_against_advice=True, assessed_by=None)
    left = ("discharged", "left-against-advice", "no-pressure-since-dose", "not-assessed", "stay-too-short")
    assert room.last().result == (left[0], *(f"deviation {slug}" for slug in left[1:]))
    same(room)


@pytest.mark.parametrize("accepted", [True, False])
def test_r23_a_pressure_that_the_assessor_accepted_is_recorded_as_accepted(accepted: bool) -> None:
    room = dosed()
    stayed(room)
    room.vitals(pressure=(150, 80))
    room.discharge(pressure_acceptable=accepted)
    assert room.last().result == (("discharged",) if accepted else ("refused", "R-23 pressure-above-limit"))
    same(room)


def without(recorded: Recorded, *fields: str) -> Recorded:
    """The event as an earlier release recorded it."""
    kept = recorded.data.model_dump(mode="json", exclude=set(fields))
    return Recorded(recorded.envelope, type(recorded.data).model_validate(kept))


def test_r23_a_discharge_of_an_earlier_release_is_decided_again_too() -> None:
    """It says neither whether the pressure was accepted, which is so where nothing deviates, nor the policy's version."""
    room = dosed()
    stayed(room)
    room.vitals(pressure=(150, 80))
    room.discharge(pressure_acceptable=True)
    room.history[-1] = without(room.history[-1], "pressure_acceptable", "policy_version")
    past = room.last()
    assert past.policy_version is None
    assert past.again(POLICY) == past.result == ("discharged",)


def test_a_refusal_of_an_earlier_release_is_passed_over() -> None:
    room = checked()
    room.authorise("350")
    room.history[-1] = without(room.history[-1], "asked")
    assert "authorise a dose" not in [past.step for past in room.past()]


def test_a_request_that_this_release_does_not_know_cannot_be_decided_again() -> None:
    room = checked()
    room.authorise("350")
    refused = room.history[-1]
    room.history[-1] = Recorded(refused.envelope, refused.data.model_copy(update={"asked": {"session": 1, "milligrams": 350}}))
    assert room.last().again(POLICY) == ("cannot be decided", "request-of-another-release")


def test_r23_a_stay_that_the_policy_sets_where_no_prescriber_did() -> None:
    """A dose that no approval covered: the policy's minimum stay counts, 120 minutes in the shipped one."""
    room = RecordedRoom()
    room.dose(session=None)
    room.later(minutes=120)
    room.vitals()
    room.discharge(missing_pressure_reason="nobody was there")
    same(room)
    assert changed(room, minimum_stay_minutes=121) == [("discharge", ("refused", "R-23 stay-too-short"))]


@pytest.mark.parametrize("accepted", [True, False])
def test_r23_a_pressure_that_nobody_had_to_accept_is_not_taken_as_accepted_where_the_limit_is_lower(accepted: bool) -> None:
    """140 mmHg is the shipped policy's limit for who has no prescriber's."""
    room = RecordedRoom()
    room.dose(session=None)
    room.later(minutes=120)
    room.vitals(pressure=(135, 80))
    room.discharge(pressure_acceptable=accepted, missing_pressure_reason="nobody was there")
    same(room)
    assert changed(room, hold_systolic_above=130) == ([] if accepted else [("discharge", ("refused", "R-23 pressure-above-limit"))])


def test_a_discharge_that_a_transfer_waited_for_was_decided_in_the_clinic_that_the_patient_left() -> None:
    """Hillside escalates above 140 mmHg, riverside above 180: so one of these pressures of 160 escalates, the other does not."""
    room = dosed()
    room.take(take_transfer(room.course, MOVED, room.context()))
    room.vitals(pressure=(160, 80))
    finish_session(room)
    assert room.history[-1].envelope.clinic == "hillside"
    assert [past.clinic for past in room.past()] == ["riverside"] * 8
    room.schedule()
    room.check(2, pressure=(160, 80))
    assert [past.clinic for past in room.past()[8:]] == ["hillside"] * 2
    assert [past.result[0] for past in room.past() if past.step.startswith("escalate")][-1] == "escalated"
    same(room)


def test_a_dose_that_was_followed_before_times_were_set_is_no_decision_of_a_policy() -> None:
    room = dosed()
    room.history[-1] = without(room.history[-1], "second_pressure")
    assert isinstance(room.history[-1].data, SessionDosed)
    assert "watch the pressure after a dose" not in [past.step for past in room.past()]


def test_facts_that_no_policy_decides_are_no_decisions() -> None:
    room = approved()
    room.hear(hold())
    room.hear(approval(with_limits(130, 80), request=2))
    assert room.past() == []


def test_the_facts_of_a_discharge_are_those_it_was_decided_on() -> None:
    room = dosed()
    room.vitals(sedation=3)
    stayed(room)
    room.vitals(sedation=5)
    events: list[EventData] = room.discharge()
    assert isinstance(events[0], SessionCompleted)
    facts = dict(room.last().facts)
    assert facts["last dose"] == "2026-03-02T09:00+00:00"
    assert facts["minimum stay of this patient"] == "120 min"
    assert facts["last pressure"] == "120/80 at 2026-03-02T11:00+00:00"
    assert facts["last sedation"] == "MOAA/S 5 at 2026-03-02T11:00+00:00"
    assert facts["at baseline"] == "yes"
