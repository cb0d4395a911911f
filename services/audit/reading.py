"""Entries found by what an auditor asks: pages, streams, counts, and what was known; only clear fields are read."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import ExecutionTimeout

from services.audit.domain.clear import CLEAR_FIELDS
from services.audit.domain.disclosures import Accounting
from services.audit.domain.known import Clear, Knowledge, known_to
from services.audit.domain.query import COUNTED, DAYS, LISTS, By, Page, Query, Range
from services.audit.ledger import LATE_AFTER

ROWS_AT_ONCE: Final = 1000
MOST_COUNTS: Final = 1000
"""Values that a count names; the rarest are left out."""
MOST_OF_A_STREAM: Final = 50_000
"""Entries of one stream that `known` reads."""
COUNTING_SECONDS: Final = 30
SHOWN: Final = dict.fromkeys((*CLEAR_FIELDS, "leaf"), 1)

Entry = Mapping[str, Any]
"""The clear fields of an entry, with `_id`, its index, and `leaf`."""


class TakesTooLong(Exception):
    """The count would read more than it may."""


class TooMany(Exception):
    """A stream of more than MOST_OF_A_STREAM entries."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the ledger, from one index to before another (None: to the end), and what its entries are marked with."""

    begin: int
    end: int | None
    marks: Mapping[str, bool | str]


