"""A group session: the cases that are part of it and where each stands. Each case has its own gate, doses and record.

A case is found once it is in the cache of folded state, moments after it was scheduled; what is shown is read from the commits.
"""

import re
from typing import Any, Final

from fastapi import APIRouter
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from shared.access.decide import Permission
from shared.http.callers import NOT_FOUND, admit, authenticate, saw
from shared.log.streams import Loaded
from shared.service.runtime import Runtime
from shared.vault.port import KeyMissing

_GROUP: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


class Groups:
    """The route of GET /groups/{group}."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def router(self) -> APIRouter:
        """Return the route."""
        router = APIRouter(tags=["session"])
        router.add_api_route(
            "/groups/{group}",
            self.show,
            methods=["GET"],
            summary="The sessions of a group session that the caller may see, and where each stands",
            response_model=None,
        )
        return router

    async def show(self, request: Request) -> Response:
        """List the members in the caller's clinics; a group without any does not exist for the caller."""
        principal = await authenticate(self._runtime, request)
        admit(request, principal, Permission.READ_CASE)
        group = str(request.path_params["group"])
        if _GROUP.fullmatch(group) is None:
            raise NOT_FOUND
        cases = [loaded for loaded in await self._cases_of(group, sorted(principal.clinics)) if loaded.clinic in principal.clinics]
        members = [
            {
                "case": loaded.stream,
                "clinic": loaded.clinic,
                "session": session.number,
                "phase": session.phase,
                "starts_at": session.scheduled.starts_at,
            }
            for loaded in cases
            for session in loaded.state.sessions
            if session.scheduled is not None and session.group == group
        ]
        if not members:
            raise NOT_FOUND
        for loaded in cases:
            saw(request, loaded.stream, loaded.clinic, loaded.patient)
        return Response(to_json({"group": group, "members": members}), media_type="application/json")

    async def _cases_of(self, group: str, clinics: list[str]) -> list[Loaded]:
        """Return the cases; raises what makes one unreadable. An erased case has no key any more, and is part of nothing."""
        wanted: dict[str, Any] = {"last.groups": group, "last.clinic": {"$in": clinics}, "last.kind": "case"}
        rows = self._runtime.database["cases"].find(wanted, projection=["_id"]).sort("_id")
        found = await self._runtime.streams.load_many([row["_id"] async for row in rows])
        cases: list[Loaded] = []
        for loaded in found.values():
            if isinstance(loaded, KeyMissing):
                continue
            if isinstance(loaded, Exception):
                raise loaded
            cases.append(loaded)
        return cases
