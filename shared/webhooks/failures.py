"""How often a sender may fail: token buckets of which only failures take. Pure; time is passed in."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

REMEMBERED_SENDERS: Final = 10_000


class FailureLimit:
    """So many failures at once, and so many more each second, for each sender.

    Who never fails is never slowed. The senders that failed longest ago are forgotten first, as if they had not.
    """

    def __init__(self, at_once: int, per_second: float, remembered: int = REMEMBERED_SENDERS) -> None:
        self._at_once = at_once
        self._per_second = per_second
        self._remembered = remembered
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()
        """Sender -> how many failures it had left, and when that was, in seconds of a clock that never goes back."""

    def seconds_to_wait(self, sender: Hashable, now: float) -> float:
        """Return how long the sender must wait until it may fail again; 0 if it may now."""
        return max(0.0, 1.0 - self._left_at(sender, now)) / self._per_second

    def failed(self, sender: Hashable, now: float) -> None:
        """Take note of a failure."""
        self._left[sender] = (max(0.0, self._left_at(sender, now) - 1.0), now)
        self._left.move_to_end(sender)
        if len(self._left) > self._remembered:
            self._left.popitem(last=False)

    def _left_at(self, sender: Hashable, now: float) -> float:
        left, since = self._left.get(sender, (float(self._at_once), now))
        return min(float(self._at_once), left + (now - since) * self._per_second)
