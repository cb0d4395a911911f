"""How far every stream of a service has come: what the ledger is compared with."""

from typing import Any, Final

from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.collection import AsyncCollection

HEADS_AT_ONCE: Final = 1000


async def heads_page(*collections: AsyncCollection[Any], after: str = "") -> tuple[dict[str, int], str | None]:
    """Return stream -> last sequence of commits, in the order of streams, and after which one to go on; None at the end."""
    latest: list[dict[str, Any]] = [
        {"$match": {"stream": {"$gt": after}}},
        # Sorted downwards and grouped by the first, MongoDB reads one commit for each stream.
        {"$sort": {"stream": DESCENDING, "version": DESCENDING}},
        {"$group": {"_id": "$stream", "last": {"$first": {"$add": ["$first_sequence", {"$size": "$events"}, -1]}}}},
        {"$sort": {"_id": ASCENDING}},
        {"$limit": HEADS_AT_ONCE},
    ]
    found = [row for commits in collections for row in await (await commits.aggregate(latest)).to_list()]
    rows = sorted(found, key=lambda row: str(row["_id"]))[:HEADS_AT_ONCE]
    return {row["_id"]: row["last"] for row in rows}, rows[-1]["_id"] if len(rows) == HEADS_AT_ONCE else None
