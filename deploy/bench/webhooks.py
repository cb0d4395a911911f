"""The webhook bench: from the commit that a partner is told of to the partner's receipt, by the real prescriber service.

In each round: the bare loop of the same HTTP client; then what is due to paused endpoints when they are resumed, as when partners come back
after an outage (signed, posted, each result durable before the next of its case); then single commits at Poisson times, with every
endpoint healthy, and with half of them taking the request and never answering.
"""

import asyncio
import os
import random
import shutil
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import mkdtemp
from typing import Any, Final

import aiohttp
from pydantic import SecretStr
from pymongo import AsyncMongoClient

from deploy.bench.figures import percentile
from deploy.bench.jobs import start_job
from deploy.local.broker import start_broker
from deploy.local.children import Child, start_child, until_ready
from deploy.local.data import ROOT, random_key
from deploy.local.failure import StackError
from deploy.local.mongod import start_mongod
from deploy.local.ports import free_port
from deploy.topics import PARTITIONS, create_topics
from services.prescriber.app import define
from services.prescriber.domain.partners.state import ORIGIN
from shared.clock import system_now
from shared.events.base import EventData
from shared.events.partner import FIRST_ENDPOINT, EndpointPaused, EndpointResumed, PartnerRegistered
from shared.events.prescriber import ReviewAssigned, StopNoted
from shared.events.topics import topics
from shared.log.commit import Cause
from shared.pathway.context import Actor
from shared.service.definition import Origin
from shared.service.runtime import Runtime
from shared.settings import Settings
from shared.telemetry.logs import configure_logs
from shared.webhooks.signing import PrivateKey

ENDPOINTS: Final = 10
"""Of each of three kinds: those that are measured, others that are healthy too, and those that take the request and never answer."""
AT_ONCE: Final = 64
RATE: Final = 100.0
"""Commits per second for the measured endpoints while latency is measured, and as many again for the others or those that hang."""
BODY_BYTES: Final = 300
PATIENCE_SECONDS: Final = 120.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """One round."""

    raw_per_s: float
    deliveries_per_s: float
    healthy_alone_ms: Sequence[float]
    healthy_beside_ms: Sequence[float]

    def ratios(self) -> dict[str, float]:
        """Return what is compared within the round."""
        alone, beside = (percentile(values, 99) for values in (self.healthy_alone_ms, self.healthy_beside_ms))
        return {"throughput_ratio": self.deliveries_per_s / self.raw_per_s, "healthy_p99_ratio": beside / alone}


