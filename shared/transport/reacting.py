"""Reactions to events, in waves: one event per stream at a time, one bulk insert per wave."""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.trace import SpanKind
from pymongo.asynchronous.collection import AsyncCollection

from shared.events.base import EventData
from shared.events.codec import Recorded, TooLarge, Unreadable, open_sealed
from shared.events.registry import BY_TYPE, family_of
from shared.log.commit import Cause, Commit
from shared.log.decisions import Decisions
from shared.log.errors import StreamBroken
from shared.log.store import Appended, VersionTaken
from shared.log.streams import Loaded
from shared.pathway.context import Actor
from shared.service.definition import Reactions
from shared.telemetry.logs import Logger
from shared.telemetry.traces import span, tracing
from shared.transport.arrival import Arrival, Handled
from shared.transport.positions import Effects
from shared.vault.port import CaseKey, KeyMissing, Vault

PERMANENT: Final = (Unreadable, KeyMissing, StreamBroken, TooLarge)
MAX_TURNS: Final = 20
"""How often a reaction is decided again because another commit was first, before its event is retried."""


def reactions_in(commits: AsyncCollection[Any]) -> Effects:
    """Return how the commits of a service tell which events they are reactions to."""
    return Effects(commits, source="reaction_to.source", sequence="reaction_to.sequence", event="reaction_to.event")


@dataclass(frozen=True, slots=True)
class _Reacted:
    """A reaction that led to a commit, not yet stored."""

    arrival: Arrival
    loaded: Loaded
    commit: Commit
    recorded: Sequence[Recorded]


