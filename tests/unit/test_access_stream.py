"""The stream of a process on a store that fails: nothing is lost, nothing is told twice, and a stream has no hole."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

import pytest

from shared.access.record import Asking
from shared.events.access import LoginFailed, RecordRead
from shared.events.codec import read_envelope
from shared.log.commit import Commit
from shared.log.errors import StoreUnavailable
from shared.log.store import Appended, Outcome
from shared.service.access_stream import FAILURES_TOLD_APART, Accessed, AccessStream
from shared.telemetry.metrics import Metrics
from shared.vault.port import CaseKey

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)


class Store:
    """Keeps commits, unless it is away; what was sent while it was away may have arrived all the same."""

    def __init__(self) -> None:
        self.commits: list[Commit] = []
        self.away = False

    async def append_wave(self, commits: Sequence[Commit]) -> list[Outcome]:
        if self.away:
            raise StoreUnavailable("away")
        self.commits += commits
        return [Appended(commit) for commit in commits]


class Vault:
    async def create(self, _stream: str, _clinic: str) -> CaseKey:
        return CaseKey(bytes(32))

    async def keys(self, _streams: Collection[str]) -> Mapping[str, CaseKey]:
        raise NotImplementedError

    async def destroy(self, _stream: str) -> None:
        raise NotImplementedError


def stream_on(store: Store) -> AccessStream:
    return AccessStream("intake", store, Vault(), "digest", lambda: NOW, lambda: "policy-1", Metrics("intake"))  # type: ignore[arg-type]


def failed(address: str | None = "10.0.0.7", route: str = "GET /cases") -> Accessed:
    return Accessed(LoginFailed(), Asking(), route, 401, address)


def told(store: Store, name: str) -> list[tuple[str, str | None, int]]:
    """Route, address and number of each event of this name."""
    envelopes = [read_envelope(event.headers) for commit in store.commits for event in commit.events]
    accesses = [envelope.access for envelope in envelopes if envelope.type == f"kapcare.access.{name}.v1"]
    return [(access.route, access.address, access.times) for access in accesses if access is not None]


async def test_failed_logins_are_counted_on_while_the_store_is_away() -> None:
    store = Store()
    stream = stream_on(store)
    store.away = True
    for address in ("2001:db8::1", "2001:db8::2", "10.0.0.7", "10.0.0.7", None):
        stream.count(failed(address))
    for _ in range(3):
        await stream._record_failures()
    stream.count(failed("2001:db8::3"))
    store.away = False
    await stream._record_failures()
    await stream._record_failures()
    assert sorted(told(store, "LoginFailed"), key=str) == [
        ("GET /cases", "10.0.0.7", 2),
        ("GET /cases", "2001:db8::/64", 3),
        ("GET /cases", None, 1),
    ]


async def test_a_flood_from_many_addresses_is_a_bounded_number_of_records_and_counts_them_all() -> None:
    store = Store()
    stream = stream_on(store)
    for number in range(1000):
        stream.count(failed(f"10.0.{number // 250}.{number % 250}"))
    await stream._record_failures()
    records = told(store, "LoginFailed")
    assert len(records) == FAILURES_TOLD_APART + 1
    assert sum(times for _, _, times in records) == 1000
    assert ("others", None, 1000 - FAILURES_TOLD_APART) in records


async def test_what_became_of_a_commit_is_not_known_and_another_stream_begins() -> None:
    store = Store()
    stream = stream_on(store)
    read = Accessed(RecordRead(), Asking(), "GET /cases/{case}", 200, None)
    await stream.record(read)
    store.away = True
    with pytest.raises(StoreUnavailable):
        await stream.record(read)
    store.away = False
    await stream.record(read)
    await stream.record(read)
    streams = {commit.stream: [each for each in store.commits if each.stream == commit.stream] for commit in store.commits}
    assert len(streams) == 2
    for commits in streams.values():
        sequences = [read_envelope(event.headers).sequence for commit in commits for event in commit.events]
        assert sequences == list(range(1, len(sequences) + 1))
        assert [commit.version for commit in commits] == list(range(1, len(commits) + 1))
    assert len(told(store, "RecordRead")) == 3
    assert len(told(store, "InstanceStarted")) == 2
