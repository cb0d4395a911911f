"""What operators, auditors and the local stack ask of every service: health, progress, heads, parked events."""

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter
from pydantic import AwareDatetime
from pydantic_core import to_json
from pymongo import ASCENDING
from pymongo.errors import PyMongoError
from starlette.requests import Request
from starlette.responses import Response

from shared.access.decide import Permission
from shared.clock import MovableCareClock
from shared.events.base import Text
from shared.http.accesses import record_operation
from shared.http.body import parse, read_json
from shared.http.callers import admit, authenticate, saw
from shared.http.problems import Problem
from shared.log.heads import heads_page
from shared.pathway.stop import Request as Body
from shared.service.runtime import Extension, Runtime
from shared.telemetry.metrics import CONTENT_TYPE

AGES_WITHIN_SECONDS: Final = 1.0


class Reason(Body):
    """Why an event is given up."""

    reason: Text


class MoveClock(Body):
    """Where care time moves to; only in a local stack."""

    to: AwareDatetime


class Operations:
    """The routes under /operations."""

    def __init__(self, runtime: Runtime, extension: Extension) -> None:
        self._runtime = runtime
        self._extension = extension

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/operations", tags=["operations"])
        for method, path, endpoint in (
            ("GET", "/parked", self.parked),
            ("POST", "/parked/{identity:path}/replay", self.replay),
            ("POST", "/parked/{identity:path}/discard", self.discard),
            ("POST", "/refill", self.refill),
            ("GET", "/heads", self.heads),
            ("GET", "/progress", self.progress),
            ("POST", "/care-clock", self.move_care_clock),
        ):
            router.add_api_route(path, endpoint, methods=[method], response_model=None)
        return router

    async def parked(self, request: Request) -> Response:
        """List events that are parked or held, without their data."""
        await self._admit(request, Permission.OPERATE)
        rows = await self._runtime.parking.rows()
        for row in rows:
            saw(request, row["stream"])
        return _json({"parked": rows})

    async def replay(self, request: Request) -> Response:
        """Replay a parked event and, in order, what is parked behind it."""
        await self._admit(request, Permission.OPERATE)
        identity = request.path_params["identity"]
        await record_operation(self._runtime, request, identity)
        await self._runtime.parking.ask_replay(identity)
        return _json({"asked": "replay"}, status=202)

    async def discard(self, request: Request) -> Response:
        """Give up a parked event with a reason."""
        await self._admit(request, Permission.OPERATE)
        reason = parse(Reason, await read_json(request)).reason
        identity = request.path_params["identity"]
        await record_operation(self._runtime, request, identity, reason)
        await self._runtime.parking.discard(identity, reason)
        return _json({"done": "discard"})

    async def refill(self, request: Request) -> Response:
        """Publish every commit again; consumers drop what they have seen."""
        await self._admit(request, Permission.OPERATE)
        relays = {"events": self._runtime.relay, "accesses": self._runtime.access_relay}
        leading = {name: relay for name, relay in relays.items() if relay is not None and relay.caught_up}
        if not leading:
            raise Problem(409, "not-leading", "Another instance leads, or this one has not caught up yet; ask again in a moment.")
        await record_operation(self._runtime, request, f"publish again: {', '.join(leading)}")
        for relay in leading.values():
            relay.refill()
        # Each has a lease of its own, so another instance may lead the other one.
        return _json({"asked": "refill", "of": sorted(leading)}, status=202)

    async def heads(self, request: Request) -> Response:
        """Return stream -> last sequence of everything this service committed, by pages."""
        await self._admit(request, Permission.READ_PROGRESS)
        kept = (self._runtime.store.collection, self._runtime.access_store.collection)
        heads, following = await heads_page(*kept, after=request.query_params.get("after", ""))
        return _json({"heads": heads, "next": following})

    async def progress(self, request: Request) -> Response:
        """Return how much was committed and taken from each source, what waits, and when the next deadline is."""
        await self._admit(request, Permission.READ_PROGRESS)
        runtime = self._runtime
        committed = [{"$group": {"_id": None, "events": {"$sum": {"$size": "$events"}}}}]
        total = await (await runtime.database["commits"].aggregate(committed)).to_list()
        folded = [{"$group": {"_id": None, "events": {"$sum": "$last.sequence"}}}]
        cached = await (await runtime.database["cases"].aggregate(folded)).to_list()
        has_deadline = {"last.next_deadline": {"$exists": True}}
        due = await runtime.database["cases"].find(has_deadline).sort([("last.next_deadline", ASCENDING)]).limit(1).to_list()
        next_deadline: datetime | None = due[0]["last"]["next_deadline"] if due else None
        return _json(
            {
                "service": runtime.definition.name,
                "committed": total[0]["events"] if total else 0,
                "cached": cached[0]["events"] if cached else 0,
                "taken": await runtime.positions.taken(),
                "waiting": await runtime.parking.counts(),
                "pending": {name: await count() for name, count in self._extension.pending.items()},
                "caught_up": runtime.relay is None or runtime.relay.caught_up,
                "next_deadline": next_deadline,
                "care_time": runtime.care_now(),
            }
        )

    async def move_care_clock(self, request: Request) -> Response:
        """Move care time forward for the whole local stack."""
        await self._admit(request, Permission.OPERATE)
        clock = self._runtime.clock
        if not isinstance(clock, MovableCareClock):
            raise Problem(404, "not-found", "Care time is system time here.")
        command = parse(MoveClock, await read_json(request))
        await record_operation(self._runtime, request, "care time")
        return _json({"care_time": await clock.move_to(command.to)})

    async def _admit(self, request: Request, permission: Permission) -> None:
        admit(request, await authenticate(self._runtime, request), permission)


def metrics_endpoint(runtime: Runtime) -> Any:
    """Return the route of /metrics."""

    async def endpoint(_request: Request) -> Response:
        # The counters are wanted most of all while the store is away: only the ages are missing then.
        with suppress(PyMongoError, TimeoutError):
            async with asyncio.timeout(AGES_WITHIN_SECONDS):
                ages = await runtime.view_ages()
            for service, seconds in ages.items():
                runtime.metrics.view_age(service, seconds)
        return Response(runtime.metrics.text(), media_type=CONTENT_TYPE)

    return endpoint


def _json(content: Any, status: int = 200) -> Response:
    return Response(to_json(content), status_code=status, media_type="application/json")
