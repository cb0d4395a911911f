"""R-14, R-06, R-30: what a prescriber may decide, and when."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.prescriber.domain.clearance import AnswerClearances, answering
from services.prescriber.domain.decide import Decision, decide, decide_in_house
from services.prescriber.domain.review import opening
from services.prescriber.domain.state import Case
from services.prescriber.domain.stops import noting
from shared.events import intake
from shared.events.base import EventData
from shared.events.prescriber import (
    Clearance,
    ClearanceAnswered,
    ClearanceRequested,
    EligibilityApproved,
    EligibilityDeclined,
    ReviewAssigned,
    ReviewOpened,
    StepRefused,
)
from shared.pathway.refusal import Refusal
from tests.unit.prescriber.given import (
    CONSENT,
    NOW,
    POLICY,
    context,
    decision,
    finding,
    in_review,
    nobody,
    partners,
    plan,
    read,
    rules,
    screened,
    told,
)

HOLD = intake.SafetyHoldPlaced(hold="hold-1", reason="adverse_event", placed_at=NOW)
LIFTED = intake.SafetyHoldLifted(hold="hold-1", reason="closed", lifted_at=NOW)


def answer(item: str, *, cleared: bool = True) -> dict[str, Any]:
    return {"item": item, "cleared": cleared, "note": "specialist letter"}


def answers(*items: dict[str, Any]) -> AnswerClearances:
    return AnswerClearances.model_validate_json(json.dumps({"answers": items}))


def refused(case: Case, command: Decision) -> Refusal:
    with pytest.raises(Refusal) as reason:
        decide_in_house(case, command, context())
    return reason.value


def test_r14_eligible_approves_under_the_plan() -> None:
    (approved,) = decide_in_house(in_review(), decision(), context())
    assert approved == EligibilityApproved(
        request=1,
        plan=plan(),
        clearances=(),
        reasons=("indication-met",),
        partner="in-house",
        decided_by="prescriber-7",
        decided_at=NOW,
        policy_version=POLICY.version,
    )
    after = told(in_review(), [approved])
    assert (after.status, after.plan, after.deadlines) == ("approved", plan(), {"approval_end": plan().expires_at})


def test_r14_ineligible_declines_with_reasons() -> None:
    (declined,) = decide_in_house(in_review(), decision("ineligible", reasons=["uncontrolled-hypertension"]), context())
    assert isinstance(declined, EligibilityDeclined)
    assert declined.reasons == ("uncontrolled-hypertension",)
    assert told(in_review(), [declined]).status == "declined"


@pytest.mark.parametrize(
    ("clearances", "verdict"),
    [
        ([], {"cystitis": "unanswered", "glaucoma": "unanswered"}),
        ([answer("cystitis")], {"glaucoma": "unanswered"}),
        ([answer("cystitis"), answer("glaucoma", cleared=False)], {"glaucoma": "not-cleared"}),
        ([answer("cystitis"), answer("glaucoma")], None),
    ],
)
def test_r14_r06_eligible_needs_every_clearance_of_the_screening(clearances: list[dict[str, Any]], verdict: dict[str, str] | None) -> None:
    case = in_review(finding("cystitis"), finding("glaucoma"), finding("bipolar", "review"))
    events = decide_in_house(case, decision(clearances=clearances), context())
    if verdict is None:
        assert isinstance(events[0], EligibilityApproved)
        assert [answered.item for answered in events[0].clearances] == ["cystitis", "glaucoma"]
    else:
        (refusal,) = events
        assert isinstance(refusal, StepRefused)
        assert (refusal.rule, refusal.facts, refusal.policy_version) == ("R-14", verdict, POLICY.version)
        assert told(case, events) == case


def asked(*items: str) -> Case:
    """A case whose prescriber asked for these items."""
    case = in_review()
    return told(case, decide_in_house(case, decision("needs_clearance", items=list(items)), context()))


def test_r14_needs_clearance_asks_the_clinic() -> None:
    (event,) = decide_in_house(in_review(), decision("needs_clearance", items=["cardiac", "cardiac", "liver"]), context())
    assert event == ClearanceRequested(
        request=1, items=("cardiac", "liver"), reasons=("indication-met",), asked_by="prescriber-7", asked_at=NOW
    )
    after = asked("cardiac", "liver")
    assert (after.status, after.to_clear, after.deadlines) == ("awaiting_clearance", ("cardiac", "liver"), {})


def test_r06_answers_go_back_to_the_same_prescriber_as_a_new_request() -> None:
    answered, assigned = answering(nobody)(asked("cardiac"), answers(answer("cardiac")), context())
    assert answered == ClearanceAnswered(answers=(Clearance(item="cardiac", cleared=True, note="specialist letter"),), answered_at=NOW)
    assert isinstance(assigned, ReviewAssigned)
    assert (assigned.request, assigned.partner) == (2, "in-house")
    case = told(asked("cardiac"), [answered, assigned])
    assert (case.status, case.request) == ("in_review", 2)
    assert isinstance(decide_in_house(case, decision(request=2), context())[0], EligibilityApproved)


def test_r14_an_item_answered_as_not_cleared_forbids_approval_until_the_prescriber_clears_it() -> None:
    case = told(asked("cardiac"), answering(nobody)(asked("cardiac"), answers(answer("cardiac", cleared=False)), context()))
    assert rules(decide_in_house(case, decision(request=2), context())) == ["R-14"]
    events = decide_in_house(case, decision(request=2, clearances=[answer("cardiac")]), context())
    assert isinstance(events[0], EligibilityApproved)


@pytest.mark.parametrize(
    "given_answers", [[answer("cardiac")], [answer("cardiac"), answer("liver"), answer("seizure")], [answer("seizure")]]
)
def test_r06_exactly_what_was_asked_is_answered(given_answers: list[dict[str, Any]]) -> None:
    with pytest.raises(Refusal) as reason:
        answering(nobody)(asked("cardiac", "liver"), answers(*given_answers), context())
    assert reason.value.slug == "clearance-incomplete"


def test_clearances_nobody_asked_for_are_refused() -> None:
    with pytest.raises(Refusal) as reason:
        answering(nobody)(in_review(finding("cystitis")), answers(answer("cystitis")), context())
    assert reason.value.slug == "no-clearance-asked"


def test_answers_are_facts_and_wait_here_while_disclosure_is_stopped() -> None:
    case = told(asked("cardiac"), [HOLD])
    events = answering(nobody)(case, answers(answer("cardiac")), context())
    assert [type(event) for event in events] == [ClearanceAnswered]
    case = told(case, events)
    assert (case.status, case.request, case.deadlines) == ("clearance_answered", 1, {})
    noted, assigned = noting(nobody)(case, LIFTED, context())
    assert isinstance(assigned, ReviewAssigned)
    case = told(case, [noted, assigned])
    assert (case.status, case.request) == ("in_review", 2)
    assert case.answers[0].item == "cardiac"


def test_r30_a_decision_on_an_older_request_is_stale() -> None:
    case = told(asked("cardiac"), answering(nobody)(asked("cardiac"), answers(answer("cardiac")), context()))
    refusal = refused(case, decision(request=1))
    assert (refusal.slug, refusal.rule) == ("stale-request", "R-30")


@pytest.mark.parametrize("case", [asked("cardiac"), told(in_review(), decide_in_house(in_review(), decision("ineligible"), context()))])
def test_b16_nothing_open_to_decide(case: Case) -> None:
    assert refused(case, decision()).slug == "no-open-review"


def test_b16_a_request_that_was_never_made() -> None:
    assert refused(in_review(), decision(request=2)).slug == "no-open-review"
    assert refused(Case(), decision()).slug == "not-assigned"


def test_b16_approve_after_approve() -> None:
    case = told(in_review(), decide_in_house(in_review(), decision(), context()))
    assert refused(case, decision()).slug == "no-open-review"


def test_a_withheld_review_is_not_open() -> None:
    case = in_review()
    case = told(case, [HOLD])
    case = told(case, opening(nobody)(case, screened(), context()))
    assert refused(case, decision()).slug == "no-open-review"


@pytest.mark.parametrize(("by", "assigned"), [("north", False), ("south", False), ("in-house", True)])
def test_only_the_assigned_organisation_decides(by: str, assigned: bool) -> None:
    case = in_review(who=nobody)
    if assigned:
        assert decide(case, decision(), context(), by=by)
    else:
        with pytest.raises(Refusal) as reason:
            decide(case, decision(), context(), by=by)
        assert reason.value.slug == "not-assigned"


def test_in_house_does_not_decide_what_a_partner_was_asked() -> None:
    assert refused(in_review(who=partners), decision()).slug == "not-assigned"


@pytest.mark.parametrize(
    ("stops", "because"),
    [
        ([HOLD], "safety-hold"),
        ([intake.ConsentWithdrawn(withdrawn_at=NOW, said_to="intake")], "consent-withdrawn"),
        ([CONSENT.model_copy(update={"given_at": NOW, "scopes": ("treatment",)})], "consent-does-not-cover"),
        ([CONSENT.model_copy(update={"given_at": NOW, "scopes": ("disclosure_to_prescriber",)})], "consent-does-not-cover"),
    ],
)
def test_r20_a_stop_refuses_what_would_carry_the_pathway_on(stops: list[EventData], because: str) -> None:
    case = told(in_review(), stops)
    for asked in (decision(), decision("needs_clearance", items=["cardiac"])):
        (refusal,) = decide_in_house(case, asked, context())
        assert isinstance(refusal, StepRefused)
        assert (refusal.rule, refusal.facts) == ("R-10" if because == "safety-hold" else "R-20", {"because": because})
    assert isinstance(decide_in_house(case, decision("ineligible"), context())[0], EligibilityDeclined)


def test_a_refused_approval_keeps_what_was_asked_so_that_it_can_be_decided_again() -> None:
    """The same step by the same rule, from nothing but the case before it and what the refusal holds."""
    case = in_review(finding("cystitis"))
    command = decision(
        clearances=[answer("cystitis", cleared=False)],
        plan_changed={"refills": 6},
        evaluation={"mode": "telemedicine", "in_person_on": "2026-02-20"},
        follow_up_on="2026-03-01",
    )
    events = decide_in_house(case, command, context())
    assert rules(events) == ["R-14", "R-15"]
    for refusal in events:
        assert isinstance(refusal, StepRefused)
        assert refusal.step == "approve"
        assert StepRefused.model_validate_json(refusal.model_dump_json()) == refusal
        assert refusal.plan is not None
        assert refusal.evaluation is not None
        again = decision(
            plan_changed=refusal.plan.model_dump(),
            clearances=[given.model_dump() for given in refusal.clearances],
            evaluation=refusal.evaluation.model_dump(mode="json"),
            follow_up_on=str(refusal.follow_up_on),
        )
        assert decide_in_house(case, again, context()) == events


def test_a_refusal_keeps_the_answers_that_were_given_before() -> None:
    case = told(asked("cardiac"), answering(nobody)(asked("cardiac"), answers(answer("cardiac")), context()))
    (refusal,) = decide_in_house(case, decision(request=2, plan_changed={"refills": 6}), context())
    assert isinstance(refusal, StepRefused)
    assert [given.item for given in refusal.clearances] == ["cardiac"]


def test_what_a_stop_refuses_is_kept_too() -> None:
    case = told(in_review(), [HOLD])
    (approval,) = decide_in_house(case, decision(), context())
    (request,) = decide_in_house(case, decision("needs_clearance", items=["cardiac"]), context())
    assert isinstance(approval, StepRefused)
    assert isinstance(request, StepRefused)
    assert (approval.plan, approval.items) == (plan(), ())
    assert (request.plan, request.items) == (None, ("cardiac",))


def test_once_the_hold_is_lifted_the_same_request_can_be_decided() -> None:
    case = told(in_review(), [HOLD, LIFTED])
    assert isinstance(decide_in_house(case, decision(), context())[0], EligibilityApproved)


BODY: dict[str, Any] = {"request": 1, "decision": "eligible", "reasons": ["ok"], "plan": plan().model_dump(mode="json")}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in BODY.items() if key != name}


@pytest.mark.parametrize(
    "body",
    [
        without("request"),
        without("decision"),
        without("reasons"),
        without("plan"),
        {**BODY, "reasons": []},
        {**BODY, "reasons": ["Has Spaces"]},
        {**BODY, "decision": "Eligible"},
        {**BODY, "decision": None},
        {**BODY, "request": 0},
        {**BODY, "request": "1"},
        {**BODY, "request": True},
        {**BODY, "items": ["cardiac"]},
        {**BODY, "status": "approved"},
        {**BODY, "decision": "ineligible"},
        {**without("plan"), "decision": "needs_clearance"},
        {**without("plan"), "decision": "ineligible", "clearances": [answer("cardiac")]},
        {**BODY, "clearances": [answer("cardiac"), answer("cardiac", cleared=False)]},
        {**BODY, "clearances": [{**answer("cardiac"), "cleared": "true"}]},
        {**BODY, "plan": {**BODY["plan"], "unknown": 1}},
        {**BODY, "plan": {**BODY["plan"], "doses": "2"}},
        {**BODY, "plan": {**BODY["plan"], "doses": 0}},
        {**BODY, "plan": {**BODY["plan"], "doses": 13}},
        {**BODY, "plan": {**BODY["plan"], "refills": -1}},
        {**BODY, "plan": {**BODY["plan"], "refills": "2"}},
        {**BODY, "follow_up_on": "in April"},
        {**BODY, "plan": {**BODY["plan"], "dose_mg_high": "0"}},
        {**BODY, "plan": {**BODY["plan"], "dose_mg_high": -5}},
        {**BODY, "plan": {**BODY["plan"], "dose_mg_high": 0.1 + 0.2}},
        {**BODY, "plan": {**BODY["plan"], "dose_mg_high": "NaN"}},
        {**BODY, "plan": {**BODY["plan"], "dose_mg_high": "200 g"}},
        {**BODY, "plan": {**BODY["plan"], "expires_at": "2026-05-01T00:00:00"}},
        {**BODY, "plan": {**BODY["plan"], "expires_at": "2026-02-30T00:00:00Z"}},
        {**BODY, "plan": {**BODY["plan"], "expires_at": 1790000000}},
        {**BODY, "plan": {**BODY["plan"], "limits": {**BODY["plan"]["limits"], "minimum_stay_minutes": 120.5}}},
        {**BODY, "plan": {**BODY["plan"], "limits": {**BODY["plan"]["limits"], "hold_above": {"systolic": 140, "diastolic": 90, "x": 1}}}},
    ],
)
def test_b12_b15_a_malformed_decision_never_reaches_a_rule(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(body)


@pytest.mark.parametrize("number", ["100", "100.5", "1e2", '"1e2"', '" 100"', '"+100"', '"1_0"', '"٣"', '"100 mg"', '""', "null", "true"])
def test_b12_a_dose_is_a_plain_decimal_string(number: str) -> None:
    """A number would pass through readers that round it, and an exponent hides a slip of the pen."""
    assert read(json.loads(json.dumps(BODY).replace('"200"', '"100.50"'))).plan is not None
    text = json.dumps(BODY).replace('"200"', number)
    assert number in text
    with pytest.raises(ValidationError):
        Decision.model_validate_json(text)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400", "5e-324", "-0", "12345678901234567890123"])
def test_b12_numbers_that_are_no_doses(number: str) -> None:
    text = json.dumps(BODY).replace('"200"', number)
    assert number in text
    with pytest.raises(ValidationError):
        Decision.model_validate_json(text)


ITEMS = st.lists(st.sampled_from(["cystitis", "glaucoma", "cardiac", "liver"]), unique=True)


@given(needed=ITEMS, answered=st.dictionaries(st.sampled_from(["cystitis", "glaucoma", "cardiac", "liver", "other"]), st.booleans()))
def test_r14_no_approval_ever_leaves_an_item_open(needed: list[str], answered: dict[str, bool]) -> None:
    case = in_review(*[finding(item) for item in needed])
    command = decision(clearances=[answer(item, cleared=cleared) for item, cleared in answered.items()])
    (event,) = decide_in_house(case, command, context())
    assert isinstance(event, EligibilityApproved) == all(answered.get(item, False) for item in needed)


def test_a_second_screening_asks_for_clearances_anew() -> None:
    case = in_review(finding("cystitis"))
    case = told(case, decide_in_house(case, decision(clearances=[answer("cystitis")]), context()))
    events = opening(nobody)(case, screened(finding("cystitis")), context())
    assert isinstance(events[0], ReviewOpened)
    assert events[0].request == 2
    assert rules(decide_in_house(told(case, events), decision(request=2), context())) == ["R-14"]


@pytest.mark.parametrize(("seconds", "refused"), [(15, False), (15.1, True), (None, True)])
def test_r20_an_approval_rests_on_a_young_view_of_intake(seconds: float | None, refused: bool) -> None:
    """15 s is the shipped bound; a finding of not eligible is taken whatever is known."""
    views = {} if seconds is None else {"intake": timedelta(seconds=seconds)}
    at = replace(context(), views=views)
    events = decide_in_house(in_review(), decision("eligible"), at)
    assert [event.facts.get("because") for event in events if isinstance(event, StepRefused)] == (["view-too-old"] if refused else [])
    assert isinstance(decide_in_house(in_review(), decision("ineligible"), at)[0], EligibilityDeclined)
