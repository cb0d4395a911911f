"""Work lists: the cases that a person may see, what each waits for and on whom, and the alerts that nobody took on.

Found by clear fields alone (clinic, status, next deadline, whose turn it is); what is clinical comes from the sealed state.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic_core import to_json
from pymongo import ASCENDING
from starlette.requests import Request
from starlette.responses import Response

from shared.access.decide import Permission, Principal, Verdict, decide
from shared.http.callers import admit, asked_by_query, authenticate, saw
from shared.http.problems import Problem
from shared.log.streams import Loaded
from shared.service.runtime import Runtime

PAGE: Final = 100
PARTNERS: Final = {"last.clinic": "network", "last.kind": "partner"}
"""The streams of partner organisations, which are no clinic's."""
ENDED: Final = ("completed", "discharged", "declined", "screened_out", "entered_in_error")
"""Statuses of cases that are over; any other counts as open."""
_STATUS: Final = re.compile(r"[a-z_]{1,40}")
_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


def worklist_endpoint(runtime: Runtime) -> Any:
    """Return the route of GET /cases: the cases of the caller's clinics; `clinic`, `status`, `after` narrow it."""

    async def endpoint(request: Request) -> Response:
        principal = await authenticate(runtime, request)
        admit(request, principal, Permission.READ_CASE)
        wanted = _of_caller(request, principal, "status")
        status = request.query_params.get("status")
        if status is not None:
            if _STATUS.fullmatch(status) is None:
                raise Problem(422, "status", "A status is a word of small letters and underscores.")
            wanted["last.status"] = status
        rows = await _page(runtime, request, wanted)
        for row in rows:
            saw(request, row["_id"], row["last"]["clinic"], row["last"]["patient"])
        cases = [
            {"case": row["_id"], **{name: row["last"].get(name) for name in ("clinic", "status", "version", "next_deadline")}}
            for row in rows
        ]
        return _answer("cases", cases, rows)

    return endpoint


def waiting_endpoint(runtime: Runtime) -> Any:
    """Return the route of GET /worklist: what each open case of the caller's clinics waits for, since when and on whom.

    `on` narrows it to one role or organisation, and then what is overdue comes first and next what falls due soonest.
    """

    async def endpoint(request: Request) -> Response:
        principal = await authenticate(runtime, request)
        admit(request, principal, Permission.READ_CASE)
        wanted = _of_caller(request, principal, "on")
        on = _slug(request, "on")
        wanted["last.waits_on"] = {"$exists": True} if on is None else on
        rows = await _page(runtime, request, wanted) if on is None else await _soonest_page(runtime, request, wanted)
        loaded = await _loaded(request, runtime, rows)
        others = await _open_cases_of(runtime, [stream.patient for stream in loaded.values()])
        cases = [
            {
                "case": row["_id"],
                **{name: row["last"].get(name) for name in ("clinic", "status", "version", "next_deadline")},
                "waiting": waiting,
                "other_cases": others.get(stream.patient, 0) - (row["last"]["status"] not in ENDED),
            }
            for row in rows
            if (stream := loaded.get(row["_id"])) is not None and (waiting := stream.state.waits_for) is not None
        ]
        return _answer("cases", cases, rows)

    return endpoint


