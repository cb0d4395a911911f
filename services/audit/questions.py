"""What auditors ask of the ledger over HTTP: pages, counts, what was known, and exports in their formats; no clinical value is here."""

from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from services.audit.domain.disclosures import disclosure_of, read_accounting, summarised
from services.audit.domain.known import Clear
from services.audit.domain.query import Parameters, Query, QueryRefused, read_counts, read_decision, read_page
from services.audit.reading import Reader, TakesTooLong, TooMany
from services.audit.renderings import MEDIA_TYPES, rendered, row_of
from shared.access.decide import Permission
from shared.events.codec import time_text
from shared.http.callers import admit, asked_by_query, authenticate
from shared.http.problems import Problem
from shared.service.runtime import Runtime

Read = TypeVar("Read")


class Questions:
    """The routes that answer questions; `size` says how many entries the ledger has, whoever appended them."""

    def __init__(self, runtime: Runtime, reader: Reader, size: Callable[[], Awaitable[int]]) -> None:
        self._runtime = runtime
        self._reader = reader
        self._size = size

    async def events(self, request: Request) -> Response:
        """Return a page of events in ledger order; `cursor` is the `next` of the page before, and stays good for ever."""
        await admit_auditor(self._runtime, request)
        query, page = asked(request, read_page)
        found = await self._reader.page(query, page)
        following = found[-1]["_id"] if len(found) == page.limit else None
        return _json({"events": [row_of(entry) for entry in found], "next": following, "size": await self._size()})

    async def counts(self, request: Request) -> Response:
        """Return how many entries match, by a value of theirs."""
        await admit_auditor(self._runtime, request)
        query, by = asked(request, read_counts)
        size = await self._size()
        try:
            rows, more = await self._reader.counts(query, by)
        except TakesTooLong:
            raise Problem(503, "takes-too-long", "That would read too much; ask for less, a month perhaps.") from None
        return _json({"by": by, "counts": [{"value": value, "count": count} for value, count in rows], "more": more, "size": size})

    async def disclosures(self, request: Request) -> Response:
        """Return the accounting of disclosures of a patient (R-31): a page of rows, and repeated ones of the page summed up."""
        await admit_auditor(self._runtime, request)
        accounting = asked(request, lambda parameters: read_accounting(parameters, self._runtime.care_now()))
        found = await self._reader.disclosures(accounting)
        rows = [disclosure_of(entry) for entry in found]
        following = found[-1]["_id"] if len(found) == accounting.limit else None
        content = {"patient": accounting.patient, "from": accounting.since, "to": accounting.until, "disclosures": rows}
        return _json({**content, "summary": summarised(rows), "next": following})

    async def known(self, request: Request) -> Response:
        """Return what a service can have known of a case when it decided; `services.audit.domain.known` says what that shows."""
        await admit_auditor(self._runtime, request)
        try:
            found = await self._reader.known(asked(request, read_decision))
        except TooMany:
            raise Problem(422, "stream-too-long", "The stream of this event is too long for this question.") from None
        if found is None:
            raise Problem(404, "no-such-event", "The ledger has no event of this id.")
        decision, knowledge = found
        content = {
            "decision": row_of(decision),
            "commit": [_named(entry) for entry in knowledge.commit],
            "known": [{**_named(entry), "basis": basis} for entry, basis in knowledge.known],
            "unshown": [_named(entry) for entry in knowledge.unshown],
        }
        return _json(content)

    async def export(self, query: Query, form: Literal["csv", "fhir"]) -> Response:
        """Return the stream of what matches now, in an auditor's format; who asks was admitted before."""
        entries = self._reader.stream(query, await self._size())
        headers = {"Content-Disposition": f'attachment; filename="ledger.{"csv" if form == "csv" else "ndjson"}"'}
        return StreamingResponse(rendered(entries, form), media_type=MEDIA_TYPES[form], headers=headers)


async def admit_auditor(runtime: Runtime, request: Request) -> None:
    """Raise Problem 401 or 403 unless who calls may ask the ledger."""
    admit(request, await authenticate(runtime, request), Permission.QUERY_LEDGER)


def asked(request: Request, read: Callable[[Parameters], Read]) -> Read:
    """Return what is asked; raises Problem 422."""
    try:
        question = read(request.query_params.multi_items())
    except QueryRefused as refused:
        raise Problem(422, refused.slug, refused.what) from None
    asked_by_query(request)
    return question


def _named(entry: Clear) -> dict[str, object]:
    return {
        "index": entry.index,
        "id": entry.event,
        "source": entry.source,
        "type": entry.type,
        "sequence": entry.sequence,
        "time": time_text(entry.time),
        "causation": entry.causation,
    }


def _json(content: object) -> Response:
    return Response(to_json(content), media_type="application/json")
