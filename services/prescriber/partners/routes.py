"""What a partner may ask for beside a review: what it was sent, how its endpoints stand, which reviews are open with it.

Everything is found by the organisation that the access token names; what is another's does not exist.
"""

import asyncio
import json
import re
from collections.abc import Mapping, Set
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import APIRouter
from pydantic_core import to_json
from pymongo import ASCENDING
from starlette.requests import Request
from starlette.responses import Response

from services.prescriber.domain.partners.state import Endpoint, Organisation
from services.prescriber.partners.deliveries import Deliveries, key_of
from services.prescriber.partners.directory import Directory
from services.prescriber.partners.messages import EXAMPLE_CASE
from services.prescriber.partners.sandbox import Sandbox
from shared.access.decide import Permission, Principal, Resource, Verdict, decide
from shared.http.callers import admit, asked_by_query, authenticate, saw
from shared.http.problems import Problem
from shared.log.streams import Loaded
from shared.pathway.refusal import Refusal
from shared.service.runtime import Runtime

EVENTS_AT_MOST: Final = 500
EVENTS_UNLESS_ASKED: Final = 100
REVIEWS_AT_ONCE: Final = 100
OPEN_WITH: Final = "last.partner"
"""The clear field by which the open reviews of an organisation are found; that they are open with it is told by the folded case."""

_NUMBER: Final = re.compile(r"[0-9]{1,12}")
_CASE: Final = re.compile(r"case-[0-9a-f]{32}")


class PartnerRoutes:
    """The routes under /partner that read."""

    def __init__(self, runtime: Runtime, directory: Directory, deliveries: Deliveries) -> None:
        self._runtime = runtime
        self._directory = directory
        self._deliveries = deliveries
        self._sandbox = Sandbox(runtime)

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["partners"])
        for path, endpoint, summary in (
            ("/partner/events", self.events, "What an endpoint of your organisation was sent, in order"),
            ("/partner/endpoints", self.endpoints, "How the endpoints of your organisation stand"),
            ("/partner/reviews", self.reviews, "The reviews that are open with your organisation"),
            (f"/partner/reviews/{EXAMPLE_CASE}", self.example, "An example review, of no patient"),
        ):
            router.add_api_route(path, endpoint, methods=["GET"], summary=summary, response_model=None)
        return router

    async def events(self, request: Request) -> Response:
        """Return the messages to an endpoint after a sequence number, whatever became of them: so a gap can be closed.

        `endpoint` may be left out by who has one; `after` is 0 and `limit` 100 unless given. `next` is what to give as `after` for more.
        """
        _, organisation = await self._caller(request)
        asked = _parameters(request, {"endpoint", "after", "limit"})
        endpoint = _endpoint(organisation, asked.get("endpoint"))
        after = _number(asked, "after", 0, least=0)
        limit = _number(asked, "limit", EVENTS_UNLESS_ASKED, least=1, most=EVENTS_AT_MOST)
        key = key_of(organisation.slug, endpoint.slug)
        wanted = {"endpoint": key, "sequence": {"$gt": after}}
        found = self._deliveries.rows.find(wanted, projection=["sequence", "webhook_id", "state", "body", "stream"])
        rows = await found.sort([("sequence", ASCENDING)]).limit(limit).to_list()
        await self._saw_cases(request, {row["stream"] for row in rows})
        last = await self._deliveries.last_sequence(key)
        following = rows[-1]["sequence"] if rows and rows[-1]["sequence"] < last else None
        return _json({"endpoint": endpoint.slug, "events": [_show_event(row) for row in rows], "last_sequence": last, "next": following})

    async def endpoints(self, request: Request) -> Response:
        """Return for each endpoint how it stands, how much waits, how much was given up, and since when it fails."""
        _, organisation = await self._caller(request)
        _parameters(request, set())
        shown = await asyncio.gather(*[self._show_endpoint(organisation, endpoint) for endpoint in organisation.endpoints])
        return _json({"endpoints": shown})

    async def reviews(self, request: Request) -> Response:
        """Return the open reviews by case id, 100 at a time; `next` is what to give as `after` for more."""
        principal, organisation = await self._caller(request)
        asked = _parameters(request, {"after"})
        wanted: dict[str, Any] = {OPEN_WITH: organisation.slug, "last.kind": "case"}
        if "after" in asked:
            if _CASE.fullmatch(asked["after"]) is None:
                raise _unreadable("after")
            wanted["_id"] = {"$gt": asked["after"]}
        found = self._runtime.database["cases"].find(wanted, projection=["_id"]).sort([("_id", ASCENDING)])
        cases = [row["_id"] for row in await found.limit(REVIEWS_AT_ONCE).to_list()]
        loaded = await self._runtime.streams.load_many(cases)
        mine = [case for case in loaded.values() if isinstance(case, Loaded) and _open_with(principal, case)]
        for case in mine:
            saw(request, case.stream, case.clinic, case.patient)
        reviews = [{"case": case.stream, "request": case.state.request, "due_at": case.state.due_at} for case in mine]
        return _json({"reviews": reviews, "next": cases[-1] if len(cases) == REVIEWS_AT_ONCE else None})

    async def example(self, request: Request) -> Response:
        """Return the example review, in the form of a real one."""
        _, organisation = await self._caller(request)
        return _json(self._sandbox.show(organisation.slug))

    async def _caller(self, request: Request) -> tuple[Principal, Organisation]:
        """Return who asks, and the organisation that it asks for."""
        principal = await authenticate(self._runtime, request)
        admit(request, principal, Permission.REVIEW_AS_PARTNER)
        organisation = self._directory.find(principal.organisation or "")
        if organisation is None:
            raise Problem(404, "not-found", "The access token names no organisation that is registered here.")
        admit(request, principal, Permission.REVIEW_AS_PARTNER, Resource(clinic=None, partner=organisation.slug))
        if organisation.status == "left":
            raise Refusal("partner-left", "The organisation has left the network.")
        return principal, organisation

    async def _saw_cases(self, request: Request, streams: Set[str]) -> None:
        """Note the cases that messages are about, with whose they are as far as the cache tells."""
        cases = sorted(stream for stream in streams if _CASE.fullmatch(stream) is not None)
        whose = ["last.clinic", "last.patient"]
        found = {row["_id"]: row["last"] async for row in self._runtime.database["cases"].find({"_id": {"$in": cases}}, projection=whose)}
        for case in cases:
            saw(request, case, found.get(case, {}).get("clinic", ""), found.get(case, {}).get("patient", ""))

    async def _show_endpoint(self, organisation: Organisation, endpoint: Endpoint) -> Mapping[str, Any]:
        key = key_of(organisation.slug, endpoint.slug)
        last, waiting, dead, health = await asyncio.gather(
            self._deliveries.last_sequence(key),
            self._deliveries.rows.count_documents({"endpoint": key, "state": "due"}),
            self._deliveries.rows.count_documents({"endpoint": key, "state": "dead"}),
            self._deliveries.health.find_one({"_id": key}),
        )
        return {
            "endpoint": endpoint.slug,
            "host": urlsplit(endpoint.url).hostname,
            "status": endpoint.status,
            "why": endpoint.why,
            "last_sequence": last,
            "waiting": waiting,
            "dead": dead,
            "failing_since": (health or {}).get("failing_since"),
        }


