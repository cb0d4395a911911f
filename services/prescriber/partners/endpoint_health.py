"""Since when an endpoint takes nothing: kept over restarts, so that one that fails for days is disabled."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo.asynchronous.collection import AsyncCollection


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one endpoint."""

    failing_since: datetime | None = None
    """The first failure since it last took something; None while it takes what it is sent."""
    held: bool = False
    """Whether it was seen paused or disabled, and not been resumed since."""
    replay: int = 0
    """The place, in the partner's stream, of the last request by which deliveries were made due again."""


_NOTHING: Final = Kept()
_KNOWN: Final = frozenset({"failing_since", "held"})


class EndpointHealth:
    """Read by everyone, written by the sender; only a change is written."""

    def __init__(self, rows: AsyncCollection[dict[str, Any]]) -> None:
        self._rows = rows
        self._kept: dict[str, Kept] = {}

    async def refresh(self) -> set[str]:
        """Read what is kept, and return the endpoints of which deliveries were made due again since the last time."""
        found = {
            row["_id"]: Kept(row.get("failing_since"), row.get("held", False), row.get("replay", 0)) async for row in self._rows.find()
        }
        replayed = {endpoint for endpoint, kept in found.items() if kept.replay > self._kept.get(endpoint, _NOTHING).replay}
        self._kept = found
        return replayed

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

    async def hold(self, endpoints: Collection[str]) -> None:
        """These are paused or disabled: whoever sends once they are not must know, also if that is another instance."""
        for endpoint in endpoints:
            if not self._kept.get(endpoint, _NOTHING).held:
                await self._write(endpoint, {"held": True})

    @property
    def held(self) -> set[str]:
        """The endpoints that were held and not resumed since."""
        return {endpoint for endpoint, kept in self._kept.items() if kept.held}

    async def resumed(self, endpoint: str) -> None:
        """A person had it go on: it is not held any more, and how long it failed is forgotten."""
        await self._write(endpoint, {"failing_since": None, "held": False})

    async def disabled(self, endpoint: str) -> None:
        """It is sent nothing more: how long it failed is told, and forgotten."""
        await self._write(endpoint, {"failing_since": None})

    def failing_longer_than(self, bound: timedelta, now: datetime) -> list[str]:
        """Return the endpoints that took nothing for so long."""
        return [name for name, kept in self._kept.items() if kept.failing_since is not None and now - kept.failing_since >= bound]

    async def _write(self, endpoint: str, change: dict[str, Any]) -> None:
        # Known before it is stored, or whatever ends meanwhile writes the same; where storing fails, the sender starts again and reads.
        kept = self._kept.get(endpoint, _NOTHING)
        self._kept[endpoint] = replace(kept, **{name: value for name, value in change.items() if name in _KNOWN})
        await self._rows.update_one({"_id": endpoint}, {"$set": change}, upsert=True)
