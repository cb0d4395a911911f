#!/usr/bin/env python3
"""Verify a kapcare ledger offline. One file, the standard library and nothing else, Python 3.10 or later.

    python3 kap_verify.py tiles DIRECTORY --key VKEY [--since OLD_CHECKPOINT] [--witness VKEY]... [--require-witnesses N]
    python3 kap_verify.py export FILE --key VKEY [--checkpoint LATER_CHECKPOINT] [--tiles DIRECTORY]
    python3 kap_verify.py checkpoint NEW --key VKEY --since OLD_CHECKPOINT --tiles DIRECTORY

Exit code 0: it holds. 1: it does not, and the reason and the first bad index are named. 2: it cannot be read, or not be decided.
Formats: C2SP tlog-tiles, tlog-checkpoint, signed-note and tlog-cosignature; tree of RFC 9162; Ed25519 of RFC 8032.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import re
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

WIDTH, HASH, NOTE_LIMIT, SIGNATURES_LIMIT, LINE_LIMIT, ENTRY_LIMIT, WARNINGS_LIMIT = 256, 32, 65_536, 16, 262_144, 65_535, 100
CLOCK_TOLERANCE = timedelta(minutes=5)
REFUSALS = (
    *("StepRefused", "DecisionRefused", "LateDecisionReceived", "MessageQuarantined", "ReviewWithheld", "CourseWithheld"),
    *("AccessRefused", "LoginFailed"),
)
CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
REQUIRED = ("ce_source", "ce_subject", "ce_sequence", "ce_time")


class Refused(Exception):
    """What does not hold: a stable reason, a sentence, the first bad index if there is one; `code` is the exit code."""

    def __init__(self, reason: str, message: str, index: int | None = None, code: int = 1) -> None:
        super().__init__(message)
        self.reason, self.message, self.index, self.code = reason, message, index, code


def need(holds: object, reason: str, message: str) -> None:
    """Refuse what cannot be read."""
    if not holds:
        raise Refused(reason, message, None, 2)


def shown(text: str) -> str:
    """Return text from a file so that it can do nothing to a terminal."""
    return json.dumps(text[:120])[1:-1].replace("\x7f", "?")


# ---- Ed25519 (RFC 8032, 5.1), strict: S below L, canonical points, no key of small order. Public values only: not in constant time.

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]
ZERO: Point = (0, 1, 1, 0)


def _add(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(factor: int, point: Point) -> Point:
    total = ZERO
    while factor:
        if factor & 1:
            total = _add(total, point)
        point, factor = _add(point, point), factor >> 1
    return total


def _encode(point: Point) -> bytes:
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(HASH, "little")


def _decode(encoded: bytes) -> Point | None:
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * v**3 * pow(u * v**7, (P - 5) // 8, P) % P
    if (v * x * x - u) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if len(encoded) != HASH or y >= P or (v * x * x - u) % P or (x == 0 and sign):
        return None
    x = x if x & 1 == sign else P - x
    return x, y, 1, x * y % P


BASE = _decode((4 * pow(5, P - 2, P) % P).to_bytes(HASH, "little")) or ZERO


def key_point(public: bytes) -> Point | None:
    """Return the point of a public key, or None for one that is not canonical or of small order."""
    point = _decode(public)
    return None if point is None or _encode(_times(8, point)) == _encode(ZERO) else point


def ed25519_verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the 64 bytes are the signature of the message under the 32 bytes of a public key."""
    point, s = key_point(public), int.from_bytes(signature[HASH:], "little")
    if point is None or len(signature) != 64 or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:HASH] + public + message).digest(), "little") % L
    negative = (P - point[0], point[1], point[2], P - point[3])
    # R is never decoded: what is computed has one encoding, and no other bytes are equal to it.
    return _encode(_add(_times(s, BASE), _times(h, negative))) == signature[:HASH]


# ---- Signed notes and checkpoints


class Key(NamedTuple):
    """A vkey: the name, the kind (1: signs a note; 4: co-signs with a time), 32 bytes, and the key id."""

    name: str
    kind: int
    public: bytes
    id: bytes


class Checkpoint(NamedTuple):
    """A checkpoint whose signature holds, and how many of the known witnesses co-signed it."""

    origin: str
    size: int
    root: bytes
    witnesses: int


