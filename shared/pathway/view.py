"""Whether a service knows enough of the others to permit a step now. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Final

from shared.events.base import EventData, Slug, StepRefused
from shared.events.topics import PUBLISHERS
from shared.pathway.context import Context

VIEW_TOO_OLD: Final[Slug] = "view-too-old"
NEVER: Final = "never"


def too_old(services: Iterable[str], context: Context) -> Iterator[tuple[str, str]]:
    """Yield each service whose word on consent and holds may be missing here, and for how many seconds: `never` if never heard.

    R-20: what stops a step may have been said there since; the policy sets how many seconds of not knowing are too many.
    """
    bound = timedelta(seconds=context.policy.values.view_at_most_seconds_old)
    for service in services:
        age = context.views.get(service)
        if age is None:
            yield service, NEVER
        elif age > bound:
            yield service, f"{age / timedelta(seconds=1):.3f}"


def as_decided(events: Iterable[EventData]) -> Mapping[str, timedelta]:
    """Return how old the views were when a decision led to these events: young, but for those that it was refused for."""
    views = dict.fromkeys(PUBLISHERS, timedelta())
    for event in events:
        if isinstance(event, StepRefused) and event.facts.get("because") == VIEW_TOO_OLD:
            views.pop(event.facts["source"], None)
            if event.facts["seconds"] != NEVER:
                views[event.facts["source"]] = timedelta(seconds=float(event.facts["seconds"]))
    return views
