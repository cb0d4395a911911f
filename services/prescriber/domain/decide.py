"""A prescriber decides: eligible under a plan, not eligible, or first wants items cleared (R-14)."""

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Final, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from services.prescriber.domain.alerts import with_alerts
from services.prescriber.domain.clearance import Answer, each_item_once
from services.prescriber.domain.evaluation import StatedEvaluation, not_evaluated
from services.prescriber.domain.outdated import SCREENING_OUTDATED
from services.prescriber.domain.plan import dose_warnings, hard_limits, supply_warnings
from services.prescriber.domain.state import Case, merged
from services.prescriber.domain.substance_use import not_seen
from shared.events.base import EventData, Slug
from shared.events.clinical import BloodPressure, MonitoringLimits, TreatmentPlan
from shared.events.prescriber import (
    IN_HOUSE,
    Clearance,
    ClearanceRequested,
    DecisionKind,
    EligibilityApproved,
    EligibilityDeclined,
    LateDecisionReceived,
    StepRefused,
)
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request
from shared.pathway.view import VIEW_TOO_OLD, too_old

HEARD: Final = ("intake",)
"""The service that owns consent and screening: an approval rests on its word. Before a dose the gate asks after all of them."""
_EXACT = ConfigDict(strict=True, extra="forbid")
_DECIMAL: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")


class StatedPressure(BloodPressure):
    """A pressure as stated in a request: exact types, no unknown fields. Millimetres of mercury."""

    model_config = _EXACT


class StatedLimits(MonitoringLimits):
    """Limits as stated in a request."""

    model_config = _EXACT
    hold_above: StatedPressure


class StatedPlan(TreatmentPlan):
    """A plan as stated in a request; doses are decimal strings, so that no reader between here and there rounds them."""

    model_config = _EXACT
    limits: StatedLimits

    @field_validator("dose_mg_low", "dose_mg_high", "mg_per_kg_high", mode="before")
    @classmethod
    def _is_a_plain_decimal(cls, dose: Any) -> Any:
        if isinstance(dose, Decimal):
            return dose
        if not isinstance(dose, str) or _DECIMAL.fullmatch(dose) is None:
            raise ValueError('a dose is a decimal string such as "100" or "0.5"')
        return Decimal(dose)

    def to_event(self) -> TreatmentPlan:
        """Return the value that events carry."""
        return TreatmentPlan.model_validate(self.model_dump())


class Decision(Request):
    """What a prescriber decided on a numbered request; reasons are codes, and every decision has some (R-14)."""

    request: Annotated[int, Field(ge=1, le=1_000_000)]
    decision: DecisionKind
    reasons: Annotated[tuple[Slug, ...], Field(min_length=1, max_length=20)]
    plan: StatedPlan | None = None
    """With `eligible`, and only then."""
    clearances: Annotated[tuple[Answer, ...], Field(max_length=40)] = ()
    """With `eligible`: the prescriber's answer to each item that needs clearance."""
    items: Annotated[tuple[Slug, ...], Field(max_length=20)] = ()
    """With `needs_clearance`, and only then: what the clinic is to clear."""
    evaluation: StatedEvaluation | None = None
    """With `eligible`: how the patient was evaluated; left out, by telemedicine without any evaluation in person (R-16)."""
    follow_up_on: date | None = None
    """With `eligible`: the day of the follow-up visit after the supply that this one continues (R-17)."""

    _once = field_validator("clearances")(each_item_once)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if (self.plan is not None) != (self.decision == "eligible"):
            raise ValueError("a plan belongs to eligible, and to nothing else")
        if bool(self.items) != (self.decision == "needs_clearance"):
            raise ValueError("items belong to needs_clearance, and to nothing else")
        if self.clearances and self.decision != "eligible":
            raise ValueError("clearances belong to eligible, and to nothing else")
        if self.evaluation is not None and self.decision != "eligible":
            raise ValueError("an evaluation belongs to eligible, and to nothing else")
        if self.follow_up_on is not None and self.decision != "eligible":
            raise ValueError("a follow-up visit belongs to eligible, and to nothing else")
        return self


def decide_in_house(case: Case, command: Decision, context: Context) -> list[EventData]:
    """Decide a review that is assigned to the network's own prescribers."""
    return decide(case, command, context, by=IN_HOUSE)


def decide_as_partner(case: Case, command: Decision, context: Context, *, by: Slug, left: bool = False) -> list[EventData]:
    """Decide for a partner organisation; one that lost the review answers late, which is recorded, and a person looks at it.

    So does one that left the network (`left`) and still has the review: until it goes to another one, or because a stop keeps
    it from going anywhere.
    """
    has_left = left and by == case.partner and case.status == "in_review" and command.request == case.request
    if not has_left and (by == case.partner or by not in case.assigned):
        return decide(case, command, context, by=by)
    if command.request > case.request:
        raise Refusal("no-open-review", "No review with this request number was ever open.", rule="R-30")
    late = LateDecisionReceived(
        request=command.request,
        partner=by,
        decision=command.decision,
        reasons=command.reasons,
        decided_by=context.actor.id,
        received_at=context.now,
    )
    return with_alerts([late], context)


