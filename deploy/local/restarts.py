"""How often a child may die before it is not started again."""

import time
from collections import deque
from dataclasses import dataclass, field

LIMIT = 5
WITHIN_SECONDS = 60.0
FIRST_PAUSE = 0.2


@dataclass
class Restarts:
    """The recent deaths of one child."""

    _deaths: deque[float] = field(default_factory=deque)

    def pause(self) -> float | None:
        """Count a death now; the seconds to wait before the next start, or None when it died too often."""
        now = time.monotonic()
        while self._deaths and self._deaths[0] < now - WITHIN_SECONDS:
            self._deaths.popleft()
        self._deaths.append(now)
        if len(self._deaths) > LIMIT:
            return None
        return float(FIRST_PAUSE * 2 ** (len(self._deaths) - 1))
