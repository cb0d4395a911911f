"""Correcting entries: what counts afterwards, and what is refused; the oracle of any order is a recount from the list."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from services.intake.domain.answer import answer_instrument
from services.intake.domain.correct import CorrectEntry, correct_entry
from services.intake.domain.state import Case
from services.intake.domain.state_facts import StatedFact, StateFacts
from services.intake.domain.state_score import StateScore, state_score
from shared.events import intake
from shared.events.base import CorrectionKind, EventData
from shared.events.clinical import Instrument
from shared.pathway.context import Context
from shared.pathway.instruments import score
from tests.unit.intake.cases import NOW, POLICY, after, answer, at, fold, ready, referred, screen, state
from tests.unit.intake.corrections import (
    answers_of,
    corrected,
    correcting,
    events_of,
    found_by_screening,
    refused,
    screened,
    totals,
)

CACHE = TypeAdapter(Case)


def test_every_entry_has_a_name_of_its_own_and_a_retry_has_the_same() -> None:
    case = after(ready(), state_score, StateScore(instrument="madrs", total=20, answered_at=NOW))
    assert [entry.kind for entry in case.entries] == ["referral", "consent", "facts", "instrument", "instrument", "instrument", "score"]
    assert len({entry.entry for entry in case.entries}) == 7
    first, again = (answer_instrument(case, answers_of("gad-7", [0] * 7), at()) for _ in range(2))
    assert first == again


def test_the_newest_entered_in_error_gives_way_to_the_answers_before_it() -> None:
    case = answer(answer(referred(), "gad-7", [1] * 7, hours_ago=5), "gad-7", [3] * 7, hours_ago=1)
    assert totals(case) == {"gad-7": 21}
    (event,) = events_of(case, 2)
    assert isinstance(event, intake.EntryCorrected)
    assert (event.kind, event.reason, event.corrected_at) == ("entered_in_error", "typed into the wrong chart", NOW)
    case = fold(case, [event])
    assert totals(case) == {"gad-7": 7}
    assert len(case.entries) == 3
    assert totals(corrected(case, 1)) == {}


def test_an_amended_entry_is_followed_by_the_one_that_replaces_it() -> None:
    case = answer(referred(), "gad-7", [3] * 7)
    marked, replacing = events_of(case, 1, "amended", answers=answers_of("gad-7", [2] * 7))
    assert isinstance(marked, intake.EntryCorrected)
    assert isinstance(replacing, intake.InstrumentAnswered)
    assert replacing.replaces == marked.entry == case.entries[1].entry
    assert replacing.entry not in (None, marked.entry)
    case = fold(case, [marked, replacing])
    assert totals(case) == {"gad-7": 14}
    assert [entry.corrected is None for entry in case.entries] == [True, False, True]
    assert totals(corrected(case, 2)) == {}


def test_amended_facts_keep_their_place_before_a_later_word() -> None:
    # Said first: not pregnant. Said later: pregnant. Amending the first must not make it the last word.
    case = state(state(ready(), pregnancy=False), pregnancy=True)
    case = corrected(case, len(case.entries) - 2, "amended", facts=StateFacts(answers={"pregnancy": False, "nursing": False}))
    assert [fact.active for fact in case.facts if fact.code == "pregnancy"] == [False, False, True]
    assert isinstance(screen(case), intake.ScreenedOut)


def test_an_amended_score_counts_in_place_of_the_first() -> None:
    case = after(ready(), state_score, StateScore(instrument="dast-10", total=9, answered_at=NOW))
    assert [finding.item for finding in found_by_screening(case)] == ["drugs"]
    case = corrected(case, 6, "amended", score=StateScore(instrument="dast-10", total=1, answered_at=NOW))
    assert found_by_screening(case) == ()
    assert [score.total for score in case.scores] == [1]


def test_r02_an_exclusion_entered_in_error_excludes_no_more_but_a_later_no_still_takes_nothing_back() -> None:
    case = state(ready(), arteriovenous_malformation=True)
    assert isinstance(screen(state(case, arteriovenous_malformation=False)), intake.ScreenedOut)
    assert isinstance(screen(corrected(case, 6)), intake.ScreeningCompleted)


def test_facts_of_a_referral_can_be_amended_and_the_referral_still_be_of_another_patient() -> None:
    wrong = StatedFact(kind="condition", system="snomed", code="58214004")
    case = ready(facts=(wrong,))
    assert isinstance(screen(case), intake.ScreenedOut)
    case = corrected(case, 0, "amended", facts=StateFacts(answers={"glaucoma": False}))
    assert case.status == "referred"
    assert isinstance(screen(case), intake.ScreeningCompleted)
    assert refused(case, correcting(case, 0, "amended", facts=StateFacts(answers={"glaucoma": True}))).slug == "already-corrected"
    closed = corrected(screened(case), 0, "wrong_patient")
    assert (closed.status, closed.outcome) == ("entered_in_error", None)


@pytest.mark.parametrize("kind", ["entered_in_error", "wrong_patient"])
def test_an_entry_is_corrected_once(kind: CorrectionKind) -> None:
    case = corrected(answer(referred(), "gad-7", [3] * 7), 1, kind)
    assert refused(case, correcting(case, 1)).slug == "already-corrected"
    case = corrected(case, 0, kind)
    assert refused(case, correcting(case, 0, "wrong_patient")).slug == "already-corrected"


def test_an_unknown_entry_is_refused_without_repeating_it() -> None:
    refusal = refused(referred(), CorrectEntry(entry="entry-0", kind="entered_in_error", reason="never was"))
    assert refusal.slug == "no-such-entry"
    assert "entry-0" not in refusal.detail
    old = fold(Case(), [intake.FactsStated(facts=())])
    assert refused(old, CorrectEntry(entry="none", kind="entered_in_error", reason="r")).slug == "no-such-entry"


FACTS = StateFacts(answers={"glaucoma": False})
GAD7 = answers_of("gad-7", [0] * 7)
MADRS = StateScore(instrument="madrs", total=1, answered_at=NOW)


@pytest.mark.parametrize(
    ("place", "kind", "replacement"),
    [
        (4, "amended", {}),
        (4, "amended", {"facts": FACTS}),
        (4, "amended", {"score": MADRS}),
        (4, "amended", {"answers": GAD7, "facts": FACTS}),
        (4, "amended", {"answers": answers_of("phq-9", [0] * 9)}),
        (4, "entered_in_error", {"answers": GAD7}),
        (4, "wrong_patient", {"answers": GAD7}),
        (2, "amended", {"answers": GAD7}),
        (0, "amended", {"answers": GAD7}),
        (1, "amended", {"facts": FACTS}),
        (6, "amended", {"score": StateScore(instrument="cadss", total=1, answered_at=NOW)}),
        (6, "amended", {"answers": GAD7}),
    ],
)
def test_a_replacement_that_does_not_fit_is_refused(place: int, kind: CorrectionKind, replacement: dict[str, Any]) -> None:
    case = after(ready(), state_score, MADRS)
    assert totals(case)["gad-7"] == 0
    assert refused(case, correcting(case, place, kind, **replacement)).slug == "malformed"


def test_a_replacement_is_held_to_the_rules_of_its_kind() -> None:
    case = after(ready(), state_score, MADRS)
    too_high = StateScore(instrument="madrs", total=61, answered_at=NOW)
    assert refused(case, correcting(case, 6, "amended", score=too_high)).slug == "out-of-range"
    tomorrow = answers_of("gad-7", [0] * 7, hours_ago=-24)
    assert refused(case, correcting(case, 4, "amended", answers=tomorrow)).slug == "time-in-the-future"
    assert refused(case, correcting(case, 2, "amended", facts=StateFacts(answers={"gout": True}))).slug == "malformed"


@pytest.mark.parametrize(("good", "bad"), [('"r"', '""'), ('"amended"', '"deleted"'), ('"entry-1"', '"../entry"'), ('"kind"', '"type"')])
def test_a_body_that_does_not_hold_is_refused(good: str, bad: str) -> None:
    body = '{"entry": "entry-1", "kind": "amended", "reason": "r", "facts": {"answers": {"pregnancy": false}}}'
    assert CorrectEntry.model_validate_json(body).facts == StateFacts(answers={"pregnancy": False})
    with pytest.raises(ValidationError):
        CorrectEntry.model_validate_json(body.replace(good, bad, 1))


# Any order comes to the same as counting again from the list.

SMALL: tuple[Instrument, ...] = ("phq-9", "gad-7", "c-ssrs")
SIZE = {"phq-9": 9, "gad-7": 7, "c-ssrs": 6}
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("answer", "answer", "error", "amend")),
        st.sampled_from(SMALL),
        st.integers(0, 9),
        st.integers(0, 1),
        st.integers(0, 5),
    ),
    max_size=14,
)


def cause(number: int) -> Context:
    return at(seed=f"http:test/step-{number}")


@given(STEPS)
def test_any_order_of_answers_corrections_and_amendments_counts_as_a_recount_does(
    steps: list[tuple[str, Instrument, int, int, int]],
) -> None:
    case = referred()
    # A slot is an entry and what it was amended to: what it says last, None once that was an error.
    slots: list[tuple[Instrument, tuple[datetime, list[int]] | None]] = []
    current: list[str | None] = []
    for number, (step, instrument, which, answered, hours_ago) in enumerate(steps):
        if step == "answer":
            answers = [answered] * SIZE[instrument]
            events = answer_instrument(case, answers_of(instrument, answers, hours_ago), cause(number))
            slots.append((instrument, (NOW - timedelta(hours=hours_ago), answers)))
            current.append(_name(events))
        else:
            open_slots = [place for place, (_, said) in enumerate(slots) if said is not None]
            if not open_slots:
                continue
            place = open_slots[which % len(open_slots)]
            same, name = slots[place][0], current[place]
            assert name is not None
            if step == "error":
                command = CorrectEntry(entry=name, kind="entered_in_error", reason="r")
                slots[place] = (same, None)
            else:
                answers = [answered] * SIZE[same]
                command = CorrectEntry(entry=name, kind="amended", reason="r", answers=answers_of(same, answers, hours_ago))
                slots[place] = (same, (NOW - timedelta(hours=hours_ago), answers))
            events = correct_entry(case, command, cause(number))
            current[place] = _name(events)
        case = fold(case, events)
    recount: dict[str, tuple[datetime, list[int]]] = {}
    for instrument, said in slots:
        if said is not None and (instrument not in recount or said[0] >= recount[instrument][0]):
            recount[instrument] = said
    assert {each.instrument: (each.answered_at, list(each.answers)) for each in case.answered} == recount
    assert all(each.total == score(each.instrument, each.answers, POLICY.values).total for each in case.answered)
    positive = [said[0] for instrument, said in slots if said and instrument == "phq-9" and said[1][8]]
    screeners = [said[0] for instrument, said in slots if said and instrument == "c-ssrs"]
    assert case.screener_due is (bool(positive) and (not screeners or max(screeners) < max(positive)))
    assert CACHE.validate_json(CACHE.dump_json(case)) == case


def _name(events: list[EventData]) -> str | None:
    return next((event.entry for event in events if isinstance(event, intake.InstrumentAnswered)), None)
