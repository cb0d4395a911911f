"""Decisions that were made, and what they would be under another policy. Pure.

Each service knows how to find its decisions in a case's history (`ServiceDefinition.past`). A decision is taken up with the state it
was made on, so deciding again under the policy that was in force must give what was recorded; under another policy it may not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from shared.events.base import Envelope
from shared.pathway.context import Actor, Context
from shared.pathway.policy import Policy
from shared.pathway.refusal import Refusal
from shared.pathway.view import as_decided

Result = tuple[str, ...]
"""What a decision came to, as words that can be compared: the outcome first, then what it rests on."""


@dataclass(frozen=True, slots=True)
class Past:
    """One decision of a case's history."""

    step: str
    envelope: Envelope
    """Of the event that recorded it: when, by whom, in which clinic."""
    policy_version: str
    facts: tuple[tuple[str, str], ...]
    """What it was decided on: name and value, in the order they were stated."""
    result: Result
    decide: Callable[[Context], Result]
    """Decide again, on the same facts, at the same moment."""
    views: Mapping[str, timedelta] = field(default_factory=lambda: as_decided(()))
    """How old the view of the other services was; see `shared.pathway.view.as_decided`."""
    recalled_lots: Mapping[str, str] = field(default_factory=dict)
    """The lots that the decision knew to be recalled, each with its recall."""

    def again(self, policy: Policy) -> Result:
        """Return what the decision comes to under a policy."""
        envelope = self.envelope
        context = Context(
            now=envelope.time,
            actor=Actor(envelope.actor),
            policy=policy,
            seed=f"again:{envelope.id}",
            envelope=envelope,
            views=self.views,
            recalled_lots=self.recalled_lots,
        )
        try:
            return self.decide(context)
        except Refusal as refusal:
            return ("cannot be decided", refusal.slug)
