"""Answering instruments, and what follows at once for safety. Expectations: domain rules R-07 to R-10."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from services.intake.domain.answer import AnswerInstrument, answer_instrument
from services.intake.domain.state import Case
from shared.events import intake
from shared.events.base import EventData
from shared.events.clinical import Instrument
from shared.pathway.instruments import Answers
from shared.pathway.refusal import Refusal
from tests.unit.alerting import without_alerts
from tests.unit.intake.cases import NOW, POLICY, answer, at, policy_with, referred


def events_of(instrument: Instrument, answers: Answers, case: Case | None = None, when: datetime = NOW) -> list[EventData]:
    command = AnswerInstrument(instrument=instrument, answers=tuple(answers), answered_at=when, simulated=True)
    return without_alerts(answer_instrument(case or referred(), command, at()))


def test_what_was_answered_is_recorded_item_by_item() -> None:
    (event,) = events_of("gad-7", [3, 3, 3, 1, 0, 0, 0])
    assert event == intake.InstrumentAnswered(
        instrument="gad-7",
        answers=(3, 3, 3, 1, 0, 0, 0),
        total=10,
        band="moderate",
        flags=("positive",),
        answered_at=NOW,
        simulated=True,
        policy_version=POLICY.version,
        entry=at().new_id("entry"),
        recorded_at=NOW,
    )


def test_r07_a_missing_item_is_recorded_as_unscored() -> None:
    (event,) = events_of("phq-9", [3, None, 3, 3, 3, 3, 3, 3, 0])
    assert isinstance(event, intake.InstrumentAnswered)
    assert (event.total, event.band) == (None, "unscored")


@pytest.mark.parametrize(("item9", "demanded"), [(0, False), (1, True), (3, True)])
def test_r08_item_9_demands_the_screener(item9: int, demanded: bool) -> None:
    events = events_of("phq-9", [0] * 8 + [item9])
    assert [type(event) for event in events[1:]] == ([intake.SuicideRiskScreenRequired] if demanded else [])


def test_r08_demands_even_when_the_phq9_is_unscored() -> None:
    assert isinstance(events_of("phq-9", [None] * 8 + [1])[1], intake.SuicideRiskScreenRequired)


def test_r08_the_threshold_comes_from_the_policy() -> None:
    command = AnswerInstrument(instrument="phq-9", answers=(0,) * 8 + (1,), answered_at=NOW)
    assert len(answer_instrument(referred(), command, at(policy=policy_with(phq9_item9_requires_screener=2)))) == 1


@pytest.mark.parametrize(
    ("screener_hours_ago", "answers", "demanded"),
    [(3, [0] * 6, True), (2, [0] * 6, False), (1, [0] * 6, False), (1, [None] * 6, True)],
)
def test_r08_a_full_screener_answered_since_is_enough(screener_hours_ago: float, answers: list[int | None], demanded: bool) -> None:
    case = answer(referred(), "c-ssrs", answers, hours_ago=screener_hours_ago)
    events = events_of("phq-9", [0] * 8 + [1], case, NOW - timedelta(hours=2))
    assert (len(events) == 2) is demanded


@pytest.mark.parametrize("answers", [[0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 2], [None, None, None, 1, None, None]])
def test_r10_high_risk_places_a_hold_at_once(answers: list[int | None]) -> None:
    _, hold = events_of("c-ssrs", answers)
    assert isinstance(hold, intake.SafetyHoldPlaced)
    assert (hold.reason, hold.placed_at) == ("suicide_risk", NOW)


@pytest.mark.parametrize("answers", [[1, 1, 1, 0, 0, 1], [0] * 6, [1, 1, 1, 0, 0, None]])
def test_r10_less_than_high_places_none(answers: list[int | None]) -> None:
    assert len(events_of("c-ssrs", answers)) == 1


def test_r10_an_older_screener_recorded_late_still_places_a_hold() -> None:
    case = answer(referred(), "c-ssrs", [0] * 6, hours_ago=1)
    assert len(events_of("c-ssrs", [0, 0, 0, 1, 0, 0], case, NOW - timedelta(hours=9))) == 2


def test_r10_each_high_answer_is_a_hold_of_its_own_and_a_retry_is_the_same() -> None:
    command = AnswerInstrument(instrument="c-ssrs", answers=(0, 0, 0, 1, 0, 0), answered_at=NOW)
    first, retried, second = (answer_instrument(referred(), command, at(seed=seed))[1] for seed in ("a", "a", "b"))
    assert first == retried
    assert isinstance(first, intake.SafetyHoldPlaced)
    assert isinstance(second, intake.SafetyHoldPlaced)
    assert first.hold != second.hold


def test_r12_audit_c_is_judged_by_the_sex_of_the_referral() -> None:
    male, female = (events_of("audit-c", [3, 0, 0], referred(sex=sex))[0] for sex in ("male", "female"))
    assert isinstance(male, intake.InstrumentAnswered)
    assert isinstance(female, intake.InstrumentAnswered)
    assert (male.flags, female.flags) == ((), ("positive",))


@pytest.mark.parametrize(("ahead", "refused"), [(timedelta(0), False), (timedelta(microseconds=1), True)])
def test_answers_from_the_future_are_refused(ahead: timedelta, refused: bool) -> None:
    command = AnswerInstrument(instrument="phq-9", answers=(0,) * 9, answered_at=(NOW + ahead).astimezone(timezone(timedelta(hours=-8))))
    if not refused:
        assert answer_instrument(referred(), command, at())
        return
    with pytest.raises(Refusal) as answer_refused:
        answer_instrument(referred(), command, at())
    assert (answer_refused.value.slug, answer_refused.value.rule) == ("time-in-the-future", "R-07")


@pytest.mark.parametrize(("when", "refused"), [(datetime(2000, 1, 1, tzinfo=UTC), False), (datetime(1999, 12, 31, tzinfo=UTC), True)])
def test_a_mistyped_year_is_refused(when: datetime, refused: bool) -> None:
    if not refused:
        assert events_of("gad-7", [0] * 7, when=when)
        return
    with pytest.raises(Refusal) as refusal:
        events_of("gad-7", [0] * 7, when=when)
    assert (refusal.value.slug, refusal.value.rule) == ("out-of-range", "R-11")


def test_answers_need_a_referral() -> None:
    with pytest.raises(Refusal) as refused:
        events_of("phq-9", [0] * 9, Case())
    assert refused.value.slug == "not-referred"


GOOD = '{"instrument": "phq-9", "answers": [0,0,0,0,0,0,0,0,null], "answered_at": "2026-06-15T10:00:00+02:00"}'


def test_the_body_is_read_from_json() -> None:
    command = AnswerInstrument.model_validate_json(GOOD)
    assert command.answers[-1] is None
    assert command.answered_at == datetime(2026, 6, 15, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("null]", '"0"]'),
        ("null]", "true]"),
        ("null]", "1.5]"),
        ("null]", "NaN]"),
        ("+02:00", ""),
        ('"phq-9"', '"PHQ-9"'),
        ('{"instrument"', '{"total": 3, "instrument"'),
        ("2026-06-15", "2026-02-30"),
        ("2026-06-15", "10000-06-15"),
    ],
)
def test_a_body_that_does_not_hold_is_refused(good: str, bad: str) -> None:
    with pytest.raises(ValidationError):
        AnswerInstrument.model_validate_json(GOOD.replace(good, bad, 1))