class ReactionHandler:
    """Handles events by a service's table of reactions; types that are not in the table are passed over."""

    def __init__(self, service: str, reactions: Reactions, decisions: Decisions, vault: Vault, log: Logger) -> None:
        self._actor = Actor(f"service:{service}")
        self._group = f"kapcare.{service}"
        self._reactions: Mapping[type[EventData], Any] = reactions
        self._families = {family_of(event.TYPE) for event in reactions}
        self._decisions = decisions
        self._vault = vault
        self._log = log
        self.effects = reactions_in(decisions.store.collection)

    async def handle(self, arrivals: Sequence[Arrival]) -> Handled:
        """React to events wave by wave; see `shared.transport.consumer.Handler`."""
        failures: dict[str, str] = {}
        committed: set[str] = set()
        queues: dict[str, deque[Arrival]] = {}
        for arrival in arrivals:
            if family_of(arrival.envelope.type) not in self._families:
                continue
            if self._decisions.streams.kind_of(arrival.envelope.subject) is None:
                failures[arrival.key] = "no-such-kind-of-stream"
            else:
                queues.setdefault(arrival.envelope.subject, deque()).append(arrival)
        keys = await self._vault.keys(queues.keys())
        known: dict[str, Loaded] = {}
        turns: dict[str, int] = {}
        while queues:
            wave = [queue[0] for queue in queues.values()]
            reacted = await self._react_to_wave(wave, known, keys, turns, failures)
            again = await self._store(reacted, known, committed)
            for arrival in wave:
                stream = arrival.envelope.subject
                if arrival.key in again:
                    turns[arrival.key] = turns.get(arrival.key, 0) + 1
                    if turns[arrival.key] < MAX_TURNS:
                        known.pop(stream, None)
                        continue
                    failures[arrival.key] = "too-contended"
                queues[stream].popleft()
                if arrival.key in failures:
                    queues[stream] = deque(later for later in queues[stream] if later.lane != arrival.lane)
                if not queues[stream]:
                    del queues[stream]
        return Handled(failures, committed)

    async def _react_to_wave(
        self,
        wave: Sequence[Arrival],
        known: dict[str, Loaded],
        keys: Mapping[str, CaseKey],
        contended: Collection[str],
        failures: dict[str, str],
    ) -> list[_Reacted]:
        reacted: list[_Reacted] = []
        unsure: list[Arrival] = []
        for arrival in wave:
            one = self._react_on_memory(arrival, known, keys) if arrival.key not in contended else None
            if one is None:
                unsure.append(arrival)
            else:
                reacted.append(one)
        absent = [arrival.envelope.subject for arrival in unsure if arrival.envelope.subject not in known]
        loaded = await self._decisions.streams.load_many(absent) if absent else {}
        for arrival in unsure:
            stream = arrival.envelope.subject
            try:
                key = keys.get(stream)
                if key is None:
                    raise KeyMissing(stream)
                current = known.get(stream) or loaded[stream]
                if isinstance(current, Exception):
                    raise current
                known[stream] = current
                one = self._react(arrival, current, key)
            except PERMANENT as error:
                failures[arrival.key] = _slug(error)
            except Exception as error:  # noqa: BLE001 - a defect in one reaction parks one stream, not the service
                self._log.exception("a reaction failed", type=arrival.envelope.type)
                failures[arrival.key] = f"reaction-failed-{type(error).__name__}"
            else:
                if one is not None:
                    reacted.append(one)
        await self._forgive_redelivered([arrival for arrival in wave if arrival.key in failures], failures)
        return reacted

    def _react_on_memory(self, arrival: Arrival, known: Mapping[str, Loaded], keys: Mapping[str, CaseKey]) -> _Reacted | None:
        """React on the stream as this process last saw it: a commit on top of it proves that it stood.

        Whatever else comes of it (nothing to commit, a failure) is None, and decided again on what is stored.
        """
        stream = arrival.envelope.subject
        remembered = None if stream in known else self._decisions.streams.remembered(stream)
        if remembered is None or stream not in keys:
            return None
        try:
            return self._react(arrival, remembered, keys[stream])
        except Exception:  # noqa: BLE001 - it may come of an old memory; if not, it comes again
            return None

    async def _forgive_redelivered(self, failed: Sequence[Arrival], failures: dict[str, str]) -> None:
        """An event whose effect is stored already did not fail: its reaction only met the state after it."""
        causes = {arrival.key: (arrival.envelope.subject, Cause.event(arrival.envelope).key) for arrival in failed}
        done = await self._decisions.store.done(causes.values())
        for key, cause in causes.items():
            if cause in done:
                del failures[key]

    def _react(self, arrival: Arrival, loaded: Loaded, key: CaseKey) -> _Reacted | None:
        if tracing():
            attributes = {
                "messaging.system": "kafka",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": arrival.topic,
                "messaging.consumer.group.name": self._group,
                "messaging.message.id": arrival.envelope.id,
                "cloudevents.event_type": arrival.envelope.type,
            }
            with span(f"process {arrival.topic}", SpanKind.CONSUMER, attributes, parent=arrival.traceparent, link=arrival.traceparent):
                return self._decide(arrival, loaded, key)
        return self._decide(arrival, loaded, key)

    def _decide(self, arrival: Arrival, loaded: Loaded, key: CaseKey) -> _Reacted | None:
        event_type = BY_TYPE.get(arrival.envelope.type)
        if event_type is None:
            raise Unreadable("unknown-major-version")
        reaction = self._reactions.get(event_type)
        if reaction is None:
            raise Unreadable("no-reaction-to-this-version")
        recorded = open_sealed(arrival.sealed, key)
        cause = Cause.event(arrival.envelope)
        context = self._decisions.context(cause, self._actor, arrival.envelope.clinic, arrival.envelope)
        events = reaction(loaded.state, recorded.data, context)
        if not events:
            return None
        if loaded.version == 0:
            loaded = _beginning(loaded, arrival)
        commit, made = self._decisions.make(loaded, events, cause, context, key)
        return _Reacted(arrival, loaded, commit, made)

    async def _store(self, reacted: Sequence[_Reacted], known: dict[str, Loaded], committed: set[str]) -> set[str]:
        """Store a wave; return the keys of those that must be decided again."""
        outcomes = await self._decisions.store.append_wave([one.commit for one in reacted])
        again: set[str] = set()
        for one, outcome in zip(reacted, outcomes, strict=True):
            stream = one.loaded.stream
            match outcome:
                case Appended():
                    known[stream] = self._decisions.streams.after(one.loaded, outcome.commit, one.recorded)
                    committed.add(one.arrival.key)
                case VersionTaken():
                    again.add(one.arrival.key)
                case _:
                    known.pop(stream, None)  # done before; the stream has moved on since
        return again


def _beginning(loaded: Loaded, arrival: Arrival) -> Loaded:
    """A stream that a reaction begins belongs where the event's case does."""
    return Loaded(loaded.stream, loaded.kind, loaded.state, clinic=arrival.envelope.clinic, patient=arrival.envelope.patient)


def _slug(error: Exception) -> str:
    match error:
        case Unreadable():
            return error.reason
        case KeyMissing():
            return "no-key-for-the-case"
        case StreamBroken():
            return "stream-stopped"
        case _:
            return "event-too-large"