def alerts_endpoint(runtime: Runtime) -> Any:
    """Return the route of GET /alerts: what nobody acknowledged yet in the caller's clinics, of each page the newest deadline first.

    `role` narrows it to one work list. Who may read no case (an admin) sees that there is an alert of a case, and not why. Who manages
    partners sees theirs too, whatever clinics the token names: those are the network's, and about no patient.
    """

    async def endpoint(request: Request) -> Response:
        principal = await authenticate(runtime, request)
        admit(request, principal, Permission.READ_ALERTS)
        wanted = [_of_caller(request, principal, "role")]
        role = _slug(request, "role")
        manages = decide(principal, Permission.MANAGE_PARTNERS) is Verdict.ALLOWED
        if manages and request.query_params.get("clinic") in (None, PARTNERS["last.clinic"]):
            wanted.append(PARTNERS)
        called = {"last.alert_roles": {"$exists": True} if role is None else role}
        rows = await _page(runtime, request, {"$or": [{**streams, **called} for streams in wanted]})
        told_why = {"case": decide(principal, Permission.READ_CASE) is Verdict.ALLOWED, "partner": manages}
        alerts = [
            {
                stream.kind.name: name,
                "clinic": stream.clinic,
                "alert": alert.id,
                **({"why": alert.why} if told_why[stream.kind.name] else {}),
                "role": alert.role,
                "level": alert.level,
                "raised_at": alert.raised_at,
                "due_at": alert.due_at,
            }
            for name, stream in (await _loaded(request, runtime, rows)).items()
            for alert in stream.state.alerts.unacknowledged
            if role in (None, alert.role)
        ]
        return _answer("alerts", sorted(alerts, key=lambda alert: alert["due_at"], reverse=True), rows)

    return endpoint


def _of_caller(request: Request, principal: Principal, parameter: str) -> dict[str, Any]:
    """Return what finds the cases of the caller's clinics; raises Problem for a query that says anything else."""
    if set(request.query_params) - {"clinic", parameter, "after"}:
        raise Problem(422, "unknown-parameter", f"Only clinic, {parameter} and after narrow the list.")
    asked_by_query(request)
    clinic = request.query_params.get("clinic")
    clinics = principal.clinics if clinic is None else principal.clinics & {clinic}
    return {"last.clinic": {"$in": sorted(clinics)}, "last.kind": "case"}


def _slug(request: Request, parameter: str) -> str | None:
    given = request.query_params.get(parameter)
    if given is not None and _SLUG.fullmatch(given) is None:
        raise Problem(422, parameter, f"`{parameter}` is a role, or an organisation's short name.")
    return given


async def _page(runtime: Runtime, request: Request, wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the next page in the order of case ids."""
    after = request.query_params.get("after")
    following = {} if after is None else {"_id": {"$gt": after}}
    return await runtime.database["cases"].find({**wanted, **following}).sort([("_id", ASCENDING)]).limit(PAGE).to_list()


async def _soonest_page(runtime: Runtime, request: Request, wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the next page in the order of deadlines; what has none left to fall due comes first."""
    cases = runtime.database["cases"]
    after = request.query_params.get("after")
    following: dict[str, Any] = {}
    if after is not None:
        last = await cases.find_one({"_id": after}, projection=["last.next_deadline"])
        due = None if last is None else last["last"].get("next_deadline")
        later = {"last.next_deadline": {"$exists": True} if due is None else {"$gt": due}}
        following = {"$or": [later, {"last.next_deadline": due, "_id": {"$gt": after}}]}
    order = [("last.next_deadline", ASCENDING), ("_id", ASCENDING)]
    return await cases.find({**wanted, **following}).sort(order).limit(PAGE).to_list()


async def _loaded(request: Request, runtime: Runtime, rows: Sequence[Mapping[str, Any]]) -> dict[str, Loaded]:
    """Return the streams of a page as they stand, to be shown; one that is erased or stopped is left out."""
    found = await runtime.streams.load_many([row["_id"] for row in rows])
    loaded = {stream: each for stream, each in found.items() if isinstance(each, Loaded)}
    for each in loaded.values():
        saw(request, each.stream, each.clinic, each.patient)
    return loaded


async def _open_cases_of(runtime: Runtime, patients: Sequence[str]) -> dict[str, int]:
    """Return how many open cases each patient has in the whole network, wherever that is."""
    counted: list[dict[str, Any]] = [
        {"$match": {"last.patient": {"$in": sorted(set(patients))}, "last.kind": "case", "last.status": {"$nin": list(ENDED)}}},
        {"$group": {"_id": "$last.patient", "cases": {"$sum": 1}}},
    ]
    return {row["_id"]: row["cases"] async for row in await runtime.database["cases"].aggregate(counted)}


def _answer(name: str, found: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> Response:
    following = rows[-1]["_id"] if len(rows) == PAGE else None
    return Response(to_json({name: found, "next": following}), media_type="application/json")
