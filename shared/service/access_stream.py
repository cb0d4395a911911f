"""The stream in which a process tells who accessed what: one for each process, since each knows its own place in it alone.

Accesses that wait together are one commit, durable before any of their answers leaves. A process that does not know what became of
its last commit begins another stream.
"""

import asyncio
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import ip_network
from typing import Final

from pymongo.errors import PyMongoError

from shared.access.decide import Permission
from shared.access.record import Asking, Seen
from shared.events.access import STREAM_PREFIX, InstanceStarted
from shared.events.base import Access, Envelope, EventData
from shared.events.codec import Sealed, seal
from shared.events.topics import source_of
from shared.log.batcher import Batcher
from shared.log.commit import Commit
from shared.log.errors import StoreUnavailable
from shared.log.store import Appended, CommitStore
from shared.telemetry.metrics import Metrics
from shared.transport.ending import asked_to_end
from shared.vault.port import CaseKey, Vault

CLINIC: Final = "network"
PATIENT: Final = "none"
NOBODY: Final = "nobody"
"""The actor of a request that proved nothing."""
ABOUT_AT_MOST: Final = 100
"""Streams in one event; what shows more is several events."""
EVENTS_AT_MOST: Final = 300
"""Events in one commit, so that it fits a document: each takes 25 kB at the most."""
FAILURES_EVERY_SECONDS: Final = 1.0
FAILURES_TOLD_APART: Final = 100
"""So many addresses and routes within a second are told apart; failed logins beyond are one record."""
ELSEWHERE: Final = "others"


@dataclass(frozen=True, slots=True)
class Accessed:
    """One access: what it is, what is known of who asked, the HTTP status, the address, and how many requests it stands for."""

    event: EventData
    asking: Asking
    route: str
    status: int
    address: str | None
    detail: str | None = None
    times: int = 1
    actor: str | None = None
    """Who acted, where that is a service itself."""


