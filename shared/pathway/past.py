"""Decisions that were made, and what they would be under another policy. Pure.

Each service knows how to find its decisions in a case's history (`ServiceDefinition.past`). A decision is taken up with the state it
was made on, so deciding again under the policy that was in force must give what was recorded; under another policy it may not.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from typing import Any, TypeVar

from pydantic import ValidationError

from shared.events.base import Envelope, EventData
from shared.events.codec import Recorded
from shared.pathway.context import Actor, Context
from shared.pathway.policy import Policy
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request
from shared.pathway.view import as_decided

Asked = Mapping[str, Any]
"""A request as JSON has it."""
AnyRequest = TypeVar("AnyRequest", bound=Request)
Result = tuple[str, ...]
"""What a decision came to, as words that can be compared: the outcome first, then what it rests on."""


@dataclass(frozen=True, slots=True)
class Past:
    """One decision of a case's history."""

    step: str
    envelope: Envelope
    """Of the event that recorded it: when, by whom, in which clinic."""
    policy_version: str | None
    """None where the event does not say it: then it was made under what was in force."""
    facts: tuple[tuple[str, str], ...]
    """What it was decided on: name and value, in the order they were stated."""
    result: Result
    decide: Callable[[Context], Result]
    """Decide again, on the same facts, at the same moment."""
    roles: frozenset[str] = frozenset()
    """Of who decided, as far as the event shows that the decision took them."""
    moved_from: str | None = None
    """The clinic that it was decided in, where the same commit moved the case to another one."""
    views: Mapping[str, timedelta] = field(default_factory=lambda: as_decided(()))
    """How old the view of the other services was; see `shared.pathway.view.as_decided`."""
    recalled_lots: Mapping[str, str] = field(default_factory=dict)
    """The lots that the decision knew to be recalled, each with its recall."""

    @property
    def clinic(self) -> str:
        """The clinic whose policy counted."""
        return self.moved_from or self.envelope.clinic

    def again(self, policy: Policy) -> Result:
        """Return what the decision comes to under a policy."""
        envelope = self.envelope
        context = Context(
            now=envelope.time,
            actor=Actor(envelope.actor, self.roles),
            policy=policy,
            seed=f"again:{envelope.id}",
            envelope=envelope,
            clinic=self.clinic,
            views=self.views,
            recalled_lots=self.recalled_lots,
        )
        try:
            return self.decide(context)
        except Refusal as refusal:
            return ("cannot be decided", refusal.slug)


def commits_of(history: Iterable[Recorded]) -> Iterator[list[Recorded]]:
    """Yield the events of a history commit by commit: an event's id is its commit's, a dot and a number."""
    for _, group in groupby(history, key=lambda recorded: recorded.envelope.id.rpartition(".")[0]):
        yield list(group)


def asked_by(request: type[Request], event: EventData) -> dict[str, Any]:
    """Return what an event records of the request that led to it: the fields that both have by the same name."""
    recorded = event.model_dump(mode="json")
    return {name: recorded[name] for name in request.model_fields if name in recorded}


def as_request(request: type[AnyRequest], asked: Asked) -> AnyRequest:
    """Return what was asked as the request it was; raises Refusal where this release would not take it."""
    try:
        return request.model_validate_json(json.dumps(asked))
    except ValidationError:
        raise Refusal("request-of-another-release", "What was asked then is no request of this release.") from None
