"""Since when an endpoint takes nothing: kept over restarts, so that one that fails for days is disabled."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one endpoint."""

    failing_since: datetime | None = None
    """The first failure since it last took something; None while it takes what it is sent."""
    replayed_by: str | None = None
    """The request by which deliveries were last made due again."""


class EndpointHealth:
    """Read by everyone, written by the sender; only a change is written."""

    def __init__(self, rows: AsyncCollection[dict[str, Any]]) -> None:
        self._rows = rows
        self._kept: dict[str, Kept] = {}

    async def refresh(self) -> dict[str, Kept]:
        """Read what is kept, and return what changed since the last time, by endpoint."""
        found = {row["_id"]: Kept(row.get("failing_since"), row.get("replayed_by")) async for row in self._rows.find()}
        changed = {endpoint: kept for endpoint, kept in found.items() if self._kept.get(endpoint) != kept}
        self._kept = found
        return changed

    async def took(self, endpoint: str, now: datetime) -> None:
        """It took something."""
        kept = self._kept.get(endpoint)
        if kept is None or kept.failing_since is not None:
            await self._write(endpoint, {"failing_since": None, "last_success_at": now})

    async def failed(self, endpoint: str, outcome: int | str, now: datetime) -> None:
        """It took nothing."""
        kept = self._kept.get(endpoint)
        if kept is None or kept.failing_since is None:
            await self._write(endpoint, {"failing_since": now, "last_outcome": outcome})

    async def begin_anew(self, endpoint: str) -> None:
        """Forget how long it failed: a person had it go on."""
        await self._write(endpoint, {"failing_since": None})

    def failing_longer_than(self, bound: timedelta, now: datetime) -> list[str]:
        """Return the endpoints that took nothing for so long."""
        return [name for name, kept in self._kept.items() if kept.failing_since is not None and now - kept.failing_since >= bound]

    async def _write(self, endpoint: str, change: dict[str, Any]) -> None:
        await self._rows.update_one({"_id": endpoint}, {"$set": change}, upsert=True)
        kept = self._kept.get(endpoint, Kept())
        self._kept[endpoint] = Kept(change.get("failing_since"), kept.replayed_by)