def decide(case: Case, command: Decision, context: Context, *, by: Slug) -> list[EventData]:
    """Decide the open review for the organisation `by`; `context.actor` is the prescriber.

    Refused without a trace if it answers another request than the one that is open (R-30). An approval that a rule
    forbids is recorded as refused, never trimmed until it fits. A finding of not eligible is always taken: it stops
    the pathway, so no stop may keep it out.
    """
    if case.partner != by:
        raise Refusal("not-assigned", "This review is not assigned to your organisation.")
    if command.request < case.request:
        raise Refusal("stale-request", "A newer request replaced the one this decision answers.", rule="R-30")
    if command.request > case.request or case.status != "in_review":
        raise Refusal("no-open-review", "No review with this request number is open.", rule="R-30")
    match command.decision:
        case "eligible":
            return _approve(case, command, context, by)
        case "needs_clearance":
            return _ask(case, command, context)
        case "ineligible":
            declined = EligibilityDeclined(
                request=case.request,
                reasons=command.reasons,
                partner=by,
                decided_by=context.actor.id,
                decided_at=context.now,
                policy_version=context.policy.version,
            )
            return [declined]


def _approve(case: Case, command: Decision, context: Context, by: Slug) -> list[EventData]:
    assert command.plan is not None, "the model demands a plan"  # noqa: S101
    plan = command.plan.to_event()
    answers = merged(case.answers, tuple(answer.to_event() for answer in command.clearances))
    evaluation = None if command.evaluation is None else command.evaluation.to_event()
    forbidden = not_seen(case, by, context) or [
        *_outdated(case, context),
        *_uncleared(case, answers, context),
        *not_evaluated(evaluation, plan.route, context),
        *hard_limits(case, plan, context),
    ]
    refused = _stopped(case, context) or [*_not_known_up_to_now(context), *forbidden]
    if refused:
        asked = {"plan": plan, "clearances": answers, "evaluation": evaluation, "follow_up_on": command.follow_up_on}
        return [refusal.model_copy(update=asked) for refusal in refused]
    approved = EligibilityApproved(
        request=case.request,
        plan=plan,
        clearances=answers,
        reasons=command.reasons,
        warnings=(*supply_warnings(case, plan, command.follow_up_on, context), *dose_warnings(plan, context)),
        evaluation=evaluation,
        follow_up_on=command.follow_up_on,
        partner=by,
        decided_by=context.actor.id,
        decided_at=context.now,
        policy_version=context.policy.version,
    )
    return [approved]


def _ask(case: Case, command: Decision, context: Context) -> list[EventData]:
    items = tuple(dict.fromkeys(command.items))
    stopped = _stopped(case, context)
    if stopped:
        return [refusal.model_copy(update={"items": items}) for refusal in stopped]
    asked_by = context.actor.id
    return [ClearanceRequested(request=case.request, items=items, reasons=command.reasons, asked_by=asked_by, asked_at=context.now)]


def _stopped(case: Case, context: Context) -> list[StepRefused]:
    """R-10, R-20: a withdrawal or a hold stops what would carry the pathway on."""
    why = case.stops.why_stopped("disclosure_to_prescriber") or case.stops.why_stopped("treatment")
    if why is None:
        return []
    detail = "Consent or a safety hold forbids deciding for the patient to go on."
    rule = "R-10" if why == "safety-hold" else "R-20"
    facts = {"because": why}
    return [StepRefused(step="decide-eligibility", rule=rule, detail=detail, facts=facts, policy_version=context.policy.version)]


def _outdated(case: Case, context: Context) -> list[StepRefused]:
    """R-14: no approval on facts that changed since; the patient is screened again first."""
    if not case.outdated:
        return []
    return [
        StepRefused(
            step="approve",
            rule="R-14",
            detail="What was recorded since the screening would have changed it; the screening must be renewed first.",
            facts={"because": SCREENING_OUTDATED, "items": ", ".join(case.outdated)},
            policy_version=context.policy.version,
        )
    ]


def _not_known_up_to_now(context: Context) -> list[StepRefused]:
    """R-20: another service may have said since what would stop the approval."""
    return [
        StepRefused(
            step="approve",
            rule="R-20",
            detail=f"What {service} says of this case is not known up to now; decide again in a moment.",
            facts={"because": VIEW_TOO_OLD, "source": service, "seconds": seconds},
            policy_version=context.policy.version,
        )
        for service, seconds in too_old(HEARD, context)
    ]


def _uncleared(case: Case, answers: tuple[Clearance, ...], context: Context) -> list[StepRefused]:
    """R-14: each item that needs clearance (R-06) must be answered, and answered as cleared."""
    cleared = {answer.item: answer.cleared for answer in answers}
    open_items = [item for item in case.clearances if not cleared.get(item, False)]
    if not open_items:
        return []
    return [
        StepRefused(
            step="approve",
            rule="R-14",
            detail="An approval needs every item that needs clearance (R-06) answered as cleared.",
            facts={item: "not-cleared" if item in cleared else "unanswered" for item in open_items},
            policy_version=context.policy.version,
        )
    ]
