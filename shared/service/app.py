"""From a service definition to a process: one place where everything is put together."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from typing_extensions import override

from shared.clock import MovableCareClock
from shared.events.codec import TooLarge
from shared.http.accesses import RecordAccess
from shared.http.commands import command_endpoint, form_endpoint, view_endpoint
from shared.http.operations import Operations, metrics_endpoint
from shared.http.policy import PolicyRoutes
from shared.http.problems import MALFORMED, MEDIA_TYPE, NOT_THERE, Problem, problem
from shared.http.worklist import alerts_endpoint, waiting_endpoint, worklist_endpoint
from shared.log.decisions import NothingDecided
from shared.log.errors import ReceiptReused, StaleVersion, StoreUnavailable, StreamBroken, TooContended
from shared.log.store import is_transient
from shared.pathway.refusal import Refusal
from shared.service.definition import ServiceDefinition
from shared.service.garbage import rarely_collect_garbage
from shared.service.on_call import OnCall, raises_alerts
from shared.service.policies import POLICY, AdoptedPolicies
from shared.service.recalls import LOT, RecalledLots
from shared.service.runtime import Background, Extension, Runtime
from shared.service.tasks import Tasks
from shared.settings import Settings
from shared.telemetry.logs import configure_logs
from shared.telemetry.traces import configure_traces
from shared.vault.port import KeyMissing
from shared.webhooks.signing import SharedSecret

DRAIN_SECONDS: Final = 8.0
"""SIGTERM to end takes at most 10 s: this for the tasks, the rest for connections."""

Extend = Callable[[Runtime], Extension]


def build_app(definition: ServiceDefinition, settings: Settings, extend: Extend | None = None) -> FastAPI:
    """Return the service as an ASGI application; its parts start and stop with its lifespan."""
    log = configure_logs(definition.name)
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        settings.mongo_url,
        w="majority",
        journal=True,
        readConcernLevel="majority",
        tz_aware=True,
        serverSelectionTimeoutMS=5000,
        # A store that stands still without closing is given up after both together; by default that takes 30 s.
        connectTimeoutMS=5000,
        heartbeatFrequencyMS=5000,
    )
    runtime = Runtime(definition, settings, client, log)
    extension = extend(runtime) if extend is not None else Extension()
    tasks = Tasks(log)
    registers = _registers(runtime)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        traces = configure_traces(definition.name)
        await runtime.prepare()
        for register in registers.values():
            await register.refresh()
        for prepare in extension.prepare:
            await prepare()
        await runtime.accesses.begin()
        tasks.start("accesses", Background(runtime.accesses.run, runtime.accesses.stop))
        access_relay = runtime.make_access_relay()
        tasks.start("access-relay", Background(access_relay.run, access_relay.stop))
        if isinstance(runtime.clock, MovableCareClock):
            tasks.start("care-clock", Background(runtime.clock.follow))
        if definition.publishes:
            followers = (*(register.follow for register in registers.values()), *extension.followers)
            if settings.on_call_url is not None and settings.on_call_secret is not None and raises_alerts(definition):
                secret = SharedSecret.parse(settings.on_call_secret.get_secret_value())
                on_call = OnCall(runtime, settings.on_call_url, secret)
                tasks.start("on-call", Background(on_call.run, on_call.stop))
                followers = (*followers, on_call.follow)
            relay = runtime.make_relay(followers)
            tasks.start("relay", Background(relay.run, relay.stop))
        if definition.reactions or extension.consumes is not None:
            consumer = runtime.make_consumer(extension.consumes)
            tasks.start("consumer", Background(consumer.run, consumer.stop))
        for name, register in registers.items():
            tasks.start(name, Background(register.keep_fresh))
        for name, work in extension.tasks.items():
            tasks.start(name, work)
        log.info("started", port=settings.port)
        try:
            yield
        finally:
            await runtime.store.drain()
            await tasks.stop(DRAIN_SECONDS)
            await client.close()
            if traces is not None:
                await asyncio.to_thread(traces.shutdown)
            log.info("stopped")

    app = FastAPI(title=definition.title, version="1", lifespan=lifespan, redirect_slashes=False)
    app.router.route_class = PlainRoute
    app.add_middleware(RecordAccess, runtime=runtime)
    _add_routes(app, runtime, extension, tasks)
    _add_problems(app, runtime)
    app.openapi = lambda: _openapi(app, definition)  # type: ignore[method-assign]
    return app


def _registers(runtime: Runtime) -> Mapping[str, AdoptedPolicies | RecalledLots]:
    """Return what the service keeps in memory of streams that are no case."""
    registers: dict[str, AdoptedPolicies | RecalledLots] = {}
    if POLICY in runtime.definition.kinds:
        registers["policies"] = AdoptedPolicies(runtime)
    if LOT in runtime.definition.kinds:
        registers["recalled-lots"] = RecalledLots(runtime)
    return registers


class PlainRoute(APIRoute):
    """A route that is called with the request as it is: the frame reads and checks bodies itself, so there is nothing to solve."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the endpoint itself."""
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint


