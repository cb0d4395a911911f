"""Files that are not as the formats say, and what both verifiers must say of them; each stands in a log of 700 entries."""

import re
from collections.abc import Mapping

from deploy.bench.ledger_log import LOG_KEY, ORIGIN, OTHER_KEY, Log
from deploy.bench.ledger_mutations import Bench, Found, Mutation, found
from services.audit.domain.checkpoint import Checkpoint
from services.audit.domain.note import Note, sign

SIZE = 700
"""Two full tiles and one of 188; one of two hashes on level 1."""
FIRST, LAST, BUNDLE, UPPER = "tile/0/000", "tile/0/002.p/188", "tile/entries/002.p/188", "tile/1/000.p/2"


def checkpoints(log: Log) -> dict[str, tuple[bytes, Found]]:
    """Checkpoints, each with what must be said of it."""
    note = log.checkpoint(SIZE).decode()
    text = note.partition("\n\n")[0] + "\n"
    ours = note.partition("\n\n")[2]
    strangers = "".join(str(sign(text, f"stranger-{number}", OTHER_KEY)) for number in range(16))
    of_another_id = re.sub(r"(ledger )(.)", lambda found: found[1] + ("A" if found[2] != "A" else "B"), ours)

    def signed(changed: str) -> bytes:
        return str(Note(changed, (sign(changed, ORIGIN, LOG_KEY),))).encode()

    return {
        "size with a leading zero": (signed(text.replace("\n700\n", "\n0700\n")), found("checkpoint-malformed")),
        "size with a sign": (signed(text.replace("\n700\n", "\n+700\n")), found("checkpoint-malformed")),
        "size of twenty digits": (signed(text.replace("\n700\n", f"\n{10**19}\n")), found("checkpoint-malformed")),
        "size 0": (log.checkpoint(0), found("size-zero")),
        "root cut off": (signed(text[:-5] + "\n"), found("checkpoint-malformed")),
        "lines ended as on Windows": (note.replace("\n", "\r\n").encode(), found("note-malformed")),
        "two blank lines": (note.replace("\n\n", "\n\n\n").encode(), found("signature-does-not-hold")),
        "two blank lines, signed": (signed(text + "\n"), found("checkpoint-malformed")),
        "another line, signed": (signed(text + "more\n"), found("checkpoint-malformed")),
        "another origin, signed": (signed(text.replace(ORIGIN, "elsewhere")), found("another-origin")),
        "unknown keys only": (f"{text}\n{strangers}".encode(), found("wrong-key")),
        "another key id": (f"{text}\n{of_another_id}".encode(), found("wrong-key")),
        "sixteen unknown keys besides": (f"{text}\n{strangers}{ours}".encode(), found("too-many-signatures")),
        "base64 in another spelling": (f"{text}\n{ours[:-3]}{chr(ord(ours[-3]) + 1)}=\n".encode(), found("signature-malformed")),
        "no signature": (f"{text}\n".encode(), found("note-malformed")),
        "no base64": (f"{text}\n{ours[:-2]}\n".encode(), found("note-malformed", "signature-malformed")),
        "nothing": (b"", found("note-malformed")),
        "zeros": (bytes(500), found("note-malformed")),
        "much": (b"x" * 70_000, found("note-malformed")),
    }


def bad_files(bench: Bench) -> Mapping[str, Mutation]:
    """Each mutation with its name."""
    tile, last, bundle = bench.files[FIRST], bench.files[LAST], bench.files[BUNDLE]
    files: dict[str, tuple[dict[str, bytes | None], Found]] = {
        "a tile of 8,191 bytes": ({FIRST: tile[:-1]}, found("tile-damaged", index=0)),
        "a tile of 8,193 bytes": ({FIRST: tile + b"\0"}, found("tile-damaged", index=0)),
        "a tile of 255 hashes": ({FIRST: tile[:-32]}, found("tile-damaged", index=0)),
        "a partial tile of width 256": ({FIRST: None, f"{FIRST}.p/256": tile}, found("tile-missing", index=0)),
        "a partial tile of another width": ({LAST: None, "tile/0/002.p/187": last[:-32]}, found("tile-missing", index=512)),
        "a path x1": ({FIRST: None, "tile/0/x1/000": tile}, found("tile-missing", index=0)),
        "a path of one digit": ({FIRST: None, "tile/0/0": tile}, found("tile-missing", index=0)),
        "no tile of level 1": ({UPPER: None}, found("tile-missing", index=0)),
        "an empty bundle": ({BUNDLE: b""}, found("entries-missing", index=512)),
        "a bundle that says to be longer": ({BUNDLE: b"\xff\xff" + bundle[2:]}, found("entries-missing", "entry-changed", index=512)),
        "a bundle of lengths alone": ({BUNDLE: bytes(2 * 188)}, found("entry-changed", index=512)),
        "no checkpoint": ({"checkpoint": None}, found("file-missing")),
    }
    files |= {name: ({"checkpoint": note}, expected) for name, (note, expected) in checkpoints(bench.log).items()}
    return {name: Mutation(changed, 300, expected, name) for name, (changed, expected) in files.items()}


def odd_entries() -> Mapping[str, tuple[list[bytes], Found]]:
    """Entries that the log signed although it never writes such; each with what must be said."""
    good = Log.made_up(0, 3).entries
    malformed = {
        "nothing": b"",
        "no line": b"{}",
        "a list": b"[]\n",
        "deep": b"[" * 60_000 + b"\n",
        "null": b"null\n",
        "bytes": b"\xff\xfe\n",
    }
    malformed["a number of many digits"] = b'{"headers":{},"previous":' + b"9" * 5000 + b"}\n"
    malformed["half a character"] = b'{"headers":{"ce_subject":"\\ud800"},"previous":null}\n'
    return {name: ([*good, entry], found("entry-malformed", index=3)) for name, entry in malformed.items()}


def signed_size(log: Log, size: int) -> bytes:
    """A checkpoint in which the log signs the root of all its entries under another size."""
    return str(Checkpoint(ORIGIN, size, log.edge(len(log.entries))[0].tree.root).signed(LOG_KEY)).encode()
