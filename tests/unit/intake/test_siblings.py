"""A hold on one case of a patient stops the others; consent is asked again (R-10, R-20; domain.md section 6, feature 7)."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain.consent import STOPS, GiveConsent, give_consent
from services.intake.domain.correct import CorrectEntry, correct_entry
from services.intake.domain.siblings import Carried, carry, missing
from services.intake.domain.state import Case
from shared.events import integration, session
from shared.events.base import AlertRaised, Envelope, HoldReason
from shared.events.intake import SafetyHoldLifted, SafetyHoldPlaced
from shared.pathway.context import Context
from shared.pathway.stop import LiftHold, PlaceHold, WithdrawConsent
from tests.unit.intake.cases import NOW, after, at, consent, fold, referred

HOUR = timedelta(hours=1)
CARRYING: tuple[HoldReason, ...] = ("suicide_risk", "adverse_event", "clinical_concern", "other")


def heard(event: Any) -> Context:
    """A reaction to another service's event."""
    source = f"urn:kapcare:{event.TYPE.split('.')[1]}"
    envelope = Envelope("e1", source, event.TYPE, "case-1", NOW, 1, "north", "patient-1", "a", "e1")
    return Context(NOW, at().actor, at().policy, f"event:{event}", envelope)


def noted(case: Case, event: Any) -> Case:
    return fold(case, STOPS.note(case, event, heard(event)))


def held(reason: HoldReason = "clinical_concern", case: Case | None = None) -> Case:
    case = case or referred()
    return fold(case, STOPS.place(case, PlaceHold(reason=reason), at(seed=f"http:test/{reason}")))


def settled(cases: dict[str, Case]) -> dict[str, Case]:
    """Carry until nothing is missing, as the service does, each in its own decision."""
    for _ in range(3):
        for name in list(cases):
            others = {other: case for other, case in cases.items() if other != name}
            for carried in missing(cases[name], others):
                cases[name] = fold(cases[name], carry(cases[name], carried, at(seed=f"carried:{carried.cause}")))
    for name, case in cases.items():
        assert list(missing(case, {other: known for other, known in cases.items() if other != name})) == []
    return cases


@pytest.mark.parametrize("reason", CARRYING)
def test_r10_a_hold_on_one_case_holds_the_other_and_calls_a_medical_monitor(reason: HoldReason) -> None:
    one, other = held(reason), referred()
    (carried,) = missing(other, {"case-1": one})
    placed, alert = carry(other, carried, at())
    assert isinstance(placed, SafetyHoldPlaced)
    assert (placed.hold, placed.reason, placed.placed_at, placed.note) == (*one.stops.holds, reason, NOW, None)
    assert placed.carried_from == "case-1"
    assert isinstance(alert, AlertRaised)
    assert (alert.role, alert.why) == ("medical_monitor", "hold-on-another-case")
    after_it = fold(other, [placed, alert])
    assert after_it.stops.why_stopped() == "safety-hold"
    assert carry(after_it, carried, at()) == []


def test_a_recalled_lot_is_about_one_cases_medication() -> None:
    assert list(missing(referred(), {"case-1": held("recalled_lot")})) == []


def test_a_hold_that_another_service_placed_is_carried_like_one_of_intakes_own() -> None:
    for event in (
        session.SafetyHoldPlaced(hold="hold-s", reason="adverse_event", placed_at=NOW - HOUR),
        integration.SafetyHoldPlaced(hold="hold-i", reason="suicide_risk", placed_at=NOW - HOUR),
    ):
        one = noted(referred(), event)
        (carried,) = missing(referred(), {"case-1": one})
        assert (carried.held.hold, carried.held.reason, carried.held.placed_at) == (event.hold, event.reason, NOW - HOUR)
    lot = noted(referred(), session.SafetyHoldPlaced(hold="hold-l", reason="recalled_lot", placed_at=NOW))
    assert list(missing(referred(), {"case-1": lot})) == []


def test_lifting_it_where_it_was_placed_lifts_it_everywhere() -> None:
    cases = settled({"case-1": held(), "case-2": referred(), "case-3": referred()})
    (hold,) = cases["case-1"].stops.holds
    assert all(case.stops.holds == {hold} for case in cases.values())
    cases["case-1"] = fold(cases["case-1"], STOPS.lift(cases["case-1"], LiftHold(hold=hold, reason="Seen."), at()))
    assert all(not case.stops.holds for case in settled(cases).values())


def test_lifting_it_for_one_other_case_lifts_it_there_alone_and_for_good() -> None:
    cases = settled({"case-1": held(), "case-2": referred(), "case-3": referred()})
    (hold,) = cases["case-1"].stops.holds
    cases["case-2"] = fold(cases["case-2"], STOPS.lift(cases["case-2"], LiftHold(hold=hold, reason="Seen."), at()))
    cases = settled(cases)
    assert [bool(cases[name].stops.holds) for name in ("case-1", "case-2", "case-3")] == [True, False, True]


