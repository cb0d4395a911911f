"""The whole of kapcare on this machine: database, broker, issuer and services as child processes that are watched."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from aiokafka.errors import KafkaError

from deploy.local.broker import start_broker
from deploy.local.children import Child, ending, start_child, until_ready
from deploy.local.data import DEFAULT_DATA, ROOT, DataDirectory
from deploy.local.failure import StackError
from deploy.local.issuer import AUDIENCE, ISSUER, Issuer
from deploy.local.mongod import start_mongod
from deploy.local.ports import free_port
from deploy.local.restarts import Restarts
from deploy.local.running import PORT_BASE, SERVICES, CareClock, RunningStack
from deploy.topics import create_topics

READY_PATIENCE = 90.0
LEDGER_INCONSISTENT = "audit runs, but the ledger contradicts what was signed, so nothing more is signed; care goes on: docs/operations.md"


def _in_silence(_: str) -> None:
    """Tell nobody."""


def service_command(name: str) -> list[str]:
    """How a service is run."""
    return [sys.executable, "-P", "-m", "services", name]


class LocalStack:
    """`async with LocalStack(...) as stack:` everything is up inside and gone after.

    Nothing of it outlives this process. `failure()` waits for the day it cannot go on.
    """

    def __init__(
        self,
        data: Path = DEFAULT_DATA,
        *,
        port_base: int = PORT_BASE,
        care_clock: CareClock = "system",
        services: Sequence[str] = SERVICES,
        topics: Sequence[str] | None = None,
        settings: Mapping[str, str] | None = None,
        mongod_parameters: Sequence[str] = (),
        command: Callable[[str], Sequence[str]] = service_command,
        say: Callable[[str], None] = _in_silence,
    ) -> None:
        """`settings` are further KAPCARE_ variables for every service; `say` gets one line for each step."""
        self.data = DataDirectory(data.resolve())
        self._port_base = port_base
        self._care_clock = care_clock
        self._services = tuple(services)
        self._topics = topics
        self._settings = dict(settings or {})
        self._mongod_parameters = mongod_parameters
        self._command = command
        self._say = say
        self._children: dict[str, Child] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self._held = ExitStack()
        self._environment: dict[str, str] = {}
        self.issuer: Issuer
        self.running: RunningStack
        self._failure: asyncio.Future[StackError]

    async def __aenter__(self) -> Self:
        self._failure = asyncio.get_running_loop().create_future()
        self._held.enter_context(self.data.held())
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def failure(self) -> StackError:
        """Wait until the stack cannot go on; why."""
        return await asyncio.shield(self._failure)

    async def stop(self) -> None:
        """End everything in order: first who writes, then what is written to."""
        await self._stop_watching()
        await self._stop_children([name for name in self._children if name not in ("mongod", "broker")])
        await self._stop_children(["broker"])
        await self._stop_children(["mongod"])
        self._let_go()

    async def kill(self, name: str | None = None) -> None:
        """End one child with SIGKILL, as an accident that the stack must notice; or, without a name, all of it at once for good."""
        if name is not None:
            await self._children[name].kill()
            return
        await self._stop_watching()
        await asyncio.gather(*(child.kill() for child in self._children.values()))
        self._let_go()

    def pid(self, name: str) -> int:
        """The process id of a child."""
        return self._children[name].pid

    async def _start(self) -> None:
        self.data.set_logs_aside()
        self.issuer = Issuer.kept_at(self.data.issuer)
        mongo_port, broker_port, issuer_port = free_port(), free_port(), free_port(self.issuer.port)
        self.issuer.keep(self.data.issuer, issuer_port)
        self.running = RunningStack(
            services={name: f"http://127.0.0.1:{self._service_port(name)}" for name in self._services},
            mongo=f"mongodb://127.0.0.1:{mongo_port}/?directConnection=true",
            kafka=f"127.0.0.1:{broker_port}",
            issuer=ISSUER,
            jwks=f"http://127.0.0.1:{issuer_port}/jwks.json",
            pid=os.getpid(),
        )
        self._environment = self._environment_of_services()
        self._say("starting the database, the broker and the issuer")
        await self._together(
            self._start_watched("mongod", partial(self._start_mongod, mongo_port)),
            self._start_watched("broker", partial(self._start_broker, broker_port)),
            self._start_watched("issuer", partial(self._start_issuer, issuer_port)),
        )
        self._say(f"starting {', '.join(self._services)}")
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            await self._together(*(self._start_first_time(name, session) for name in self._services))
        self._write_running()
        self._say("everything is ready")

    def _service_port(self, name: str) -> int:
        wanted = self._port_base + 1 + SERVICES.index(name)
        port = free_port(wanted)
        if port != wanted:
            self._say(f"port {wanted} is taken: {name} gets {port}")
        return port

    def _environment_of_services(self) -> dict[str, str]:
        secrets = self.data.secrets()
        ours = {
            "HOST": "127.0.0.1",
            "MONGO_URL": self.running.mongo,
            "DATABASE_PREFIX": "kapcare",
            "KAFKA_BOOTSTRAP": self.running.kafka,
            "KAFKA_IDEMPOTENT_PRODUCER": "false",
            "KAFKA_FETCH_MAX_WAIT_MS": "10",
            "KAFKA_SESSION_TIMEOUT_MS": "3000",
            "ISSUER": self.running.issuer,
            "JWKS_URL": self.running.jwks,
            "AUDIENCE": AUDIENCE,
            "VAULT_MASTER_KEY": secrets.vault_master_key,
            "RECEIPT_KEY": secrets.receipt_key,
            "CARE_CLOCK": self._care_clock,
            "ALLOW_LOOPBACK_WEBHOOKS": "true",
            **{f"{name.upper()}_URL": url for name, url in self.running.services.items()},
        }
        return {**os.environ, "PYTHONPATH": str(ROOT), **{f"KAPCARE_{name}": value for name, value in ours.items()}, **self._settings}

    async def _start_mongod(self, port: int) -> Child:
        return (await start_mongod(self.data.mongo, self.data.log("mongod"), port, self._mongod_parameters)).child

    async def _start_broker(self, port: int) -> Child:
        broker = await start_broker(self.data.log("broker"), port)
        try:
            await create_topics(broker.bootstrap, self._topics if self._topics is not None else _topics_of_contract())
        except BaseException as error:
            await broker.kill()
            if isinstance(error, KafkaError):
                raise StackError(f"the broker did not take its topics: {error}") from error
            raise
        return broker.child

    async def _start_issuer(self, port: int) -> Child:
        command = [sys.executable, "-P", "-m", "deploy.local.issuer", "--port", str(port), "--key-file", str(self.data.issuer)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        child = await start_child("issuer", command, self.data.log("issuer"), environment, ROOT)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            await until_ready(child, partial(_answers, session, self.running.jwks), READY_PATIENCE)
        return child

    async def _start_service(self, name: str) -> Child:
        environment = {**self._environment, "KAPCARE_PORT": self.running.services[name].rpartition(":")[2]}
        if name == "audit":  # nobody else can sign for the ledger
            environment.setdefault("KAPCARE_LEDGER_SIGNING_KEY", self.data.secrets().ledger_signing_key)
        return await start_child(name, self._command(name), self.data.log(name), environment, ROOT)

    async def _start_first_time(self, name: str, session: aiohttp.ClientSession) -> None:
        child = await self._start_service(name)
        self._children[name] = child
        inconsistent = asyncio.Event()
        await until_ready(child, partial(_is_ready, session, f"{self.running.services[name]}/health/ready", inconsistent), READY_PATIENCE)
        self._say(LEDGER_INCONSISTENT if inconsistent.is_set() else f"{name} is ready")
        # Once it is up, a death is answered with another start, which need not wait: the others may be coming back too.
        self._watch(name, partial(self._start_service, name))

    async def _start_watched(self, name: str, start: Callable[[], Awaitable[Child]]) -> None:
        self._children[name] = await start()
        self._watch(name, start)

    def _watch(self, name: str, start: Callable[[], Awaitable[Child]]) -> None:
        self._watchers.append(asyncio.create_task(self._keep_up(name, start), name=f"watch {name}"))

    async def _keep_up(self, name: str, start: Callable[[], Awaitable[Child]]) -> None:
        restarts = Restarts()
        while True:
            code = await self._children[name].ended()
            pause = restarts.pause()
            if name == "mongod" or pause is None:
                often = "" if name == "mongod" else " again and again, this time it"
                words = f"{name}{often} {ending(code)}\n{self._children[name].last_lines()}"
                self._fail(StackError(words.rstrip()))
                return
            self._say(f"{name} {ending(code)}; starting it again in {pause:.1f} s")
            await asyncio.sleep(pause)
            try:
                self._children[name] = await start()
            except StackError as error:
                # It ended itself, so the next turn counts another death.
                self._say(str(error))
            else:
                self._write_running()
                self._say(f"{name} is running again")

    def _fail(self, error: StackError) -> None:
        if not self._failure.done():
            self._failure.set_result(error)

    async def _together(self, *work: Awaitable[None]) -> None:
        """Do all of it at once, unless one fails or the stack does meanwhile; then nothing of it goes on."""
        tasks = [asyncio.ensure_future(part) for part in work]
        waiting: set[asyncio.Future[None] | asyncio.Future[StackError]] = {*tasks, self._failure}
        try:
            while not all(task.done() for task in tasks):
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if self._failure in done:
                    raise self._failure.result()
                for task in tasks:
                    if task in done:
                        task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _write_running(self) -> None:
        self.running = replace(self.running, pids={name: child.pid for name, child in self._children.items()})
        self.running.write(self.data)

    async def _stop_watching(self) -> None:
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        self._watchers.clear()

    async def _stop_children(self, names: Sequence[str]) -> None:
        await asyncio.gather(*(self._children[name].stop() for name in names if name in self._children))

    def _let_go(self) -> None:
        self.data.running.unlink(missing_ok=True)
        self._held.close()


def _topics_of_contract() -> Sequence[str]:
    from shared.events.topics import TOPICS

    return TOPICS


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def _is_ready(session: aiohttp.ClientSession, url: str, inconsistent: asyncio.Event) -> bool:
    """Whether a service may be counted on; a ledger that refuses to sign still takes events, and care does not wait for its repair."""
    try:
        async with session.get(url) as answer:
            if answer.status == 503 and (await answer.json(content_type=None)).get("type") == "urn:kapcare:problem:ledger-inconsistent":
                inconsistent.set()
                return True
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError, ValueError, AttributeError):
        return False
