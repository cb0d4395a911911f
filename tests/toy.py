"""A pathway of two small services on the real runtime, for tests of the runtime itself: refer at intake, review at prescriber."""

import asyncio
import base64
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from unittest.mock import patch

from pymongo import AsyncMongoClient

from deploy.topics import create_topics
from shared.access.decide import Permission, Principal
from shared.events import intake, prescriber
from shared.events.base import EventData
from shared.events.clinical import Fact
from shared.events.topics import topic_of, topics
from shared.log.commit import Cause
from shared.pathway.context import Actor, Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request
from shared.service.access_stream import AccessStream
from shared.service.definition import Command, Origin, Reactions, ServiceDefinition, StreamKind, View
from shared.service.runtime import Runtime
from shared.settings import Settings
from shared.telemetry.logs import configure_logs
from shared.transport.consumer import Consumer, Handler
from shared.transport.relay import Follower, Relay


@dataclass(frozen=True, slots=True)
class ToyCase:
    """How many facts were stated, which reviews are open, and when something falls due."""

    facts: tuple[str, ...] = ()
    reviews: tuple[int, ...] = ()
    withdrawn: bool = False
    due: datetime | None = None
    overdue: int = 0
    order: tuple[str, ...] = field(default=())

    @property
    def status(self) -> str:
        return "withdrawn" if self.withdrawn else "open"

    @property
    def deadlines(self) -> Mapping[str, datetime]:
        return {} if self.due is None else {"toy": self.due}


def evolve(state: ToyCase, event: EventData) -> ToyCase:
    match event:
        case intake.FactsStated():
            return replace(state, facts=(*state.facts, *(fact.code for fact in event.facts)))
        case intake.ConsentWithdrawn():
            return replace(state, withdrawn=True)
        case prescriber.ReviewOpened():
            return replace(state, reviews=(*state.reviews, event.request))
        case prescriber.StopNoted():
            return replace(state, order=(*state.order, event.noted_from), withdrawn=True)
        case prescriber.ReviewAssigned():
            return replace(state, due=event.due_at)
        case prescriber.ReviewOverdue():
            return replace(state, due=None, overdue=state.overdue + 1)
        case prescriber.ClearanceAnswered():
            return replace(state, order=(*state.order, event.answers[0].item))
        case _:
            return state


class Refer(Request):
    clinic: str
    patient: str


class StateFact(Request):
    code: str


def refer(state: ToyCase, _command: Refer, context: Context) -> list[EventData]:
    if state != ToyCase():
        raise Refusal("already-referred", "This case exists.")
    return [intake.PatientReferred(origin="json", birth_date=date(1980, 1, 1), sex="unknown", indication="other", referred_at=context.now)]


def state_fact(state: ToyCase, command: StateFact, _context: Context) -> list[EventData]:
    if command.code in state.facts:
        raise Refusal("already-stated", "This fact is known.")
    return [intake.FactsStated(facts=(Fact(kind="statement", code=command.code, system="kapcare", label="toy"),))]


def review_fact(state: ToyCase, event: Any, context: Context) -> list[EventData]:
    code = event.facts[0].code
    if code == "defect":
        raise ZeroDivisionError
    if code == "due":
        return [
            prescriber.ReviewAssigned(request=1, partner="in-house", due_at=context.now + timedelta(hours=1)),
        ]
    return [prescriber.ClearanceAnswered(answers=(prescriber.Clearance(item=code, cleared=True, note="toy"),), answered_at=context.now)]


def note_withdrawal(state: ToyCase, event: Any, context: Context) -> list[EventData]:
    assert context.envelope is not None
    return [prescriber.StopNoted(kind="consent_withdrawn", at=event.withdrawn_at, noted_from=context.envelope.source)]


def tick(state: ToyCase, name: str, context: Context) -> list[EventData]:
    return [prescriber.ReviewOverdue(request=1, partner="in-house", due_at=state.deadlines[name])]


REACTIONS: Reactions = {intake.FactsStated: review_fact, intake.ConsentWithdrawn: note_withdrawal}

COMMANDS = (
    Command("/cases", Refer, refer, Permission.REFER, "Refer", begins=lambda body, pseudonym: Origin(body.clinic, pseudonym(body.patient))),
    Command("/cases/{case}/facts", StateFact, state_fact, Permission.SCREEN, "State a fact"),
)
VIEWS = (View("/cases/{case}", Permission.READ_CASE, lambda state: {"facts": list(state.facts)}, "A toy case"),)

