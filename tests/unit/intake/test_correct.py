"""Correcting entries: what counts afterwards, what is refused, and that no screening stands on what was taken away."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from services.intake.domain.answer import AnswerInstrument, answer_instrument
from services.intake.domain.consent import STOP, GiveConsent, give_consent
from services.intake.domain.correct import CorrectEntry, correct_entry
from services.intake.domain.screen import CompleteScreening, complete_screening
from services.intake.domain.state import Case
from services.intake.domain.state_facts import StatedFact, StateFacts
from services.intake.domain.state_score import StateScore, state_score
from shared.events import intake
from shared.events.base import CorrectionKind, EventData
from shared.events.clinical import Finding, Instrument
from shared.pathway.context import Context
from shared.pathway.instruments import Answers, score
from shared.pathway.refusal import Refusal
from shared.pathway.stop import LiftHold
from tests.unit.intake.cases import NO_TO_ALL, NOTHING, NOW, POLICY, after, answer, at, consent, fold, ready, referred, screen, state

ITEM9 = [0] * 8 + [1]
HIGH = [0, 0, 0, 1, 0, 0]


def correcting(case: Case, place: int, kind: CorrectionKind = "entered_in_error", **replacement: Any) -> CorrectEntry:
    name = case.entries[place].id
    assert name is not None
    return CorrectEntry(entry=name, kind=kind, reason="typed into the wrong chart", **replacement)


def events_of(case: Case, place: int, kind: CorrectionKind = "entered_in_error", **replacement: Any) -> list[EventData]:
    return correct_entry(case, correcting(case, place, kind, **replacement), at(seed="http:test/correction"))


def corrected(case: Case, place: int, kind: CorrectionKind = "entered_in_error", **replacement: Any) -> Case:
    return fold(case, events_of(case, place, kind, **replacement))


def refused(case: Case, command: CorrectEntry) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        correct_entry(case, command, at())
    return refusal.value


def answers_of(instrument: Instrument, answers: Answers, hours_ago: float = 1) -> AnswerInstrument:
    return AnswerInstrument(instrument=instrument, answers=tuple(answers), answered_at=NOW - timedelta(hours=hours_ago))


def place_of(case: Case, instrument: str) -> int:
    return next(place for place, entry in enumerate(case.entries) if entry.answered and entry.answered.instrument == instrument)


def totals(case: Case) -> dict[str, int | None]:
    return {answered.instrument: answered.total for answered in case.answered}


def screened(case: Case | None = None) -> Case:
    case = case or ready()
    return fold(case, [screen(case)])


def _findings(case: Case) -> tuple[Finding, ...]:
    event = screen(case)
    assert isinstance(event, intake.ScreeningCompleted)
    return event.summary.findings


def test_every_entry_has_a_name_of_its_own_and_a_retry_has_the_same() -> None:
    case = after(ready(), state_score, StateScore(instrument="madrs", total=20, answered_at=NOW))
    assert [entry.kind for entry in case.entries] == ["referral", "consent", "facts", "instrument", "instrument", "instrument", "score"]
    assert len({entry.id for entry in case.entries}) == 7
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
    assert replacing.replaces == marked.entry == case.entries[1].id
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
    assert [finding.item for finding in _findings(case)] == ["drugs"]
    case = corrected(case, 6, "amended", score=StateScore(instrument="dast-10", total=1, answered_at=NOW))
    assert _findings(case) == ()
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


# What the screening rested on.


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("kind", ["entered_in_error", "wrong_patient"])
def test_the_same_commit_reopens_a_screening_that_rested_on_the_entry(place: int, kind: CorrectionKind) -> None:
    case = screened()
    events = events_of(case, place, kind)
    assert events[-1] == intake.ScreeningReopened(reason=kind, reopened_at=NOW)
    assert fold(case, events).outcome is None


def test_after_a_correction_the_case_is_referred_again_and_a_new_screening_is_published() -> None:
    case = corrected(screened(), 4, "amended", answers=answers_of("gad-7", [2] * 7))
    assert case.status == "referred"
    again = screen(case)
    assert isinstance(again, intake.ScreeningCompleted)
    assert [finding.item for finding in again.summary.findings] == ["anxiety_screen_positive"]
    assert fold(case, [again]).status == "screened"


def test_after_a_correction_screening_needs_what_was_taken_away() -> None:
    case = corrected(screened(), 4)
    with pytest.raises(Refusal, match="gad-7") as refusal:
        screen(case)
    assert refusal.value.rule == "R-07"
    with pytest.raises(Refusal) as refusal:
        screen(corrected(screened(), 2))
    assert refusal.value.slug == "questionnaire-incomplete"


def test_a_case_screened_out_on_an_error_is_screened_again() -> None:
    case = screened(state(ready(), pregnancy=True))
    assert case.status == "screened_out"
    case = corrected(case, 6)
    assert case.status == "referred"
    assert isinstance(screen(case), intake.ScreeningCompleted)


def test_what_the_screening_did_not_rest_on_leaves_it_as_it_is() -> None:
    older = answer(answer(referred(), "gad-7", [3] * 7, hours_ago=9), "phq-9", [0] * 9, hours_ago=9)
    case = state(consent(older), **NO_TO_ALL)
    for instrument, answers in NOTHING.items():
        case = answer(case, instrument, answers)
    case = screened(case)
    assert corrected(case, place_of(case, "gad-7")).status == "screened"  # superseded before the screening
    assert corrected(case, place_of(case, "phq-9")).status == "referred"  # R-08 reads each PHQ-9
    late = answer(case, "gad-7", [1] * 7, hours_ago=0)
    assert corrected(late, len(late.entries) - 1).status == "screened"  # came after the screening


KINDS: tuple[CorrectionKind, ...] = ("entered_in_error", "amended", "wrong_patient")


@given(st.integers(0, 5), st.sampled_from(KINDS), st.integers(0, 3), st.booleans())
def test_no_decision_stands_on_facts_that_changed_since(place: int, kind: CorrectionKind, answered: int, malformed: bool) -> None:
    case = screened()
    entry = case.entries[place]
    replacement: dict[str, Any] = {}
    if kind == "amended":
        if entry.kind == "consent":
            return
        if entry.answered is None:
            replacement = {"facts": StateFacts(answers={"arteriovenous_malformation": malformed})}
        else:
            size = len(entry.answered.answers)
            replacement = {"answers": answers_of(entry.answered.instrument, [answered] * size)}
    case = corrected(case, place, kind, **replacement)
    assert case.outcome is None
    try:
        (again,) = complete_screening(case, CompleteScreening(), at())
    except Refusal:
        return
    if isinstance(again, intake.ScreeningCompleted):
        assert {score.instrument: score.total for score in again.summary.scores} == totals(case)
        assert not any(fact.active and fact.code == "arteriovenous_malformation" for fact in case.facts)


def test_late_facts_amended_to_an_exclusion_hold_a_case_whose_screening_stands() -> None:
    case = state(screened(), hypertension=True)
    _, stated, hold = events_of(case, 6, "amended", facts=StateFacts(answers={"arteriovenous_malformation": True}))
    assert isinstance(stated, intake.FactsStated)
    assert isinstance(hold, intake.SafetyHoldPlaced)


# Safety.


def test_r10_the_hold_of_a_corrected_screener_stays_until_a_clinician_lifts_it() -> None:
    case = answer(ready(), "c-ssrs", HIGH)
    (hold,) = case.stops.holds
    case = corrected(case, 6)
    assert case.stops.holds == {hold}
    refusal = screen(case)
    assert isinstance(refusal, intake.StepRefused)
    assert refusal.rule == "R-10"
    case = after(case, STOP.lift, LiftHold(hold=hold, reason="the screener was another patient's"))
    assert isinstance(screen(case), intake.ScreeningCompleted)


def test_r10_amending_a_screener_to_high_holds_the_case_at_once() -> None:
    case = answer(ready(), "c-ssrs", [0] * 6)
    _, _, hold, _ = events_of(case, 6, "amended", answers=answers_of("c-ssrs", HIGH))
    assert isinstance(hold, intake.SafetyHoldPlaced)
    assert hold.reason == "suicide_risk"


def test_r10_correcting_a_lower_screener_brings_the_high_one_back() -> None:
    case = answer(answer(ready(), "c-ssrs", HIGH, hours_ago=2), "c-ssrs", [0] * 6)
    (hold,) = case.stops.holds
    case = after(case, STOP.lift, LiftHold(hold=hold, reason="seen"))
    assert isinstance(screen(case), intake.ScreeningCompleted)
    refusal = screen(corrected(case, 7))
    assert isinstance(refusal, intake.StepRefused)
    assert refusal.facts == {"c-ssrs": "high"}


def test_r08_item_9_entered_in_error_demands_nothing_and_amended_to_positive_it_does() -> None:
    case = answer(ready(), "phq-9", ITEM9, hours_ago=0.5)
    assert case.screener_due
    assert not corrected(case, 6).screener_due
    case = answer(ready(), "phq-9", [0] * 9, hours_ago=0.5)
    assert intake.SuicideRiskScreenRequired(because="phq-9 item 9") in events_of(case, 6, "amended", answers=answers_of("phq-9", ITEM9))


def test_r20_a_consent_in_force_that_was_never_given_is_over_for_every_service() -> None:
    case = screened()
    marked, over, reopened = events_of(case, 1)
    assert isinstance(marked, intake.EntryCorrected)
    assert over == intake.ConsentWithdrawn(withdrawn_at=NOW - timedelta(hours=2), said_to="intake")
    assert isinstance(reopened, intake.ScreeningReopened)
    case = fold(case, [marked, over, reopened])
    refusal = screen(case)
    assert isinstance(refusal, intake.StepRefused)
    assert refusal.rule == "R-20"
    given_later = GiveConsent(version="2", scopes=("treatment", "disclosure_to_prescriber"), given_at=NOW - timedelta(hours=1.9))
    assert isinstance(screen(after(case, give_consent, given_later)), intake.ScreeningCompleted)


def test_r20_correcting_a_consent_that_a_later_one_replaced_ends_nothing() -> None:
    later = GiveConsent(version="2", scopes=("treatment", "disclosure_to_prescriber"), given_at=NOW)
    case = screened(after(ready(), give_consent, later))
    assert [type(event) for event in events_of(case, 1)] == [intake.EntryCorrected]
    assert refused(case, correcting(case, 1, "amended", facts=FACTS)).rule == "R-20"


@pytest.mark.parametrize("kind", ["entered_in_error", "wrong_patient"])
def test_a_referral_of_another_patient_closes_the_case_but_facts_are_still_recorded(kind: CorrectionKind) -> None:
    case = corrected(ready(), 0, kind)
    assert case.status == "entered_in_error"
    assert not case.stops.holds
    for go_on in (
        lambda: screen(case),
        lambda: give_consent(case, GiveConsent(version="2", scopes=("treatment",), given_at=NOW), at()),
    ):
        with pytest.raises(Refusal) as refusal:
            go_on()
        assert refusal.value.slug == "entered-in-error"
    case = answer(state(case, pregnancy=True), "c-ssrs", HIGH)
    assert case.status == "entered_in_error"
    assert len(case.stops.holds) == 1
    assert corrected(case, 4).status == "entered_in_error"


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


@settings(max_examples=150)
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
    cache = TypeAdapter(Case)
    assert cache.validate_json(cache.dump_json(case)) == case


def _name(events: list[EventData]) -> str | None:
    return next((event.entry for event in events if isinstance(event, intake.InstrumentAnswered)), None)


def test_r08_a_screener_entered_in_error_calls_a_person_again() -> None:
    case = answer(answer(ready(), "phq-9", ITEM9, hours_ago=0.9), "c-ssrs", [0] * 6, hours_ago=0.5)
    events = events_of(case, place_of(case, "c-ssrs"))
    assert [type(event) for event in events] == [intake.EntryCorrected, intake.SuicideRiskScreenRequired, intake.AlertRaised]
    case = fold(case, events)
    assert case.screener_due
    assert len({alert.id for alert in case.alerts.raised}) == len(case.alerts.raised) == 2
    # It is said once: another entry that changes nothing about it says nothing.
    assert [type(event) for event in events_of(case, place_of(case, "gad-7"))] == [intake.EntryCorrected]


def test_r10_a_high_risk_that_counts_again_holds_again() -> None:
    case = answer(screened(), "c-ssrs", HIGH, hours_ago=0.9)
    (hold,) = case.stops.holds
    case = after(answer(case, "c-ssrs", [0] * 6, hours_ago=0.5), STOP.lift, LiftHold(hold=hold, reason="seen by a psychiatrist"))
    events = events_of(case, max(place for place, entry in enumerate(case.entries) if entry.topic == "c-ssrs"))
    assert [type(event) for event in events] == [intake.EntryCorrected, intake.SafetyHoldPlaced, intake.AlertRaised]
    assert fold(case, events).stops.holds


def test_r08_an_amended_screener_too_early_for_the_item_has_alerts_with_names_of_their_own() -> None:
    case = answer(answer(ready(), "phq-9", ITEM9, hours_ago=0.9), "c-ssrs", [0] * 6, hours_ago=0.5)
    events = events_of(case, place_of(case, "c-ssrs"), "amended", answers=answers_of("c-ssrs", HIGH, hours_ago=3))
    raised = [event.alert for event in events if isinstance(event, intake.AlertRaised)]
    assert len(set(raised)) == len(raised) == 2
