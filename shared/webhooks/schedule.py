"""When a webhook that was not taken is tried again. Pure; the chance that spreads retries is passed in."""

import re
from datetime import timedelta
from random import Random
from typing import Final

RETRY_SECONDS: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Pauses after each failed attempt: ten attempts within 75.6 hours, the example schedule of Standard Webhooks 1.0.0."""
ATTEMPTS: Final = len(RETRY_SECONDS) + 1
JITTER: Final = 0.2
"""Each pause is up to so much longer or shorter, so that what failed together does not come again together (Svix, JITTER_DELTA)."""
_WHOLE_SECONDS: Final = re.compile(r"[0-9]{1,9}")


def pause_after(failures: int, retry_after: str | None, chance: Random) -> timedelta | None:
    """Return how long to wait after so many failed attempts; None to give up.

    What the receiver asks for in `Retry-After` (whole seconds) counts between once and twice the scheduled pause; anything else
    that it says there is passed over.
    """
    if failures >= ATTEMPTS:
        return None
    scheduled = RETRY_SECONDS[failures - 1] * chance.uniform(1 - JITTER, 1 + JITTER)
    asked = asked_seconds(retry_after)
    return timedelta(seconds=scheduled if asked is None else min(max(scheduled, asked), 2 * scheduled))


def asked_seconds(retry_after: str | None) -> int | None:
    """Return the whole seconds that a `Retry-After` header asks for; None if it asks for nothing that can be read."""
    seconds = "" if retry_after is None else retry_after.strip()
    return None if _WHOLE_SECONDS.fullmatch(seconds) is None else int(seconds)
