"""The registered partners in memory: decisions may ask for them without waiting, and every instance learns of new ones.

Also how many reviews each has open, so that none is given more than it undertakes to have. They are counted in the cache of
streams each second, and what this process assigns counts from the moment it is decided: a burst here does not overshoot.
Between processes it can, by what the others assigned within the last second, and as long as the cache lags behind.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from pymongo.errors import PyMongoError

from services.prescriber.domain.partners.state import Organisation
from shared.events.base import EventData
from shared.events.prescriber import IN_HOUSE, ReviewAssigned
from shared.log.commit import Commit
from shared.log.store import is_transient
from shared.log.streams import Loaded
from shared.service.runtime import Runtime

REFRESH_SECONDS: Final = 1.0
AHEAD_SECONDS: Final = 10.0
"""How long an assignment counts that the cache does not show: longer than the cache lags, and no longer, for it may never be stored."""


@dataclass(frozen=True, slots=True)
class _Ahead:
    """A review that was assigned here, before the cache shows it."""

    partner: str
    version: int
    """Of the case, once it is stored."""
    at: float
    """By the monotonic clock, in seconds."""


class Directory:
    """Reads the partner streams; a stream that did not move is not read again."""

    def __init__(self) -> None:
        self._entries: dict[str, Organisation] = {}
        self._versions: dict[str, int] = {}
        self._ahead: dict[str, _Ahead] = {}
        """By case."""

    def partners(self) -> tuple[Organisation, ...]:
        """Return every registered partner."""
        return tuple(self._entries.values())

    def find(self, slug: str) -> Organisation | None:
        """Return the partner of this slug."""
        return self._entries.get(slug)

    async def refresh(self, runtime: Runtime) -> None:
        """Read the partner streams that moved since the last time, and count the open reviews of all."""
        heads: list[dict[str, Any]] = [
            {"$match": {"stream": {"$gte": "partner-", "$lt": "partner."}}},
            {"$group": {"_id": "$stream", "version": {"$max": "$version"}}},
        ]
        rows = await (await runtime.database["commits"].aggregate(heads)).to_list()
        moved = [row["_id"] for row in rows if self._versions.get(row["_id"], 0) < row["version"]]
        found: Mapping[str, Loaded | Exception] = await runtime.streams.load_many(moved)
        for stream, loaded in found.items():
            if isinstance(loaded, Exception):
                runtime.log.error("a partner cannot be read and stays as it was known", stream=stream, because=type(loaded).__name__)
            elif loaded.version > self._versions.get(stream, 0):  # otherwise a refresh that began later was faster
                self._versions[stream] = loaded.version
                self._learn(loaded.state.entry)
        await self._count(runtime)

    def watch(self, loaded: Loaded, events: Sequence[EventData]) -> None:
        """Count a review that is being assigned, before it is stored; decided again, it counts where it goes then."""
        for event in events:
            if not isinstance(event, ReviewAssigned) or event.partner == loaded.state.reviewer:
                continue
            before = self._ahead.pop(loaded.stream, None)
            if before is not None:
                self._add(before.partner, -1)
            if event.partner != IN_HOUSE:
                self._ahead[loaded.stream] = _Ahead(event.partner, loaded.version + 1, time.monotonic())
                self._add(event.partner, 1)

    async def keep_fresh(self, runtime: Runtime) -> None:
        """Refresh each second, for ever: other instances register partners too.

        First the entries of open reviews that another release wrote are made whole: they may not say who has the review.
        """
        renewed = False
        while True:
            try:
                if not renewed:
                    await runtime.streams.renew_cache("case", status="in_review")
                    renewed = True
                await self.refresh(runtime)
            except PyMongoError as error:
                if not is_transient(error):
                    raise
                runtime.log.warning("the partner directory waits for the store", because=type(error).__name__)
            await asyncio.sleep(REFRESH_SECONDS)

    async def follow(self, runtime: Runtime, commits: Sequence[Commit]) -> None:
        """Refresh as soon as a partner was registered here."""
        if any(commit.stream.startswith("partner-") for commit in commits):
            await self.refresh(runtime)

    async def _count(self, runtime: Runtime) -> None:
        cases = runtime.database["cases"]
        ahead = dict(self._ahead)
        # What is ahead is looked up first: a review that the cache takes in meanwhile counts twice for a second, and not never.
        found = cases.find({"_id": {"$in": list(ahead)}}, projection=["last.version"]) if ahead else None
        versions = {} if found is None else {row["_id"]: row["last"]["version"] async for row in found}
        open_reviews: list[dict[str, Any]] = [
            {"$match": {"last.partner": {"$in": list(self._entries)}}},
            {"$group": {"_id": "$last.partner", "count": {"$sum": 1}}},
        ]
        counted = Counter({row["_id"]: row["count"] async for row in await cases.aggregate(open_reviews)})
        oldest = time.monotonic() - AHEAD_SECONDS
        for stream, one in ahead.items():
            if self._ahead.get(stream) is one and (versions.get(stream, 0) >= one.version or one.at < oldest):
                del self._ahead[stream]
        counted.update(one.partner for one in self._ahead.values())
        self._entries = {slug: replace(entry, open_reviews=counted[slug]) for slug, entry in self._entries.items()}

    def _learn(self, entry: Organisation | None) -> None:
        if entry is not None:
            known = self._entries.get(entry.slug)
            self._entries[entry.slug] = replace(entry, open_reviews=0 if known is None else known.open_reviews)

    def _add(self, slug: str, more: int) -> None:
        entry = self._entries.get(slug)
        if entry is not None:
            self._entries[slug] = replace(entry, open_reviews=max(0, entry.open_reviews + more))
