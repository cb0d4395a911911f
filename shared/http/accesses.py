"""Every answer that shows something of someone is recorded before it leaves, and so is every refusal (R-31, R-32).

Routes record nothing themselves: who asks, for what, and which streams are shown become known while a request is answered
(`shared.http.callers`), and here it is written down. Where it cannot be written down, nothing is shown.
"""

from typing import Final
from urllib.parse import urlencode

from pymongo.errors import PyMongoError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.access.record import Asking, access_event
from shared.events.access import LoginFailed
from shared.http.callers import ASKING, peer_of
from shared.http.problems import problem
from shared.log.errors import StoreUnavailable
from shared.service.access_stream import Accessed
from shared.service.runtime import Runtime

DETAIL_LIMIT_CHARACTERS: Final = 1000


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
        asking = scope[ASKING] = Asking()
        unrecorded: Response | None = None

        async def send_recorded(message: Message) -> None:
            nonlocal unrecorded
            if message["type"] == "http.response.start":
                try:
                    await self._record(Request(scope), asking, message["status"])
                except (StoreUnavailable, PyMongoError):
                    self._runtime.log.warning("an answer was held back, since its record could not be stored")
                    again = {"Retry-After": "1"}
                    unrecorded = problem(503, "store-unavailable", "What is shown must be recorded, and cannot be now.", headers=again)
            if unrecorded is None:
                await send(message)

        await self._app(scope, receive, send_recorded)
        if unrecorded is not None:
            await unrecorded(scope, receive, send)

    async def _record(self, request: Request, asking: Asking, status: int) -> None:
        event = access_event(asking, status)
        if event is None:
            return
        template = getattr(request.scope.get("route"), "path", "unknown")
        accessed = Accessed(event, asking, f"{request.method} {template}", status, peer_of(request), _detail(request, asking, status))
        if isinstance(event, LoginFailed):
            # It shows nothing, so it need not wait; many of them are one record.
            self._runtime.accesses.count(accessed)
        else:
            await self._runtime.accesses.record(accessed)


def _detail(request: Request, asking: Asking, status: int) -> str | None:
    """Return what an act was done to, or the query of what was answered: of one that was refused, nothing is repeated."""
    if asking.operation is not None:
        return asking.operation[:DETAIL_LIMIT_CHARACTERS] or None
    if status >= 400 or not request.query_params:
        return None
    return urlencode(request.query_params.multi_items())[:DETAIL_LIMIT_CHARACTERS]