Signature = tuple[str, bytes, bytes]
"""Name, key id, and the bytes after it."""


def _base64(text: object) -> bytes:
    """Decode strictly; empty for what is not the base64 of anything."""
    try:
        decoded = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError:
        decoded = b""
    return decoded if base64.b64encode(decoded).decode() == text else b""


def _is_name(name: str) -> bool:
    return name != "" and "+" not in name and name.isprintable() and not any(map(str.isspace, name))


def read_key(vkey: str, kind: int) -> Key:
    """Read a vkey of this kind: 1 of a log, 4 of a witness."""
    name, _, rest = vkey.partition("+")
    printed, _, encoded = rest.partition("+")
    blob = _base64(encoded)
    need(_is_name(name) and len(blob) == 1 + HASH, "key-malformed", "The key is not a vkey: name+id+base64.")
    need(blob[0] == kind, "key-kind", f"The key is of another kind than {kind}, that of a {'log' if kind == 1 else 'witness'}.")
    key = Key(name, kind, blob[1:], hashlib.sha256(name.encode("utf-8", "replace") + b"\n" + blob).digest()[:4])
    need(key.id.hex() == printed, "key-id", "The id in the key is not that of its name and bytes.")
    need(key_point(key.public), "key-weak", "The key is no point of Ed25519, or one of small order, under which anyone could sign.")
    return key


def _signature(line: str) -> Signature:
    name, _, encoded = line[2:].partition(" ")
    blob = _base64(encoded)
    well_formed = line[:2] == "\u2014 " and _is_name(name) and len(blob) >= 5
    need(well_formed, "signature-malformed", "A signature line is not a dash, a name, and a signature in base64.")
    return name, blob[:4], blob[4:]


def read_note(note: bytes) -> tuple[str, list[Signature]]:
    """Return the text of a signed note and its signatures."""
    whole = note[: NOTE_LIMIT + 1].decode("utf-8", "replace")
    need(len(note) <= NOTE_LIMIT and whole.encode() == note, "note-malformed", "The checkpoint is too long, or is not UTF-8.")
    controls = any(character < " " and character != "\n" for character in whole)
    need(not controls, "note-malformed", "The checkpoint holds control characters, such as carriage returns.")
    before, blank, lines = whole.rpartition("\n\n")
    need(blank and lines.endswith("\n"), "note-malformed", "The checkpoint has no blank line with lines of signatures after it.")
    found = lines[:-1].split("\n")
    need(len(found) <= SIGNATURES_LIMIT, "too-many-signatures", f"The checkpoint has more than {SIGNATURES_LIMIT} signatures.")
    return before + "\n", [_signature(line) for line in found]


def _holds(key: Key, text: str, signatures: Sequence[Signature]) -> bool:
    """Whether this key signed; refused if it says so and did not."""
    own = [blob for name, identity, blob in signatures if (name, identity) == (key.name, key.id)]
    if not own:
        return False
    message, signed = text.encode(), own[0]
    if key.kind == 4:
        message, signed = b"cosignature/v1\ntime %d\n" % int.from_bytes(signed[:8], "big") + message, signed[8:]
    if len(own) > 1 or not ed25519_verifies(key.public, message, signed):
        whose = "of a witness" if key.kind == 4 else "of the log"
        raise Refused("signature-does-not-hold", f"The signature {whose} does not hold: the checkpoint is not what was signed.")
    return True


def open_checkpoint(note: bytes, log: Key, witnesses: Sequence[Key] = (), required: int = 0) -> Checkpoint:
    """Read a checkpoint and verify its signatures."""
    text, signatures = read_note(note)
    if not _holds(log, text, signatures):
        raise Refused("wrong-key", "The checkpoint is not signed with the key of the log that you gave.")
    lines = text[:-1].split("\n")
    need(len(lines) == 3 and all(lines), "checkpoint-malformed", "The checkpoint is not origin, size and root, one line each.")
    digits, root = re.fullmatch("0|[1-9][0-9]{0,17}", lines[1], re.ASCII), _base64(lines[2])
    need(digits, "checkpoint-malformed", "The size in the checkpoint is no decimal number without leading zeros.")
    need(len(root) == HASH, "checkpoint-malformed", "The root in the checkpoint is not 32 bytes in base64.")
    if lines[0] != log.name:
        raise Refused("another-origin", f"The checkpoint is of another log: {shown(lines[0])}.")
    cosigned = sum(_holds(witness, text, signatures) for witness in witnesses)
    if cosigned < required:
        raise Refused("witnesses-missing", f"{cosigned} of the witnesses that you named co-signed the checkpoint; {required} must.")
    need(lines[1] != "0", "size-zero", "The checkpoint is of an empty ledger, which shows nothing.")
    return Checkpoint(lines[0], int(lines[1]), root, cosigned)


