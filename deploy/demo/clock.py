"""Care time moves from one moment at which something is to be done to the next, and only when everything is settled.

Settled: every event that a service committed was taken by every service that takes that source, nothing is pending,
the cache that deadlines are read from is complete, and no deadline has passed. One reading of several services is no
snapshot, so two readings in a row must say the same.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

from deploy.demo.calls import OPERATOR, Calls
from deploy.local.failure import StackError
from deploy.local.running import SERVICES
from shared.events.topics import PUBLISHERS, source_of
from shared.service.definition import Reactions

PATIENCE_SECONDS: Final = 60.0
"""How long nothing may move although something is not settled."""
LOOK_EVERY_SECONDS: Final = 0.02
LOOK_SELDOM_SECONDS: Final = 0.5
"""How often to look while nothing moves: looking costs the services time."""

Reading = Mapping[str, Mapping[str, Any]]
"""The progress of each service."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The moment at which all is quiet, and when the services want to act next."""

    care_time: datetime
    next_deadline: datetime | None


class CareTime:
    """Watches the services' progress, and moves their clock."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def settled(self) -> Settled:
        """Wait until every service has settled."""
        before: Reading = {}
        moved_at = time.monotonic()
        while True:
            reading = await self._read()
            same = _without_time(reading) == _without_time(before)
            open_points = what_is_open(reading)
            if same and not open_points:
                due = [_moment(progress["next_deadline"]) for progress in reading.values() if progress["next_deadline"]]
                now = max(_moment(progress["care_time"]) for progress in reading.values())
                return Settled(now, min(due, default=None))
            if not same:
                moved_at = time.monotonic()
            still_for = time.monotonic() - moved_at
            if still_for > PATIENCE_SECONDS:
                raise StackError(f"not settled for {PATIENCE_SECONDS:.0f} s: {'; '.join(open_points)}")
            before = reading
            await asyncio.sleep(min(max(LOOK_EVERY_SECONDS, still_for / 4), LOOK_SELDOM_SECONDS))

    async def move_to(self, moment: datetime) -> None:
        """Move care time, and wait until every service knows."""
        answer = await self._calls.post(OPERATOR, "intake", "/operations/care-clock", {"to": moment.isoformat()}, moment.isoformat())
        if answer.refusal:
            raise StackError(f"the care clock does not move: {answer.words}")
        while any(_moment(progress["care_time"]) < moment for progress in (await self._read()).values()):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def _read(self) -> Reading:
        answers = await asyncio.gather(*(self._calls.get(OPERATOR, service, "/operations/progress") for service in SERVICES))
        return {service: answer.content for service, answer in zip(SERVICES, answers, strict=True)}


def what_is_open(reading: Reading) -> list[str]:
    """Say what is not settled, in words."""
    found: list[str] = []
    for service, progress in reading.items():
        found += [
            f"{service} has not taken all of {source}" for source in sources_of(service) if _behind(progress, reading[source], source)
        ]
        found += [f"{service} has {count} {name} pending" for name, count in progress["pending"].items() if count]
        if service in PUBLISHERS and progress["cached"] < progress["committed"]:
            found.append(f"{service} has not cached all it committed")
        if not progress["caught_up"]:
            found.append(f"{service} has not caught up")
        due = progress["next_deadline"]
        if due and _moment(due) <= _moment(progress["care_time"]):
            found.append(f"{service} has a deadline to act on")
    return found


@cache
def sources_of(service: str) -> frozenset[str]:
    """Which services' events a service takes, by its own table of reactions."""
    from services.intake import reactions as intake
    from services.integration import reactions as integration
    from services.prescriber import reactions as prescriber
    from services.session import reactions as session

    if service not in PUBLISHERS:
        return frozenset(PUBLISHERS)
    tables: Mapping[str, Reactions] = {
        "intake": intake.REACTIONS,
        "prescriber": prescriber.table(tuple),
        "session": session.REACTIONS,
        "integration": integration.REACTIONS,
    }
    return frozenset(event.TYPE.split(".")[1] for event in tables[service])


def _behind(progress: Mapping[str, Any], source: Mapping[str, Any], name: str) -> bool:
    return bool(progress["taken"].get(source_of(name), 0) != source["committed"])


def _without_time(reading: Reading) -> dict[str, dict[str, Any]]:
    return {service: {**progress, "care_time": None} for service, progress in reading.items()}


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