def serve(app: FastAPI, settings: Settings) -> None:
    """Serve until SIGTERM; requests under way are finished, then the tasks."""
    rarely_collect_garbage()
    uvicorn.run(app, **server_options(settings))


def server_options(settings: Settings) -> dict[str, Any]:
    """Return how uvicorn serves: who calls is the peer of the connection, whatever a header says, unless the peer is a trusted proxy."""
    return {
        "host": settings.host,
        "port": settings.port,
        "loop": "uvloop",
        "http": "httptools",
        "ws": "none",
        "proxy_headers": bool(settings.trusted_proxies),
        "forwarded_allow_ips": settings.trusted_proxies,
        "timeout_keep_alive": 75,
        "timeout_graceful_shutdown": 2,
        "access_log": False,
        "log_config": None,
        "server_header": False,
    }


def _add_routes(app: FastAPI, runtime: Runtime, extension: Extension, tasks: Tasks) -> None:
    definition = runtime.definition
    for command in definition.commands:
        app.add_api_route(
            command.path,
            command_endpoint(runtime, command),
            methods=["POST"],
            summary=command.summary,
            response_model=None,
            operation_id=_operation_id("post", command.path),
            status_code=201 if command.begins else 200,
            tags=[definition.name],
        )
    # Before the views: a service's own route may be one particular path among those of a view.
    for router in extension.routes:
        app.include_router(router)
    for view in definition.views:
        app.add_api_route(
            view.path,
            view_endpoint(runtime, view),
            methods=["GET"],
            summary=view.summary,
            response_model=None,
            operation_id=_operation_id("get", view.path),
            tags=[definition.name],
        )
    for path, content in definition.forms.items():
        app.add_api_route(path, form_endpoint(runtime, content), methods=["GET"], summary="A form", response_model=None)
    if any(kind.name == "case" for kind in definition.kinds):
        app.add_api_route("/cases", worklist_endpoint(runtime), methods=["GET"], summary="Work list", response_model=None)
        app.add_api_route("/worklist", waiting_endpoint(runtime), methods=["GET"], summary="What each case waits for", response_model=None)
        app.add_api_route("/alerts", alerts_endpoint(runtime), methods=["GET"], summary="Alerts to take on", response_model=None)
    app.include_router(Operations(runtime, extension).router())
    if POLICY in definition.kinds:
        app.include_router(PolicyRoutes(runtime).router())
    app.add_api_route("/metrics", metrics_endpoint(runtime), methods=["GET"], include_in_schema=False)
    app.add_api_route("/health/live", _live, methods=["GET"], response_model=None, tags=["health"])
    app.add_api_route("/health/ready", _ready_endpoint(runtime, tasks, extension), methods=["GET"], response_model=None, tags=["health"])


async def _live(_request: Request) -> Response:
    return JSONResponse({"live": True})


def _ready_endpoint(runtime: Runtime, tasks: Tasks, extension: Extension) -> Callable[[Request], Any]:
    async def ready(_request: Request) -> Response:
        if tasks.failed is not None:
            return problem(503, "task-ended", f"The background task {tasks.failed} ended.")
        if runtime.consumer is not None and not runtime.consumer.healthy:
            return problem(503, "consumer-waits", "The consumer waits for the store or the broker.")
        try:
            await runtime.client.admin.command("ping")
            views = await runtime.view_ages()
        except PyMongoError:
            return problem(503, "store-unreachable", "The store cannot be reached.")
        unready = extension.unready()
        if unready is not None:
            return problem(503, *unready)
        return JSONResponse({"ready": True, **({"views": views} if views else {})})

    return ready