class AccessStream:
    """Appends accesses to the stream of this process; `settings_digest` tells one configuration from another."""

    def __init__(
        self,
        service: str,
        store: CommitStore,
        vault: Vault,
        settings_digest: str,
        now: Callable[[], datetime],
        policy_version: Callable[[], str],
        metrics: Metrics,
    ) -> None:
        self._source = source_of(service)
        self._store = store
        self._vault = vault
        system = Asking(permission=Permission.OPERATE)
        detail = f"settings-{settings_digest}"
        self._started = Accessed(InstanceStarted(), system, "start", 200, address=None, detail=detail, actor=f"service:{service}")
        self._now = now
        self._policy_version = policy_version
        self._metrics = metrics
        self._place: _Place | None = None
        self._batcher: Batcher[Accessed, None] = Batcher(self._append, limit=300, at_once=1)
        self._failures: dict[tuple[str, str | None], Accessed] = {}
        self._stopping = asyncio.Event()

    async def record(self, accessed: Accessed) -> None:
        """Record one access, together with others that wait; durable on return. Raises StoreUnavailable, PyMongoError."""
        await self._batcher.submit(accessed)

    def count(self, failed: Accessed) -> None:
        """Count a failed login; those of one route and address become one record within FAILURES_EVERY_SECONDS.

        Of IPv6 the network of 64 bits counts, which one host may own.
        """
        address = failed.address if failed.address is None else _network_of(failed.address)
        key, failed = (failed.route, address), replace(failed, address=address)
        if key not in self._failures and len(self._failures) >= FAILURES_TOLD_APART:
            key, failed = (ELSEWHERE, None), replace(failed, route=ELSEWHERE, address=None)
        known = self._failures.get(key)
        self._failures[key] = failed if known is None else replace(known, times=known.times + failed.times)

    async def run(self) -> None:
        """Record the failed logins as they come, until asked to stop."""
        while not (self._stopping.is_set() or asked_to_end()):
            await self._record_failures()
            try:
                await asyncio.wait_for(self._stopping.wait(), FAILURES_EVERY_SECONDS)
            except TimeoutError:
                continue
        await self._record_failures()

    async def stop(self) -> None:
        """Record what is at hand, and end."""
        self._stopping.set()

    async def _record_failures(self) -> None:
        """Record the failed logins so far; while the store is away they are counted on."""
        failures, self._failures = self._failures, {}
        told = await asyncio.gather(*(self.record(failed) for failed in failures.values()), return_exceptions=True)
        for failed, outcome in zip(failures.values(), told, strict=True):
            if isinstance(outcome, StoreUnavailable | PyMongoError):
                self.count(failed)
            elif outcome is not None:
                raise outcome

    async def create_indexes(self) -> None:
        """Create what makes places in a stream unique."""
        await self._store.create_indexes()

    async def begin(self) -> None:
        """Begin the stream, so that it is known with which settings the process runs."""
        await self._append([])

    async def _append(self, accesses: Sequence[Accessed]) -> list[None]:
        place, self._place = self._place, None  # until it is known what became of the commit
        told = [(accessed, part) for accessed in accesses for part in _parts(accessed.asking)]
        if place is None:
            stream = f"{STREAM_PREFIX}{uuid.uuid4().hex}"
            place = _Place(stream, await self._vault.create(stream, CLINIC))
            told.insert(0, (self._started, []))
        for first in range(0, len(told), EVENTS_AT_MOST):
            commit = self._commit(place, told[first : first + EVENTS_AT_MOST])
            (outcome,) = await self._store.append_wave([commit])
            if not isinstance(outcome, Appended):
                raise StoreUnavailable("Another wrote to the stream of this process.")
            place = replace(place, version=commit.version, sequence=commit.last_sequence)
        self._place = place
        for accessed in accesses:
            self._metrics.accessed(type(accessed.event).__name__, accessed.times)
        return [None] * len(accesses)

    def _commit(self, place: "_Place", accesses: Sequence[tuple[Accessed, Sequence[Seen]]]) -> Commit:
        commit_id, now, policy_version = uuid.uuid4().hex, self._now(), self._policy_version()
        sealed: list[Sealed] = []
        for index, (accessed, part) in enumerate(accesses):
            asking, principal = accessed.asking, accessed.asking.principal
            envelope = Envelope(
                id=f"{commit_id}.{index}",
                source=self._source,
                type=accessed.event.TYPE,
                subject=place.stream,
                time=now,
                sequence=place.sequence + 1 + index,
                clinic=_joined(seen.clinic for seen in part) or CLINIC,
                patient=_joined(seen.patient for seen in part) or PATIENT,
                actor=accessed.actor or (NOBODY if principal is None else principal.subject),
                correlation=commit_id,
                roles=frozenset() if principal is None else principal.roles,
                policy_version=policy_version,
                recipient=None if principal is None or "partner" not in principal.roles else principal.organisation,
                access=Access(
                    route=accessed.route,
                    status=accessed.status,
                    purpose=asking.purpose,
                    about=tuple(seen.stream for seen in part),
                    address=accessed.address,
                    detail=accessed.detail,
                    times=accessed.times,
                ),
            )
            sealed.append(seal(accessed.event, envelope, place.key))
        return Commit(
            id=commit_id,
            stream=place.stream,
            version=place.version + 1,
            first_sequence=place.sequence + 1,
            cause=f"access:{commit_id}",
            receipt=False,
            request_mac=None,
            actor=self._source,
            at=now,
            trace=None,
            events=tuple(sealed),
        )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the process's stream stands, and the key it is sealed with."""

    stream: str
    key: CaseKey
    version: int = 0
    sequence: int = 0


def _parts(asking: Asking) -> list[list[Seen]]:
    """Return what was shown in parts that fit an event; one empty part where that is no stream."""
    seen = list(asking.seen.values())
    return [seen[first : first + ABOUT_AT_MOST] for first in range(0, len(seen), ABOUT_AT_MOST)] or [[]]


def _network_of(address: str) -> str:
    """Return the address, or its network where that is what counts; a network is its own."""
    network = ip_network(address, strict=False)
    return address if network.version == 4 else str(network.supernet(new_prefix=min(network.prefixlen, 64)))


def _joined(names: Iterable[str]) -> str:
    return ",".join(sorted(set(names) - {""}))
