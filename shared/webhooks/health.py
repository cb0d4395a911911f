"""How an endpoint does: how much may be under way to it, and whether it is left alone for a while. Pure, on system time.

Bulkhead: a bounded number of attempts at a time, fewer after failures, so that an endpoint that hangs holds up no other. Circuit
breaker: after some failures in a row nothing is tried but one attempt now and then, until one is taken. Neither counts as an
attempt: what waits here keeps its ten.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.webhooks.schedule import asked_seconds

WINDOW_AT_FIRST: Final = 4
"""Attempts under way at once to an endpoint that has not shown yet that it takes anything."""
WINDOW_AT_MOST: Final = 16
OPENS_AFTER: Final = 5
"""Failures in a row."""
LEFT_ALONE: Final = timedelta(seconds=30)
"""The first time; twice as long after each further failure."""
LEFT_ALONE_AT_MOST: Final = timedelta(minutes=5)
QUIET_AT_MOST: Final = timedelta(seconds=60)
"""How long `Retry-After` may hold up a whole endpoint; what was refused waits for itself besides."""
THROTTLING: Final = frozenset({429, 502, 503, 504})
"""Answers that ask for less (Standard Webhooks 1.0.0)."""


@dataclass(slots=True)
class Health:
    """What is remembered of one endpoint."""

    window: int = WINDOW_AT_FIRST
    under_way: int = 0
    failures: int = 0
    """In a row."""
    alone: timedelta = LEFT_ALONE
    resumes_at: datetime | None = None
    """Before this moment nothing is tried."""
    proven: bool = False
    """Whether the last outcome was that it took something."""

    @property
    def open(self) -> bool:
        """Whether the circuit is open: one attempt at a time, and none before `resumes_at`."""
        return self.failures >= OPENS_AFTER

    def room(self, now: datetime) -> int:
        """Return how many more attempts may begin now."""
        if self.resumes_at is not None and now < self.resumes_at:
            return 0
        return (1 if self.open else self.window) - self.under_way

    def took(self) -> None:
        """It took something: all is well again."""
        self.window = min(self.window + 1, WINDOW_AT_MOST)
        self.failures, self.alone, self.resumes_at, self.proven = 0, LEFT_ALONE, None, True

    def failed(self, outcome: int | str, retry_after: str | None, now: datetime) -> None:
        """It took nothing: fewer at a time from now on, and after some in a row none for a while."""
        self.proven = False
        self.failures += 1
        self.window = max(1, self.window // 2)
        if self.open:
            self.resumes_at = now + self.alone
            self.alone = min(2 * self.alone, LEFT_ALONE_AT_MOST)
        elif outcome in THROTTLING:
            asked = min(timedelta(seconds=asked_seconds(retry_after) or 1), QUIET_AT_MOST)
            self.resumes_at = max(self.resumes_at or now, now + asked)
