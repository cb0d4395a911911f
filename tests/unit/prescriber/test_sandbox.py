"""The example review. Expectations: it is decided by the rules of real reviews (R-14, R-16, R-30), and no real case has its id."""

import re
from datetime import timedelta

import pytest

from services.prescriber.api import show_review
from services.prescriber.domain.decide import decide_as_partner
from services.prescriber.domain.partners.replay import AskForTest, ask_for_example, ask_for_test
from services.prescriber.domain.partners.state import Partner
from services.prescriber.partners.messages import EXAMPLE_CASE
from services.prescriber.partners.sandbox import EXAMPLE_REQUEST, example_case
from shared.events.partner import TestEventAsked
from shared.events.prescriber import EligibilityApproved
from shared.pathway.refusal import Refusal
from tests.unit.prescriber.given import NORTH, NOW, POLICY, context, decision, organisation, rules

CLEARED = [{"item": "hypertension", "cleared": True, "note": "controlled"}]
IN_PERSON = {"mode": "in_person"}


def test_the_example_has_the_form_of_a_case() -> None:
    assert re.fullmatch(r"case-[0-9a-f]{32}", EXAMPLE_CASE)


def test_the_example_is_open_with_whoever_asks_and_shows_what_must_be_cleared() -> None:
    case = example_case("north", NOW, 72)
    assert (case.partner, case.status, case.due_at) == ("north", "in_review", NOW + timedelta(hours=72))
    shown = show_review(case, "riverside", POLICY)
    assert (shown["request"], shown["clearances"]) == (EXAMPLE_REQUEST, ("hypertension",))
    assert shown["summary"].note == "An example, of no patient."


def test_r14_the_example_wants_its_clearance_answered() -> None:
    case = example_case("north", NOW, 72)
    assert rules(decide_as_partner(case, decision(evaluation=IN_PERSON), context(), by="north")) == ["R-14"]
    (approved,) = decide_as_partner(case, decision(evaluation=IN_PERSON, clearances=CLEARED), context(), by="north")
    assert isinstance(approved, EligibilityApproved)


def test_r30_an_answer_to_another_request_of_the_example_is_refused() -> None:
    case = example_case("north", NOW, 72)
    with pytest.raises(Refusal) as refused:
        decide_as_partner(case, decision(request=2, clearances=CLEARED), context(), by="north")
    assert (refused.value.slug, refused.value.rule) == ("no-open-review", "R-30")


def test_a_test_is_asked_for_an_endpoint_that_is_there_by_an_organisation_that_is_there() -> None:
    to_main = AskForTest(endpoint="main")
    for status in ("active", "sandbox"):
        partner = Partner(organisation("north", status=status))
        assert ask_for_test(partner, to_main, context()) == [TestEventAsked(partner="north", endpoint="main")]
        assert ask_for_example(partner, to_main, context()) == [TestEventAsked(partner="north", endpoint="main", example=True)]
    for ask in (ask_for_test, ask_for_example):
        for partner, command, slug in (
            (Partner(), to_main, "no-such-partner"),
            (Partner(organisation("north", status="left")), to_main, "partner-left"),
            (Partner(NORTH), AskForTest(endpoint="second"), "no-such-endpoint"),
            (Partner(organisation("north", endpoints=())), to_main, "no-such-endpoint"),
        ):
            with pytest.raises(Refusal) as refused:
                ask(partner, command, context())
            assert refused.value.slug == slug
