"""From a row of a service's command table to a POST route: authenticate, read, admit, decide, commit, answer.

The answer is a function of the commit alone, so that a retry with the same Idempotency-Key gets the same one.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from opentelemetry.trace import SpanKind
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from shared.access.decide import NETWORK_WIDE, Principal, Resource
from shared.events.base import EventData, StepRefused
from shared.http.body import parse, read_json
from shared.http.callers import NOT_FOUND, actor_of, admit, asking, authenticate, saw
from shared.http.problems import Problem
from shared.log.commit import Cause, stream_id_of
from shared.log.decisions import Committed
from shared.log.streams import Loaded
from shared.pathway.emergency import Grants
from shared.service.definition import Command, Origin, View
from shared.service.runtime import Runtime
from shared.telemetry.traces import span, tracing

Endpoint = Callable[[Request], Awaitable[Response]]
Reveal = Callable[[Sequence[EventData]], Mapping[str, Any]]

STREAM_ID: Final = re.compile(r"(case-[0-9a-f]{32}|partner-[a-z0-9][a-z0-9_.-]{0,63})")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}")
_ETAG: Final = re.compile(r'"([0-9]{1,12})"')


def command_endpoint(runtime: Runtime, row: Command) -> Endpoint:
    """Return the route of a command."""

    async def endpoint(request: Request) -> Response:
        if not tracing():
            return await answer(request)
        attributes = {"http.request.method": "POST", "http.route": row.path}
        with span(f"POST {row.path}", SpanKind.SERVER, attributes, parent=request.headers.get("traceparent")):
            return await answer(request)

    async def answer(request: Request) -> Response:
        principal = await authenticate(runtime, request)
        _about(request)
        admit(request, principal, row.permission)
        key = _idempotency_key(request)
        # Who may do it to every case is told of none's version.
        if_match = None if row.permission in NETWORK_WIDE and row.kind == "case" else _if_match(request)
        body = await read_json(request, runtime.settings.body_limit_bytes)
        command = parse(row.body, body)
        if row.fresh is not None:
            command = row.fresh(command)
        cause = Cause.http(principal.issuer, principal.subject, key, runtime.mac("POST", request.url.path, body))
        origin = None if row.begins is None else row.begins(command, runtime.pseudonym)
        stream = _stream(request, runtime, row, principal, command, cause, origin)
        if origin is not None and row.kind == "case" and origin.clinic not in principal.clinics:
            raise Problem(403, "not-your-clinic", "Your access token does not name this clinic.")

        def let_in(loaded: Loaded) -> None:
            if origin is None:
                saw(request, stream, loaded.clinic, loaded.patient)
                if loaded.version == 0:
                    raise NOT_FOUND if row.kind == "case" else Problem(404, "not-found", f"There is no {row.kind} of this name.")
                admit(request, principal, row.permission, _resource(loaded, runtime))

        if row.waits_for_inbox and await runtime.parking.waits(stream):
            earlier = await runtime.decisions.earlier(cause)
            if earlier is None:
                raise _inbox_problem()
            asking(request).committed = True
            return answer_of(earlier, runtime, reveal=row.reveal)
        committed = await runtime.decisions.run(
            stream,
            lambda state, context: row.decide(state, command, context),
            cause,
            actor_of(principal),
            origin=origin,
            admit=let_in,
            if_match=if_match,
            views=await runtime.views.ages(stream, row.views_of) if row.views_of else None,
        )
        asking(request).committed = True
        return answer_of(committed, runtime, created=origin is not None, reveal=row.reveal)

    return endpoint


def view_endpoint(runtime: Runtime, row: View) -> Endpoint:
    """Return the route of a view."""

    async def endpoint(request: Request) -> Response:
        principal = await authenticate(runtime, request)
        _about(request)
        admit(request, principal, row.permission)
        stream = _stream_from_path(request, row.kind)
        loaded = await runtime.load(stream)
        saw(request, stream, loaded.clinic, loaded.patient)
        if loaded.version == 0:
            raise NOT_FOUND
        admit(request, principal, row.permission, _resource(loaded, runtime))
        if row.waits_for_inbox and await runtime.parking.waits(stream):
            raise _inbox_problem()
        if row.whole:
            content = row.render(stream, loaded.clinic, loaded.patient, loaded.state)
        else:
            content = {row.kind: stream, "clinic": loaded.clinic, "patient": loaded.patient, "version": loaded.version}
            under = (loaded.clinic, runtime.policies.policy(runtime.care_now(), loaded.clinic)) if row.by_policy else ()
            content |= row.render(loaded.state, *under)
        return Response(to_json(content), media_type=row.media_type, headers={"ETag": f'"{loaded.version}"'})

    return endpoint


def form_endpoint(runtime: Runtime, content: Any) -> Endpoint:
    """Return the route of a form, the same for every patient."""
    document = to_json(content)

    async def endpoint(request: Request) -> Response:
        await authenticate(runtime, request)
        asking(request).shared = True
        return Response(document, media_type="application/json")

    return endpoint


def answer_of(committed: Committed, runtime: Runtime, *, created: bool = False, reveal: Reveal | None = None) -> Response:
    """Return the answer that a commit stands for: what was recorded, or the rule that refused."""
    stream, version = committed.commit.stream, committed.version
    etag = {"ETag": f'"{version}"'}
    refused = [recorded.data for recorded in committed.recorded if isinstance(recorded.data, StepRefused)]
    for refusal in refused:
        runtime.metrics.refused(refusal.rule)
    if refused:
        raise refused_by_rule(refused, headers=etag, version=version)
    kind = stream.partition("-")[0]
    content = {
        **({} if reveal is None else reveal([recorded.data for recorded in committed.recorded])),
        kind: stream,
        "version": version,
        "events": [
            {"id": recorded.envelope.id, "type": recorded.envelope.type, "sequence": recorded.envelope.sequence}
            for recorded in committed.recorded
        ],
    }
    return Response(to_json(content), status_code=201 if created else 200, media_type="application/json", headers=etag)


def refused_by_rule(refused: Sequence[StepRefused], headers: Mapping[str, str] | None = None, **extra: Any) -> Problem:
    """Return the problem that refusals by rules are; the first one gives its words."""
    return Problem(
        409,
        "refused-by-rule",
        refused[0].detail,
        headers=headers,
        rule=refused[0].rule,
        step=refused[0].step,
        refusals=[_show(refusal) for refusal in refused],
        policy_version=refused[0].policy_version,
        **extra,
    )


def _show(refusal: StepRefused) -> dict[str, str]:
    """Show why in words, and in the stable word for it where the rule has one."""
    because = refusal.facts.get("because")
    return {"rule": refusal.rule, "detail": refusal.detail, **({} if because is None else {"because": because})}


def _stream(
    request: Request, runtime: Runtime, row: Command, principal: Principal, command: Any, cause: Cause, origin: Origin | None
) -> str:
    if row.stream_id is not None:
        return row.stream_id(command)
    if row.named_by_path or row.named_by_organisation:
        name = principal.organisation or "" if row.named_by_organisation else str(next(iter(request.path_params.values()), ""))
        if _NAME.fullmatch(name) is None:
            raise NOT_FOUND
        return f"{row.kind}-{name}"
    if origin is not None:
        return stream_id_of(runtime.settings.receipt_key.get_secret_value(), row.kind, cause)
    return _stream_from_path(request, row.kind)


def _about(request: Request) -> None:
    """Note which stream the path names, before it is known whether it may be seen, or is there at all."""
    named = str(next(iter(request.path_params.values()), ""))
    if STREAM_ID.fullmatch(named) is not None:
        saw(request, named)


def _stream_from_path(request: Request, kind: str) -> str:
    given = str(next(iter(request.path_params.values()), ""))
    if STREAM_ID.fullmatch(given) is None or not given.startswith(f"{kind}-"):
        raise NOT_FOUND
    return given


def _resource(loaded: Loaded, runtime: Runtime) -> Resource:
    partner = loaded.kind.knows_partner(loaded.state) if loaded.kind.knows_partner else None
    grants: Grants = getattr(loaded.state, "emergency", Grants())
    return Resource(clinic=loaded.clinic, partner=partner, emergency=grants.open_to(runtime.care_now()))


def _idempotency_key(request: Request) -> str:
    given = request.headers.getlist("idempotency-key")
    if len(given) != 1 or _KEY.fullmatch(given[0]) is None:
        raise Problem(
            400, "idempotency-key", "Send one Idempotency-Key of 1 to 128 printable characters; a retry sends the same one again."
        )
    return given[0]


def _if_match(request: Request) -> int | None:
    given = request.headers.get("if-match")
    if given is None or given == "*":
        return None
    found = _ETAG.fullmatch(given.strip())
    if found is None:
        raise Problem(400, "if-match", 'If-Match must be the ETag of the case, such as "3", or *.')
    return int(found[1])


def _inbox_problem() -> Problem:
    return Problem(
        409, "inbox-waits", "An event of this case is held or parked here; until that is settled nothing is approved, dosed or disclosed."
    )