def _open_with(principal: Principal, case: Loaded) -> bool:
    """Return whether a review of the case is open with the caller's organisation, as its commits say."""
    resource = Resource(clinic=case.clinic, partner=case.state.partner)
    mine = decide(principal, Permission.REVIEW_AS_PARTNER, resource) is Verdict.ALLOWED
    return mine and case.state.status == "in_review"


def _endpoint(organisation: Organisation, name: str | None) -> Endpoint:
    if name is None and len(organisation.endpoints) > 1:
        raise Problem(422, "endpoint", "Your organisation has several endpoints; name one as `endpoint`.")
    found = organisation.endpoint(name) if name is not None else next(iter(organisation.endpoints), None)
    if found is None:
        raise Refusal("no-such-endpoint", "The organisation has no endpoint of this name.")
    return found


def _parameters(request: Request, known: set[str]) -> Mapping[str, str]:
    """Return the parameters of the address; raises Problem for one that is not known or comes twice."""
    given = request.query_params.multi_items()
    if {name for name, _ in given} - known or len(dict(given)) != len(given):
        may = f"Only {', '.join(sorted(known))} may be given, each once." if known else "Nothing may be given."
        raise Problem(422, "unknown-parameter", may)
    asked_by_query(request)
    return dict(given)


def _number(asked: Mapping[str, str], name: str, otherwise: int, *, least: int, most: int = 10**12) -> int:
    text = asked.get(name)
    if text is None:
        return otherwise
    if _NUMBER.fullmatch(text) is None or not least <= int(text) <= most:
        raise _unreadable(name)
    return int(text)


def _unreadable(name: str) -> Problem:
    return Problem(422, name, f"`{name}` cannot be read, or lies outside its bounds.")


def _show_event(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**{name: row[name] for name in ("sequence", "webhook_id", "state")}, "message": json.loads(bytes(row["body"]))}


def _json(content: Mapping[str, Any]) -> Response:
    return Response(to_json(content), media_type="application/json")
