"""When something can have happened: not in the future, and not before anyone could have recorded it here."""

from datetime import UTC, datetime
from typing import Final

from shared.pathway.refusal import Refusal

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""No care recorded here is older; a mistyped year must not reach the calendar's ends, where adding minutes fails."""


def require_happened(name: str, moment: datetime, now: datetime, *, rule: str | None = None) -> None:
    """Raise Refusal unless the named moment can lie in the past."""
    if moment > now:
        raise Refusal("time-in-the-future", f"{name} lies in the future.", rule=rule)
    if moment < EARLIEST:
        raise Refusal("out-of-range", f"{name} lies before the year {EARLIEST.year}.", rule=rule)
