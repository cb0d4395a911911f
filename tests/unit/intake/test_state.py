"""The folded case: it survives the cache, ignores what is not its own, and keeps the latest word of each instrument."""

from dataclasses import fields
from datetime import timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from services.intake.domain.answer import AnswerInstrument, answer_instrument
from services.intake.domain.consent import STOPS
from services.intake.domain.state import Case, evolve
from shared.events import intake, prescriber
from shared.events.base import EventData
from shared.events.clinical import Instrument
from shared.pathway.instrument_items import FORMS
from shared.pathway.instruments import Answers, score
from shared.pathway.stop import PlaceHold
from tests.unit.intake.cases import NOW, POLICY, after, answer, at, condition, fold, ready, referred, screen, state

CACHE = TypeAdapter(Case)


def through_json(case: Case) -> Case:
    return CACHE.validate_json(CACHE.dump_json(case))


def test_every_kind_of_state_survives_the_cache() -> None:
    held = after(ready(), STOPS.place, PlaceHold(reason="other"))
    completed = fold(ready(), [screen(ready())])
    out = state(ready(), pregnancy=True)
    at_risk = answer(ready(), "c-ssrs", [0, 0, 0, 1, 0, None])
    for case in (Case(), referred(), ready(), held, fold(held, [screen(held)]), completed, fold(out, [screen(out)]), at_risk):
        assert through_json(case) == case


def answered(instrument: Instrument, answers: Answers, hours_ago: int) -> intake.InstrumentAnswered:
    scored = score(instrument, answers, POLICY.values)
    return intake.InstrumentAnswered(
        instrument=instrument,
        answers=tuple(answers),
        total=scored.total,
        band=scored.band,
        flags=scored.flags,
        answered_at=NOW - timedelta(hours=hours_ago),
    )


ANSWERED = st.one_of(
    *(
        st.builds(
            answered,
            st.just(name),
            st.tuples(*(st.none() | st.integers(0, most) for most in FORMS[name].highest)).map(list),
            st.integers(0, 50),
        )
        for name in get_args(Instrument)
    )
)


@given(
    st.lists(ANSWERED, max_size=6, unique_by=lambda event: (event.instrument, event.answered_at)).flatmap(
        lambda events: st.tuples(st.just(events), st.permutations(events))
    )
)
def test_answers_recorded_in_any_order_come_to_the_same(
    orders: tuple[list[intake.InstrumentAnswered], list[intake.InstrumentAnswered]],
) -> None:
    one, other = (fold(Case(), list(order)) for order in orders)
    assert (one.answered, one.screener_due) == (other.answered, other.screener_due)
    assert through_json(one) == one


def test_of_two_answers_at_the_same_time_the_later_word_counts() -> None:
    case = fold(Case(), [answered("gad-7", [0] * 7, 1), answered("gad-7", [1] * 7, 1)])
    (kept,) = case.answered
    assert isinstance(kept, intake.InstrumentAnswered)
    assert kept.total == 7


@pytest.mark.parametrize(("phq9_hours_ago", "c_ssrs_hours_ago", "due"), [(2, 3, True), (2, 2, False), (2, 1, False)])
def test_r08_the_screener_is_due_until_one_is_answered_since(phq9_hours_ago: int, c_ssrs_hours_ago: int, due: bool) -> None:
    positive = answered("phq-9", [0] * 8 + [1], phq9_hours_ago)
    screener = answered("c-ssrs", [0] * 6, c_ssrs_hours_ago)
    assert not fold(Case(), [screener]).screener_due
    assert fold(Case(), [positive]).screener_due
    assert fold(Case(), [positive, screener]).screener_due is fold(Case(), [screener, positive]).screener_due is due


def test_facts_add_up_and_none_is_dropped() -> None:
    stated = intake.FactsStated(facts=(condition("5602001"),), simulated=True)
    case = fold(referred(), [stated, stated])
    assert len(case.facts) == 2
    assert case.simulated


def test_what_is_recorded_leaves_every_other_part_of_the_case_as_it_is() -> None:
    at_risk = answer(ready(), "c-ssrs", [0, 0, 0, 1, 0, None])
    renewed = intake.ScreeningRenewed(reason="follow_up", renewed_at=NOW)
    reopened = intake.ScreeningReopened(reason="amended", reopened_at=NOW)
    emergency = intake.EmergencyAccessOpened(
        grant="grant-1",
        opened_by="someone",
        reason="other",
        explanation="a test",
        opened_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        review_by=NOW + timedelta(days=3),
    )
    screened = fold(at_risk, [reopened, screen(ready()), screen(at_risk), renewed, emergency, *answer_events(at_risk, simulated=True)])
    others = [each.name for each in fields(Case) if each.name != "entries"]
    begins = Case()
    assert all(getattr(screened, name) != getattr(begins, name) for name in others), "every part differs from its default"
    later = fold(screened, answer_events(screened))
    assert [getattr(later, name) for name in others] == [getattr(screened, name) for name in others]
    assert len(later.entries) == len(screened.entries) + 1


def answer_events(case: Case, *, simulated: bool = False) -> list[EventData]:
    command = AnswerInstrument(instrument="gad-7", answers=(0,) * 7, answered_at=NOW, simulated=simulated)
    return answer_instrument(case, command, at(seed=f"http:test/again-{len(case.entries)}"))


def test_another_service_s_events_change_nothing_but_stops() -> None:
    opened = prescriber.ClearanceRequested(request=1, items=("hypertension",), asked_by="dr", asked_at=NOW)
    assert evolve(ready(), opened) == ready()


def test_status_is_a_word_for_each_stage() -> None:
    assert [case.status for case in (Case(), referred(), fold(ready(), [screen(ready())]))] == ["unknown", "referred", "screened"]
    assert after(fold(ready(), [screen(ready())]), STOPS.place, PlaceHold(reason="other")).status == "on_hold"


def test_a_recorded_refusal_is_remembered_and_changes_nothing_else() -> None:
    case = referred()
    refused = fold(case, [screen(case)])
    assert refused.refused is not None
    assert (refused.refused.step, refused.refused.rule) == ("screening", "R-20")
    assert refused.status == case.status


def test_nothing_falls_due_at_intake() -> None:
    assert dict(ready().deadlines) == {}
