"""Who gets a review: licensed where the clinic lies, active, told, with room, and of those whoever answers soonest.

The oracle says for each organisation by itself whether it may have the review, in the words of the rule.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.prescriber.domain.ask_again import AskForReview, asking_again
from services.prescriber.domain.clearance import AnswerClearances, answering
from services.prescriber.domain.decide import decide_as_partner
from services.prescriber.domain.partners.assign import choose
from services.prescriber.domain.partners.state import Endpoint, Organisation
from services.prescriber.domain.reassign import Reassign, passing_on, reassigning
from services.prescriber.domain.review import opening
from services.prescriber.domain.state import Case
from shared.events.prescriber import IN_HOUSE, ReviewAssigned
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from tests.unit.alerting import without_alerts
from tests.unit.prescriber.given import (
    CONSENT,
    NORTH,
    NOW,
    SOUTH,
    context,
    decision,
    in_review,
    in_state,
    nobody,
    only,
    organisation,
    screened,
    told,
)

POLICY_HOURS = 72
"""What the shipped policy gives an organisation to answer."""
STATES = ("OR", "WA", "CA")


def assigned(partners: Any, where: Context, case: Case | None = None) -> ReviewAssigned:
    case = case or told(Case(), [CONSENT])
    return next(event for event in opening(partners)(case, screened(), where) if isinstance(event, ReviewAssigned))


ENDPOINTS = st.builds(
    lambda slug, status, events: Endpoint(slug, "https://x.example", events=events, status=status),
    st.sampled_from(["main", "second"]),
    st.sampled_from(["active", "paused", "disabled"]),
    st.sampled_from([(), ("kapcare.review.assigned", "kapcare.review.stopped"), ("kapcare.approval.expired",)]),
)
ORGANISATIONS = st.builds(
    lambda slug, **changed: replace(organisation(slug), **changed),
    st.sampled_from(["east", "north", "south", "west", "north-east"]),
    status=st.sampled_from(["active", "active", "active", "sandbox", "left"]),
    endpoints=st.just(NORTH.endpoints) | st.lists(ENDPOINTS, max_size=2).map(tuple),
    licensed_states=st.just(STATES) | st.sets(st.sampled_from(STATES), max_size=3).map(lambda states: tuple(sorted(states))),
    capacity=st.sampled_from([None, None, 0, 2, 10]),
    open_reviews=st.sampled_from([0, 1, 2, 3]),
    answer_hours=st.sampled_from([None, 1, 24, 24, 72, 200]),
)
REGISTERED = st.lists(ORGANISATIONS, max_size=5, unique_by=lambda one: one.slug).map(tuple)
CLINICS = st.sampled_from([None, *STATES])
SEEDS = st.text(max_size=20)


def may(one: Organisation, state: str | None) -> bool:
    """The oracle."""
    if one.status == "sandbox" or one.status == "left":
        return False
    if state is not None and state not in one.licensed_states:
        return False
    if one.capacity is not None and one.open_reviews >= one.capacity:
        return False
    told_of_reviews = [e for e in one.endpoints if e.events == () or "kapcare.review.assigned" in e.events]
    return "active" in [e.status for e in told_of_reviews] or "paused" in [e.status for e in told_of_reviews]


def hours(one: Organisation) -> int:
    return POLICY_HOURS if one.answer_hours is None else min(one.answer_hours, POLICY_HOURS)


@given(REGISTERED, CLINICS, SEEDS)
def test_never_an_unlicensed_full_sandbox_or_left_organisation_and_in_house_only_where_nobody_may(
    partners: tuple[Organisation, ...], state: str | None, seed: str
) -> None:
    able = {one.slug: hours(one) for one in partners if may(one, state)}
    event = assigned(only(*partners), in_state(state, seed))
    if not able:
        assert (event.partner, event.due_at) == (IN_HOUSE, NOW + timedelta(hours=POLICY_HOURS))
        return
    assert able[event.partner] == min(able.values())
    assert event.due_at == NOW + timedelta(hours=able[event.partner])


@given(REGISTERED, CLINICS, SEEDS, st.data())
def test_the_choice_hangs_on_the_seed_and_not_on_the_order(
    partners: tuple[Organisation, ...], state: str | None, seed: str, data: st.DataObject
) -> None:
    shuffled = tuple(data.draw(st.permutations(partners)))
    assert choose(shuffled, in_state(state, seed)) == choose(partners, in_state(state, seed))


@given(REGISTERED, ORGANISATIONS, CLINICS, SEEDS)
def test_one_more_organisation_that_may_not_changes_nothing(
    partners: tuple[Organisation, ...], other: Organisation, state: str | None, seed: str
) -> None:
    others = tuple(one for one in partners if one.slug != other.slug)
    if not may(other, state):
        assert choose((*others, other), in_state(state, seed)) == choose(others, in_state(state, seed))


@given(REGISTERED, CLINICS, SEEDS)
def test_when_one_that_was_not_chosen_leaves_every_review_stays_where_it_was(
    partners: tuple[Organisation, ...], state: str | None, seed: str
) -> None:
    chosen = choose(partners, in_state(state, seed))
    for leaver in partners:
        if leaver.slug != chosen:
            left = tuple(replace(one, status="left") if one is leaver else one for one in partners)
            assert choose(left, in_state(state, seed)) == chosen


def test_among_equals_reviews_are_spread_evenly() -> None:
    """200 throws of a fair coin lie within 60 and 140 but for one time in ten million."""
    chosen = [choose((NORTH, SOUTH), in_state(seed=f"event:{number}")) for number in range(200)]
    assert 60 < chosen.count("north") < 140


def test_without_a_known_state_no_licence_is_asked_for_and_with_one_none_stated_is_none() -> None:
    stated = organisation("stated", licensed_states=("WA",))
    assert choose((NORTH,), in_state(None)) == "north"
    assert choose((NORTH,), in_state("OR")) == IN_HOUSE
    assert choose((NORTH, stated), in_state("OR")) == IN_HOUSE
    assert choose((NORTH, stated), in_state("WA")) == "stated"


def test_a_full_organisation_is_passed_over_until_it_has_room() -> None:
    near = organisation("near", capacity=2, open_reviews=1, answer_hours=1)
    assert choose((near, NORTH), in_state()) == "near"
    assert choose((replace(near, open_reviews=2), NORTH), in_state()) == "north"
    assert choose((replace(near, open_reviews=2), replace(NORTH, capacity=0)), in_state()) == IN_HOUSE


@pytest.mark.parametrize(("undertaken", "given_hours"), [(None, 72), (24, 24), (72, 72), (73, 72)])
def test_the_time_to_answer_is_what_it_undertakes_and_at_most_what_the_policy_allows(undertaken: int | None, given_hours: int) -> None:
    event = assigned(only(replace(NORTH, answer_hours=undertaken)), in_state())
    assert event.due_at - NOW == timedelta(hours=given_hours)


def refused(partner: Organisation, where: Context) -> str:
    case = in_review(who=only(SOUTH))
    with pytest.raises(Refusal) as reason:
        reassigning(only(SOUTH, partner))(case, Reassign(reason="too-busy", partner=partner.slug), where)
    return reason.value.slug


def test_a_coordinator_names_no_organisation_that_may_not_have_it_and_is_told_why() -> None:
    licensed = replace(NORTH, licensed_states=("OR",))
    assert refused(replace(licensed, status="sandbox"), in_state("OR")) == "partner-not-active"
    assert refused(replace(licensed, status="left"), in_state("OR")) == "partner-not-active"
    assert refused(licensed, in_state("WA")) == "not-licensed"
    assert refused(replace(NORTH, licensed_states=()), in_state("WA")) == "not-licensed"
    assert refused(replace(licensed, capacity=3, open_reviews=3), in_state("OR")) == "partner-full"
    assert refused(replace(licensed, capacity=0), in_state("OR")) == "partner-full"


def test_a_coordinator_may_name_one_whose_endpoints_are_disabled() -> None:
    """It can be told by other means, and fetches the review with its token."""
    silent = replace(NORTH, endpoints=(replace(NORTH.endpoints[0], status="disabled"),), answer_hours=5)
    case = in_review(who=only(SOUTH))
    assert choose((silent,), in_state()) == IN_HOUSE
    after = told(case, reassigning(only(SOUTH, silent))(case, Reassign(reason="by-phone", partner="north"), in_state()))
    assert (after.partner, after.due_at) == ("north", NOW + timedelta(hours=5))


def test_a_silent_organisations_review_goes_to_one_that_may_have_it() -> None:
    case = in_review(who=only(SOUTH))
    for unable in (replace(NORTH, status="left"), replace(NORTH, capacity=1, open_reviews=1), replace(NORTH, status="sandbox")):
        events = without_alerts(passing_on(only(SOUTH, unable))(case, in_state()))
        assert told(case, events).partner == IN_HOUSE


def approved_by_south() -> Case:
    case = in_review(who=only(SOUTH))
    return told(case, decide_as_partner(case, decision(), context(), by="south"))


@pytest.mark.parametrize(
    ("south", "asked"),
    [
        (SOUTH, "south"),
        (replace(SOUTH, answer_hours=200, capacity=1), "south"),
        (replace(SOUTH, status="left"), "north"),
        (replace(SOUTH, status="sandbox"), "north"),
        (replace(SOUTH, capacity=4, open_reviews=4), "north"),
    ],
)
def test_another_review_is_asked_of_who_decided_before_if_that_one_may_have_it(south: Organisation, asked: str) -> None:
    """North would answer sooner: who decided before comes first all the same."""
    quick = replace(NORTH, answer_hours=1)
    case = approved_by_south()
    event = asking_again(only(quick, south))(case, AskForReview(), in_state())[1]
    assert isinstance(event, ReviewAssigned)
    assert event.partner == asked
    assert event.due_at - NOW == timedelta(hours=1 if asked == "north" else 72)


def test_another_review_after_one_in_house_stays_in_house() -> None:
    case = in_review(who=nobody)
    case = told(case, decide_as_partner(case, decision(), context(), by=IN_HOUSE))
    assert told(case, asking_again(only(NORTH))(case, AskForReview(), in_state())).partner == IN_HOUSE


def cleared(south: Organisation, where: Context) -> Case:
    """South wanted something cleared, and the clinic answers it."""
    case = in_review(who=only(SOUTH))
    case = told(case, decide_as_partner(case, decision("needs_clearance", items=["cardiac"]), context(), by="south"))
    answers = AnswerClearances.model_validate({"answers": ({"item": "cardiac", "cleared": True, "note": "ECG"},)}, strict=False)
    return told(case, answering(only(NORTH, south))(case, answers, where))


def test_an_answered_clearance_goes_back_to_who_asked_also_if_it_is_full_and_to_another_if_it_left_or_lost_its_licence() -> None:
    licensed = replace(SOUTH, licensed_states=("OR",))
    for south, where, asked, lost in [
        (replace(licensed, capacity=1, open_reviews=1, answer_hours=9), in_state("OR"), "south", ()),
        (replace(licensed, status="left"), in_state(), "north", ("south",)),
        (replace(licensed, licensed_states=("WA",)), in_state("OR"), IN_HOUSE, ("south",)),
    ]:
        case = cleared(south, where)
        assert (case.status, case.request, case.partner, case.lost) == ("in_review", 2, asked, lost)
        assert case.answers[0].item == "cardiac"
