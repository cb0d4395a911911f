"""Every answer that shows something of someone is recorded before it leaves, and so is every refusal (R-31, R-32).

Routes record nothing themselves: who asks, for what, and which streams are shown become known while a request is answered
(`shared.http.callers`), and here it is written down. Where it cannot be written down, nothing is shown. An operator's act alone is
recorded by its route, before it is done.
"""

import re
from typing import Final
from urllib.parse import urlencode

from pymongo.errors import PyMongoError
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.access.record import Asking, access_event
from shared.events.access import LoginFailed, OperationAsked
from shared.http.callers import ASKING, asking, peer_of
from shared.http.problems import problem
from shared.log.errors import StoreUnavailable
from shared.service.access_stream import Accessed
from shared.service.runtime import Runtime

DETAIL_LIMIT_CHARACTERS: Final = 1000
ASKED: Final = 202
"""The status under which an operator's act is recorded, before it is known what comes of it."""

_VALUE: Final = re.compile(r"[A-Za-z0-9:._*,+-]{0,128}")
"""Ids, slugs, types, times and numbers; any other value of a query is recorded as a question mark."""


class _Unrecorded(Exception):
    """An answer whose record could not be stored: it must not leave."""


class RecordAccess:
    """The layer of the application that records."""

    def __init__(self, app: ASGIApp, runtime: Runtime) -> None:
        self._app = app
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request; 503 in place of an answer that could not be recorded."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        known = scope[ASKING] = Asking()

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                try:
                    await self._record(Request(scope), known, message["status"])
                except (StoreUnavailable, PyMongoError) as error:
                    raise _Unrecorded from error
            await send(message)

        held_back = False
        try:
            await self._app(scope, receive, send_recorded)
        except* _Unrecorded:
            held_back = True
        if held_back:
            self._runtime.log.warning("an answer was held back, since its record could not be stored")
            again = {"Retry-After": "1"}
            answer = problem(503, "store-unavailable", "What is shown must be recorded, and cannot be now.", headers=again)
            await answer(scope, receive, send)

    async def _record(self, request: Request, known: Asking, status: int) -> None:
        event = access_event(known, status)
        if event is None:
            return
        accessed = Accessed(event, known, _route(request), status, peer_of(request), _query(request, known, status))
        if isinstance(event, LoginFailed):
            # It shows nothing, so it need not wait; many of them are one record.
            self._runtime.accesses.count(accessed)
        else:
            await self._runtime.accesses.record(accessed)


async def record_operation(runtime: Runtime, request: Request, what: str, reason: str | None = None) -> None:
    """Record what an operator is about to do; raises StoreUnavailable, PyMongoError, and nothing is done then."""
    known = asking(request)
    event = OperationAsked(reason=reason)
    await runtime.accesses.record(Accessed(event, known, _route(request), ASKED, peer_of(request), what[:DETAIL_LIMIT_CHARACTERS]))
    known.recorded = True


def _route(request: Request) -> str:
    return f"{request.method} {getattr(request.scope.get('route'), 'path', 'unknown')}"


def _query(request: Request, known: Asking, status: int) -> str | None:
    """Return the query of what was answered; of a request that was refused, or whose query nobody read, nothing is repeated."""
    if status >= 400 or not known.query or not request.query_params:
        return None
    told = [(name, value if _VALUE.fullmatch(value) else "?") for name, value in request.query_params.multi_items()]
    return urlencode(told)[:DETAIL_LIMIT_CHARACTERS]