INTAKE = ServiceDefinition("intake", "Toy intake", "A toy.", intake.EVENTS, (StreamKind("case", ToyCase(), evolve),), COMMANDS, VIEWS)
PRESCRIBER = ServiceDefinition(
    "prescriber", "Toy prescriber", "A toy.", prescriber.EVENTS, (StreamKind("case", ToyCase(), evolve, tick),), (), (), REACTIONS
)

CLINICIAN = Actor("clinician", frozenset({"coordinator"}))
PRINCIPAL = Principal("test", "clinician", frozenset({"coordinator", "therapist", "admin", "auditor"}), frozenset({"riverside"}))


def settings_for(mongo_url: str, bootstrap: str, prefix: str, **changes: Any) -> Settings:
    """Settings of one test's own databases and topics."""
    key = base64.b64encode(b"k" * 32).decode()
    values: dict[str, Any] = {
        "port": 1,
        "mongo_url": mongo_url,
        "database_prefix": prefix,
        "kafka_bootstrap": bootstrap,
        "kafka_idempotent_producer": False,
        "kafka_fetch_max_wait_ms": 10,
        "kafka_session_timeout_ms": 1500,
        "topic_prefix": prefix,
        "issuer": "test",
        "jwks_url": "http://127.0.0.1:1/jwks.json",
        "vault_master_key": key,
        "receipt_key": key,
        "lease_seconds": 1.0,
        "heartbeat_seconds": 0.5,
        "gap_alarm_seconds": 1.0,
    }
    return Settings(**(values | changes))


def unique() -> str:
    """A name that no other test uses."""
    return f"t{uuid.uuid4().hex[:14]}"


async def make_topics(bootstrap: str, prefix: str, partitions: int = 2) -> None:
    """Create the topics of one test."""
    await create_topics(bootstrap, topics(prefix), partitions, 1)


@asynccontextmanager
async def runtime_of(definition: ServiceDefinition, settings: Settings, **options: Any) -> AsyncIterator[Runtime]:
    """A runtime with its store ready, no background tasks. Failpoints meant for it alone name its database."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        settings.mongo_url,
        w="majority",
        journal=True,
        readConcernLevel="majority",
        tz_aware=True,
        serverSelectionTimeoutMS=5000,
        appname=f"{settings.database_prefix}_{definition.name}",
        **options,
    )
    runtime = Runtime(definition, settings, client, configure_logs(definition.name, os.environ.get("KAPCARE_TEST_LOG", "CRITICAL")))
    await runtime.prepare()
    try:
        yield runtime
    finally:
        await client.close()


@asynccontextmanager
async def relaying(runtime: Runtime, followers: tuple[Follower, ...] = ()) -> AsyncIterator[Relay]:
    """The relay running."""
    relay = runtime.make_relay(followers)
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        await relay.stop()
        await finish(task)


@asynccontextmanager
async def consuming(runtime: Runtime, handler: Handler | None = None) -> AsyncIterator[Consumer]:
    """The consumer running."""
    consumer = runtime.make_consumer(handler)
    task = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        await consumer.stop()
        await finish(task)


@dataclass(frozen=True)
class Stage:
    """Both toy services over topics of their own; records are written to intake's topic by hand or by its relay."""

    settings: Settings
    intake: Runtime
    prescriber: Runtime

    @property
    def topic(self) -> str:
        return topic_of("intake", self.settings.topic_prefix)

    async def case(self, *codes: str) -> str:
        """A case with these facts: its referral has sequence 1, the facts follow."""
        case = await begin_case(self.intake)
        for code in codes:
            await add_fact(self.intake, case, code)
        return case

    async def order(self, case: str) -> list[str]:
        """What the prescriber made of the case's facts, in order."""
        return list((await self.prescriber.load(case)).state.order)

    async def ordered(self, case: str, *codes: str, seconds: float = 20.0) -> None:
        """Wait until the prescriber has reacted to exactly these facts, in this order."""

        async def reached() -> bool:
            return await self.order(case) == list(codes)

        try:
            await eventually(reached, seconds)
        except AssertionError:
            raise AssertionError(f"{await self.order(case)} is not {list(codes)}") from None

    async def parked(self, case: str | None = None) -> list[tuple[int, str, str]]:
        """(sequence, state, reason) of what waits at the prescriber for the case."""
        rows = await self.prescriber.parking.rows()
        return sorted((row["sequence"], row["state"], row["reason"]) for row in rows if case is None or row["stream"] == case)

    async def waits_as(self, case: str, *expected: tuple[int, str, str]) -> None:
        """Wait until exactly this is parked or held for the case."""

        async def reached() -> bool:
            return await self.parked(case) == list(expected)

        try:
            await eventually(reached)
        except AssertionError:
            raise AssertionError(f"{await self.parked(case)} is not {list(expected)}") from None

    def another_prescriber(self, reactions: Reactions | None = None) -> Runtime:
        """Another process of the prescriber, with its reactions mended or broken."""
        definition = PRESCRIBER if reactions is None else replace(PRESCRIBER, reactions=reactions)
        return Runtime(definition, self.settings, self.prescriber.client, self.prescriber.log)


