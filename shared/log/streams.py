"""Streams as they stand: commits folded to state, with a sealed cache that may lag or vanish and heals itself."""

import hashlib
import inspect
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from bson import Binary
from pydantic import TypeAdapter
from pymongo import ASCENDING, DeleteOne, IndexModel, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection

from shared import events as event_contract
from shared.clock import system_now
from shared.events.codec import Recorded, Unreadable, open_sealed
from shared.log.batcher import Batcher
from shared.log.commit import Commit
from shared.log.errors import StreamBroken
from shared.log.store import CommitStore
from shared.pathway.alert import Alerts
from shared.pathway.waiting import Waiting
from shared.service.definition import StreamKind
from shared.vault.port import CaseKey, KeyMissing, Unsealable, Vault

REMEMBERED_STREAMS: Final = 20_000
RENEWED_AT_ONCE: Final = 300

CACHE_INDEXES: Final = (
    IndexModel([("last.next_deadline", ASCENDING)], name="due", partialFilterExpression={"last.next_deadline": {"$exists": True}}),
    IndexModel([("last.clinic", ASCENDING), ("last.kind", ASCENDING), ("last.status", ASCENDING), ("_id", ASCENDING)], name="work_list"),
    IndexModel(
        [("last.clinic", ASCENDING), ("last.alert_roles", ASCENDING)],
        name="alerts",
        partialFilterExpression={"last.alert_roles": {"$exists": True}},
    ),
    IndexModel(
        [("last.clinic", ASCENDING), ("last.waits_on", ASCENDING)],
        name="waiting",
        partialFilterExpression={"last.waits_on": {"$exists": True}},
    ),
    IndexModel([("last.patient", ASCENDING)], name="of_patient"),
    IndexModel(
        [("last.groups", ASCENDING), ("last.clinic", ASCENDING)],
        name="of_group",
        partialFilterExpression={"last.groups": {"$exists": True}},
    ),
    IndexModel([("last.lots", ASCENDING)], name="of_lot", partialFilterExpression={"last.lots": {"$exists": True}}),
    IndexModel(
        [("last.partner", ASCENDING), ("last.clinic", ASCENDING)],
        name="of_partner",
        partialFilterExpression={"last.partner": {"$exists": True}},
    ),
    IndexModel([("last.approver", ASCENDING)], name="of_approver", partialFilterExpression={"last.approver": {"$exists": True}}),
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A stream as it stands; version 0 is a stream that never began."""

    stream: str
    kind: StreamKind
    state: Any
    version: int = 0
    sequence: int = 0
    clinic: str = ""
    patient: str = ""
    commit: str = ""


class Streams:
    """Loads streams in groups, by majority reads of the primary, and keeps their cache.

    A cached state is believed only if the commit it was folded from is still the stored one and each later commit is
    exactly the next: otherwise the stream is folded again from its first commit, and a hole stops it.
    """

    def __init__(self, store: CommitStore, cache: AsyncCollection[Any], vault: Vault, kinds: Sequence[StreamKind], service: str) -> None:
        self._store = store
        self._cache = cache
        self._vault = vault
        self._kinds = {kind.name: kind for kind in kinds}
        self._service = service
        self._fingerprints = {kind.name: _fingerprint(kind) for kind in kinds}
        self._adapters: dict[str, TypeAdapter[Any]] = {kind.name: TypeAdapter(type(kind.initial)) for kind in kinds}
        self._remembered: OrderedDict[str, Loaded] = OrderedDict()
        self._batcher: Batcher[str, Loaded] = Batcher(self._load_batch, limit=300)

    async def create_indexes(self) -> None:
        """Create what deadlines and work lists are found by."""
        await self._cache.create_indexes(list(CACHE_INDEXES))

    def kind_of(self, stream: str) -> StreamKind | None:
        """Return the kind that the stream id names."""
        return self._kinds.get(stream.partition("-")[0])

    async def load(self, stream: str) -> Loaded:
        """Return one stream, read together with others that wait; raises StreamBroken, KeyMissing, Unreadable, KeyError."""
        if self.kind_of(stream) is None:
            raise KeyError(stream)
        return await self._batcher.submit(stream)

    def remembered(self, stream: str) -> Loaded | None:
        """Return the stream as this process last saw it: enough to decide on, since a commit on top of it proves that it stood."""
        return self._remembered.get(stream)

    async def load_many(self, streams: Sequence[str]) -> Mapping[str, Loaded | Exception]:
        """Return streams, or what is wrong with one in its place."""
        return dict(zip(streams, await self._load_batch(streams), strict=True))

    async def open_events(self, commits: Sequence[Commit]) -> list[Recorded]:
        """Open the events of commits, in order; raises KeyMissing, Unreadable."""
        keys = await self._vault.keys({commit.stream for commit in commits})
        return [recorded for commit in commits for recorded in _open(commit, keys)]

    def after(self, loaded: Loaded, commit: Commit, recorded: Sequence[Recorded]) -> Loaded:
        """Return the stream after a commit that was decided on `loaded`, and remember it."""
        folded = _fold(loaded, commit, recorded)
        self._remember(folded)
        return folded

    async def keep_cache(self, versions: Mapping[str, int]) -> None:
        """Write the streams' state, at these versions or newer, to the cache; an older writer never overwrites a newer one."""
        known = {stream: self._remembered.get(stream) for stream in versions}
        loaded = [item for item in known.values() if item is not None and item.version >= versions[item.stream]]
        current = {item.stream for item in loaded}
        behind = await self.load_many([stream for stream in versions if stream not in current])
        loaded += [item for item in behind.values() if isinstance(item, Loaded) and item.version > 0]
        if not loaded:
            return
        keys = await self._vault.keys([item.stream for item in loaded])
        writes = [self._cache_write(item, keys[item.stream]) for item in loaded if item.stream in keys]
        if writes:
            await self._cache.bulk_write(writes, ordered=False)

    async def renew_cache(self, kind: str, status: str | None = None) -> None:
        """Write the entries again that another release wrote: their clear fields say only what that one knew.

        With `status`, of those alone that stood so then.
        """
        old: dict[str, Any] = {"last.kind": kind, "last.fingerprint": {"$ne": self._fingerprints[kind]}}
        if status is not None:
            old["last.status"] = status
        streams = [entry["_id"] async for entry in self._cache.find(old, projection=["_id"])]
        for begin in range(0, len(streams), RENEWED_AT_ONCE):
            await self.keep_cache(dict.fromkeys(streams[begin : begin + RENEWED_AT_ONCE], 1))

    def _cache_write(self, item: Loaded, key: CaseKey) -> UpdateOne:
        fingerprint = self._fingerprints[item.kind.name]
        # Sealed bytes cannot be compressed any more, by the database or anything else.
        plain = zlib.compress(self._adapters[item.kind.name].dump_json(item.state), level=1)
        due = min(item.state.deadlines.values(), default=None)
        # Documents compare field by field, so the higher version wins, and of one version the later writer.
        entry: dict[str, Any] = {
            "version": item.version,
            "written_at": system_now(),
            "kind": item.kind.name,
            "commit": item.commit,
            "sequence": item.sequence,
            "clinic": item.clinic,
            "patient": item.patient,
            "status": item.state.status,
            "fingerprint": fingerprint,
            "state": Binary(key.seal(plain, self._cache_place(item.stream, item.commit))),
        }
        entry |= {name: value for name, value in (("next_deadline", due), *_in_the_clear(item.state)) if value}
        return UpdateOne({"_id": item.stream}, {"$max": {"last": entry}}, upsert=True)

    def _cache_place(self, stream: str, commit: str) -> bytes:
        """The place that a cached state is sealed for: after this commit, and no other."""
        return f"cache|{self._service}|{stream}|{commit}".encode()

    async def _load_batch(self, streams: Sequence[str]) -> list[Loaded | Exception]:
        if not streams:
            return []
        wanted = dict.fromkeys(streams)
        keys = await self._vault.keys(wanted)
        known = await self._known(list(wanted), keys)
        newer = await self._commits_from({stream: known[stream].version for stream in wanted})
        results: dict[str, Loaded | Exception] = {}
        distrusted: list[str] = []
        for stream in wanted:
            try:
                results[stream] = self._advance(known[stream], newer.get(stream, []), keys)
            except _Distrusted:
                distrusted.append(stream)
            except (StreamBroken, KeyMissing, Unreadable) as error:
                results[stream] = error
        if distrusted:
            whole = await self._commits_from(dict.fromkeys(distrusted, 0))
            for stream in distrusted:
                try:
                    results[stream] = self._advance(self._unknown(stream), whole.get(stream, []), keys)
                except (StreamBroken, KeyMissing, Unreadable) as error:
                    results[stream] = error
            await self._heal([(known[stream], results[stream]) for stream in distrusted], keys)
        return [results[stream] for stream in streams]

    async def _heal(self, distrusted: Sequence[tuple[Loaded, Loaded | Exception]], keys: Mapping[str, CaseKey]) -> None:
        """Take out the very entries that were not believed: one that claims too high a version would never be overwritten."""
        writes: list[DeleteOne | UpdateOne] = []
        for wrong, right in distrusted:
            writes.append(DeleteOne({"_id": wrong.stream, "last.version": wrong.version, "last.commit": wrong.commit}))
            if isinstance(right, Loaded) and right.version > 0:
                writes.append(self._cache_write(right, keys[right.stream]))
        await self._cache.bulk_write(writes)

    async def _known(self, streams: Sequence[str], keys: Mapping[str, CaseKey]) -> dict[str, Loaded]:
        """Return what memory or the cache holds of each stream; unchecked as yet."""
        known = {stream: self._remembered[stream] for stream in streams if stream in self._remembered and stream in keys}
        asked = [stream for stream in streams if stream not in known]
        if asked:
            async for entry in self._cache.find({"_id": {"$in": asked}}):
                loaded = self._read_cache(entry["_id"], entry.get("last", {}), keys)
                if loaded is not None:
                    known[entry["_id"]] = loaded
        return {stream: known.get(stream) or self._unknown(stream) for stream in streams}

    def _read_cache(self, stream: str, entry: Mapping[str, Any], keys: Mapping[str, CaseKey]) -> Loaded | None:
        kind = self.kind_of(stream)
        if kind is None or stream not in keys or entry.get("fingerprint") != self._fingerprints[kind.name]:
            return None
        try:
            plain = keys[stream].open(bytes(entry["state"]), self._cache_place(stream, entry["commit"]))
            state = self._adapters[kind.name].validate_json(zlib.decompress(plain))
            # Clear fields can be altered by hand: sequence, clinic and patient are taken from the commit itself.
            return Loaded(stream, kind, state, entry["version"], commit=entry["commit"])
        except (Unsealable, zlib.error, ValueError, KeyError, TypeError):
            return None

    def _unknown(self, stream: str) -> Loaded:
        kind = self.kind_of(stream)
        if kind is None:
            raise KeyError(stream)
        return Loaded(stream, kind, kind.initial)

    async def _commits_from(self, versions: Mapping[str, int]) -> dict[str, list[Commit]]:
        # One branch for each distinct version, not for each stream: streams of one batch are mostly alike.
        streams: dict[int, list[str]] = {}
        for stream, version in versions.items():
            streams.setdefault(version, []).append(stream)
        wanted = [{"stream": {"$in": some}, "version": {"$gte": version}} for version, some in streams.items()]
        cursor = self._store.collection.find({"$or": wanted}).sort([("stream", ASCENDING), ("version", ASCENDING)])
        commits = [Commit.from_document(document) async for document in cursor]
        return {stream: list(group) for stream, group in groupby(commits, key=lambda commit: commit.stream)}

    def _advance(self, known: Loaded, commits: Sequence[Commit], keys: Mapping[str, CaseKey]) -> Loaded:
        if known.version > 0:
            if not commits or commits[0].version != known.version or commits[0].id != known.commit:
                self._remembered.pop(known.stream, None)
                raise _Distrusted
            stored = commits[0]
            known = replace(known, sequence=stored.last_sequence, clinic=stored.clinic, patient=stored.patient)
            commits = commits[1:]
        for commit in commits:
            if commit.version != known.version + 1 or commit.first_sequence != known.sequence + 1:
                raise StreamBroken(known.stream, f"after version {known.version} comes version {commit.version}")
            known = _fold(known, commit, _open(commit, keys))
        if known.version > 0:
            self._remember(known)
        return known

    def _remember(self, loaded: Loaded) -> None:
        self._remembered[loaded.stream] = loaded
        self._remembered.move_to_end(loaded.stream)
        if len(self._remembered) > REMEMBERED_STREAMS:
            self._remembered.popitem(last=False)


def _in_the_clear(state: Any) -> tuple[tuple[str, Any], ...]:
    """Return whose alerts a case has, on whom it waits and which group sessions it is part of, so that lists find it; the lots on
    hand, so that a recall does; which organisation has its review, and whose approval is in force, so that its leaving does.

    Roles, organisations, names of groups and lot numbers; streams that are no case have none.
    """
    alerts: Alerts = getattr(state, "alerts", Alerts())
    waiting: Waiting | None = getattr(state, "waits_for", None)
    return (
        ("alert_roles", alerts.roles),
        ("waits_on", None if waiting is None else waiting.on),
        ("groups", list(getattr(state, "groups", ()))),
        ("lots", list(getattr(state, "lots", ()))),
        ("partner", getattr(state, "reviewer", None)),
        ("approver", getattr(state, "approver", None)),
    )


class _Distrusted(Exception):
    """The cached state does not stem from the stored commits."""


def _open(commit: Commit, keys: Mapping[str, CaseKey]) -> list[Recorded]:
    key = keys.get(commit.stream)
    if key is None:
        raise KeyMissing(commit.stream)
    return [open_sealed(event, key) for event in commit.events]


def _fold(loaded: Loaded, commit: Commit, recorded: Sequence[Recorded]) -> Loaded:
    state = loaded.state
    for event in recorded:
        state = loaded.kind.evolve(state, event.data)
    return Loaded(loaded.stream, loaded.kind, state, commit.version, commit.last_sequence, commit.clinic, commit.patient, commit.id)


def _fingerprint(kind: StreamKind) -> str:
    """Return a digest of the source that state and evolve rest on: another one counts as no cache."""
    digest = hashlib.sha256()
    domain = Path(inspect.getfile(type(kind.initial))).parent
    contract = Path(inspect.getfile(event_contract)).parent
    for folder in (domain, contract, contract.parent / "pathway"):
        for source in sorted(folder.glob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:32]
