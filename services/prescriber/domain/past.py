"""The prescriber service's decisions in the history of a case: approvals, and approvals that rules refused; medication. Pure.

A finding of not eligible and a wish for clearance are a person's judgement, which no policy decides again.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial, reduce

from services.prescriber.domain.clearance import Answer
from services.prescriber.domain.decide import Decision, StatedPlan, decide
from services.prescriber.domain.evaluation import StatedEvaluation
from services.prescriber.domain.past_supply import supply_decisions
from services.prescriber.domain.state import Case, evolve_case
from shared.events.base import EventData, Slug
from shared.events.clinical import Evaluation, TreatmentPlan
from shared.events.codec import Recorded
from shared.events.prescriber import Clearance, EligibilityApproved, StepRefused
from shared.pathway.context import Context
from shared.pathway.past import Past, Result, commits_of
from shared.pathway.view import as_decided


def past_decisions(history: Sequence[Recorded]) -> Iterator[Past]:
    """Yield the decisions of a case, oldest first. All that one commit refused is one decision."""
    case = Case()
    for committed in commits_of(history):
        events = [recorded.data for recorded in committed]
        for recorded in committed:
            asked = _asked(recorded.data, case)
            if asked is not None and case.partner is not None:
                yield Past(
                    step="approve",
                    envelope=recorded.envelope,
                    policy_version=_policy_of(recorded.data),
                    facts=_facts(case, asked),
                    result=_words(events),
                    decide=partial(_again, case, asked, case.partner),
                    views=as_decided(events),
                )
                break
        yield from supply_decisions(case, committed)
        case = reduce(evolve_case, events, case)


def _asked(event: EventData, case: Case) -> Decision | None:
    """Return what the prescriber had asked for; None where the event is no decision on an approval."""
    match event:
        case EligibilityApproved():
            return _decision(event.request, event.reasons, event.plan, event.clearances, event.evaluation, event.follow_up_on)
        case StepRefused(plan=TreatmentPlan() as plan):
            return _decision(case.request, ("asked",), plan, event.clearances, event.evaluation, event.follow_up_on)
        case _:
            return None


def _decision(
    request: int,
    reasons: tuple[Slug, ...],
    plan: TreatmentPlan,
    clearances: Sequence[Clearance],
    evaluation: Evaluation | None,
    follow_up_on: date | None,
) -> Decision:
    return Decision(
        request=request,
        decision="eligible",
        reasons=reasons,
        plan=StatedPlan.model_validate(plan.model_dump()),
        clearances=tuple(Answer(item=answer.item, cleared=answer.cleared, note=answer.note) for answer in clearances),
        evaluation=None if evaluation is None else StatedEvaluation(mode=evaluation.mode, in_person_on=evaluation.in_person_on),
        follow_up_on=follow_up_on,
    )


def _policy_of(event: EventData) -> str:
    assert isinstance(event, EligibilityApproved | StepRefused), "only these are decisions on an approval"  # noqa: S101
    return event.policy_version


def _again(case: Case, command: Decision, by: Slug, context: Context) -> Result:
    return _words(decide(case, command, context, by=by))


def _words(events: Sequence[EventData]) -> Result:
    for event in events:
        if isinstance(event, EligibilityApproved):
            return ("approved", *(f"warning {warning}" for warning in sorted(event.warnings)))
    refused = [event for event in events if isinstance(event, StepRefused)]
    return ("refused", *sorted(f"{refusal.rule} {refusal.detail}" for refusal in refused))


def _answers(case: Case, asked: Decision) -> Iterator[tuple[Slug, bool]]:
    """Yield the answer to each item that counted: a later one replaces an earlier one."""
    answered = {answer.item: answer.cleared for answer in case.answers}
    yield from (answered | {answer.item: answer.cleared for answer in asked.clearances}).items()


def _facts(case: Case, asked: Decision) -> tuple[tuple[str, str], ...]:
    known: list[tuple[str, str]] = []
    if case.summary is not None:
        known = [("age", str(case.summary.age)), ("weight", f"{case.summary.weight_kg} kg"), ("risk", str(case.summary.risk))]
    known += [("consent or hold", case.stops.why_stopped() or "nothing stops")]
    known += [("consent covers", scope) for scope in sorted(case.stops.consent_scopes)]
    known += [("transferred from", clinic) for clinic in case.earlier_clinics]
    known += [("needs clearance", item) for item in case.clearances]
    known += [(f"clearance {item}", "cleared" if cleared else "not cleared") for item, cleared in _answers(case, asked)]
    stated = asked.model_dump(mode="json", include={"plan", "evaluation", "follow_up_on"}, exclude_none=True)
    plan: dict[str, object] = stated.pop("plan")
    return (
        *known,
        *((f"plan {name}", str(value)) for name, value in plan.items()),
        *((name, str(value)) for name, value in stated.items()),
    )
