"""The registered partners in memory: decisions may ask for them without waiting, and every instance learns of new ones."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from pymongo.errors import PyMongoError

from services.prescriber.domain.partners.state import Organisation
from shared.log.commit import Commit
from shared.log.store import is_transient
from shared.service.runtime import Runtime

REFRESH_SECONDS: Final = 1.0


class Directory:
    """Reads the partner streams; a stream that did not move is not read again."""

    def __init__(self) -> None:
        self._entries: dict[str, Organisation] = {}
        self._versions: dict[str, int] = {}

    def partners(self) -> tuple[Organisation, ...]:
        """Return every registered partner."""
        return tuple(self._entries.values())

    def find(self, slug: str) -> Organisation | None:
        """Return the partner of this slug."""
        return self._entries.get(slug)

    async def refresh(self, runtime: Runtime) -> None:
        """Read the partner streams that moved since the last time."""
        heads: list[dict[str, Any]] = [
            {"$match": {"stream": {"$gte": "partner-", "$lt": "partner."}}},
            {"$group": {"_id": "$stream", "version": {"$max": "$version"}}},
        ]
        async for row in await runtime.database["commits"].aggregate(heads):
            if self._versions.get(row["_id"]) == row["version"]:
                continue
            loaded = await runtime.load(row["_id"])
            entry: Organisation | None = loaded.state.entry
            if entry is not None:
                self._entries[entry.slug] = entry
            self._versions[row["_id"]] = loaded.version

    async def keep_fresh(self, runtime: Runtime) -> None:
        """Refresh each second, for ever: other instances register partners too."""
        while True:
            try:
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
