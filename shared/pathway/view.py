"""Whether a service knows enough of the others to permit a step now. Pure."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Final

from shared.events.base import Slug
from shared.pathway.context import Context

VIEW_TOO_OLD: Final[Slug] = "view-too-old"


def too_old(services: Iterable[str], context: Context) -> Iterator[tuple[str, str]]:
    """Yield each service whose word on consent and holds may be missing here, and for how many seconds: `never` if never heard.

    R-20: what stops a step may have been said there since; the policy sets how many seconds of not knowing are too many.
    """
    bound = timedelta(seconds=context.policy.values.view_at_most_seconds_old)
    for service in services:
        age = context.views.get(service)
        if age is None:
            yield service, "never"
        elif age > bound:
            yield service, f"{age / timedelta(seconds=1):.1f}"
