"""Substance-use content and partner organisations. Expectations: R-33 (domain.md 5c), 42 CFR 2.31 to 2.33 as amended in 2024, and
2.13(c)(2): what is kept back must not tell of whom it is kept back."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic_core import to_json

from services.intake.domain.codes import INGREDIENTS, ITEMS
from services.prescriber.api import show_case, show_review
from services.prescriber.domain.decide import decide_as_partner, decide_in_house
from services.prescriber.domain.past import past_decisions
from services.prescriber.domain.review import opening
from services.prescriber.domain.state import Case
from services.prescriber.domain.stops import STOPS, lifting, noting
from services.prescriber.domain.substance_use import MEDICATIONS, NOTICE, WITHHELD, is_withheld, speaks_of_substance_use
from services.prescriber.domain.transfer import take_transfer
from shared.events import intake
from shared.events.base import Envelope, EventData
from shared.events.clinical import Finding, Score, ScreeningSummary, StatedScore
from shared.events.codec import Recorded
from shared.events.prescriber import (
    IN_HOUSE,
    Clearance,
    ClearanceAnswered,
    ClearanceRequested,
    EligibilityApproved,
    EligibilityDeclined,
    ReviewAssigned,
    StepRefused,
    TransferNoted,
)
from shared.pathway.context import Context
from shared.pathway.policy import Policy
from shared.pathway.refusal import Refusal
from shared.pathway.stop import LiftHold, PlaceHold, WithdrawConsent
from tests.unit.prescriber.given import NOW, POLICY, context, decision, nobody, partners, rules, summary, told

PROGRAM = POLICY.model_copy(update={"part2_programs": frozenset({"riverside"})})
PLAIN = ("treatment", "disclosure_to_prescriber")
WITH_SCOPE = (*PLAIN, "substance_use_disclosure")


def at(policy: Policy = PROGRAM, clinic: str = "riverside") -> Context:
    return replace(context(policy=policy), clinic=clinic)


def consent(scopes: tuple[Any, ...], given_at: datetime = NOW - timedelta(days=1)) -> intake.ConsentGiven:
    return intake.ConsentGiven(version="c1", scopes=scopes, given_at=given_at)


def later(scopes: tuple[Any, ...], hours: int = 1) -> intake.ConsentGiven:
    return consent(scopes, NOW + timedelta(hours=hours))


def scored(*instruments: Any) -> tuple[Score, ...]:
    return tuple(Score(instrument=each, total=3, band="positive", answered_at=NOW) for each in instruments)


def stated(*instruments: Any) -> tuple[StatedScore, ...]:
    return tuple(StatedScore(instrument=each, total=3, answered_at=NOW) for each in instruments)


def found(item: str, *because: str, weight: Any = "review") -> Finding:
    return Finding(item=item, weight=weight, rule="R-06", because=because)


NEUTRAL = summary().model_copy(
    update={
        "scores": scored("phq-9"),
        "stated_scores": stated("mdq"),
        "findings": (found("liver_disease", "235856003", weight="needs_clearance"),),
        "medications": ("sertraline", "lorazepam"),
        "medications_of_no_class": ("sertraline",),
    }
)
"""Without any substance-use content."""
TELLING = NEUTRAL.model_copy(
    update={
        "scores": scored("audit-c", "phq-9"),
        "stated_scores": stated("mdq", "dast-10"),
        "findings": (
            found("alcohol", "audit-c"),
            found("drugs", "82667-7"),
            found("substance_use_disorder", "7200002"),
            found("opioid", "6813"),
            found("liver_disease", "K70.30", weight="needs_clearance"),
        ),
        "medications": ("Methadone 10 MG Oral Tablet", "sertraline", "Suboxone", "lorazepam"),
        "medications_of_no_class": ("sertraline", "naltrexone"),
        "unread_conditions": ("AUD, in remission",),
        "note": "Sober since May.",
    }
)
"""The same patient, with substance-use content wherever there can be some."""


def reviewed(scopes: tuple[Any, ...] = PLAIN, shown: ScreeningSummary = TELLING, who: Any = partners, by: Context | None = None) -> Case:
    """An open review, with a partner unless said otherwise, of a clinic that is a Part 2 program."""
    case = told(Case(), [consent(scopes)])
    completed = intake.ScreeningCompleted(summary=shown, completed_at=NOW, policy_version=POLICY.version)
    return told(case, opening(who)(case, completed, by or at()))


def shown_to_partner(case: Case, policy: Policy = PROGRAM, clinic: str = "riverside") -> dict[str, Any]:
    """What the organisation reads."""
    read: dict[str, Any] = json.loads(to_json(show_review(case, clinic, policy)))
    return read


def approving(case: Case, by: Context | None = None, who: str | None = None, request: int | None = None) -> list[EventData]:
    cleared = [{"item": "liver_disease", "cleared": True, "note": "seen"}]
    asked = decision(request=request or case.request, clearances=cleared)
    if case.partner == IN_HOUSE:
        return decide_in_house(case, asked, by or at())
    return decide_as_partner(case, asked, by or at(), by=who or case.partner or "")


def noted(case: Case, *said: EventData, by: Context | None = None) -> list[EventData]:
    """What follows from what another service said, one after the other."""
    events: list[EventData] = []
    for event in said:
        follows = noting(partners)(told(case, events), event, by or at())
        events += follows
    return events


def test_r33_without_the_scope_a_partner_reads_a_review_of_a_part2_program_without_substance_use_content() -> None:
    review = shown_to_partner(reviewed())
    content = review["summary"]
    assert [score["instrument"] for score in content["scores"]] == ["phq-9"]
    assert [score["instrument"] for score in content["stated_scores"]] == ["mdq"]
    assert [(finding["item"], finding["because"]) for finding in content["findings"]] == [("liver_disease", [])]
    assert content["medications"] == ["sertraline", "lorazepam"]
    assert content["medications_of_no_class"] == ["sertraline"]
    assert (content["unread_conditions"], content["note"]) == ([], None)
    assert review["clearances"] == ["liver_disease"]
    text = json.dumps({**review, "why_withheld": None, "withheld": None}).lower()
    for word in ("alcohol", "drug", "audit", "dast", "methadone", "suboxone", "naltrexone", "substance", "sober", "aud,", "k70", "opioid"):
        assert word not in text, word


def test_r33_what_is_withheld_is_named_with_the_reason_and_no_notice_goes_with_it() -> None:
    review = shown_to_partner(reviewed())
    assert review["withheld"] == list(WITHHELD)
    assert "cannot approve" in review["why_withheld"]
    assert review["redisclosure"] is None


def test_r33_a_review_does_not_tell_whether_anything_was_there_to_withhold() -> None:
    """42 CFR 2.13(c)(2): both patients look alike, and so do the answers to an approval."""
    telling, neutral = reviewed(), reviewed(shown=NEUTRAL)
    assert shown_to_partner(telling) == shown_to_partner(neutral)
    assert approving(telling) == approving(neutral)
    assert rules(approving(neutral)) == ["R-33"]


def test_r33_under_the_scope_all_is_disclosed_with_the_notice_and_the_scope_of_the_consent() -> None:
    """The words are the second statement of 42 CFR 2.32(a), the consent's scope goes with them by 2.32."""
    case = reviewed(WITH_SCOPE)
    review = shown_to_partner(case)
    assert review["summary"] == json.loads(TELLING.model_dump_json())
    assert (review["withheld"], review["why_withheld"]) == ([], None)
    assert review["redisclosure"]["notice"] == NOTICE == "42 CFR part 2 prohibits unauthorized use or disclosure of these records."
    assert review["redisclosure"]["consent"] == {
        "version": "c1",
        "scopes": ["disclosure_to_prescriber", "substance_use_disclosure", "treatment"],
        "given_at": "2026-03-01T09:00:00Z",
    }
    (approved,) = approving(case)
    assert isinstance(approved, EligibilityApproved)


