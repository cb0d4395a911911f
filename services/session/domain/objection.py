"""What a clinical rule holds against a step; a refusal for it is recorded."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.events.base import EventData, Slug
from shared.events.dosing import AskedDose
from shared.events.session import StepRefused
from shared.pathway.context import Context


@dataclass(frozen=True, slots=True)
class Objection:
    """The rule, a stable word for what is wrong, a line for a person, and the facts it rests on."""

    rule: str
    slug: Slug
    detail: str
    facts: dict[str, str] = field(default_factory=dict)


def refused(step: Slug, objections: Sequence[Objection], context: Context, *, asked: AskedDose | None = None) -> list[EventData]:
    """Return one recorded refusal for each objection; where the step is a dose, with what was asked for."""
    return [
        StepRefused(
            step=step,
            rule=objection.rule,
            detail=objection.detail,
            facts={"because": objection.slug, **objection.facts},
            policy_version=context.policy.version,
            asked=asked,
        )
        for objection in objections
    ]
