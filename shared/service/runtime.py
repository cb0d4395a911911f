"""One service's parts, put together once. Nothing here knows HTTP, and nothing is made at import."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from shared.access.tokens import Tokens, TokenVerifier
from shared.clock import CareClock, MovableCareClock, SystemCareClock, system_now
from shared.events.base import EventData
from shared.events.codec import Recorded
from shared.events.topics import access_topic_of, source_of, topic_of, topics
from shared.log.commit import Cause, Commit, pseudonym_of, request_mac
from shared.log.decisions import Committed, Decisions
from shared.log.store import CommitStore
from shared.log.streams import Loaded, Streams
from shared.pathway.context import Actor, Context
from shared.pathway.policy import SHIPPED, Book, read_document
from shared.service.access_stream import AccessStream
from shared.service.definition import ServiceDefinition
from shared.settings import Settings
from shared.telemetry.logs import Logger
from shared.telemetry.metrics import Metrics
from shared.transport.consumer import Consumer, Handler
from shared.transport.lease import Lease
from shared.transport.parking import Parking
from shared.transport.positions import Positions
from shared.transport.reacting import ReactionHandler, reactions_in
from shared.transport.relay import Follower, Relay
from shared.transport.ticker import Ticker
from shared.transport.views import Views
from shared.vault.mongo import MongoVault


@dataclass(frozen=True, slots=True)
class Background:
    """A task that runs as long as the service. `stop` asks it to finish what is at hand; without, it is cancelled."""

    run: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Extension:
    """What a service adds to the frame: routes, owned background tasks, followers of its commits, work still to do."""

    prepare: tuple[Callable[[], Awaitable[None]], ...] = ()
    """Done before the first request and the first event."""

    routes: tuple[APIRouter, ...] = ()
    tasks: Mapping[str, Background] = field(default_factory=dict)
    followers: tuple[Follower, ...] = ()
    pending: Mapping[str, Callable[[], Awaitable[int]]] = field(default_factory=dict)
    """Named counts of work under way, shown in /operations/progress; zero means settled."""
    consumes: Handler | None = None
    """Instead of the reactions table: takes every event of every topic (the ledger)."""
    unready: Callable[[], tuple[str, str] | None] = lambda: None
    """Why the service is not ready though all of it runs: a slug and a sentence; None if it is."""


class Runtime:
    """The parts of one service process."""

    def __init__(self, definition: ServiceDefinition, settings: Settings, client: AsyncMongoClient[dict[str, Any]], log: Logger) -> None:
        self.definition = definition
        self.settings = settings
        self.log = log
        self.client = client
        self.metrics = Metrics(definition.name)
        self.policies = Book(read_document(settings.policy_file or SHIPPED))
        self.tokens: Tokens = TokenVerifier(settings.issuer, settings.audience, settings.jwks_url)
        self.database: AsyncDatabase[dict[str, Any]] = client[f"{settings.database_prefix}_{definition.name}"]
        vault_database = client[f"{settings.database_prefix}_vault"]
        self.vault = MongoVault(vault_database["keys"], settings.vault_master_key.get_secret_value())
        self.clock: CareClock = SystemCareClock()
        if settings.care_clock == "movable":
            self.clock = MovableCareClock(vault_database["clock"])
        self.store = CommitStore(self.database["commits"])
        self.streams = Streams(self.store, self.database["cases"], self.vault, definition.kinds, definition.name)
        self.decisions = Decisions(definition.name, self.store, self.streams, self.vault, self.clock, lambda: self.policies)
        self.parking = Parking(self.database["parked"])
        self.views = Views(self.database["views"])
        self.positions = Positions(self.database["positions"], reactions_in(self.database["commits"]))
        # Apart from what the service keeps otherwise: the ledger can be dropped and filled again, and who asked it stays.
        self.access_store = CommitStore(client[f"{settings.database_prefix}_{definition.name}_access"]["commits"])
        self.accesses = AccessStream(
            definition.name,
            self.access_store,
            self.vault,
            # Keyed, since addresses of stores may hold passwords that a bare hash would let be guessed.
            self.mac("settings", "", settings.model_dump_json().encode()).hex()[:16],
            self.care_now,
            lambda: self.policies.policy(self.care_now()).version,
            self.metrics,
        )
        self.relay: Relay | None = None
        self.access_relay: Relay | None = None
        self.consumer: Consumer | None = None

    async def prepare(self) -> None:
        """Create indexes and read care time."""
        await self.store.create_indexes()
        await self.streams.create_indexes()
        await self.parking.create_indexes()
        await self.accesses.create_indexes()
        if isinstance(self.clock, MovableCareClock):
            await self.clock.refresh()

    def make_relay(self, followers: Sequence[Follower]) -> Relay:
        """Make the relay, which also keeps the cache and runs the ticker while it leads."""
        ticker = Ticker(self.definition.name, self.database["cases"], self.decisions, self.clock, self.log)
        self.relay = Relay(
            topic_of(self.definition.name, self.settings.topic_prefix),
            self.settings,
            self.database["commits"],
            Lease(self.database["leases"], "relay", self.settings.lease_seconds),
            self.streams.keep_cache,
            followers,
            ticker.run,
            self.metrics.oldest_unpublished_seconds,
            self.metrics,
            self.log,
        )
        return self.relay

    def make_access_relay(self) -> Relay:
        """Make the relay of accesses: nothing is folded from them, and nothing falls due."""

        async def keep_no_cache(_versions: Mapping[str, int]) -> None:
            return

        async def tick_never() -> None:
            await asyncio.Event().wait()

        self.access_relay = Relay(
            access_topic_of(self.definition.name, self.settings.topic_prefix),
            self.settings,
            self.access_store.collection,
            Lease(self.database["leases"], "access-relay", self.settings.lease_seconds),
            keep_no_cache,
            (),
            tick_never,
            self.metrics.oldest_unpublished_access_seconds,
            self.metrics,
            self.log,
        )
        return self.access_relay

    def make_consumer(self, handler: Handler | None) -> Consumer:
        """Make the consumer: of the topics whose events the service reacts to, or of all for a handler of its own."""
        reactions = self.definition.reactions
        if handler is None:
            handler = ReactionHandler(self.definition.name, reactions, self.decisions, self.vault, self.log)
            publishers = {event.TYPE.split(".")[1] for event in reactions}
            wanted: Sequence[str] = sorted(topic_of(publisher, self.settings.topic_prefix) for publisher in publishers)
        else:
            wanted = topics(self.settings.topic_prefix)
            self.positions = Positions(self.database["positions"], handler.effects)
        self.consumer = Consumer(
            self.definition.name,
            self.settings,
            wanted,
            handler,
            self.positions,
            self.parking,
            self.views,
            self.database["epochs"],
            self.metrics,
            self.log,
        )
        return self.consumer

    async def view_ages(self) -> dict[str, float | None]:
        """Return how old this service's view of each service it hears is, in seconds; None if it was never heard."""
        if self.consumer is None:
            return {}
        ages = await self.views.oldest()
        heard = {owner: ages.get(source_of(owner)) for owner in self.consumer.hears}
        return {owner: None if age is None else round(age.total_seconds(), 1) for owner, age in heard.items()}

    def system_clock(self) -> datetime:
        """Return system time: for signatures, tokens, backoff."""
        return system_now()

    def care_now(self) -> datetime:
        """Return care time: for decisions and deadlines."""
        return self.clock.now()

    def pseudonym(self, identifier: str) -> str:
        """Return the network's pseudonym of a patient identifier."""
        return pseudonym_of(self.settings.receipt_key.get_secret_value(), identifier)

    def mac(self, method: str, path: str, body: bytes) -> bytes:
        """Return the keyed MAC of a request."""
        return request_mac(self.settings.receipt_key.get_secret_value(), method, path, body)

    async def load(self, stream: str) -> Loaded:
        """Return a stream as it stands."""
        return await self.streams.load(stream)

    async def run(
        self,
        stream: str,
        decide: Callable[[Any, Context], Sequence[EventData]],
        cause: Cause,
        actor: Actor,
        admit: Callable[[Loaded], None] | None = None,
        views: Mapping[str, timedelta] | None = None,
    ) -> Committed:
        """Decide on a stream and commit; see `shared.log.decisions.Decisions.run`."""
        return await self.decisions.run(stream, decide, cause, actor, admit=admit, views=views)

    async def open_events(self, commits: Sequence[Commit]) -> list[Recorded]:
        """Open the events of commits, in order."""
        return await self.streams.open_events(commits)