@pytest.mark.parametrize("scopes", [PLAIN, WITH_SCOPE])
def test_r33_of_a_clinic_that_is_no_part2_program_nothing_is_withheld_and_nothing_noted(scopes: tuple[str, ...]) -> None:
    for policy in (POLICY, POLICY.model_copy(update={"part2_programs": frozenset({"hillside"})})):
        case = reviewed(scopes, by=at(policy))
        review = shown_to_partner(case, policy)
        assert review["summary"] == json.loads(TELLING.model_dump_json())
        assert (review["withheld"], review["why_withheld"], review["redisclosure"]) == ([], None, None)
        assert isinstance(approving(case, at(policy))[0], EligibilityApproved)


def test_r33_the_networks_own_prescribers_see_all_and_approve() -> None:
    case = reviewed(who=nobody)
    assert case.partner == IN_HOUSE
    assert show_case(case)["summary"] == TELLING
    assert isinstance(approving(case)[0], EligibilityApproved)


def test_r33_no_partner_approves_what_is_withheld_and_nothing_else_is_said_of_the_case() -> None:
    """Neither what must be cleared nor what is outdated: the refusal is the same for every patient."""
    case = reviewed()
    (refused,) = decide_as_partner(case, decision(), at(), by=case.partner or "")
    assert isinstance(refused, StepRefused)
    assert (refused.rule, refused.step, refused.facts) == ("R-33", "approve", {"because": "substance-use-withheld"})
    assert refused.plan is not None


