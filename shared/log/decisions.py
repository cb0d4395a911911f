"""From a command, event or tick to a durable commit: load, decide, append, and again if another was first."""

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from weakref import WeakValueDictionary

from shared.clock import CareClock
from shared.events.base import Envelope, EventData
from shared.events.codec import Recorded, Sealed, seal
from shared.events.topics import source_of
from shared.log.commit import Cause, Commit, ReactionTo
from shared.log.errors import ReceiptReused, StaleVersion, TooContended
from shared.log.store import AlreadyDone, Appended, CommitStore, VersionTaken
from shared.log.streams import Loaded, Streams
from shared.pathway.context import Actor, Context
from shared.pathway.policy import Book
from shared.pathway.transfer import clinic_after
from shared.service.definition import Origin
from shared.telemetry.traces import current_traceparent
from shared.vault.port import CaseKey, KeyMissing, Vault

Policies = Callable[[], Book]
"""The policy documents adopted so far."""
Watcher = Callable[[Loaded, Sequence[EventData]], None]
"""Told what was decided on a stream as it stood, before it is stored: perhaps again for the same stream, and perhaps in vain."""
TURN_SECONDS: Final = 10.0
"""How long a decision waits for others on its stream, and how long it is made again because another commit was first."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What a cause led to. `replayed`: it was committed before, and this is that commit."""

    commit: Commit
    recorded: tuple[Recorded, ...]
    replayed: bool

    @property
    def version(self) -> int:
        """The stream's version after the commit."""
        return self.commit.version


class NothingDecided(Exception):
    """The decision led to no event."""