# ---- The tree


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _perfect(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of hashes."""
    while len(hashes) > 1:
        hashes = [hashlib.sha256(b"\x01" + left + right).digest() for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]


class Growth:
    """A tree that grows by tiles: for each level from 1, the hashes of the tile that is not yet full."""

    def __init__(self) -> None:
        self.levels: list[list[bytes]] = [[]]

    def root(self, leaves: Sequence[bytes]) -> bytes:
        """Return the root with these leaf hashes, 1 to 256, after what was added."""
        parts: list[bytes] = []
        for hashes in [*reversed(self.levels[1:]), leaves]:
            begin = 0
            for height in range(8, -1, -1):
                if len(hashes) >> height & 1:
                    parts.append(_perfect(hashes[begin : begin + (1 << height)]))
                    begin += 1 << height
        root = parts.pop()
        while parts:
            root = _node(parts.pop(), root)
        return root

    def add(self, tile: list[bytes]) -> Iterator[tuple[int, list[bytes]]]:
        """Add a full tile of level 0; yield each tile of a higher level that is full with it."""
        level, full = 0, tile
        while True:
            level += 1
            if level == len(self.levels):
                self.levels.append([])
            self.levels[level].append(_perfect(full))
            if len(self.levels[level]) < WIDTH:
                return
            full, self.levels[level] = self.levels[level], []
            yield level, full


def inclusion_holds(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether a proof shows that the tree has the leaf at the index (RFC 9162, 2.1.3.2)."""
    position, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            node = _node(sibling, node)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            node = _node(node, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and 0 <= index < size and node == root and len(leaf) == HASH


# ---- Entries: what a log says, if it was signed as it is

Entry = tuple[dict[str, str], Any]
"""The headers, and the index of the entry before it with the same subject, or None."""


def read_entry(entry: bytes, index: int) -> Entry:
    """Read an entry, exactly as the ledger writes it."""
    line = entry.partition(b"\n")[0]
    try:
        content = json.loads(line)
        headers, previous = content["headers"], content["previous"]
        known = len(content) == 2 and all(type(value) is str for value in headers.values()) and all(name in headers for name in REQUIRED)
        known = known and CANONICAL(content).encode() == line != entry
        known = known and re.fullmatch("[0-9]{20}", headers["ce_sequence"], re.ASCII) is not None
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        known = False
    if not known or not (previous is None or type(previous) is int):
        raise Refused("entry-malformed", f"Entry {index} is signed, but is not an entry as the ledger writes them.", index)
    return headers, previous


def moment_of(text: str) -> datetime | None:
    """Read an RFC 3339 time; None for anything else."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment


class Streams:
    """What must follow on what: sequences of each (source, subject) from 1, the chain of each subject, and times (a warning)."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, str], tuple[int, str]] = {}
        self._chains: dict[str, int] = {}
        self.warnings: list[str] = []

    def take(self, index: int, entry: Entry) -> None:
        """Take the next entry."""
        headers, previous = entry
        lane, sequence, time = (headers["ce_source"], headers["ce_subject"]), int(headers["ce_sequence"]), headers["ce_time"]
        last, before = self._lanes.get(lane, (0, ""))
        if sequence != last + 1:
            stream = f"{shown(lane[1])} of {shown(lane[0])}"
            raise Refused("sequence-gap", f"Sequence gap in stream {stream}: {last} is followed by {sequence} at entry {index}.", index)
        if previous != self._chains.get(lane[1]):
            raise Refused("case-chain-broken", f"Case chain of {shown(lane[1])} broken at entry {index}: others are left out.", index)
        if time < before or len(time) != 24:
            self._compare(index, moment_of(time), moment_of(before))
        self._lanes[lane], self._chains[lane[1]] = (sequence, time), index

    def _compare(self, index: int, now: datetime | None, then: datetime | None) -> None:
        if now is None:
            self._warn(f"The time of entry {index} cannot be read.")
        elif then is not None and then - now > CLOCK_TOLERANCE:
            self._warn(f"Entry {index} bears a time more than 5 minutes before that of the entry it follows in its stream.")

    def _warn(self, warning: str) -> None:
        if len(self.warnings) <= WARNINGS_LIMIT:
            self.warnings.append(warning if len(self.warnings) < WARNINGS_LIMIT else "There are more of these.")


# ---- A directory of tiles


def read_file(path: Path, limit: int) -> bytes | None:
    """Return the content of a file, of which a byte beyond the limit is read at most; None if there is none."""
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise Refused("file-unreadable", f"A file cannot be read: {shown(str(error))}.", None, 2) from None


def read_checkpoint(path: Path) -> bytes:
    """Return the content of the file of a checkpoint."""
    content = read_file(path, NOTE_LIMIT)
    need(content is not None, "file-missing", f"There is no file {shown(str(path))}.")
    return content or b""


def _numbered(number: int) -> str:
    digits = str(number)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    return "/".join(("x" if at + 3 < len(digits) else "") + digits[at : at + 3] for at in range(0, len(digits), 3))


class Directory:
    """The static files of a log: `tile/<level>/<number>` and `tile/entries/<number>`, with `.p/<width>` for partial ones."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _read(self, kind: str, number: int, width: int, limit: int) -> tuple[bytes | None, int]:
        """Return a file and its width: where a partial one is missing, the full one serves."""
        whole = self.path / "tile" / kind / _numbered(number)
        partial = read_file(whole.with_name(f"{whole.name}.p") / str(width), limit) if width < WIDTH else None
        return (read_file(whole, limit), WIDTH) if partial is None else (partial, width)

    def tile(self, level: int, number: int, width: int) -> list[bytes]:
        """Return the hashes of a tile."""
        first = number * WIDTH ** (level + 1)
        content, wide = self._read(str(level), number, width, WIDTH * HASH)
        if content is None:
            raise Refused("tile-missing", f"Tile {level}/{number} of width {width} is missing; it is over entries from {first}.", first)
        if len(content) != wide * HASH:
            raise Refused("tile-damaged", f"Tile {level}/{number} has not the {wide * HASH} bytes of its width; see entry {first}.", first)
        return [content[at : at + HASH] for at in range(0, width * HASH, HASH)]

    def entries(self, number: int, width: int) -> Iterator[bytes]:
        """Yield the entries of a bundle."""
        first = number * WIDTH
        content, wide = self._read("entries", number, width, WIDTH * (2 + ENTRY_LIMIT))
        if content is None:
            raise Refused("entries-missing", f"Entries are missing from index {first}: there is no bundle of them.", first)
        at = 0
        for index in range(first, first + width):
            begin = at + 2
            at = begin + int.from_bytes(content[at:begin], "big")
            if at > len(content):
                raise Refused("entries-missing", f"Entries are missing from index {index}: their bundle ends there.", index)
            yield content[begin:at]
        if at < len(content) and wide == width:
            raise Refused("entries-added", f"Something was added from index {first + width}, where a bundle should end.", first + width)


class Scan:
    """Reads a directory from the first tile to the last: the tree over its entries (or over its tiles alone), and what they say."""

    def __init__(self, directory: Directory, size: int, marks: Iterable[int], take: Callable[[int, Entry], None] | None) -> None:
        self._directory, self._size, self._take, self._growth = directory, size, take, Growth()
        self.roots: dict[int, bytes] = {}
        self._mismatch: tuple[int, int, str] | None = None
        """The first entries, from one index to before another, that do not give the hash in a tile, and the tile."""
        self._content: Refused | None = None
        for number in range(-(-size // WIDTH)):
            first, width = number * WIDTH, min(WIDTH, size - number * WIDTH)
            leaves = self._leaves(number, width)
            for mark in (size, *marks):
                if first < mark <= first + width:
                    self.roots[mark] = self._growth.root(leaves[: mark - first])
            for level, full in self._growth.add(leaves) if width == WIDTH else ():
                self._compare(level, (number + 1) // WIDTH**level - 1, full)
        for level, hashes in enumerate(self._growth.levels):
            self._compare(level, size // WIDTH ** (level + 1), hashes)

    def judge(self, root: bytes, held: Iterable[Checkpoint] = ()) -> None:
        """Refuse unless the root is the signed one, the tiles are those of the entries, the checkpoints held hold, and what is said too."""
        holds = self.roots[self._size] == root
        if self._mismatch is not None and holds:
            first, _, tile = self._mismatch
            raise Refused("tile-changed", f"Tile {tile} was changed: its hash at entry {first} is another; the entries hold.", first)
        self._refuse_changed()
        if not holds:
            raise Refused("root-differs", "The entries do not give the root that the checkpoint signs: some, or all, were replaced.")
        for one in held:
            not_forked(one, self.roots[one.size])
        if self._content is not None:
            raise self._content

    def _refuse_changed(self) -> None:
        if self._mismatch is None:
            return
        first, end, _ = self._mismatch
        if end - first > 1:
            raise Refused("entries-changed", f"An entry from {first} to {end - 1} was changed, and its tile with it.", first)
        raise Refused("entry-changed", f"Entry {first} was changed: its bytes do not give the hash that was signed.", first)

    def _leaves(self, number: int, width: int) -> list[bytes]:
        try:
            tile = self._directory.tile(0, number, width)
            return tile if self._take is None else self._hashed(number, tile, self._take)
        except Refused:
            self._refuse_changed()
            raise

    def _hashed(self, number: int, tile: list[bytes], take: Callable[[int, Entry], None]) -> list[bytes]:
        leaves: list[bytes] = []
        for index, entry in enumerate(self._directory.entries(number, len(tile)), number * WIDTH):
            leaf = hashlib.sha256(b"\x00" + entry).digest()
            if leaf != tile[len(leaves)] and self._mismatch is None:
                self._mismatch = index, index + 1, f"0/{number}"
            leaves.append(leaf)
            try:
                if self._content is None:
                    take(index, read_entry(entry, index))
            except Refused as refused:
                self._content = refused
        return leaves

    def _compare(self, level: int, number: int, hashes: list[bytes]) -> None:
        if self._take is None or self._mismatch is not None or not hashes:
            return
        kept = self._directory.tile(level, number, len(hashes))
        for at, (own, other) in enumerate(zip(hashes, kept, strict=True), number * WIDTH):
            if own != other and self._mismatch is None:
                self._mismatch = at * WIDTH**level, (at + 1) * WIDTH**level, f"{level}/{number}"


# ---- Exports, and what they say to answer


def _moment(text: str) -> datetime:
    """A time of a query, in the milliseconds that the ledger has; raises ValueError."""
    moment = moment_of(text)
    if moment is None:
        raise ValueError("no time")
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _happened(headers: dict[str, str]) -> datetime:
    return _moment(headers.get("ce_happened", headers["ce_time"]))


def _is_of(name: str, wanted: str) -> bool:
    parts, asked = name.split("."), wanted.split(".")
    parts = parts[: len(asked)] if asked[-1] == "*" else parts
    return len(parts) == len(asked) and all(one in ("*", part) for part, one in zip(parts, asked, strict=True))


def _partners(headers: dict[str, str]) -> list[str]:
    """The organisations that acted, that the stream is about, or that were told of the case."""
    actor, parts = headers.get("ce_actor", ""), headers.get("ce_actor", "").split(".")
    found = [headers["ce_subject"][8:]] if headers["ce_subject"].startswith("partner-") else []
    found += [headers["ce_recipient"]] if headers.get("ce_recipient", "in-house") != "in-house" else []
    if actor.startswith("partner:"):
        return [*found, actor[8:].partition("/")[0]]
    clients = [".".join(parts[:end]) for end in range(1, len(parts))]
    return found + (clients if "partner" in headers.get("ce_roles", "").split(",") else [])


def _outcome(headers: dict[str, str]) -> str:
    return "refused" if headers.get("ce_type", "").rpartition(".")[0].rpartition(".")[2] in REFUSALS else "done"


FILTERS: dict[str, Callable[[dict[str, str], str], bool]] = {
    "case": lambda headers, value: headers["ce_subject"] == value,
    "about": lambda headers, value: value in headers.get("ce_about", "").split(","),
    "patient": lambda headers, value: value in headers.get("ce_patient", "").split(","),
    "clinic": lambda headers, value: value in headers.get("ce_clinic", "").split(","),
    "actor": lambda headers, value: headers.get("ce_actor") == value,
    "policy": lambda headers, value: headers.get("ce_policyversion") == value,
    "source": lambda headers, value: headers["ce_source"] in (value, f"urn:kapcare:{value}"),
    "role": lambda headers, value: value in headers.get("ce_roles", "").split(","),
    "partner": lambda headers, value: value in _partners(headers),
    "type": lambda headers, value: any(_is_of(headers.get("ce_type", ""), one) for one in value.split(",")),
    "purpose": lambda headers, value: headers.get("ce_purpose") == value,
    "address": lambda headers, value: headers.get("ce_address") == value,
    "outcome": lambda headers, value: _outcome(headers) == value,
    "from": lambda headers, value: _moment(headers["ce_time"]) >= _moment(value),
    "to": lambda headers, value: _moment(headers["ce_time"]) < _moment(value),
    "happened_from": lambda headers, value: _happened(headers) >= _moment(value),
    "happened_to": lambda headers, value: _happened(headers) < _moment(value),
}
"""Each parameter of a query: whether the headers of an entry are what it asks for."""
TIMES = ("from", "to", "happened_from", "happened_to")


class Export:
    """An export: a line that says what it is, then one line for each entry with its proof."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file, self.count = file, 0
        head = self._line({"kapcare_export", "checkpoint", "query", "complete"})
        self.note, self.query, self.complete = head["checkpoint"], head["query"], head["complete"]
        typed = type(self.note) is str and type(self.query) is dict and head["kapcare_export"] == 1
        need(typed, "export-malformed", "The first line is not that of an export of version 1.")
        known = all(name in FILTERS and type(value) is str for name, value in self.query.items())
        known = known and all(moment_of(self.query[name]) is not None for name in TIMES if name in self.query)
        need(known, "query-unknown", "The query of the export is not one that this verifier knows.")
        whole = self.complete is None or self.query == {"case": self.complete}
        need(whole, "export-malformed", "The export says to be the whole of a case, and has another query.")

    def _line(self, names: set[str]) -> dict[str, Any]:
        line = self._file.readline(LINE_LIMIT)
        try:
            content = json.loads(line) if line.endswith(b"\n") else None
        except (ValueError, RecursionError):
            content = None
        well_formed = type(content) is dict and content.keys() == names
        need(well_formed, "export-malformed", f"Line {self.count + 1} of the export is cut off, or is not what should stand there.")
        return content or {}

    def asked(self, headers: dict[str, str]) -> bool:
        """Whether an entry is what the query asks for."""
        try:
            return all(FILTERS[name](headers, value) for name, value in self.query.items())
        except ValueError:
            return False

    def entries(self, checkpoint: Checkpoint) -> Iterator[tuple[int, Entry]]:
        """Yield each entry whose proof holds, and which the query asks for."""
        last = -1
        while self._file.peek(1):
            self.count += 1
            line = self._line({"index", "entry", "proof"})
            index, entry, proof = line["index"], _base64(line["entry"]), line["proof"]
            hashes = [_base64(one) for one in proof] if type(proof) is list else [b""]
            well_formed = type(index) is int and entry and all(len(one) == HASH for one in hashes)
            need(well_formed, "export-malformed", f"Line {self.count + 1} of the export is not an index, an entry and a proof.")
            if not last < index < checkpoint.size:
                raise Refused("export-order", f"Entry {index} is out of order, there twice, or beyond the checkpoint.", index)
            leaf = hashlib.sha256(b"\x00" + entry).digest()
            if not inclusion_holds(leaf, index, checkpoint.size, hashes, checkpoint.root):
                raise Refused("entry-changed", f"Entry {index} or its proof was changed: it does not lead to the signed root.", index)
            last, read = index, read_entry(entry, index)
            if not self.asked(read[0]):
                raise Refused("export-not-asked", f"Entry {index} is not what the query of the export asks for.", index)
            yield index, read


# ---- Commands


class Verdict(NamedTuple):
    """What holds, in sentences, and what is to be known besides."""

    sentences: list[str]
    warnings: list[str]
    checkpoint: Checkpoint


def not_forked(old: Checkpoint, root: bytes) -> None:
    """Refuse another root than that of a checkpoint that is held."""
    if root != old.root:
        raise Refused("forked", f"Forked: the first {old.size} entries are not those of the checkpoint that you hold.")


def not_rolled_back(new: Checkpoint, old: Checkpoint) -> str:
    """Refuse a checkpoint that covers less than one that is held, or the same number of other entries."""
    if new.size < old.size:
        message = f"Rolled back: the checkpoint covers {new.size} entries; the one that you hold covers {old.size}."
        raise Refused("checkpoint-rolled-back", message, new.size)
    if new.size == old.size:
        not_forked(old, new.root)
    return f"None of the {old.size} entries of the checkpoint that you hold was changed or taken away."


def verify_tiles(given: argparse.Namespace) -> Verdict:
    """Verify a directory of tiles from the first entry to the last."""
    log, witnesses, directory, streams = read_key(given.key, 1), _witnesses(given), Directory(given.directory), Streams()
    held = [open_checkpoint(read_checkpoint(given.since), log)] if given.since is not None else []
    checkpoint = open_checkpoint(read_checkpoint(directory.path / "checkpoint"), log, *witnesses)
    sentences = [not_rolled_back(checkpoint, old) for old in held]
    Scan(directory, checkpoint.size, [old.size for old in held], streams.take).judge(checkpoint.root, held)
    sentences.append("Every entry gives the hash that was signed; no stream has a gap, and no chain of a case is broken.")
    return Verdict(sentences, streams.warnings, checkpoint)


def verify_checkpoint(given: argparse.Namespace) -> Verdict:
    """Verify that a checkpoint goes on from an older one, by the tiles of the log."""
    log, witnesses = read_key(given.key, 1), _witnesses(given)
    old = open_checkpoint(read_checkpoint(given.since), log)
    new = open_checkpoint(read_checkpoint(given.new), log, *witnesses)
    sentence = not_rolled_back(new, old)
    Scan(Directory(given.tiles), new.size, [old.size], None).judge(new.root, [old])
    return Verdict([sentence], [], new)


def verify_export(given: argparse.Namespace) -> Verdict:
    """Verify an export: every entry by its proof, a case by its chain, and with the tiles that nothing was left out."""
    log, witnesses, streams, indexes = read_key(given.key, 1), _witnesses(given), Streams(), array("Q")
    later = [open_checkpoint(read_checkpoint(given.checkpoint), log)] if given.checkpoint is not None else []
    try:
        with given.file.open("rb") as file:
            export = Export(file)
            checkpoint = open_checkpoint(export.note.encode("utf-8", "replace"), log, *witnesses)
            for index, entry in export.entries(checkpoint):
                indexes.append(index)
                if export.complete is not None:
                    streams.take(index, entry)
    except OSError as error:
        raise Refused("file-unreadable", f"The export cannot be read: {shown(str(error))}.", None, 2) from None
    for one in later:
        if one.size == checkpoint.size:
            not_forked(one, checkpoint.root)
        same = one.size == checkpoint.size or given.tiles is not None
        need(same, "tiles-needed", "That the export is of the same ledger as your checkpoint, only tiles show.")
    asked = ", ".join(f"{name}: {shown(value)}" for name, value in export.query.items()) or "everything"
    sentences, warnings = [f"Each of the {export.count} entries of the export is in it, unchanged, by its proof."], streams.warnings
    sentences.append(f"Each is what the export says to answer ({asked}).")
    if export.complete is not None:
        sentences.append(f"The chain of {shown(export.complete)} is unbroken from its first entry to the last one here.")
    if given.tiles is None:
        warnings.append(f"That no entry up to {checkpoint.size} was left out at the end, only tiles show (--tiles).")
    else:
        sentences.append(_nothing_left_out(Directory(given.tiles), log, export, [checkpoint, *later], indexes))
    return Verdict(sentences, warnings, checkpoint)


def _nothing_left_out(directory: Directory, log: Key, export: Export, held: Sequence[Checkpoint], indexes: Sequence[int]) -> str:
    top = open_checkpoint(read_checkpoint(directory.path / "checkpoint"), log)
    need(all(one.size <= top.size for one in held), "tiles-too-old", "The tiles are older than the export or than your checkpoint.")
    position, missing = 0, -1

    def take(index: int, entry: Entry) -> None:
        nonlocal position, missing
        if position < len(indexes) and indexes[position] == index:
            position += 1
        elif missing < 0 and index < held[0].size and export.asked(entry[0]):
            missing = index

    Scan(directory, top.size, [one.size for one in held], take).judge(top.root, held)
    if missing >= 0:
        raise Refused("export-entry-missing", f"Entry {missing} is what the query asks for, and is missing from the export.", missing)
    return f"Nothing that the query asks for was left out of the first {held[0].size} entries."


def _witnesses(given: argparse.Namespace) -> tuple[list[Key], int]:
    witnesses = [read_key(vkey, 4) for vkey in given.witness]
    need(len({key.public for key in witnesses}) == len(witnesses), "key-repeated", "A witness is named twice.")
    return witnesses, len(witnesses) if given.require_witnesses is None else given.require_witnesses


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    top = argparse.ArgumentParser(prog="kap_verify.py", description="Verify a kapcare ledger offline.")
    commands = top.add_subparsers(required=True)
    tiles = commands.add_parser("tiles", help="a directory of the ledger's static files, from the first entry to the last")
    tiles.add_argument("directory", type=Path)
    tiles.add_argument("--since", type=Path, help="a checkpoint that you hold: nothing of it may have changed")
    export = commands.add_parser("export", help="an export, by the proofs in it")
    export.add_argument("file", type=Path)
    export.add_argument("--checkpoint", type=Path, help="a later checkpoint that you hold: the export must be of the same ledger")
    export.add_argument("--tiles", type=Path, help="the ledger's static files, to see that nothing was left out")
    checkpoint = commands.add_parser("checkpoint", help="whether a checkpoint goes on from an older one")
    checkpoint.add_argument("new", type=Path)
    checkpoint.add_argument("--since", type=Path, required=True)
    checkpoint.add_argument("--tiles", type=Path, required=True)
    for command, verify in ((tiles, verify_tiles), (export, verify_export), (checkpoint, verify_checkpoint)):
        command.set_defaults(verify=verify)
        command.add_argument("--key", required=True, help="the log's key (a vkey), which you have from elsewhere than the log")
        command.add_argument("--witness", action="append", default=[], help="a witness's key (a vkey); may be given again")
        command.add_argument("--require-witnesses", type=int, metavar="N", help="how many of them must have co-signed; all, if not given")
        command.add_argument("--json", action="store_true", help="one line of JSON instead of sentences")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code."""
    given = parser().parse_args(arguments)
    told: dict[str, Any] = {"verdict": "holds", "reason": None, "index": None}
    code, lines = 0, ["HOLDS"]
    try:
        sentences, warnings, checkpoint = given.verify(given)
    except Refused as refused:
        code, word = refused.code, "DOES NOT HOLD" if refused.code == 1 else "CANNOT BE READ"
        told = {"verdict": word.lower(), "reason": refused.reason, "index": refused.index, "message": refused.message}
        lines = [f"{word}: {refused.message}"]
    else:
        by = f"{shown(checkpoint.origin)} and {checkpoint.witnesses} known witnesses"
        signed = f"The checkpoint of {checkpoint.size} entries is signed by {by}."
        root = base64.b64encode(checkpoint.root).decode()
        told |= {"message": " ".join([signed, *sentences]), "size": checkpoint.size, "root": root, "warnings": warnings}
        lines += [f"  {line}" for line in (signed, *sentences, f"Root: {root}", *(f"Note: {warning}" for warning in warnings))]
    sys.stdout.write((json.dumps(told) if given.json else "\n".join(lines)) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
