"""Ring whoever is on call: a signed webhook for each alert that is raised or goes on to the next level.

The body is thin: whom it calls and until when, no reason and nothing clinical; the reader looks at the case itself.
A ring is tried a few times and then given up, because what endures is the ladder: each level rings again. Nothing here
holds up the relay, and a ring that is repeated after a restart has the same `webhook-id`.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

from pymongo.errors import PyMongoError

from shared.events.base import AlertEscalated, AlertRaised
from shared.events.codec import Recorded, Unreadable, time_text
from shared.events.registry import BY_TYPE
from shared.log.commit import Commit
from shared.log.errors import StoreUnavailable, StreamBroken
from shared.pathway.alert import Alerts
from shared.service.definition import ServiceDefinition
from shared.service.runtime import Runtime
from shared.vault.port import KeyMissing
from shared.webhooks.posting import Poster
from shared.webhooks.signing import SharedSecret

RINGING: Final = (AlertRaised, AlertEscalated)
RING_TYPES: Final = frozenset(name for name, event in BY_TYPE.items() if issubclass(event, RINGING))
PAUSES_SECONDS: Final = (1.0, 5.0, 15.0)
"""Between four attempts of at most 15 s: given up before the next level of an emergency rings."""
AT_ONCE: Final = 8
MOST_WAITING: Final = 1000
"""Commits; further ones are dropped while the destination hangs, for the next level to ring."""
REMEMBERED: Final = 10_000
"""Commits that this process rang for: a relay may tell of each more than once."""


def raises_alerts(definition: ServiceDefinition) -> bool:
    """Whether the service publishes alerts."""
    return any(event.TYPE in RING_TYPES for event in definition.publishes)


class OnCall:
    """Follows a service's commits and rings for its alerts."""

    def __init__(self, runtime: Runtime, url: str, secret: SharedSecret) -> None:
        self._runtime = runtime
        self._url = url
        self._secret = secret
        self._waiting: asyncio.Queue[Commit | None] = asyncio.Queue()
        self._stopping = asyncio.Event()
        self._seen: OrderedDict[str, None] = OrderedDict()

    async def follow(self, commits: Sequence[Commit]) -> None:
        """Take note of what rings; never waits for anything."""
        for commit in commits:
            if commit.id in self._seen or not any(event.type in RING_TYPES for event in commit.events):
                continue
            self._remember(commit)
            if self._waiting.qsize() >= MOST_WAITING:
                self._failed("dropped", commit.stream)
            else:
                self._waiting.put_nowait(commit)

    async def run(self) -> None:
        """Ring until asked to stop."""
        async with (
            Poster(at_once=AT_ONCE, allow_loopback=self._runtime.settings.allow_loopback_webhooks) as poster,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(AT_ONCE):
                group.create_task(self._work(poster))

    async def stop(self) -> None:
        """End `run`; what waits rings once more at most."""
        self._stopping.set()
        for _ in range(AT_ONCE):
            self._waiting.put_nowait(None)

    async def _work(self, poster: Poster) -> None:
        while (commit := await self._waiting.get()) is not None:
            try:
                for recorded in await self._runtime.open_events([commit]):
                    if isinstance(recorded.data, RINGING):
                        await self._ring(poster, recorded, recorded.data)
            except (PyMongoError, StoreUnavailable, StreamBroken, KeyMissing, Unreadable) as error:
                self._failed(type(error).__name__, commit.stream)

    async def _ring(self, poster: Poster, recorded: Recorded, alert: AlertRaised | AlertEscalated) -> None:
        outcome: int | str = ""
        for pause in (*PAUSES_SECONDS, None):
            if not await self._still_calls(recorded, alert):
                self._runtime.metrics.rang("settled")
                return
            now = self._runtime.system_clock()
            answer = await poster.post(self._url, [self._secret], _webhook_id(recorded), now, body_of(recorded, alert))
            outcome = answer.outcome
            if answer.taken:
                self._runtime.metrics.rang("rung")
                return
            if pause is None or await self._stopped_within(pause):
                break
        self._failed(outcome, recorded.envelope.subject)

    async def _still_calls(self, recorded: Recorded, alert: AlertRaised | AlertEscalated) -> bool:
        """Whether nobody took it on and no higher level rings for it: a relay that starts again may tell of all there ever was."""
        alerts: Alerts = (await self._runtime.load(recorded.envelope.subject)).state.alerts
        known = alerts.find(alert.alert)
        return known is not None and known.open and known.level <= alert.level

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _remember(self, commit: Commit) -> None:
        self._seen[commit.id] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)

    def _failed(self, outcome: int | str, stream: str) -> None:
        self._runtime.metrics.rang("failed")
        self._runtime.log.error("whoever is on call was not reached", stream=stream, outcome=outcome)


def body_of(recorded: Recorded, alert: AlertRaised | AlertEscalated) -> bytes:
    """Return what a ring says: the same bytes on every attempt."""
    envelope = recorded.envelope
    data: dict[str, Any] = {
        "alert": alert.alert,
        envelope.subject.partition("-")[0]: envelope.subject,
        "clinic": envelope.clinic,
        "role": alert.role,
        "level": alert.level,
        "due_at": time_text(alert.due_at),
    }
    kind = "kapcare.alert.raised" if isinstance(alert, AlertRaised) else "kapcare.alert.escalated"
    return json.dumps({"type": kind, "timestamp": time_text(envelope.time), "data": data}, separators=(",", ":")).encode()


def _webhook_id(recorded: Recorded) -> str:
    return recorded.envelope.id.replace(".", "-")
