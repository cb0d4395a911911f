"""The recalled lots, in the memory of each process: read off the service's own streams of lots, and read again as they grow."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pymongo.errors import PyMongoError

from shared.log.commit import Commit
from shared.log.store import is_transient
from shared.log.streams import Loaded
from shared.pathway.lot import Lot, Recall, evolve
from shared.service.definition import StreamKind
from shared.service.runtime import Runtime

LOT: Final = StreamKind("lot", Lot(), evolve)
"""The kind of stream in which a service that handles lots keeps each lot that was ever recalled."""
PREFIX: Final = "lot-"
REFRESH_SECONDS: Final = 1.0


class RecalledLots:
    """Keeps what decisions are told of recalled lots at what the service has folded; a stream that did not move is not read again."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._versions: dict[str, int] = {}
        self._recalls: dict[str, Recall] = {}

    async def refresh(self) -> None:
        """Read the lots that moved since the last time."""
        heads: list[dict[str, Any]] = [
            {"$match": {"stream": {"$gte": PREFIX, "$lt": "lot."}}},
            {"$group": {"_id": "$stream", "version": {"$max": "$version"}}},
        ]
        rows = await (await self._runtime.database["commits"].aggregate(heads)).to_list()
        moved = [row["_id"] for row in rows if self._versions.get(row["_id"]) != row["version"]]
        found: Mapping[str, Loaded | Exception] = await self._runtime.streams.load_many(moved)
        for stream, loaded in found.items():
            if isinstance(loaded, Exception):
                self._runtime.log.error(
                    "a lot cannot be read; its recall stays as it was known", stream=stream, because=type(loaded).__name__
                )
                continue
            self._versions[stream] = loaded.version
            if loaded.state.recall is None:
                self._recalls.pop(stream, None)
            else:
                self._recalls[stream] = loaded.state.recall
        if moved:
            self._runtime.decisions.recalled_lots = {recall.lot: recall.id for recall in self._recalls.values()}

    async def keep_fresh(self) -> None:
        """Refresh each second, for ever: another instance may have heard of a recall."""
        while True:
            try:
                await self.refresh()
            except PyMongoError as error:
                if not is_transient(error):
                    raise
                self._runtime.log.warning("the recalled lots wait for the store", because=type(error).__name__)
            await asyncio.sleep(REFRESH_SECONDS)

    async def follow(self, commits: Sequence[Commit]) -> None:
        """Refresh as soon as a lot was recalled here."""
        if any(commit.stream.startswith(PREFIX) for commit in commits):
            await self.refresh()
