"""Approvals and their refusals, found in a history: the same again under their own policy, different where another one says so."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.prescriber.domain.decide import decide_in_house
from services.prescriber.domain.past import past_decisions
from services.prescriber.domain.state import Case
from shared.events.base import Envelope, EventData
from shared.events.codec import Recorded
from shared.events.intake import SafetyHoldPlaced
from shared.events.prescriber import IN_HOUSE, EligibilityApproved, ReviewAssigned, ReviewOpened, StepRefused
from shared.pathway.past import Past
from shared.pathway.policy import Policy
from tests.unit.prescriber.given import CONSENT, NOW, POLICY, context, decision, finding, summary, told


def opened(*findings: Any) -> list[EventData]:
    review = ReviewOpened(request=1, summary=summary(*findings), opened_at=NOW)
    return [CONSENT, review, ReviewAssigned(request=1, partner=IN_HOUSE, due_at=NOW + timedelta(hours=72))]


def decided(before: Sequence[EventData], **body: Any) -> list[EventData]:
    return decide_in_house(told(Case(), before), decision("eligible", **body), context())


def found(before: Sequence[EventData], events: Sequence[EventData]) -> list[Past]:
    """Each event of `before` is a commit of its own; `events` are one."""
    commits = [*([event] for event in before), list(events)]
    history = [
        Recorded(
            Envelope(
                id=f"commit{number}.{index}",
                source="urn:kapcare:prescriber",
                type=event.TYPE,
                subject="case-1",
                time=NOW,
                sequence=number,
                clinic="riverside",
                patient="patient-1",
                actor="prescriber-7",
                correlation="c",
            ),
            event,
        )
        for number, commit in enumerate(commits, start=1)
        for index, event in enumerate(commit)
    ]
    return list(past_decisions(history))


def policy(**changed: Any) -> Policy:
    return POLICY.model_copy(update={"version": "other", "values": POLICY.values.model_copy(update=changed)})


def test_an_approval_comes_out_the_same_under_its_own_policy() -> None:
    before = opened()
    events = decided(before)
    assert isinstance(events[0], EligibilityApproved)
    (past,) = found(before, events)
    assert past.result == ("approved",)
    assert past.again(POLICY) == past.result
    assert ("plan doses", "2") in past.facts


def test_r17_a_smaller_first_supply_would_have_warned() -> None:
    before = opened()
    (past,) = found(before, decided(before))
    assert past.again(policy(first_supply_doses=1)) == ("approved", "warning first-supply-above-policy")


def test_r16_a_law_that_had_ended_would_have_refused_and_an_evaluation_in_person_would_not() -> None:
    before = opened()
    ended = policy(telemedicine_through=POLICY.values.telemedicine_from)
    (remote,) = found(before, decided(before, evaluation=None))
    assert remote.again(ended)[0] == "refused"
    assert remote.again(ended)[1].startswith("R-16 ")
    (in_person,) = found(before, decided(before, evaluation={"mode": "in_person"}))
    assert in_person.again(ended) == ("approved",)


def test_r14_all_that_one_decision_was_refused_for_is_one_past_decision() -> None:
    before = opened(finding("liver_disease"))
    events = decided(before, plan_changed={"expires_at": NOW + timedelta(days=400)})
    assert {event.rule for event in events if isinstance(event, StepRefused)} == {"R-14", "R-15"}
    (past,) = found(before, events)
    assert past.result[0] == "refused"
    assert [word[:4] for word in past.result[1:]] == ["R-14", "R-15"]
    assert past.again(POLICY) == past.result


def test_r15_a_longer_validity_would_have_let_a_refused_approval_through() -> None:
    before = opened()
    events = decided(before, plan_changed={"expires_at": NOW + timedelta(days=100)})
    (past,) = found(before, events)
    assert past.result[0] == "refused"
    assert past.again(policy(approval_valid_days=120)) == ("approved",)


def test_a_finding_of_not_eligible_is_no_decision_of_a_policy() -> None:
    before = opened()
    assert found(before, decide_in_house(told(Case(), before), decision("ineligible"), context())) == []


@pytest.mark.parametrize("stopped", [[], ["hold"]])
def test_a_refusal_for_a_stop_is_explained_by_it(stopped: list[str]) -> None:
    before: list[EventData] = [*opened(), *(SafetyHoldPlaced(hold=name, reason="other", placed_at=NOW) for name in stopped)]
    (past,) = found(before, decided(before))
    assert dict(past.facts)["consent or hold"] == ("safety-hold" if stopped else "nothing stops")
    assert past.again(POLICY) == past.result


@pytest.mark.parametrize("age", [None, timedelta(seconds=16.004)])
def test_r20_a_refusal_for_an_old_view_is_decided_again_on_a_view_as_old(age: timedelta | None) -> None:
    before = opened()
    views = {} if age is None else {"intake": age}
    events = decide_in_house(told(Case(), before), decision("eligible"), replace(context(), views=views))
    assert [event.facts["because"] for event in events if isinstance(event, StepRefused)] == ["view-too-old"]
    (past,) = found(before, events)
    assert past.again(POLICY) == past.result
    assert past.again(policy(view_at_most_seconds_old=17)) == (past.result if age is None else ("approved",))