def test_a_case_that_is_referred_later_starts_held_and_after_the_lifting_it_does_not() -> None:
    one = held()
    assert settled({"case-1": one, "case-2": referred()})["case-2"].status == "on_hold"
    lifted = fold(one, STOPS.lift(one, LiftHold(hold=next(iter(one.stops.holds)), reason="Seen."), at()))
    assert settled({"case-1": lifted, "case-2": referred()})["case-2"].status == "referred"


def test_nothing_is_carried_to_or_from_a_case_that_should_not_be() -> None:
    wrong = held()
    command = CorrectEntry(entry=str(wrong.entries[0].entry), kind="wrong_patient", reason="Another patient's.")
    in_error = after(wrong, correct_entry, command)
    assert in_error.entered_in_error
    assert list(missing(referred(), {"case-1": in_error})) == []
    assert list(missing(in_error, {"case-1": held("suicide_risk")})) == []
    assert list(missing(Case(), {"case-1": held()})) == []


def test_a_hold_that_was_carried_is_not_carried_on_as_one_of_its_own() -> None:
    other = settled({"case-1": held(), "case-2": referred()})["case-2"]
    assert list(missing(referred(), {"case-2": other})) == []


@pytest.mark.parametrize(("minutes", "asked"), [(-1, False), (0, True), (1, True)])
def test_r20_who_withdrew_consent_in_one_case_is_asked_before_an_older_consent_counts_in_another(minutes: int, asked: bool) -> None:
    """The other case's consent is two hours old; the withdrawal lies so many minutes after it."""
    withdrawn_at = NOW - 2 * HOUR + timedelta(minutes=minutes)
    one = consent(referred())
    one = fold(one, STOPS.withdraw(one, WithdrawConsent(withdrawn_at=max(withdrawn_at, NOW - 2 * HOUR)), at()))
    if minutes < 0:
        one = fold(referred(), STOPS.withdraw(referred(), WithdrawConsent(withdrawn_at=withdrawn_at), at()))
    other = consent(referred())
    found = list(missing(other, {"case-1": one}))
    assert [carried.held.reason for carried in found] == (["other"] if asked else [])
    if asked:
        other = fold(other, carry(other, found[0], at()))
        assert other.stops.consented, "consent to the other course is not withdrawn"
        assert other.status == "on_hold"
        assert list(missing(other, {"case-1": one})) == []
        assert carry(other, found[0], at()) == []


def test_r20_without_consent_there_is_nothing_to_ask_about() -> None:
    one = consent(referred())
    one = fold(one, STOPS.withdraw(one, WithdrawConsent(withdrawn_at=NOW), at()))
    assert list(missing(referred(), {"case-1": one})) == []


def test_r20_who_consented_again_in_the_first_case_is_asked_no_more() -> None:
    one = consent(referred())
    one = fold(one, STOPS.withdraw(one, WithdrawConsent(withdrawn_at=NOW - HOUR), at()))
    one = after(one, give_consent, GiveConsent(version="2026-1", scopes=("treatment",), given_at=NOW))
    assert list(missing(consent(referred()), {"case-1": one})) == []


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(["place", "lift", "carry"])), max_size=12))
def test_after_any_history_every_case_of_the_patient_is_held_while_one_is_unless_a_clinician_set_it_free(steps: list[Any]) -> None:
    cases = {name: referred() for name in "abc"}
    freed: set[tuple[str, str]] = set()
    for number, (name, step) in enumerate(steps):
        case = cases[name]
        if step == "place":
            cases[name] = fold(case, STOPS.place(case, PlaceHold(reason="suicide_risk"), at(seed=f"http:test/{number}")))
        elif step == "lift" and case.stops.holds:
            hold = min(case.stops.holds)
            freed.add((name, hold))
            cases[name] = fold(case, STOPS.lift(case, LiftHold(hold=hold, reason="Seen."), at()))
        elif step == "carry":
            cases = settled(cases)
    cases = settled(cases)
    own = {held.hold: name for name, case in cases.items() for held in case.held if held.carried_from is None}
    in_force = {hold for hold, name in own.items() if (name, hold) not in freed}
    for name, case in cases.items():
        assert case.stops.holds == {hold for hold in in_force if (name, hold) not in freed}


def test_what_is_carried_is_carried_once_by_its_cause() -> None:
    one = held()
    (first,) = missing(referred(), {"case-1": one})
    assert first.cause == ("hold", next(iter(one.stops.holds)))
    assert Carried("lift", first.held).cause[0] == "lift"
    assert [type(event) for event in carry(fold(referred(), carry(referred(), first, at())), Carried("lift", first.held), at())] == [
        SafetyHoldLifted
    ]
