"""The list of cases that a person may see, by clear fields alone: clinic, status, next deadline."""

import re
from typing import Any, Final

from pydantic_core import to_json
from pymongo import ASCENDING
from starlette.requests import Request
from starlette.responses import Response

from shared.access.decide import Permission
from shared.http.callers import admit, authenticate
from shared.http.problems import Problem
from shared.service.runtime import Runtime

PAGE: Final = 100
_STATUS: Final = re.compile(r"[a-z_]{1,40}")


def worklist_endpoint(runtime: Runtime) -> Any:
    """Return the route of GET /cases: the cases of the caller's clinics; `clinic`, `status`, `after` narrow it."""

    async def endpoint(request: Request) -> Response:
        principal = await authenticate(runtime, request)
        admit(principal, Permission.READ_CASE)
        unknown = set(request.query_params) - {"clinic", "status", "after"}
        if unknown:
            raise Problem(422, "unknown-parameter", "Only clinic, status and after narrow the list.")
        clinic, status = request.query_params.get("clinic"), request.query_params.get("status")
        clinics = principal.clinics if clinic is None else principal.clinics & {clinic}
        wanted: dict[str, Any] = {"last.clinic": {"$in": sorted(clinics)}, "last.kind": "case"}
        if status is not None:
            if _STATUS.fullmatch(status) is None:
                raise Problem(422, "status", "A status is a word of small letters and underscores.")
            wanted["last.status"] = status
        after = request.query_params.get("after")
        if after is not None:
            wanted["_id"] = {"$gt": after}
        rows = await runtime.database["cases"].find(wanted).sort([("_id", ASCENDING)]).limit(PAGE).to_list()
        cases = [
            {"case": row["_id"], **{name: row["last"].get(name) for name in ("clinic", "status", "version", "next_deadline")}}
            for row in rows
        ]
        return Response(to_json({"cases": cases, "next": rows[-1]["_id"] if len(rows) == PAGE else None}), media_type="application/json")

    return endpoint
