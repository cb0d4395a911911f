"""Integration's past decisions: found in a history, the same again under their own policy, different where another one says so.

Expectations: R-29, R-08 and R-10 of domain.md 5c; the shipped policy says half of the baseline, below 5 from at least 10, and 5 points.
"""

from typing import Any

import pytest

from services.integration.domain.past import past_decisions
from shared.events.base import Envelope, EventData
from shared.events.codec import Recorded
from shared.pathway.past import Past
from tests.unit.integration_service.story import POLICY, Story, dosed, phq9, policy, screening

NOT_SAID = ("R-29 cannot say: response", "R-29 cannot say: remission", "R-29 cannot say: deterioration")


class RecordedStory(Story):
    """An integration that keeps its history, one commit for each decision."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[Recorded] = []

    def take(self, events: list[EventData]) -> list[EventData]:
        for index, event in enumerate(events):
            envelope = Envelope(
                id=f"commit{self.causes}.{index}",
                source="urn:kapcare:integration",
                type=event.TYPE,
                subject="case-1",
                time=self.now,
                sequence=len(self.history) + 1,
                clinic="riverside",
                patient="patient-1",
                actor="therapist-1",
                correlation="c",
            )
            self.history.append(Recorded(envelope, type(event).model_validate_json(event.model_dump_json())))
        return super().take(events)

    def past(self) -> list[Past]:
        return list(past_decisions(self.history))


def story(baseline: int = 18) -> RecordedStory:
    told = RecordedStory()
    told.hear(screening(phq_9=baseline, gad_7=12))
    told.hear(dosed())
    told.on_day(14)
    return told


@pytest.mark.parametrize(
    ("total", "changes", "was", "would_be"),
    [
        (9, {"response_drop_fraction": 0.6}, "R-29 response", "R-29 no response"),
        (10, {"response_drop_fraction": 0.4}, "R-29 no response", "R-29 response"),
        (4, {"remission_below": 4}, "R-29 remission", "R-29 no remission"),
        (4, {"remission_baseline_at_least": 19}, "R-29 remission", "R-29 cannot say: remission"),
        (22, {"deterioration_points": 4}, "R-29 no deterioration", "R-29 deterioration"),
        (23, {"deterioration_points": 6}, "R-29 deterioration", "R-29 no deterioration"),
    ],
)
def test_r29_what_an_outcome_was_found_to_be_goes_by_the_policy(total: int, changes: dict[str, Any], was: str, would_be: str) -> None:
    told = story()
    told.measure("phq-9", phq9(total))
    (past,) = told.past()
    assert (past.step, past.policy_version) == ("measure phq-9", POLICY.version)
    assert past.again(POLICY) == past.result
    again = past.again(policy(**changes))
    assert ({*past.result} - {*again}, {*again} - {*past.result}) == ({was}, {would_be})


def test_r29_an_outcome_is_decided_again_against_the_baseline_it_was_measured_against() -> None:
    """What was corrected since does not change what was found then."""
    told = story(18)
    told.measure("phq-9", phq9(9))
    told.hear(screening(phq_9=10, gad_7=12))
    (past,) = told.past()
    assert dict(past.facts)["total before treatment"] == "18"
    assert past.again(POLICY) == past.result == ("measured", "R-29 response", "R-29 no remission", "R-29 no deterioration")


def test_r08_a_policy_that_asks_for_the_screener_later_would_not_have_asked_for_it() -> None:
    told = story()
    told.measure("phq-9", phq9(10, item9=1))
    (past,) = told.past()
    assert past.result[-1] == "R-08 suicide risk screen required"
    assert past.again(POLICY) == past.result
    assert past.again(policy(phq9_item9_requires_screener=2)) == past.result[:-1]


def test_r10_a_hold_for_a_high_risk_is_part_of_the_decision_under_every_policy() -> None:
    told = story()
    told.measure("c-ssrs", (1, 1, 1, 1, 0, 0))
    (past,) = told.past()
    assert past.result == ("measured", *NOT_SAID, "R-10 hold for suicide_risk")
    assert past.again(POLICY) == past.again(policy(deterioration_points=1)) == past.result


def test_r07_a_missing_item_is_unscored_again() -> None:
    told = story()
    told.measure("gad-7", (1, 1, None, 1, 1, 1, 1))
    (past,) = told.past()
    assert past.result == ("unscored", *NOT_SAID)
    assert ("answers", "1, 1, missing, 1, 1, 1, 1") in past.facts
    assert past.again(POLICY) == past.result


def test_what_no_policy_decides_is_no_decision() -> None:
    told = story()
    told.hold()
    told.tick()
    assert told.past() == []
