"""What a case waits for, since when and on whom: what a coordinator's work list says of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.events.base import Slug
from shared.pathway.stop import Stops


@dataclass(frozen=True, slots=True)
class Waiting:
    """`on` is a role, or the slug of a partner organisation; neither says anything clinical."""

    what: Slug
    since: datetime | None
    on: Slug


def for_stop(stops: Stops, scopes: Sequence[Literal["treatment", "disclosure_to_prescriber"]]) -> Waiting | None:
    """Return what must happen before a stop of these scopes ends: a hold is lifted, or consent given; None if nothing stops."""
    if stops.holds:
        return Waiting("hold", None, "medical_monitor")
    if any(stops.why_stopped(scope) is not None for scope in scopes):
        return Waiting("consent", None if stops.consented else stops.consent_withdrawn_at, "therapist")
    return None
