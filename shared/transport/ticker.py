"""What falls due: the stream's own tick decides, at care time, for each deadline that has passed."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from shared.clock import CareClock
from shared.events.base import EventData
from shared.log.commit import Cause
from shared.log.decisions import Decisions, NothingDecided
from shared.log.errors import StoreUnavailable, StreamBroken, TooContended
from shared.log.streams import Loaded
from shared.pathway.context import Actor, Context
from shared.telemetry.logs import Logger
from shared.transport.ending import asked_to_end
from shared.vault.port import KeyMissing

LOOK_EVERY_SECONDS: Final = 0.2
STREAMS_AT_ONCE: Final = 100


class Ticker:
    """Runs in the instance that leads, once the cache, whose index says what is due, has caught up."""

    def __init__(self, service: str, cache: AsyncCollection[Any], decisions: Decisions, clock: CareClock, log: Logger) -> None:
        self._actor = Actor(f"service:{service}")
        self._cache = cache
        self._decisions = decisions
        self._clock = clock
        self._log = log
        self._stopped: set[str] = set()

    async def run(self) -> None:
        """Look for what is due until cancelled."""
        while not asked_to_end():
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            await self.tick_due()

    async def tick_due(self) -> None:
        """Tick every stream with a deadline at or before care time now."""
        passed = {"last.next_deadline": {"$lte": self._clock.now()}, "_id": {"$nin": sorted(self._stopped)}}
        due = self._cache.find(passed, projection=["_id"]).sort([("last.next_deadline", ASCENDING)]).limit(STREAMS_AT_ONCE)
        streams = [entry["_id"] async for entry in due]
        ticked: dict[str, int] = {}
        for stream in streams:
            try:
                ticked[stream] = await self._tick(stream)
            except (StreamBroken, KeyMissing):
                self._stop(stream, "its commits cannot be read")
            except TooContended:
                continue  # it is still due, and looked at again in a moment
            except (PyMongoError, StoreUnavailable):
                raise
            except Exception:  # noqa: BLE001 - a defect in one stream's tick stops that stream, not the service
                self._log.exception("a tick failed")
                self._stop(stream, "its tick failed")
        if ticked:
            await self._decisions.streams.keep_cache(ticked)

    async def _tick(self, stream: str) -> int:
        """Tick one stream; returns its version afterwards."""
        loaded = await self._decisions.streams.load(stream)
        for name, due in _passed(loaded, self._clock.now()):
            try:
                await self._decisions.run(stream, _Tick(loaded, name), Cause.tick(name, due), self._actor)
            except NothingDecided:
                self._log.debug("nothing was due any more", deadline=name)
        after = await self._decisions.streams.load(stream)
        if set(_passed(loaded, self._clock.now())) & set(_passed(after, self._clock.now())):
            self._stop(stream, "a deadline was still due after its tick")
        return after.version

    def _stop(self, stream: str, why: str) -> None:
        self._stopped.add(stream)
        self._log.error("the ticker stopped a stream", stream=stream, because=why)


class _Tick:
    """The decision of one tick; a deadline that moved on meanwhile decides nothing."""

    def __init__(self, loaded: Loaded, name: str) -> None:
        self._tick: Callable[[Any, str, Context], list[EventData]] | None = loaded.kind.tick
        self._name = name

    def __call__(self, state: Any, context: Context) -> list[EventData]:
        due = state.deadlines.get(self._name)
        if self._tick is None or due is None or due > context.now:
            return []
        return self._tick(state, self._name, context)


def _passed(loaded: Loaded, now: datetime) -> list[tuple[str, datetime]]:
    return sorted(((name, due) for name, due in loaded.state.deadlines.items() if due <= now), key=lambda item: item[1])
