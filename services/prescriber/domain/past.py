"""The prescriber service's decisions in the history of a case: approvals. Pure.

A finding of not eligible and a wish for clearance are a person's judgement, which no policy decides again.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from services.prescriber.domain.clearance import Answer
from services.prescriber.domain.decide import Decision, StatedPlan, decide
from services.prescriber.domain.state import Case, evolve_case
from shared.events.base import EventData, Slug
from shared.events.clinical import TreatmentPlan
from shared.events.codec import Recorded
from shared.events.prescriber import EligibilityApproved, StepRefused
from shared.pathway.context import Context
from shared.pathway.past import Past, Result


def past_decisions(history: Sequence[Recorded]) -> Iterator[Past]:
    """Yield the decisions of a case, oldest first."""
    case = Case()
    for recorded in history:
        event = recorded.data
        if isinstance(event, EligibilityApproved):
            yield Past(
                step="approve",
                envelope=recorded.envelope,
                policy_version=event.policy_version,
                facts=_facts(case, event.plan),
                result=_words([event]),
                decide=partial(_again, case, _command(event), event.partner),
            )
        case = evolve_case(case, event)


def _command(event: EligibilityApproved) -> Decision:
    return Decision(
        request=event.request,
        decision="eligible",
        reasons=event.reasons,
        plan=StatedPlan.model_validate(event.plan.model_dump()),
        clearances=tuple(Answer(item=answer.item, cleared=answer.cleared, note=answer.note) for answer in event.clearances),
    )


def _again(case: Case, command: Decision, by: Slug, context: Context) -> Result:
    return _words(decide(case, command, context, by=by))


def _words(events: Sequence[EventData]) -> Result:
    match events[0]:
        case EligibilityApproved() as approved:
            return ("approved", *(f"warning {warning}" for warning in sorted(approved.warnings)))
        case _:
            refused = [event for event in events if isinstance(event, StepRefused)]
            return ("refused", *sorted(f"{refusal.rule} {refusal.detail}" for refusal in refused))


def _facts(case: Case, plan: TreatmentPlan) -> tuple[tuple[str, str], ...]:
    stated = [(f"plan {name}", str(value)) for name, value in plan.model_dump(mode="json").items() if value is not None]
    if case.summary is None:
        return tuple(stated)
    known = [("age", str(case.summary.age)), ("weight", f"{case.summary.weight_kg} kg"), ("risk", str(case.summary.risk))]
    to_clear = [("needs clearance", item) for item in case.clearances]
    return (*known, *to_clear, *stated)