@contextmanager
def untold() -> Iterator[None]:
    """Nobody's accesses are recorded, so that the ledger holds what a test appends and no more; that they are is tested elsewhere."""

    async def append(_stream: AccessStream, accesses: Sequence[Any]) -> list[None]:
        return [None] * len(accesses)

    with patch.object(AccessStream, "_append", append):
        yield


@asynccontextmanager
async def stage_on(mongo_url: str, bootstrap: str, partitions: int = 2, **changes: Any) -> AsyncIterator[Stage]:
    """Two services on databases and topics of their own."""
    settings = settings_for(mongo_url, bootstrap, unique(), **changes)
    await make_topics(bootstrap, settings.topic_prefix, partitions)
    async with runtime_of(INTAKE, settings) as intake_runtime, runtime_of(PRESCRIBER, settings) as prescriber_runtime:
        yield Stage(settings, intake_runtime, prescriber_runtime)


async def finish(task: "asyncio.Task[None]") -> None:
    """Wait for a task that was asked to stop, and show what it failed with."""
    await asyncio.wait({task}, timeout=15)
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise AssertionError("a task did not stop in time")
    task.result()


async def kill(task: "asyncio.Task[Any]") -> None:
    """End a task where it stands, as kill -9 would, without any of its clean-up being relied on."""
    while not task.done():  # the database driver may swallow a cancellation
        task.cancel()
        await asyncio.wait({task}, timeout=0.5)
    await asyncio.gather(task, return_exceptions=True)


async def begin_case(runtime: Runtime, key: str | None = None) -> str:
    """Refer a toy patient; returns the case."""
    case = f"case-{uuid.uuid4().hex}"
    cause = Cause.http("test", "clinician", key or uuid.uuid4().hex, b"m" * 32)
    await runtime.decisions.run(
        case,
        lambda state, context: refer(state, Refer(clinic="riverside", patient="p"), context),
        cause,
        CLINICIAN,
        origin=Origin("riverside", "patient-1"),
    )
    return case


async def add_fact(runtime: Runtime, case: str, code: str, key: str | None = None) -> int:
    """State a toy fact; returns the version."""
    cause = Cause.http("test", "clinician", key or uuid.uuid4().hex, b"m" * 32)
    committed = await runtime.decisions.run(case, lambda state, context: state_fact(state, StateFact(code=code), context), cause, CLINICIAN)
    return committed.version


async def add_facts(runtime: Runtime, case: str, codes: list[str]) -> None:
    """State many toy facts in one commit, an event each."""
    facts = [intake.FactsStated(facts=(Fact(kind="statement", code=code, system="kapcare", label="toy"),)) for code in codes]
    cause = Cause.http("test", "clinician", uuid.uuid4().hex, b"m" * 32)
    await runtime.decisions.run(case, lambda _state, _context: facts, cause, CLINICIAN)


async def decide(runtime: Runtime, case: str, decision: Callable[[ToyCase, Context], list[EventData]]) -> None:
    """Make any decision on a case, as a command of its own."""
    await runtime.decisions.run(case, decision, Cause.http("test", "clinician", uuid.uuid4().hex, b"m" * 32), CLINICIAN)


async def keep_cache(runtime: Runtime, *cases: str) -> None:
    """Write the cases as they stand to the cache, as the relay does."""
    await runtime.streams.keep_cache({case: (await runtime.load(case)).version for case in cases})


async def withdraw(runtime: Runtime, case: str) -> None:
    """Withdraw consent in a toy case."""
    cause = Cause.http("test", "clinician", uuid.uuid4().hex, b"m" * 32)
    await runtime.decisions.run(
        case, lambda _state, context: [intake.ConsentWithdrawn(withdrawn_at=context.now, said_to="intake")], cause, CLINICIAN
    )


async def eventually(check: Any, seconds: float = 20.0, every: float = 0.05) -> Any:
    """Wait until the async check returns something true, and return it; fail after a bound."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        result = await check()
        if result:
            return result
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError("not in time")
        await asyncio.sleep(every)


def now() -> datetime:
    return datetime.now(UTC)
