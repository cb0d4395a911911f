"""Stating facts: bounds, units, code systems, days; and the hold that a late exclusion places. Expectations: B17, B18; UCUM."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from services.intake.domain.answer import AnswerInstrument, answer_instrument
from services.intake.domain.renew import RenewScreening, renew_screening
from services.intake.domain.state import Case
from services.intake.domain.state_facts import StatedFact, StateFacts, state_facts
from shared.events import intake
from shared.events.base import EventData
from shared.events.clinical import Fact
from shared.pathway.refusal import Refusal
from tests.unit.intake.cases import NOW, POLICY, after, at, fold, ready, referred, screen, state


def facts_of(*facts: dict[str, Any], now: datetime = NOW, **answers: bool) -> tuple[Fact, ...]:
    command = StateFacts(answers=answers, facts=tuple(StatedFact(**fact) for fact in facts))
    (event,) = state_facts(referred(), command, at(now))
    assert isinstance(event, intake.FactsStated)
    return event.facts


def refused(*facts: dict[str, Any], **answers: Any) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        facts_of(*facts, **answers)
    return refusal.value


def observation(code: str, value: str | None, unit: str | None) -> dict[str, Any]:
    return {"kind": "observation", "system": "loinc", "code": code, "value": None if value is None else Decimal(value), "unit": unit}


def test_answers_become_statements_with_the_question_as_label() -> None:
    no, yes = facts_of(pregnancy=False, glaucoma=True)
    assert (no.kind, no.system, no.code, no.active) == ("statement", "kapcare", "pregnancy", False)
    assert (yes.code, yes.active, yes.label) == ("glaucoma", True, "Do you have glaucoma?")


def test_unknown_items_are_refused_without_repeating_them() -> None:
    for refusal in (refused(gout=True), refused({"kind": "statement", "system": "kapcare", "code": "gout"})):
        assert refusal.slug == "malformed"
        assert "gout" not in refusal.detail
    assert refused().slug == "malformed"


@pytest.mark.parametrize(
    ("code", "value", "unit", "kept"),
    [
        ("29463-7", "70", "kg", "70"),
        ("29463-7", "70000", "g", "70"),
        ("29463-7", "154.3236", "[lb_av]", "70.0000"),
        ("8302-2", "1.8", "m", "180"),
        ("8302-2", "70", "[in_i]", "177.8"),
        ("8480-6", "120", "mmHg", "120"),
        ("82667-7", "3", None, "3"),
    ],
)
def test_values_are_kept_in_one_unit(code: str, value: str, unit: str | None, kept: str) -> None:
    (fact,) = facts_of(observation(code, value, unit))
    assert fact.value == pytest.approx(Decimal(kept), abs=Decimal("0.0001"))
    assert fact.on == date(2026, 6, 15)


@pytest.mark.parametrize(
    ("code", "value", "unit"),
    [
        ("29463-7", "0", "kg"),
        ("29463-7", "-70", "kg"),
        ("29463-7", "19.99", "kg"),
        ("29463-7", "501", "kg"),
        ("29463-7", "70", "g"),
        ("29463-7", "70", "stone"),
        ("29463-7", "70", None),
        ("29463-7", None, "kg"),
        ("8480-6", "39", "mmHg"),
        ("8462-4", "201", "mmHg"),
        ("82667-7", "11", "{score}"),
        ("82667-7", "-1", "{score}"),
        ("82667-7", "2.5", "{score}"),
        ("8302-2", "1.8", "cm"),
        ("8302-2", "180", "m"),
        ("8302-2", "79.9999", "cm"),
        ("8302-2", "260.0001", "cm"),
        ("29463-7", "70", "KG"),
        ("29463-7", "154", "lb"),
        ("29463-7", "19.9999", "kg"),
        ("29463-7", "500.0001", "kg"),
    ],
)
def test_absurd_values_and_units_are_refused_with_a_rule(code: str, value: str | None, unit: str | None) -> None:
    refusal = refused(observation(code, value, unit))
    assert (refusal.slug, refusal.rule) == ("out-of-range", "R-12" if code == "82667-7" else "R-06")
    assert refusal.detail.startswith("facts[0].unit" if unit in ("stone", "KG", "lb", None) and "82667" not in code else "facts[0].value")


@pytest.mark.parametrize(
    ("code", "value", "unit"),
    [("29463-7", "20", "kg"), ("29463-7", "500", "kg"), ("8302-2", "80", "cm"), ("8302-2", "260", "cm"), ("82667-7", "10", None)],
)
def test_the_bounds_themselves_are_accepted_as_they_are(code: str, value: str, unit: str) -> None:
    assert facts_of(observation(code, value, unit))[0].value == Decimal(value)


@pytest.mark.parametrize(("ended", "accepted"), [(date(2020, 1, 1), True), (date(2019, 12, 31), False)])
def test_nothing_ends_before_it_began(ended: date, accepted: bool) -> None:
    fact = {"kind": "condition", "system": "snomed", "code": "5602001", "active": False, "on": date(2020, 1, 1), "ended": ended}
    if accepted:
        assert facts_of(fact)[0].ended == ended
    else:
        assert refused(fact).detail == "facts[0].ended lies before facts[0].on."


@pytest.mark.parametrize(
    ("now", "day"),
    [(datetime(2026, 6, 15, 6, 59, tzinfo=UTC), date(2026, 6, 14)), (datetime(2026, 6, 15, 7, tzinfo=UTC), date(2026, 6, 15))],
)
def test_an_undated_observation_is_of_the_day_it_is_at_the_clinic(now: datetime, day: date) -> None:
    # Los Angeles is 7 hours behind UTC in June.
    (event,) = state_facts(
        referred(),
        StateFacts(answers={}, facts=(StatedFact(**observation("29463-7", "70", "kg")),)),
        at(now, policy=POLICY.model_copy(update={"time_zone": "America/Los_Angeles"})),
    )
    assert isinstance(event, intake.FactsStated)
    assert event.facts[0].on == day


@pytest.mark.parametrize(
    ("kind", "system", "code"),
    [
        ("condition", "loinc", "58214004"),
        ("condition", "kapcare", "pregnancy"),
        ("medication", "snomed", "6470"),
        ("observation", "snomed", "29463-7"),
        ("statement", "snomed", "pregnancy"),
        ("observation", "loinc", "1234-5"),
    ],
)
def test_a_fact_in_the_wrong_code_system_is_refused(kind: str, system: str, code: str) -> None:
    assert refused({"kind": kind, "system": system, "code": code}).slug == "malformed"


# At 10:00 UTC the next day begins at UTC+14.
@pytest.mark.parametrize("field", ["on", "ended"])
@pytest.mark.parametrize(("day", "future"), [(date(2026, 6, 16), False), (date(2026, 6, 17), True)])
def test_a_day_is_in_the_future_only_when_it_is_so_everywhere(field: str, day: date, future: bool) -> None:
    fact = {"kind": "condition", "system": "snomed", "code": "5602001", field: day}
    if future:
        assert refused(fact).slug == "time-in-the-future"
    else:
        assert facts_of(fact)
    tomorrow = {**fact, field: date(2026, 6, 16)}
    assert facts_of(tomorrow, now=datetime(2026, 6, 15, 10, 0, tzinfo=UTC))
    with pytest.raises(Refusal):
        facts_of(tomorrow, now=datetime(2026, 6, 15, 9, 59, tzinfo=UTC))


def test_r05_sober_since_needs_its_day() -> None:
    statement = {"kind": "statement", "system": "kapcare", "code": "sober_since"}
    assert refused(statement).rule == "R-05"
    assert facts_of({**statement, "on": date(2026, 1, 1)})[0].on == date(2026, 1, 1)


def test_a_known_code_brings_its_own_label_and_a_stated_one_wins() -> None:
    known, labelled, unknown = facts_of(
        {"kind": "condition", "system": "snomed", "code": "5602001"},
        {"kind": "medication", "system": "rxnorm", "code": "6470", "label": "Lorazepam 1 mg at night"},
        {"kind": "condition", "system": "snomed", "code": "195967001"},
    )
    assert (known.label, labelled.label, unknown.label) == ("Opioid abuse", "Lorazepam 1 mg at night", "195967001")


def screened() -> Case:
    return fold(ready(), [screen(ready())])


def late(case: Case, **answers: bool) -> list[EventData]:
    return state_facts(case, StateFacts(answers=answers), at())


def test_r02_an_exclusion_stated_after_the_screening_places_a_hold() -> None:
    stated, hold, alert = late(screened(), arteriovenous_malformation=True)
    assert isinstance(stated, intake.FactsStated)
    assert isinstance(hold, intake.SafetyHoldPlaced)
    assert hold.reason == "clinical_concern"
    assert hold.note is not None
    assert "arteriovenous_malformation" in hold.note
    assert isinstance(alert, intake.AlertRaised)
    assert (alert.role, alert.why) == ("medical_monitor", "contraindication-after-screening")


def test_r05_a_relapse_stated_after_the_screening_places_a_hold() -> None:
    assert kinds(late(screened(), alcohol_use_disorder=True)) == ["FactsStated", "SafetyHoldPlaced", "AlertRaised"]


def kinds(events: list[EventData]) -> list[str]:
    return [type(event).__name__ for event in events]


def told(events: list[EventData]) -> list[tuple[str, str]]:
    return [(event.role, event.why) for event in events if isinstance(event, intake.AlertRaised)]


CHANGED = [("prescriber", "changed-since-screening")]


def test_r06_what_must_be_cleared_and_was_stated_after_the_screening_calls_a_prescriber_once() -> None:
    case, stated = screened(), late(screened(), seizure=True)
    assert (kinds(stated), told(stated)) == (["FactsStated", "ScreeningOutdated", "AlertRaised"], CHANGED)
    assert [event.items for event in stated if isinstance(event, intake.ScreeningOutdated)] == [("seizure",)]
    assert told(late(fold(case, stated), seizure=True, glaucoma=False)) == []
    named = StateFacts(answers={}, facts=(StatedFact(kind="condition", system="text", code="z1", label="Schizophrenia"),))
    assert told(state_facts(case, named, at())) == CHANGED


def test_r10_a_moderate_risk_after_the_screening_calls_a_prescriber() -> None:
    def answers(*items: int) -> AnswerInstrument:
        return AnswerInstrument(instrument="c-ssrs", answers=items, answered_at=NOW)

    assert told(answer_instrument(screened(), answers(1, 1, 1, 0, 0, 0), at())) == CHANGED
    assert told(answer_instrument(screened(), answers(1, 1, 0, 0, 0, 0), at())) == []


def test_while_another_screening_is_under_way_only_what_excludes_calls_anyone() -> None:
    case = after(screened(), renew_screening, RenewScreening(reason="follow_up"))
    assert kinds(late(case, seizure=True)) == ["FactsStated"]
    assert told(late(case, arteriovenous_malformation=True)) == [("medical_monitor", "contraindication-after-screening")]


def test_what_was_said_before_places_no_other_hold() -> None:
    again = fold(screened(), late(screened(), pregnancy=True))
    assert len(late(again, pregnancy=True)) == 1
    assert len(late(ready(), pregnancy=True)) == 1


def test_facts_need_a_referral() -> None:
    with pytest.raises(Refusal) as refusal:
        late(Case(), pregnancy=False)
    assert refusal.value.slug == "not-referred"


GOOD = (
    '{"answers": {"pregnancy": false}, "facts": [{"kind": "observation", "system": "loinc", "code": "29463-7", "value": "70.5", '
    '"unit": "kg", "on": "2026-06-01"}], "simulated": true}'
)


def test_the_body_is_read_from_json() -> None:
    command = StateFacts.model_validate_json(GOOD)
    assert command.facts[0].value == Decimal("70.5")
    assert state(referred(), *command.facts).facts[0].on == date(2026, 6, 1)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("false", '"no"'),
        ('"70.5"', '"NaN"'),
        ('"70.5"', "1e400"),
        ('"70.5"', '"5e-324"'),
        ('"70.5"', '"Infinity"'),
        ('"70.5"', '"70.00001"'),
        ("2026-06-01", "10000-01-01"),
        ("2026-06-01", "0000-01-01"),
        ('"70.5"', '"50 kg"'),
        ("2026-06-01", "2026-02-30"),
        ('"observation"', '"Observation"'),
        ('"29463-7"', '{"$gt": ""}'),
        ('"unit"', '"units"'),
        ('"pregnancy"', '"../pregnancy"'),
    ],
)
def test_a_body_that_does_not_hold_is_refused(good: str, bad: str) -> None:
    with pytest.raises(ValidationError):
        StateFacts.model_validate_json(GOOD.replace(good, bad, 1))


def test_conditions_are_stated_in_icd_10_cm_and_what_has_no_code_by_its_name() -> None:
    schizophrenia, kava, zolpidem = facts_of(
        {"kind": "condition", "system": "icd-10-cm", "code": "F20.0"},
        {"kind": "medication", "system": "text", "code": "kava", "label": "Kava extract"},
        {"kind": "medication", "system": "rxnorm", "code": "854873"},
    )
    assert schizophrenia.label == "Schizophrenia"
    assert (kava.code, kava.label) == ("kava", "Kava extract")
    assert zolpidem.label == "zolpidem tartrate 10 MG Oral Tablet"
    assert refused({"kind": "medication", "system": "text", "code": "kava"}).detail == "facts[0].label: what has no code needs a name."
    assert refused({"kind": "medication", "system": "icd-10-cm", "code": "F20.0"}).slug == "malformed"