def _add_problems(app: FastAPI, runtime: Runtime) -> None:
    def refused(error: Refusal) -> Response:
        runtime.metrics.refused(error.slug)
        status = 422 if error.slug in MALFORMED else 404 if error.slug in NOT_THERE else 409
        return problem(status, error.slug, error.detail, rule=error.rule)

    again = {"Retry-After": "1"}
    answers: Mapping[type[Exception], Callable[[Any], Response]] = {
        Problem: lambda error: error.to_response(),
        Refusal: refused,
        StaleVersion: lambda error: problem(
            412, "stale-version", "It has moved on since the version you named; read it again.", headers={"ETag": f'"{error.current}"'}
        ),
        ReceiptReused: lambda _: problem(422, "key-reused", "This Idempotency-Key was used before for another request."),
        StoreUnavailable: lambda _: problem(503, "store-unavailable", "Not known to be stored; retry with the same key.", headers=again),
        TooContended: lambda _: problem(
            503, "contended", "Others changed the case at the same time; retry with the same key.", headers=again
        ),
        StreamBroken: lambda _: problem(503, "stream-stopped", "This case's record has a hole and is stopped; an operator must look."),
        KeyMissing: lambda _: problem(404, "not-found", "There is no case of this id that you may see."),
        TooLarge: lambda _: problem(413, "event-too-large", "What was sent does not fit one event."),
        NothingDecided: lambda _: problem(409, "nothing-to-do", "This changes nothing."),
        HTTPException: lambda error: problem(
            error.status_code, _HTTP_SLUGS.get(error.status_code, "http"), _HTTP_DETAILS.get(error.status_code, "")
        ),
    }
    for kind, make in answers.items():
        app.add_exception_handler(kind, _handler(make))

    async def unexpected(_request: Request, error: Exception) -> Response:
        if isinstance(error, PyMongoError) and is_transient(error):
            return problem(503, "store-unavailable", "The store cannot be reached; retry with the same key.", headers=again)
        runtime.log.error("a request failed", exc_info=error)
        return problem(500, "internal", "The service failed; nothing of what you sent was logged.")

    app.add_exception_handler(PyMongoError, unexpected)
    app.add_exception_handler(Exception, unexpected)


_HTTP_SLUGS: Final = {404: "not-found", 405: "method-not-allowed"}
_HTTP_DETAILS: Final = {404: "There is no such path.", 405: "This path does not take this method."}


def _handler(make: Callable[[Any], Response]) -> Any:
    async def handle(_request: Request, error: Exception) -> Response:
        return make(error)

    return handle


def _operation_id(method: str, path: str) -> str:
    return f"{method}_{path.strip('/').replace('/', '_').replace('{', '').replace('}', '').replace('-', '_')}"


def _openapi(app: FastAPI, definition: ServiceDefinition) -> dict[str, Any]:
    if app.openapi_schema is not None:
        return app.openapi_schema
    schema = get_openapi(title=definition.title, version="1", description=inspect.cleandoc(definition.description), routes=app.routes)
    components = schema.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    schema["security"] = [{"token": []}]
    key = {"name": "Idempotency-Key", "in": "header", "required": True, "schema": {"type": "string", "maxLength": 128}}
    match = {"name": "If-Match", "in": "header", "required": False, "schema": {"type": "string"}}
    for command in definition.commands:
        body = command.body.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(body.pop("$defs", {}))
        schemas[command.body.__name__] = body
        operation = schema["paths"][command.path]["post"]
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{command.body.__name__}"}}},
        }
        operation.setdefault("parameters", []).extend([key, match])
    for view in definition.views:
        schema["paths"][view.path]["get"]["responses"]["200"]["content"] = {view.media_type: {"schema": {}}}
    for path, operations in schema["paths"].items():
        parameters = [part[1:-1].partition(":")[0] for part in path.split("/") if part.startswith("{")]
        for operation in operations.values():
            known = {parameter["name"] for parameter in operation.get("parameters", [])}
            operation.setdefault("parameters", []).extend(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in parameters if name not in known
            )
            operation["responses"]["4XX"] = {"description": "A problem document", "content": {MEDIA_TYPE: {"schema": {"type": "object"}}}}
    app.openapi_schema = schema
    return schema