class Reader:
    """Reads entries; `entries` is the ledger's collection."""

    def __init__(self, entries: AsyncCollection[dict[str, Any]]) -> None:
        self._entries = entries

    async def page(self, query: Query, page: Page) -> list[Entry]:
        """Return the entries of a page, in its order."""
        found: list[Entry] = []
        newest = page.order == "newest"
        edge = {} if page.cursor is None else {"$lt" if newest else "$gt": page.cursor}
        for spans in await self._spans(query, edge, newest=newest):
            cursor = self._entries.find(spans, SHOWN).sort([("_id", DESCENDING if newest else ASCENDING)]).limit(page.limit - len(found))
            found.extend(await cursor.to_list())
            if len(found) >= page.limit:
                break
        return found

    async def stream(self, query: Query, size: int) -> AsyncIterator[Entry]:
        """Yield matching entries below an index, oldest first; as many at once as ROWS_AT_ONCE are in memory."""
        async for entry in self._find(query, size, SHOWN):
            yield entry

    async def whole(self, query: Query, size: int) -> AsyncIterator[Entry]:
        """Yield them with their bytes in `entry`."""
        async for entry in self._find(query, size, {"entry": 1}):
            yield entry

    async def _find(self, query: Query, size: int, fields: Mapping[str, int]) -> AsyncIterator[Entry]:
        for span in await self._spans(query, {"$lt": size}):
            async for entry in self._entries.find(span, fields, batch_size=ROWS_AT_ONCE).sort([("_id", ASCENDING)]):
                yield entry

    async def counts(self, query: Query, by: By) -> tuple[list[tuple[str | None, int]], bool]:
        """Count matching entries by a value of theirs: the most frequent first, days in their order; and whether some are left out.

        None stands for entries that have no such value; one with several roles counts for each. Raises TakesTooLong.
        """
        spans = await self._spans(query, {})
        if not spans:
            return [], False
        field = COUNTED[by]
        value: Any = {"$dateToString": {"format": "%Y-%m-%d", "date": f"${field}"}} if by in DAYS else f"${field}"
        pipeline: list[dict[str, Any]] = [{"$match": {"$or": spans} if len(spans) > 1 else spans[0]}, {"$project": {"_id": 0, field: 1}}]
        if by in LISTS:
            pipeline.append({"$unwind": {"path": f"${field}", "preserveNullAndEmptyArrays": True}})
        pipeline += [
            {"$group": {"_id": value, "count": {"$sum": 1}}},
            {"$sort": {"_id": 1} if by in DAYS else {"count": -1, "_id": 1}},
            {"$limit": MOST_COUNTS + 1},
        ]
        try:
            rows = await (await self._entries.aggregate(pipeline, maxTimeMS=COUNTING_SECONDS * 1000)).to_list()
        except ExecutionTimeout:
            raise TakesTooLong from None
        return [(row["_id"], row["count"]) for row in rows[:MOST_COUNTS]], len(rows) > MOST_COUNTS

    async def disclosures(self, accounting: Accounting) -> Sequence[Entry]:
        """Return the entries that are disclosures, oldest in the ledger first."""
        found = self._entries.find(accounting.filter, SHOWN).sort([("_id", ASCENDING)]).limit(accounting.limit)
        return await found.to_list()

    async def known(self, event: str) -> tuple[Entry, Knowledge] | None:
        """Return the entry of an event and what was known when it was decided; None if the ledger has no such event. Raises TooMany."""
        decision = await self._entries.find_one({"event": event}, SHOWN, sort=[("_id", ASCENDING)])
        if decision is None:
            return None
        found = self._entries.find({"stream": decision["stream"]}, SHOWN).sort([("_id", ASCENDING)]).limit(MOST_OF_A_STREAM + 1)
        case = await found.to_list()
        if len(case) > MOST_OF_A_STREAM:
            raise TooMany
        return decision, known_to(_clear(decision), map(_clear, case))

    async def _spans(self, query: Query, edge: Mapping[str, int], *, newest: bool = False) -> list[dict[str, Any]]:
        """Return filters whose results, one after the other, are in ledger order, or in the reverse of it.

        Where several things must hold together, only that part of the ledger is read in which each value occurs at all: the entries
        under one policy, for example, lie together; and for a range of time only the parts in which it can lie.
        """
        if query.types == ():
            return []
        if len(query.fields) + len(query.times) > 1:
            within = await self._within(query, edge)
            if within is None:
                return []
            edge = within
        if not query.times:
            return [{**query.fields, **({"_id": dict(edge)} if edge else {})}]
        parts = _crossed(await self._recorded(query.recorded), await self._happened(query.happened))
        spans = [{**query.filter, **part.marks, "_id": _between(edge, part)} for part in parts]
        return spans[::-1] if newest else spans

    async def _recorded(self, asked: Range) -> list[_Part]:
        """Return where what was recorded in a range of time can lie.

        Before the first entry at which `newest` reached `since`, all was recorded earlier. After the first at which it went past
        `until` by LATE_AFTER, whatever was recorded before `until` is marked as late.
        """
        begin = 0 if asked.since is None else await self._reached(asked.since)
        if begin is None:
            return []
        end = None if asked.until is None else await self._reached(asked.until + LATE_AFTER)
        return [_Part(begin, end, {}), *([] if end is None else [_Part(max(begin, end), None, {"late": True})])]

    async def _happened(self, asked: Range) -> list[_Part]:
        """Return where what happened in a range of time can lie.

        What was recorded more than LATE_AFTER before it happened is marked as apart, `after`; what so long after it happened, `before`.
        """
        begin = 0 if asked.since is None else await self._reached(asked.since - LATE_AFTER)
        end = None if asked.until is None else await self._reached(asked.until + LATE_AFTER)
        earlier = _Part(0, begin, {"apart": "after"})
        if begin is None:
            return [earlier]
        return [earlier, _Part(begin, end, {}), *([] if end is None else [_Part(max(begin, end), None, {"apart": "before"})])]

    async def _within(self, query: Query, edge: Mapping[str, int]) -> Mapping[str, int] | None:
        """Return the indexes between which each value that is asked for occurs, at most `edge`; None if one occurs nowhere."""
        first, last = edge.get("$gt", -1) + 1, edge.get("$lt")
        for field, value in query.equal:
            if field == "outcome":
                continue  # both occur everywhere
            index = [(field, ASCENDING), ("_id", ASCENDING)]
            ends = [
                await self._entries.find_one({field: value}, projection=["_id"], sort=[("_id", order)], hint=index)
                for order in (ASCENDING, DESCENDING)
            ]
            if ends[0] is None or ends[1] is None:
                return None
            first = max(first, ends[0]["_id"])
            last = min(ends[1]["_id"] + 1, ends[1]["_id"] + 1 if last is None else last)
        return {"$gt": first - 1} if last is None else {"$gt": first - 1, "$lt": last}

    async def _reached(self, moment: datetime) -> int | None:
        """Return the index of the first entry at which some entry's time was not before this moment."""
        order = [("newest", ASCENDING), ("_id", ASCENDING)]
        found = await self._entries.find_one({"newest": {"$gte": moment}}, projection=["_id"], sort=order)
        return None if found is None else int(found["_id"])


def _crossed(ones: Sequence[_Part], others: Sequence[_Part]) -> list[_Part]:
    """Return the parts that are in both, in ledger order."""
    both = [
        _Part(max(one.begin, other.begin), _earlier(one.end, other.end), {**one.marks, **other.marks}) for one in ones for other in others
    ]
    return sorted((part for part in both if part.end is None or part.begin < part.end), key=lambda part: part.begin)


def _earlier(*ends: int | None) -> int | None:
    return min((end for end in ends if end is not None), default=None)


def _between(edge: Mapping[str, int], part: _Part) -> dict[str, int]:
    begin, end = max(part.begin, edge.get("$gt", -1) + 1), _earlier(part.end, edge.get("$lt"))
    return {"$gte": begin, **({} if end is None else {"$lt": end})}


def _clear(entry: Entry) -> Clear:
    return Clear(
        index=entry["_id"],
        event=entry["event"],
        source=entry["source"],
        sequence=entry["sequence"],
        type=entry["type"],
        time=entry["time"],
        causation=entry.get("causation"),
    )
