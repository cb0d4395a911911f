"""R-16: telemedicine alone may do from 2026-01-01 through 2026-12-31 (90 FR 61301), by the clinic's calendar; else in person."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.prescriber.domain.decide import decide_in_house
from shared.events.clinical import Evaluation
from shared.events.prescriber import EligibilityApproved, StepRefused
from shared.pathway.policy import Policy, read_document
from tests.unit.prescriber.given import POLICY, context, decision, in_review, rules

IN_TIME = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
AFTER = datetime(2027, 3, 2, 9, 0, tzinfo=UTC)


def outcome(now: datetime, evaluation: dict[str, Any] | None = None, in_force: Policy = POLICY, **plan_changed: Any) -> list[str]:
    """The rules that refuse; none where it is approved with the evaluation as it was stated."""
    stated: dict[str, Any] = {} if evaluation is None else {"evaluation": evaluation}
    command = decision(plan_changed={"expires_at": now + timedelta(days=60), **plan_changed}, **stated)
    events = decide_in_house(in_review(), command, context(now=now, policy=in_force))
    if isinstance(events[0], EligibilityApproved):
        assert events[0].evaluation == (None if evaluation is None else Evaluation.model_validate(evaluation))
        return []
    return rules(events)


def in_zone(zone: str) -> Policy:
    return POLICY.model_copy(update={"time_zone": zone})


@pytest.mark.parametrize(
    ("zone", "now", "refused"),
    [
        ("America/New_York", datetime(2027, 1, 1, 4, 59, 59, tzinfo=UTC), False),
        ("America/New_York", datetime(2027, 1, 1, 5, 0, tzinfo=UTC), True),
        ("America/Los_Angeles", datetime(2027, 1, 1, 7, 59, 59, tzinfo=UTC), False),
        ("America/Los_Angeles", datetime(2027, 1, 1, 8, 0, tzinfo=UTC), True),
        ("America/New_York", datetime(2026, 1, 1, 4, 59, 59, tzinfo=UTC), True),
        ("America/New_York", datetime(2026, 1, 1, 5, 0, tzinfo=UTC), False),
    ],
)
@pytest.mark.parametrize("stated", [None, {"mode": "telemedicine"}])
def test_r16_the_law_flips_at_the_clinics_midnight(zone: str, now: datetime, refused: bool, stated: dict[str, Any] | None) -> None:
    assert outcome(now, stated, in_zone(zone)) == (["R-16"] if refused else [])


@pytest.mark.parametrize(
    ("stated", "refused"),
    [
        (None, True),
        ({"mode": "telemedicine"}, True),
        ({"mode": "telemedicine", "in_person_on": None}, True),
        ({"mode": "in_person"}, False),
        ({"mode": "in_person", "in_person_on": "2027-03-02"}, False),
        ({"mode": "telemedicine", "in_person_on": "2025-06-01"}, False),
        ({"mode": "telemedicine", "in_person_on": "2027-03-02"}, False),
        ({"mode": "telemedicine", "in_person_on": "2027-03-03"}, True),
        ({"mode": "in_person", "in_person_on": "2027-03-03"}, True),
    ],
)
def test_r16_what_counts_as_evaluated_in_person(stated: dict[str, Any] | None, refused: bool) -> None:
    assert outcome(AFTER, stated) == (["R-16"] if refused else [])


def test_r16_today_is_the_clinics_day_for_the_evaluation_too() -> None:
    late_evening = datetime(2027, 3, 3, 2, 0, tzinfo=UTC)  # still 2 March in New York
    assert outcome(late_evening, {"mode": "telemedicine", "in_person_on": "2027-03-02"}) == []
    assert outcome(late_evening, {"mode": "telemedicine", "in_person_on": "2027-03-03"}) == ["R-16"]


@pytest.mark.parametrize(
    "stated", [{"mode": "telemedicine"}, {"mode": "in_person"}, {"mode": "telemedicine", "in_person_on": "2026-03-02"}]
)
def test_r16_while_telemedicine_may_do_any_evaluation_is_taken(stated: dict[str, Any]) -> None:
    assert outcome(IN_TIME, stated) == []


def test_r16_an_evaluation_to_come_is_never_taken() -> None:
    assert outcome(IN_TIME, {"mode": "telemedicine", "in_person_on": "2026-03-03"}) == ["R-16"]


def test_r16_the_refusal_says_what_it_rests_on() -> None:
    (refused,) = decide_in_house(in_review(), decision(plan_changed={"expires_at": AFTER + timedelta(days=60)}), context(now=AFTER))
    assert isinstance(refused, StepRefused)
    assert (refused.step, refused.policy_version) == ("approve", POLICY.version)
    assert refused.facts == {
        "today": "2027-03-02",
        "mode": "telemedicine",
        "telemedicine_from": "2026-01-01",
        "telemedicine_through": "2026-12-31",
    }


def test_r16_a_route_may_have_days_of_its_own() -> None:
    document = read_document().model_dump(mode="json")
    override = {"route": "intramuscular", "value": "2027-12-31"}
    document["values"]["telemedicine_through"]["overrides"] = [override]
    longer = type(read_document()).model_validate(document).at("riverside")
    injection: dict[str, Any] = {"route": "intramuscular", "dose_mg_low": 30, "dose_mg_high": 60, "mg_per_kg_high": 1}
    assert outcome(AFTER, in_force=longer, **injection) == []
    assert outcome(AFTER, in_force=longer) == ["R-16"]


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"mode": "by-letter"},
        {"in_person_on": "2026-03-01"},
        {"mode": "in_person", "in_person_on": "yesterday"},
        {"mode": "in_person", "in_person_on": "2026-02-30"},
        {"mode": "in_person", "in_person_on": 20260301},
        {"mode": "in_person", "where": "clinic"},
    ],
)
def test_r16_a_malformed_evaluation_never_reaches_the_rule(stated: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        decision(evaluation=stated)


@pytest.mark.parametrize(("kind", "more"), [("ineligible", {}), ("needs_clearance", {"items": ["cardiac"]})])
def test_an_evaluation_belongs_to_an_approval(kind: str, more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        decision(kind, evaluation={"mode": "in_person"}, **more)


@given(days=st.integers(-800, 800), mode=st.sampled_from(["telemedicine", "in_person"]), seen=st.none() | st.integers(-900, 900))
def test_r16_no_approval_outside_the_days_without_an_evaluation_in_person(days: int, mode: str, seen: int | None) -> None:
    now = datetime(2026, 7, 1, 12, 0, tzinfo=UTC) + timedelta(days=days)
    seen_on = None if seen is None else now.date() + timedelta(days=seen)
    stated = {"mode": mode, "in_person_on": None if seen_on is None else seen_on.isoformat()}
    approved = outcome(now, stated) == []
    allowed = date(2026, 1, 1) <= now.date() <= date(2026, 12, 31)
    assert approved == ((seen is None or seen <= 0) and (allowed or mode == "in_person" or seen is not None))