def test_r33_where_intakes_word_may_be_missing_that_is_said_too_for_it_may_be_the_consent() -> None:
    """Then the partner is asked to send its decision again, and nothing is recorded (`view-too-old`)."""
    assert rules(approving(reviewed(), replace(at(), views={}))) == ["R-20", "R-33"]


def test_r33_a_partner_may_decline_and_ask_while_content_is_withheld() -> None:
    case = reviewed()
    (declined,) = decide_as_partner(case, decision("ineligible"), at(), by=case.partner or "")
    assert isinstance(declined, EligibilityDeclined)
    (asked,) = decide_as_partner(case, decision("needs_clearance", items=["consent"]), at(), by=case.partner or "")
    assert isinstance(asked, ClearanceRequested)


def test_r33_what_was_asked_and_answered_of_substance_use_is_withheld_and_so_is_every_note() -> None:
    case = reviewed()
    answers = tuple(Clearance(item=item, cleared=True, note="clean since May") for item in ("liver_disease", "alcohol_use"))
    case = told(case, [ClearanceRequested(request=1, items=("alcohol_use", "ecg"), asked_by="dr", asked_at=NOW)])
    case = told(case, [ClearanceAnswered(answers=answers, answered_at=NOW), ReviewAssigned(request=2, partner="south", due_at=NOW)])
    review = shown_to_partner(case)
    assert review["clearances"] == ["liver_disease", "ecg"]
    assert [(answer["item"], answer["cleared"]) for answer in review["answers"]] == [("liver_disease", True)]
    assert "May" not in json.dumps(review)


def test_r33_once_the_consent_covers_it_the_partner_is_asked_anew_and_its_earlier_answer_counts_no_more() -> None:
    """It may have fetched the review without: whoever approves has been shown what there is (R-30 refuses the earlier request)."""
    case = reviewed()
    events = noted(case, later(WITH_SCOPE))
    assert [type(event).__name__ for event in events] == ["StopNoted", "ReviewAssigned"]
    after = told(case, events)
    assert (after.partner, after.request) == (case.partner, 2)
    assert shown_to_partner(after)["summary"]["note"] == "Sober since May."
    with pytest.raises(Refusal) as stale:
        approving(after, request=1)
    assert stale.value.slug == "stale-request"
    assert isinstance(approving(after)[0], EligibilityApproved)


def test_r33_a_consent_that_still_lacks_the_scope_asks_nobody_anew_and_one_that_always_had_it_neither() -> None:
    assert [type(event).__name__ for event in noted(reviewed(), later(PLAIN))] == ["StopNoted"]
    assert [type(event).__name__ for event in noted(reviewed(WITH_SCOPE), later(WITH_SCOPE))] == ["StopNoted"]
    in_house = reviewed(who=nobody)
    assert [type(event).__name__ for event in noted(in_house, later(WITH_SCOPE))] == ["StopNoted"]
    elsewhere = at(POLICY)
    assert [type(event).__name__ for event in noted(reviewed(by=elsewhere), later(WITH_SCOPE), by=elsewhere)] == ["StopNoted"]


def test_r33_withdrawn_and_given_again_without_the_scope_what_was_disclosed_is_withheld() -> None:
    case = reviewed(WITH_SCOPE)
    withdrawn = intake.ConsentWithdrawn(withdrawn_at=NOW + timedelta(hours=1), said_to="intake")
    stopped = told(case, noted(case, withdrawn))
    with pytest.raises(Refusal) as refused:
        show_review(stopped, "riverside", PROGRAM)
    assert refused.value.slug == "consent-withdrawn"
    again = told(stopped, noted(stopped, later(PLAIN, hours=2)))
    assert shown_to_partner(again)["withheld"] == list(WITHHELD)
    assert rules(approving(again)) == ["R-33"]
    with_scope = told(again, noted(again, later(WITH_SCOPE, hours=3)))
    assert with_scope.request == case.request + 1  # it may have been fetched without, meanwhile
    assert shown_to_partner(with_scope)["withheld"] == []


def test_r33_a_scope_that_came_during_a_hold_is_asked_about_when_the_hold_ends() -> None:
    case = reviewed()
    (placed,) = STOPS.place(case, PlaceHold(reason="other"), at())
    held = told(case, [placed])
    held = told(held, noted(held, later(WITH_SCOPE)))
    assert held.request == 1
    (hold,) = held.stops.holds
    events = lifting(partners)(held, LiftHold(hold=hold, reason="seen"), at())
    assert [type(event).__name__ for event in events] == ["SafetyHoldLifted", "ReviewAssigned"]
    asked_anew = told(held, events)
    held_again = told(asked_anew, STOPS.place(asked_anew, PlaceHold(reason="other"), replace(at(), seed="event:2")))
    (hold,) = held_again.stops.holds
    events = lifting(partners)(held_again, LiftHold(hold=hold, reason="seen"), at())
    assert [type(event).__name__ for event in events] == ["SafetyHoldLifted"]


