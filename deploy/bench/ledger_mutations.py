"""What may befall the files of a log between its signer and an auditor, drawn by chance, and what a verifier must then say.

An expected index is that of the first entry that is not as it was signed; it follows from where the mutation was made.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from deploy.bench.ledger_log import OTHER_KEY, Log
from services.audit.domain.entry import Entry, entry_bytes, read_entry
from services.audit.domain.tiles import BundlePlace, TilePlace, encode_bundle, read_path

Files = Mapping[str, bytes | None]
"""Path -> new content, None for a file that is taken away."""


@dataclass(frozen=True)
class Found:
    """What must be said: one of these reasons, and this index with it (None: none, or any)."""

    reasons: frozenset[str]
    index: int | None = None

    def covers(self, reason: str | None, index: int | None) -> bool:
        """Whether this was said."""
        return reason in self.reasons and (self.index is None or index == self.index)

    def __str__(self) -> str:
        return f"{' or '.join(sorted(self.reasons))}{'' if self.index is None else f' at {self.index}'}"


def found(*reasons: str, index: int | None = None) -> Found:
    """Return what must be said: one of these reasons, and this index if there is one."""
    return Found(frozenset(reasons), index)


@dataclass(frozen=True)
class Mutation:
    """Files that differ from those of the log, the size of the checkpoint that the auditor holds, and what must be said."""

    files: Files
    held: int
    expected: Found
    kind: str = ""


AS_CHANGED: Final = ("entry-changed", "entries-missing")
"""An entry that lost its place may look changed, or as if its bundle ended within it."""
UNREADABLE: Final = ("note-malformed", "signature-malformed", "checkpoint-malformed", "wrong-key", "signature-does-not-hold")
"""What a damaged checkpoint may be; it cannot be known beforehand which part of the note it damages most."""


def flipped(content: bytes, bit: int) -> bytes:
    """Return the content with one bit turned over."""
    at = bit // 8
    return content[:at] + bytes([content[at] ^ 1 << bit % 8]) + content[at + 1 :]


def back_dated(entry: bytes) -> bytes:
    """An entry that says to be recorded a year before; the same number of bytes."""
    read = read_entry(entry)
    return entry_bytes({**read.headers, "ce_time": read.headers["ce_time"].replace("2026-", "2025-")}, read.previous, read.data)


class Bench:
    """A log, its files, and chance."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.size = len(log.entries)
        self.files = log.files(self.size)
        self.read = [read_entry(entry) for entry in log.entries]
        self.under_another_key = Log(log.entries, OTHER_KEY)
        self.of_another_origin = Log(log.entries, origin="log.example/another")

    def held(self, chance: Random) -> int:
        """Return the size of a checkpoint that the auditor may hold."""
        return chance.randint(1, self.size)

    def bundle(self, number: int) -> BundlePlace:
        """Return the place of a bundle."""
        return BundlePlace(number, min(256, self.size - number * 256))

    def entries_of(self, number: int) -> list[bytes]:
        """Return the entries of a bundle."""
        return list(self.log.entries[number * 256 : number * 256 + 256])

    def with_bundle(self, chance: Random, number: int, entries: list[bytes], expected: Found) -> Mutation:
        """Return the mutation that puts other entries into a bundle."""
        return Mutation({self.bundle(number).path: encode_bundle(entries)}, self.held(chance), expected)

    def tile(self, chance: Random) -> tuple[TilePlace, bytes]:
        """Return any tile."""
        path = chance.choice([path for path in self.files if path != "checkpoint" and isinstance(read_path(path), TilePlace)])
        place = read_path(path)
        assert isinstance(place, TilePlace)
        return place, self.files[path]

    def back_dated(self, index: int) -> Log:
        """Return a log that differs in one entry: it says to be recorded a year before."""
        return Log([back_dated(entry) if at == index else entry for at, entry in enumerate(self.log.entries)])

    def without(self, index: int) -> list[bytes]:
        """Return the entries without one of them, chained as if it had never been there."""
        return rechained(entry for at, entry in enumerate(self.read) if at != index)

    def resigned(self, other: Log, held: int, expected: Found) -> Mutation:
        """The log's own key signs other entries."""
        files: dict[str, bytes | None] = dict.fromkeys(self.files)
        return Mutation({**files, **other.files(len(other.entries))}, held, expected)