async def measure(rounds: int, seconds: float, say: Say) -> list[Measured]:
    """Measure every round; raises StackError if a webhook is lost, or one is sent twice where nothing failed."""
    folder = Path(mkdtemp(prefix="kapcare-bench-"))
    try:
        return [await _Round(folder, number, seconds, say).run() for number in range(rounds)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def summarise(measured: Sequence[Measured]) -> dict[str, Any]:
    """Return everything as one JSON object: medians over rounds, ratios within a round first."""
    each = [one.ratios() for one in measured]
    return {
        **{name: round(median(ratios[name] for ratios in each), 3) for name in each[0]},
        "deliveries_per_s": round(median(one.deliveries_per_s for one in measured)),
        "raw_per_s": round(median(one.raw_per_s for one in measured)),
        **_latency("healthy_alone", [one.healthy_alone_ms for one in measured]),
        **_latency("healthy_beside_black_holes", [one.healthy_beside_ms for one in measured]),
        "rounds": len(measured),
        "ratios_per_round": [{name: round(ratio, 3) for name, ratio in ratios.items()} for ratios in each],
    }


def _latency(what: str, rounds: Sequence[Sequence[float]]) -> dict[str, float]:
    return {f"{what}_p{percent}_ms": round(median(percentile(one, percent) for one in rounds), 1) for percent in (50, 99)}


class _Round:
    """One round on a database, a broker and a receiver of its own."""

    def __init__(self, folder: Path, number: int, seconds: float, say: Say) -> None:
        self._folder = Path(mkdtemp(dir=folder))
        self._number = number
        self._seconds = seconds
        self._tell = say
        self._port = free_port()
        self._committed: dict[str, float] = {}
        """Webhook id -> when its commit was durable."""

    def _say(self, text: str) -> None:
        self._tell(f"round {self._number + 1}: {text}")

    async def run(self) -> Measured:
        """Measure."""
        async with AsyncExitStack() as ends:
            mongod = await start_mongod(self._folder / "mongo", self._folder / "mongod.log", free_port(), cache_gb=1.0)
            ends.push_async_callback(mongod.stop)
            broker = await start_broker(self._folder / "broker.log", free_port())
            ends.push_async_callback(broker.stop)
            await create_topics(broker.bootstrap, topics(), PARTITIONS)
            receiver = await start_job("deploy.bench.webhook_receiver", {"port": self._port}, self._folder)
            ends.push_async_callback(receiver.child.stop)
            self._session = await ends.enter_async_context(aiohttp.ClientSession())
            self._say("bare loop")
            raw = await self._raw()
            before = await self._receiver_says("count")
            environment = _environment(mongod.url, broker.bootstrap)
            async with _runtime(environment) as runtime:
                await self._register(runtime)
                service = await self._start(environment)
                ends.push_async_callback(service.stop)
                many = int(raw * self._seconds / 2)
                self._say(f"committing {many:,} assignments")
                drained = await self._commit(runtime, many, "healthy")
                await self._until_due(runtime, many, service)
                self._say(f"sending {many:,} deliveries")
                await self._resume(runtime)
                await self._until_received(before + many, service)
                self._say("single deliveries, every endpoint healthy")
                alone, others = await self._at_poisson_times(runtime, ("healthy", "other"))
                self._say("single deliveries, half of the endpoints never answer")
                beside, _ = await self._at_poisson_times(runtime, ("healthy", "hole"))
                await self._until_received(before + many + len(alone) + len(others) + len(beside), service)
                seen = await self._receiver_says("arrived")
            self._say("bare loop, again")
            # Before and after: what else the machine does meanwhile moves both, and their mean less than either.
            raw = (raw + await self._raw()) / 2
            return self._compare(raw, [*drained, *others], drained, alone, beside, seen)

    def _compare(
        self, raw: float, due: Sequence[str], drained: Sequence[str], alone: Sequence[str], beside: Sequence[str], seen: Mapping[str, Any]
    ) -> Measured:
        arrived: Mapping[str, float] = seen["arrived"]
        lost = [one for one in (*due, *alone, *beside) if one not in arrived]
        again = [one for one in seen["again"] if not one.startswith(("heartbeat-", "raw-"))]
        if lost or again:
            raise StackError(f"{len(lost)} webhooks are lost, {len(again)} came again though nothing failed")
        came = sorted(arrived[one] for one in drained)

        def took(ids: Sequence[str]) -> list[float]:
            return sorted((arrived[one] - self._committed[one]) * 1000 for one in ids)

        return Measured(raw, (len(came) - 1) / (came[-1] - came[0]), took(alone), took(beside))

    async def _raw(self) -> float:
        urls = [f"http://127.0.0.1:{self._port}/raw/{number}" for number in range(ENDPOINTS)]
        specification = {"urls": urls, "body_bytes": BODY_BYTES, "at_once": AT_ONCE, "round": self._number}
        rate, posts = 0.0, 2_000
        for _ in range(2):  # the first one warms up, and tells how many take so long
            job = await start_job("deploy.bench.webhook_raw", {**specification, "posts": posts}, self._folder)
            rate = (await job.finished(PATIENCE_SECONDS))["per_second"]
            posts = max(posts, int(rate * self._seconds / 2))
        return rate

    async def _register(self, runtime: Runtime) -> None:
        for kind in ("healthy", "other", "hole"):
            for number in range(ENDPOINTS):
                event = PartnerRegistered(
                    partner=f"{kind}-{number}",
                    name=f"{kind} {number}",
                    webhook_url=f"http://127.0.0.1:{self._port}/{kind}/{number}",
                    webhook_secret=SecretStr(f"whsec_{random_key()}"),
                    decision_key=str(PrivateKey.generate().public),
                )
                await _decide(runtime, f"partner-{kind}-{number}", event, ORIGIN)
                if kind == "healthy":
                    await _decide(runtime, f"partner-{kind}-{number}", EndpointPaused(partner=event.partner, endpoint=FIRST_ENDPOINT))

    async def _resume(self, runtime: Runtime) -> None:
        for number in range(ENDPOINTS):
            partner = f"healthy-{number}"
            await _decide(runtime, f"partner-{partner}", EndpointResumed(partner=partner, endpoint=FIRST_ENDPOINT))

    async def _until_due(self, runtime: Runtime, wanted: int, service: Child) -> None:
        rows = runtime.database["endpoint_deliveries"]
        await self._until(rows.estimated_document_count, wanted, "deliveries were due", service)

    async def _commit(self, runtime: Runtime, count: int, kind: str) -> list[str]:
        waiting = iter(range(count))

        async def keep_committing() -> list[str]:
            return [await self._assign(runtime, f"{kind}-{number % ENDPOINTS}") for number in waiting]

        return [one for some in await asyncio.gather(*(keep_committing() for _ in range(AT_ONCE))) for one in some]

    async def _at_poisson_times(self, runtime: Runtime, kinds: tuple[str, str]) -> tuple[list[str], list[str]]:
        """Commit as often for endpoints of one kind as of the other; returns what each is to receive."""
        chance = random.Random(self._number)
        due = time.monotonic()
        commits: list[asyncio.Task[str]] = []
        for number in range(int(RATE * self._seconds)):
            due += chance.expovariate(RATE)
            await asyncio.sleep(due - time.monotonic())
            for kind in kinds:
                commit = asyncio.create_task(self._assign(runtime, f"{kind}-{number % ENDPOINTS}"))
                commits.append(commit)
        told = await asyncio.gather(*commits)
        return told[::2], told[1::2]

    async def _assign(self, runtime: Runtime, partner: str) -> str:
        """Commit one assignment; returns the id of the webhook that must follow."""
        now = system_now()
        # Consented, so that nothing stops the case, of which the partner would be told as well.
        scopes = ("treatment", "disclosure_to_prescriber")
        consented = StopNoted(kind="consent_given", at=now, noted_from="urn:kapcare:intake", consent_version="bench", scopes=scopes)
        assigned = ReviewAssigned(request=1, partner=partner, due_at=now + timedelta(days=30))
        origin = Origin("riverside", f"patient-{uuid.uuid4().hex}")
        identity = await _decide(runtime, f"case-{uuid.uuid4().hex}", assigned, origin, before=(consented,))
        webhook_id = f"{identity}-main".replace(".", "-")
        self._committed[webhook_id] = time.monotonic()
        return webhook_id

    async def _start(self, environment: Mapping[str, str]) -> Child:
        port = free_port()
        command = [sys.executable, "-P", "-m", "services", "prescriber"]
        whole = {**os.environ, **environment, "KAPCARE_PORT": str(port)}
        service = await start_child("prescriber", command, self._folder / "prescriber.log", whole, ROOT)
        await until_ready(service, partial(_answers, f"http://127.0.0.1:{port}/health/live"), PATIENCE_SECONDS)
        return service

    async def _receiver_says(self, what: str) -> Any:
        async with self._session.get(f"http://127.0.0.1:{self._port}/{what}") as answer:
            return await answer.json()

    async def _until_received(self, wanted: int, service: Child) -> None:
        await self._until(partial(self._receiver_says, "count"), wanted, "webhooks were received", service)

    async def _until(self, count: Callable[[], Awaitable[int]], wanted: int, what: str, service: Child) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS + 10 * self._seconds
        while (found := await count()) < wanted:
            if not service.running:
                raise await service.died()
            if time.monotonic() > deadline:
                raise StackError(f"{found:,} {what}; {wanted:,} were expected")
            await asyncio.sleep(0.05)


async def _decide(runtime: Runtime, stream: str, event: EventData, origin: Origin | None = None, before: tuple[EventData, ...] = ()) -> str:
    """Commit, and return the id of the event."""
    cause = Cause.http("bench", "bench", uuid.uuid4().hex, b"m" * 32)
    committed = await runtime.decisions.run(stream, lambda _state, _context: [*before, event], cause, Actor("bench"), origin=origin)
    return committed.recorded[len(before)].envelope.id


def _environment(mongo: str, bootstrap: str) -> dict[str, str]:
    return {
        "PYTHONPATH": str(ROOT),
        "KAPCARE_MONGO_URL": mongo,
        "KAPCARE_DATABASE_PREFIX": "bench",
        "KAPCARE_KAFKA_BOOTSTRAP": bootstrap,
        "KAPCARE_KAFKA_IDEMPOTENT_PRODUCER": "false",
        # As in production: nothing that is measured comes by the consumer, which at 10 ms asks the embedded broker all the time.
        "KAPCARE_KAFKA_FETCH_MAX_WAIT_MS": "500",
        "KAPCARE_KAFKA_SESSION_TIMEOUT_MS": "6000",
        "KAPCARE_ISSUER": "http://127.0.0.1/none",
        "KAPCARE_JWKS_URL": "http://127.0.0.1:1/none",
        "KAPCARE_VAULT_MASTER_KEY": random_key(),
        "KAPCARE_RECEIPT_KEY": random_key(),
        "KAPCARE_ALLOW_LOOPBACK_WEBHOOKS": "true",
        "KAPCARE_WEBHOOK_HEARTBEAT_SECONDS": "100000",
    }


@asynccontextmanager
async def _runtime(environment: Mapping[str, str]) -> AsyncIterator[Runtime]:
    """A prescriber service that only decides: what it commits is followed by the one in a process of its own."""
    given = {name.removeprefix("KAPCARE_").lower(): value for name, value in environment.items() if name.startswith("KAPCARE_")}
    settings = Settings.model_validate({**given, "port": 1})
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        settings.mongo_url, w="majority", journal=True, readConcernLevel="majority", tz_aware=True
    )
    async with client:
        runtime = Runtime(define(tuple, allow_loopback=True), settings, client, configure_logs("bench"))
        await runtime.prepare()
        yield runtime


async def _answers(url: str) -> bool:
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session, session.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