class Decisions:
    """Makes decisions durable."""

    def __init__(self, service: str, store: CommitStore, streams: Streams, vault: Vault, clock: CareClock, policies: Policies) -> None:
        self._source = source_of(service)
        self.store = store
        self.streams = streams
        self._vault = vault
        self._clock = clock
        self._policies = policies
        self.recalled_lots: Mapping[str, str] = {}
        """The lots whose recall is in force, each with the id of that recall; kept up by `shared.service.recalls`."""
        self.watchers: list[Watcher] = []
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def context(
        self,
        cause: Cause,
        actor: Actor,
        clinic: str,
        envelope: Envelope | None = None,
        views: Mapping[str, timedelta] | None = None,
        stream: str = "",
    ) -> Context:
        """Return what a decision on a clinic's case may know, at care time now."""
        now = self._clock.now()
        return Context(
            now=now,
            actor=actor,
            policy=self._policies().policy(now, clinic),
            seed=cause.key,
            envelope=envelope,
            clinic=clinic,
            stream=stream,
            views=views or {},
            recalled_lots=self.recalled_lots,
        )

    async def run(
        self,
        stream: str,
        decide: Callable[[Any, Context], Sequence[EventData]],
        cause: Cause,
        actor: Actor,
        *,
        origin: Origin | None = None,
        admit: Callable[[Loaded], None] | None = None,
        if_match: int | None = None,
        views: Mapping[str, timedelta] | None = None,
    ) -> Committed:
        """Decide on a stream and commit what follows.

        `admit` is called with the stream before each decision and raises what keeps the caller out. `origin` is for
        causes that may begin the stream. A retry of the same cause gets the first commit back, whatever has happened
        since. Raises Refusal, StaleVersion, NothingDecided, ReceiptReused, TooContended, StoreUnavailable, StreamBroken,
        KeyMissing.
        """
        # Within a process, deciders of one stream take turns: of many at once each would win only by luck.
        turn = self._turns.get(stream)
        if turn is None:
            turn = self._turns[stream] = asyncio.Lock()
        try:
            await asyncio.wait_for(turn.acquire(), TURN_SECONDS) if turn.locked() else await turn.acquire()
        except TimeoutError:
            raise TooContended from None
        try:
            return await self._run(stream, decide, cause, actor, origin, admit, if_match, views)
        finally:
            turn.release()

    async def _run(
        self,
        stream: str,
        decide: Callable[[Any, Context], Sequence[EventData]],
        cause: Cause,
        actor: Actor,
        origin: Origin | None,
        admit: Callable[[Loaded], None] | None,
        if_match: int | None,
        views: Mapping[str, timedelta] | None,
    ) -> Committed:
        # By time and not by tries: of several processes that write at once, one may be second many times in a row by mere luck.
        until, first = time.monotonic() + TURN_SECONDS, True
        while True:
            # What this process remembers may be old. A commit on top of it proves that it was not; whatever else comes
            # of it is decided again on what is stored.
            remembered = self.streams.remembered(stream) if first else None
            first = False
            loaded = remembered or await self.streams.load(stream)
            try:
                if admit is not None:
                    admit(loaded)
                if if_match is not None and if_match != loaded.version:
                    raise StaleVersion(loaded.version)
                clinic = loaded.clinic if loaded.version or origin is None else origin.clinic
                context = self.context(cause, actor, clinic, views=views, stream=stream)
                events = decide(loaded.state, context)
                if not events:
                    raise NothingDecided
            except Exception:
                if remembered is not None:
                    continue
                # Also who may not see the case any more gets the answer again that the same request had.
                earlier = await self.earlier(cause)
                if earlier is not None:
                    return earlier
                raise
            key = await self._key(loaded, origin)
            commit, recorded = self.make(loaded, events, cause, context, key, origin=origin)
            outcome = await self.store.append(commit)
            match outcome:
                case Appended():
                    self.streams.after(loaded, outcome.commit, recorded)
                    return Committed(outcome.commit, tuple(recorded), replayed=False)
                case AlreadyDone():
                    return await self._replayed(outcome.commit, cause)
                case VersionTaken():
                    if time.monotonic() > until:
                        raise TooContended

    def make(
        self,
        loaded: Loaded,
        events: Sequence[EventData],
        cause: Cause,
        context: Context,
        key: CaseKey,
        *,
        origin: Origin | None = None,
    ) -> tuple[Commit, list[Recorded]]:
        """Encode, seal and size-check events as the stream's next commit, of the moment they were decided at; raises TooLarge.

        Every commit is made here, so here they are completed (`StreamKind.complete`).
        """
        if loaded.kind.complete is not None:
            events = loaded.kind.complete(loaded.state, events, context)
        commit_id = uuid.uuid4().hex
        now, actor, envelope = context.now, context.actor, context.envelope
        clinic, patient = (loaded.clinic, loaded.patient) if loaded.version or origin is None else (origin.clinic, origin.patient)
        clinic = next((to for event in reversed(events) if (to := clinic_after(event)) is not None), clinic)
        trace = current_traceparent()
        sealed: list[Sealed] = []
        recorded: list[Recorded] = []
        for index, event in enumerate(events):
            described = Envelope(
                id=f"{commit_id}.{index}",
                source=self._source,
                type=event.TYPE,
                subject=loaded.stream,
                time=now,
                sequence=loaded.sequence + 1 + index,
                clinic=clinic,
                patient=patient,
                actor=actor.id,
                correlation=envelope.correlation if envelope else commit_id,
                causation=envelope.id if envelope else None,
                traceparent=trace,
                roles=actor.roles,
                policy_version=context.policy.version,
                recipient=event.recipient,
                happened=event.happened(now, context.noon_of),
            )
            sealed.append(seal(event, described, key))
            recorded.append(Recorded(described, event))
        for watch in self.watchers:
            watch(loaded, events)
        commit = Commit(
            id=commit_id,
            stream=loaded.stream,
            version=loaded.version + 1,
            first_sequence=loaded.sequence + 1,
            cause=cause.key,
            receipt=cause.receipt,
            request_mac=cause.mac,
            actor=actor.id,
            at=now,
            trace=trace,
            events=tuple(sealed),
            reaction_to=None if envelope is None else ReactionTo(envelope.source, envelope.sequence, envelope.id),
        )
        return commit, recorded

    async def _key(self, loaded: Loaded, origin: Origin | None) -> CaseKey:
        if loaded.version == 0 and origin is not None:
            return await self._vault.create(loaded.stream, origin.clinic)
        keys: Mapping[str, CaseKey] = await self._vault.keys([loaded.stream])
        if loaded.stream not in keys:
            raise KeyMissing(loaded.stream)
        return keys[loaded.stream]

    async def earlier(self, cause: Cause) -> Committed | None:
        """Return what the same receipt led to before; raises ReceiptReused."""
        if not cause.receipt:
            return None
        commit = await self.store.by_receipt(cause.key)
        return None if commit is None else await self._replayed(commit, cause)

    async def _replayed(self, commit: Commit, cause: Cause) -> Committed:
        if commit.request_mac != cause.mac:
            raise ReceiptReused("This key was used before for another request.")
        return Committed(commit, tuple(await self.streams.open_events([commit])), replayed=True)
