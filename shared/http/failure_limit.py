"""How often a caller may fail: a bucket for each, of which only failures take. Pure; time is passed in."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

REMEMBERED_CALLERS: Final = 10_000


class FailureLimit:
    """So many failures at once, and so many more each second, for each caller.

    Who never fails is never slowed. The callers that failed longest ago are forgotten first, as if they had not.
    """

    def __init__(self, at_once: int, per_second: float, remembered: int = REMEMBERED_CALLERS) -> None:
        self._at_once = float(at_once)
        self._per_second = per_second
        self._remembered = remembered
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()
        """Caller -> how many failures it had left, and when that was, in seconds of a clock that never goes back."""

    def allows(self, caller: Hashable, now: float) -> bool:
        """Return whether the caller may fail once more."""
        return self._left_at(caller, now) >= 1.0

    def seconds_to_wait(self, caller: Hashable, now: float) -> float:
        """Return how long until the caller may fail once more; 0 if it may now."""
        return max(0.0, 1.0 - self._left_at(caller, now)) / self._per_second

    def failed(self, caller: Hashable, now: float) -> None:
        """Take note of a failure. One that was not allowed costs nothing more, so nobody is shut out for longer than one takes."""
        self._left[caller] = (max(0.0, self._left_at(caller, now) - 1.0), now)
        self._left.move_to_end(caller)
        if len(self._left) > self._remembered:
            self._left.popitem(last=False)

    def _left_at(self, caller: Hashable, now: float) -> float:
        left, since = self._left.get(caller, (self._at_once, now))
        return min(self._at_once, left + (now - since) * self._per_second)