def test_r33_withdrawn_at_the_prescriber_the_scope_is_not_in_force() -> None:
    case = reviewed(WITH_SCOPE)
    assert not is_withheld(case, "riverside", PROGRAM)
    (withdrawn,) = STOPS.withdraw(case, WithdrawConsent(withdrawn_at=NOW), at())
    assert is_withheld(told(case, [withdrawn]), "riverside", PROGRAM)
    assert rules(approving(told(case, [withdrawn]))) == ["R-20"]


def test_r33_a_clinic_that_becomes_a_program_while_a_review_is_open_is_one_from_then_on() -> None:
    case = reviewed(by=at(POLICY))
    assert shown_to_partner(case, POLICY)["withheld"] == []
    assert shown_to_partner(case, PROGRAM)["withheld"] == list(WITHHELD)
    assert rules(approving(case)) == ["R-33"]


def test_r33_the_records_of_a_program_stay_protected_where_the_case_goes_to_another_clinic() -> None:
    transfer = intake.CaseTransferred(from_clinic="riverside", to_clinic="hillside", reason="moved", transferred_at=NOW)
    case = reviewed()
    (moved,) = take_transfer(case, transfer, at())
    assert moved == TransferNoted(to_clinic="hillside", from_clinic="riverside", transferred_at=NOW)
    case = told(case, [moved])
    assert case.earlier_clinics == ("riverside",)
    assert shown_to_partner(case, clinic="hillside")["withheld"] == list(WITHHELD)
    assert rules(approving(case, at(clinic="hillside"))) == ["R-33"]
    assert shown_to_partner(reviewed(), clinic="hillside")["withheld"] == []


def test_r33_an_approval_is_refused_again_when_it_is_explained_and_would_not_have_been_elsewhere() -> None:
    case = reviewed()
    history: list[EventData] = [consent(PLAIN), *opening(partners)(told(Case(), [consent(PLAIN)]), _completed(), at()), *approving(case)]
    recorded = [Recorded(_envelope(number, event), event) for number, event in enumerate(history, start=1)]
    (past,) = past_decisions(recorded)
    assert past.result[0] == "refused"
    assert [value for name, value in past.facts if name == "consent covers"] == ["disclosure_to_prescriber", "treatment"]
    assert past.again(PROGRAM) == past.result
    assert past.again(POLICY)[0] == "approved"


def _completed() -> intake.ScreeningCompleted:
    return intake.ScreeningCompleted(summary=TELLING, completed_at=NOW, policy_version=POLICY.version)


def _envelope(number: int, event: EventData) -> Envelope:
    return Envelope(
        id=f"commit{number}.0",
        source="urn:kapcare:prescriber",
        type=event.TYPE,
        subject="case-1",
        time=NOW,
        sequence=number,
        clinic="riverside",
        patient="patient-1",
        actor="prescriber-7",
        correlation="c",
    )


def test_r33_whatever_intake_calls_substance_use_is_in_the_table() -> None:
    """The items of R-05, what R-05 and R-12 find, and the class of R-34 that stands for methadone and buprenorphine."""
    items = {slug for slug, item in ITEMS.items() if item.rule == "R-05"} | {"substance_use_disorder", "alcohol", "drugs", "opioid"}
    assert len(items) == 8
    assert [item for item in items if not speaks_of_substance_use(item)] == []
    others = set(ITEMS) - items - {"cannabinoid"}
    assert [item for item in others if speaks_of_substance_use(item)] == []


def test_r33_the_brands_that_intake_reads_of_these_ingredients_are_in_the_table_but_for_those_against_pain() -> None:
    brands = {brand for each in INGREDIENTS if each.name in MEDICATIONS for brand in each.also}
    assert {brand for brand in brands if not speaks_of_substance_use(brand)} == {"butrans", "belbuca", "buprenex"}


@pytest.mark.parametrize(
    ("name", "speaks"),
    [
        ("Naltrexone 380 MG Extended Release Suspension [Vivitrol]", True),
        ("buprenorphine 8 MG / naloxone 2 MG Sublingual Film", True),
        ("ANTABUSE", True),
        ("acamprosate calcium 333 MG", True),
        ("bupropion", False),
        ("naproxen", False),
        ("varenicline", False),
        ("oxycodone", False),
        ("audit-c", True),
        ("dast-10", True),
        ("phq-9", False),
        ("nonalcoholic_steatohepatitis", False),
    ],
)
def test_r33_what_speaks_of_substance_use(name: str, speaks: bool) -> None:
    """FDA labels: buprenorphine, methadone and naltrexone for opioid, disulfiram and acamprosate for alcohol use disorder."""
    assert speaks_of_substance_use(name) is speaks
