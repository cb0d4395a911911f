"""What a clinical rule holds against a step; a refusal for it is recorded."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel

from shared.events.base import EventData, Slug
from shared.events.session import StepRefused
from shared.pathway.context import Context


@dataclass(frozen=True, slots=True)
class Objection:
    """The rule, a stable word for what is wrong, a line for a person, and the facts it rests on."""

    rule: str
    slug: Slug
    detail: str
    facts: dict[str, str] = field(default_factory=dict)


def refused(step: Slug, objections: Sequence[Objection], context: Context, *, asked: BaseModel) -> list[EventData]:
    """Return one recorded refusal for each objection, each with what was asked."""
    request = asked.model_dump(mode="json")
    return [
        StepRefused(
            step=step,
            rule=objection.rule,
            detail=objection.detail,
            facts={"because": objection.slug, **objection.facts},
            policy_version=context.policy.version,
            asked=request,
        )
        for objection in objections
    ]