def flip_in_entry(bench: Bench, chance: Random) -> Mutation:
    """A bit of an entry, or of the length before it."""
    index = chance.randrange(bench.size)
    number = index // 256
    before = len(encode_bundle(bench.entries_of(number)[: index % 256]))
    content = bench.files[bench.bundle(number).path]
    bit = chance.randrange(8 * before, 8 * (before + 2 + len(bench.log.entries[index])))
    return Mutation({bench.bundle(number).path: flipped(content, bit)}, bench.held(chance), found(*AS_CHANGED, index=index))


def drop_entry(bench: Bench, chance: Random) -> Mutation:
    """An entry is taken out of its bundle."""
    index = chance.randrange(bench.size)
    entries = bench.entries_of(index // 256)
    del entries[index % 256]
    return bench.with_bundle(chance, index // 256, entries, found(*AS_CHANGED, index=index))


def swap_entries(bench: Bench, chance: Random) -> Mutation:
    """Two entries change places."""
    one, other = sorted(chance.sample(range(bench.size), 2))
    entries = list(bench.log.entries)
    entries[one], entries[other] = entries[other], entries[one]
    files = {bench.bundle(at // 256).path: encode_bundle(entries[at // 256 * 256 : at // 256 * 256 + 256]) for at in (one, other)}
    return Mutation(files, bench.held(chance), found("entry-changed", index=one))


def truncate_bundle(bench: Bench, chance: Random) -> Mutation:
    """A bundle ends within an entry, or before it."""
    index = chance.randrange(bench.size)
    number = index // 256
    before = len(encode_bundle(bench.entries_of(number)[: index % 256]))
    content = bench.files[bench.bundle(number).path][: before + chance.randrange(2 + len(bench.log.entries[index]))]
    return Mutation({bench.bundle(number).path: content}, bench.held(chance), found("entries-missing", index=index))


def remove_bundle(bench: Bench, chance: Random) -> Mutation:
    """The file of a bundle is taken away."""
    place = bench.bundle(chance.randrange(-(-bench.size // 256)))
    return Mutation({place.path: None}, bench.held(chance), found("entries-missing", index=place.index * 256))


def duplicate_entry(bench: Bench, chance: Random) -> Mutation:
    """An entry is there twice."""
    index = chance.randrange(bench.size)
    entries = bench.entries_of(index // 256)
    entries.insert(index % 256, entries[index % 256])
    return bench.with_bundle(chance, index // 256, entries, found("entry-changed", "entries-added", index=index + 1))


def add_entry(bench: Bench, chance: Random) -> Mutation:
    """A bundle goes on with an entry that the log has elsewhere."""
    number = chance.randrange(-(-bench.size // 256))
    entries = bench.entries_of(number)
    expected = found("entries-added", index=number * 256 + len(entries))
    return bench.with_bundle(chance, number, [*entries, chance.choice(bench.log.entries)], expected)


def back_date(bench: Bench, chance: Random) -> Mutation:
    """An entry says to be recorded a year before."""
    index = chance.randrange(bench.size)
    entries = bench.entries_of(index // 256)
    entries[index % 256] = back_dated(entries[index % 256])
    return bench.with_bundle(chance, index // 256, entries, found("entry-changed", index=index))


def back_date_with_its_tile(bench: Bench, chance: Random) -> Mutation:
    """Who changes the hash in the tile too hides which of its entries it was: the tile is named, and if it is the last, the root."""
    index = chance.randrange(bench.size)
    changed = bench.back_dated(index)
    place = TilePlace(0, index // 256, bench.bundle(index // 256).width)
    everything = changed.files(bench.size)
    files = {path: everything[path] for path in (place.path, bench.bundle(index // 256).path)}
    if place.width == 256:
        return Mutation(files, bench.held(chance), found("entries-changed", index=index // 256 * 256))
    return Mutation(files, bench.held(chance), found("root-differs"))


def back_date_with_all_tiles(bench: Bench, chance: Random) -> Mutation:
    """Who changes all but the signature."""
    index = chance.randrange(bench.size)
    changed = bench.back_dated(index)
    files = {path: content for path, content in changed.files(bench.size).items() if path != "checkpoint"}
    return Mutation(files, bench.held(chance), found("root-differs"))


def flip_in_tile(bench: Bench, chance: Random) -> Mutation:
    """A bit of a hash in a tile of any level."""
    place, content = bench.tile(chance)
    bit = chance.randrange(8 * len(content))
    first = (place.index * 256 + bit // 256) * 256**place.level
    return Mutation({place.path: flipped(content, bit)}, bench.held(chance), found("tile-changed", index=first))


def swap_hashes(bench: Bench, chance: Random) -> Mutation:
    """Two hashes of a tile change places."""
    place, content = bench.tile(chance)
    if place.width == 1:
        return flip_in_tile(bench, chance)
    hashes = [content[at : at + 32] for at in range(0, len(content), 32)]
    one, other = sorted(chance.sample(range(place.width), 2))
    hashes[one], hashes[other] = hashes[other], hashes[one]
    first = (place.index * 256 + one) * 256**place.level
    return Mutation({place.path: b"".join(hashes)}, bench.held(chance), found("tile-changed", index=first))


def resize_tile(bench: Bench, chance: Random) -> Mutation:
    """Cut off at any byte, a hash dropped, a hash there twice, or a byte more."""
    place, content = bench.tile(chance)
    at = chance.randrange(0, len(content), 32)
    other = chance.choice(
        [content[: chance.randrange(len(content))], content[:at] + content[at + 32 :], content[: at + 32] + content[at:], content + b"\0"]
    )
    return Mutation({place.path: other}, bench.held(chance), found("tile-damaged", index=place.index * 256 ** (place.level + 1)))


def remove_tile(bench: Bench, chance: Random) -> Mutation:
    """The file of a tile is taken away."""
    place, _ = bench.tile(chance)
    return Mutation({place.path: None}, bench.held(chance), found("tile-missing", index=place.index * 256 ** (place.level + 1)))


def flip_in_checkpoint(bench: Bench, chance: Random) -> Mutation:
    """A bit of the checkpoint, its signature among it."""
    note = bench.files["checkpoint"]
    return Mutation({"checkpoint": flipped(note, chance.randrange(8 * len(note)))}, bench.held(chance), found(*UNREADABLE))


def truncate_checkpoint(bench: Bench, chance: Random) -> Mutation:
    """The checkpoint ends early."""
    note = bench.files["checkpoint"]
    return Mutation({"checkpoint": note[: chance.randrange(len(note))]}, bench.held(chance), found(*UNREADABLE))


def rearrange_checkpoint(bench: Bench, chance: Random) -> Mutation:
    """A line dropped, there twice, swapped with the next, or ended as on Windows."""
    lines = bench.files["checkpoint"].splitlines(keepends=True)
    at = chance.randrange(len(lines) - 1)
    line, following = lines[at], lines[at + 1]
    lines[at : at + 2] = chance.choice([[following], [line, line, following], [following, line], [line[:-1] + b"\r\n", following]])
    return Mutation({"checkpoint": b"".join(lines)}, bench.held(chance), found(*UNREADABLE))


def roll_back(bench: Bench, chance: Random) -> Mutation:
    """An older checkpoint, as the log once signed it, alone or with the files of its size."""
    size = chance.randrange(1, bench.size)
    everything: dict[str, bytes | None] = dict.fromkeys(bench.files)
    files: Files = {**everything, **bench.log.files(size)} if chance.random() < 0.5 else {"checkpoint": bench.log.checkpoint(size)}
    return Mutation(files, chance.randint(size + 1, bench.size), found("checkpoint-rolled-back", index=size))


def fork(bench: Bench, chance: Random) -> Mutation:
    """History is changed and signed again, with the stolen key of the log."""
    index = chance.randrange(bench.size)
    return bench.resigned(bench.back_dated(index), chance.randint(index + 1, bench.size), found("forked"))


def fork_without_an_entry(bench: Bench, chance: Random) -> Mutation:
    """An entry is left out of history, which is signed again."""
    index = chance.randrange(bench.size - 1)
    return bench.resigned(Log(bench.without(index)), chance.randint(index + 1, bench.size - 1), found("forked"))


def fork_beside_the_tiles(bench: Bench, chance: Random) -> Mutation:
    """The checkpoint of a forked history, beside the tiles of the true one."""
    index = chance.randrange(bench.size)
    forked = bench.back_dated(index)
    held = bench.held(chance)
    return Mutation({"checkpoint": forked.checkpoint(bench.size)}, held, found("forked" if held == bench.size else "root-differs"))


def swap_key(bench: Bench, chance: Random) -> Mutation:
    """Another key signs, under the name of the log, the same entries or fewer."""
    size = chance.randint(1, bench.size)
    return Mutation({"checkpoint": bench.under_another_key.checkpoint(size)}, bench.held(chance), found("wrong-key"))


def swap_origin(bench: Bench, chance: Random) -> Mutation:
    """A checkpoint of another log under the same key."""
    return Mutation({"checkpoint": bench.of_another_origin.checkpoint(bench.size)}, bench.held(chance), found("wrong-key"))


def rechained(entries: Iterable[Entry]) -> list[bytes]:
    """The entries with the `previous` that they have in this order."""
    chains: dict[str, int] = {}
    again = []
    for index, entry in enumerate(entries):
        subject = entry.headers["ce_subject"]
        again.append(entry_bytes(entry.headers, chains.get(subject), entry.data))
        chains[subject] = index
    return again


def leave_out(bench: Bench, chance: Random) -> Mutation:
    """The log itself keeps an entry to itself before it signs; the sequence of its stream shows that."""
    lanes = [(read.headers["ce_source"], read.headers["ce_subject"]) for read in bench.read]
    last = {lane: index for index, lane in enumerate(lanes)}
    followed = [index for index, lane in enumerate(lanes) if 0 < index < last[lane]]
    if not followed:
        return fork(bench, chance)
    index = chance.choice(followed)
    shows = lanes.index(lanes[index], index + 1) - 1
    return bench.resigned(Log(bench.without(index)), chance.randint(1, index), found("sequence-gap", index=shows))


def replace_with_another_case(bench: Bench, chance: Random) -> Mutation:
    """The log itself signs something else in the place of an entry; the chain of its case, or its sequence, shows that."""
    subjects = [read.headers["ce_subject"] for read in bench.read]
    last = {subject: index for index, subject in enumerate(subjects)}
    followed = [index for index, subject in enumerate(subjects) if 0 < index < last[subject]]
    if not followed:
        return fork(bench, chance)
    index = chance.choice(followed)
    read = bench.read[index]
    other = replace(read, headers={**read.headers, "ce_subject": "case-0", "ce_sequence": f"{1:020d}"}, previous=None)
    entries = list(bench.log.entries)
    entries[index] = entry_bytes(other.headers, other.previous, other.data)
    shows = subjects.index(subjects[index], index + 1)
    return bench.resigned(Log(entries), chance.randint(1, index), found("sequence-gap", "case-chain-broken", index=shows))


KINDS: Final[tuple[Callable[[Bench, Random], Mutation], ...]] = (
    *(flip_in_entry, drop_entry, swap_entries, truncate_bundle, remove_bundle, duplicate_entry, add_entry, back_date),
    *(back_date_with_its_tile, back_date_with_all_tiles, flip_in_tile, swap_hashes, resize_tile, remove_tile),
    *(flip_in_checkpoint, truncate_checkpoint, rearrange_checkpoint, roll_back, fork, fork_without_an_entry, fork_beside_the_tiles),
    *(swap_key, swap_origin, leave_out, replace_with_another_case),
)


def mutation(bench: Bench, chance: Random, number: int) -> Mutation:
    """Return the mutation of this number: the kinds come one after the other."""
    kind = KINDS[number % len(KINDS)]
    return replace(kind(bench, chance), kind=kind.__name__)
