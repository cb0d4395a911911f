"""What an admin reads of partner organisations: who they are and how each stands, and what they were sent. No secret is shown."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter
from pydantic_core import to_json
from pymongo import ASCENDING
from starlette.requests import Request
from starlette.responses import Response

from services.prescriber.domain.partners.keys import public_half, signing_of
from services.prescriber.domain.partners.state import Endpoint, Organisation
from services.prescriber.domain.partners.used import key_id
from services.prescriber.partners.directory import Directory
from shared.access.decide import Permission
from shared.http.callers import admit, asked_by_query, authenticate
from shared.http.problems import Problem
from shared.log.streams import Loaded
from shared.pathway.alert import show as show_alerts
from shared.service.runtime import Runtime
from shared.vault.port import KeyMissing

PAGE: Final = 100
LARGEST_PAGE: Final = 200
STATES: Final = ("due", "done", "dead")
SHOWN: Final = ("webhook_id", "sequence", "type", "state", "attempts", "tries", "created_at", "next_at", "settled_at")
_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_AFTER: Final = re.compile(r"(?:([a-z0-9][a-z0-9_.-]{0,63})/)?([0-9]{1,12})")
_LIMIT: Final = re.compile(r"[0-9]{1,4}")
_UNKNOWN: Final = Problem(404, "not-found", "No partner of this slug is registered.")


class Administration:
    """The routes of GET /partners, GET /partners/{partner} and GET /partners/{partner}/deliveries."""

    def __init__(self, runtime: Runtime, directory: Directory) -> None:
        self._runtime = runtime
        self._directory = directory
        self._rows = runtime.database["endpoint_deliveries"]

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["partners"])
        routes: Mapping[str, tuple[Callable[[Request], Any], str]] = {
            "/partners": (self.list_all, "The partner organisations"),
            "/partners/{partner}": (self.show, "A partner organisation: all but its secrets"),
            "/partners/{partner}/deliveries": (self.show_deliveries, "What a partner was sent and is due, by sequence"),
        }
        for path, (endpoint, summary) in routes.items():
            router.add_api_route(path, endpoint, methods=["GET"], summary=summary, response_model=None)
        return router

    async def list_all(self, request: Request) -> Response:
        """List the organisations in the order of their slugs, those that left too."""
        await self._admit(request)
        await self._directory.refresh(self._runtime)
        found = sorted(self._directory.partners(), key=lambda partner: partner.slug)
        return _answer({"partners": [_line(partner) for partner in found]})

    async def show(self, request: Request) -> Response:
        """Show one organisation; the ETag is its version, for If-Match of the next command."""
        await self._admit(request)
        loaded, entry = await self._load(request)
        await self._directory.refresh(self._runtime)
        partner, counted = loaded.state, self._directory.find(entry.slug)
        content = {
            **_line(entry),
            "version": loaded.version,
            "answer_hours": entry.answer_hours,
            "open_reviews": 0 if counted is None else counted.open_reviews,
            "endpoints": [_endpoint(endpoint, self._runtime.system_clock()) for endpoint in entry.endpoints],
            "decision_keys": [{"id": key_id(key), "decision_key": key} for key in entry.decision_keys],
            "credentials": [{"credential": one.slug, "client_id": one.client_id} for one in entry.credentials],
            "quarantined": partner.quarantined,
            "alerts": show_alerts(partner.alerts),
        }
        return _answer(content, {"ETag": f'"{loaded.version}"'})

    async def show_deliveries(self, request: Request) -> Response:
        """Show a page of the delivery log: `endpoint` and `state` narrow it, `after` is the `next` of the page before."""
        await self._admit(request, "endpoint", "state", "after", "limit")
        _, entry = await self._load(request)
        endpoint, state, limit = (request.query_params.get(name) for name in ("endpoint", "state", "limit"))
        if endpoint is not None and _SLUG.fullmatch(endpoint) is None:
            raise Problem(422, "endpoint", "`endpoint` is the name of an endpoint.")
        if state not in (None, *STATES):
            raise Problem(422, "state", "A delivery is due, done or dead.")
        page = PAGE if limit is None else _page(limit)
        wanted = {**_after(request, entry.slug, endpoint), **({} if state is None else {"state": state})}
        order = [("endpoint", ASCENDING), ("sequence", ASCENDING)]
        rows = await self._rows.find(wanted).sort(order).limit(page).to_list()
        deliveries = [_delivery(row) for row in rows]
        following = None
        if len(rows) == page:
            last = deliveries[-1]
            following = str(last["sequence"]) if endpoint is not None else f"{last['endpoint']}/{last['sequence']}"
        return _answer({"deliveries": deliveries, "next": following})

    async def _admit(self, request: Request, *parameters: str) -> None:
        admit(request, await authenticate(self._runtime, request), Permission.MANAGE_PARTNERS)
        if set(request.query_params) - set(parameters):
            raise Problem(422, "unknown-parameter", f"What narrows this: {', '.join(parameters) or 'nothing'}.")
        asked_by_query(request)

    async def _load(self, request: Request) -> tuple[Loaded, Organisation]:
        slug = str(request.path_params["partner"])
        if _SLUG.fullmatch(slug) is None:
            raise _UNKNOWN
        try:
            loaded = await self._runtime.load(f"partner-{slug}")
        except KeyMissing:
            raise _UNKNOWN from None
        entry: Organisation | None = loaded.state.entry
        if entry is None:
            raise _UNKNOWN
        return loaded, entry


def _line(partner: Organisation) -> dict[str, Any]:
    return {
        "slug": partner.slug,
        "name": partner.name,
        "status": partner.status,
        "licensed_states": partner.licensed_states,
        "capacity": partner.capacity,
        "open_reviews": partner.open_reviews,
        "endpoints": [{"endpoint": endpoint.slug, "status": endpoint.status} for endpoint in partner.endpoints],
    }


def _endpoint(endpoint: Endpoint, now: datetime) -> dict[str, Any]:
    return {
        "endpoint": endpoint.slug,
        "webhook_url": endpoint.url,
        "events": endpoint.events,
        "status": endpoint.status,
        "why": endpoint.why,
        "secrets": [
            {"id": key_id(public_half(secret.text) or secret.text), "until": secret.until, **_signing(secret.text)}
            for secret in endpoint.secrets
            if secret.until is None or now < secret.until
        ],
    }


def _signing(secret: str) -> dict[str, str]:
    public = public_half(secret)
    return {"signing": signing_of(secret), **({} if public is None else {"webhook_key": public})}


def _delivery(row: Mapping[str, Any]) -> dict[str, Any]:
    stream = str(row["stream"])
    return {
        "endpoint": str(row["endpoint"]).partition("/")[2],
        "case": stream if stream.startswith("case-") else None,
        **{name: row.get(name) for name in SHOWN},
    }


def _after(request: Request, partner: str, endpoint: str | None) -> dict[str, Any]:
    """Return what finds the deliveries of the endpoint, or of all of the partner's, that follow the cursor."""
    given = request.query_params.get("after")
    found = _AFTER.fullmatch("0" if given is None else given)
    if found is None or (given is not None and (found[1] is None) != (endpoint is not None)):
        raise Problem(422, "after", "`after` is the `next` of the page before.")
    later = {"$gt": int(found[2])}
    if endpoint is not None:
        return {"endpoint": f"{partner}/{endpoint}", "sequence": later}
    of_partner = {"$gt": f"{partner}/", "$lt": f"{partner}0"}  # "0" is what follows "/"
    if found[1] is None:
        return {"endpoint": of_partner}
    last = f"{partner}/{found[1]}"
    return {"$or": [{"endpoint": last, "sequence": later}, {"endpoint": {**of_partner, "$gt": last}}]}


def _page(limit: str) -> int:
    if _LIMIT.fullmatch(limit) is None or not 1 <= int(limit) <= LARGEST_PAGE:
        raise Problem(422, "limit", f"`limit` is from 1 to {LARGEST_PAGE}.")
    return int(limit)


def _answer(content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return Response(to_json(content), media_type="application/json", headers=dict(headers or {}))
