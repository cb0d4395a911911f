"""What may befall an export between the ledger and an auditor, drawn by chance, and what the verifier must then say.

The auditor has the whole log's tiles besides and a checkpoint, and asked for a case, or for what a clinician did.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

from services.audit.domain.entry import read_entry
from tests.contract.ledger_log import OTHER_KEY, Log
from tests.contract.ledger_mutations import Found, back_dated, flipped, found

MALFORMED: Final = ("export-malformed", "query-unknown")
ANY: Final = (*MALFORMED, "entry-changed", "export-order", "export-not-asked", "note-malformed", "signature-malformed")
IN_HEAD: Final = (*ANY, "wrong-key", "signature-does-not-hold", "export-entry-missing")


@dataclass(frozen=True)
class ExportMutation:
    """An export that is not what the ledger gave, and what must be said."""

    export: bytes
    expected: Found
    kind: str = ""


class ExportBench:
    """A log and its exports."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.size = len(log.entries)
        read = [read_entry(entry).headers for entry in log.entries]
        self.queries = [{"case": name} for name in sorted({headers["ce_subject"] for headers in read})]
        self.queries += [{"actor": actor, "clinic": "riverside"} for actor in sorted({headers["ce_actor"] for headers in read})]
        self._exports: dict[str, list[bytes]] = {}

    def export(self, chance: Random, at_least: int = 1) -> tuple[dict[str, str], list[bytes]]:
        """Return a query and the lines of its export, of which at least so many are entries."""
        while True:
            query = chance.choice(self.queries)
            lines = self._exports.setdefault(json.dumps(query), self.log.export(query, self.size).splitlines(keepends=True))
            if len(lines) > at_least:
                return query, list(lines)


def index_of(line: bytes) -> int:
    index: int = json.loads(line)["index"]
    return index


def dumped(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def flip_anywhere(bench: ExportBench, chance: Random) -> ExportMutation:
    _, lines = bench.export(chance)
    whole = b"".join(lines)
    bit = chance.randrange(8 * len(whole))
    return ExportMutation(flipped(whole, bit), found(*(IN_HEAD if bit < 8 * len(lines[0]) else ANY)))


def flip_in_entry(bench: ExportBench, chance: Random) -> ExportMutation:
    _, lines = bench.export(chance)
    at = chance.randrange(1, len(lines))
    line = json.loads(lines[at])
    entry = base64.b64decode(line["entry"])
    changed = base64.b64encode(flipped(entry, chance.randrange(8 * len(entry)))).decode()
    lines[at] = dumped({**line, "entry": changed})
    return ExportMutation(b"".join(lines), found("entry-changed", index=line["index"]))


def flip_in_proof(bench: ExportBench, chance: Random) -> ExportMutation:
    _, lines = bench.export(chance)
    at = chance.randrange(1, len(lines))
    line = json.loads(lines[at])
    proof = [base64.b64decode(one) for one in line["proof"]]
    one = chance.randrange(len(proof))
    proof[one] = flipped(proof[one], chance.randrange(256))
    lines[at] = dumped({**line, "proof": [base64.b64encode(one).decode() for one in proof]})
    return ExportMutation(b"".join(lines), found("entry-changed", index=line["index"]))


def resize_proof(bench: ExportBench, chance: Random) -> ExportMutation:
    _, lines = bench.export(chance)
    at = chance.randrange(1, len(lines))
    line = json.loads(lines[at])
    proof = chance.choice([line["proof"][1:], line["proof"][:-1], [*line["proof"], line["proof"][0]], []])
    lines[at] = dumped({**line, "proof": proof})
    return ExportMutation(b"".join(lines), found("entry-changed", index=line["index"]))


def drop_entry(bench: ExportBench, chance: Random) -> ExportMutation:
    """Of a case the next entry shows it, unless it was the last; then the tiles do."""
    _, lines = bench.export(chance)
    at = chance.randrange(1, len(lines))
    dropped, following = index_of(lines[at]), index_of(lines[at + 1]) if at + 1 < len(lines) else None
    del lines[at]
    expected = found("export-entry-missing", "sequence-gap", "case-chain-broken")
    return ExportMutation(b"".join(lines), replace(expected, index=None if following is not None else dropped))


def swap_entries(bench: ExportBench, chance: Random) -> ExportMutation:
    _, lines = bench.export(chance, 2)
    one, other = sorted(chance.sample(range(1, len(lines)), 2))
    lines[one], lines[other] = lines[other], lines[one]
    return ExportMutation(b"".join(lines), found("export-order", "sequence-gap", "case-chain-broken"))


def duplicate_entry(bench: ExportBench, chance: Random) -> ExportMutation:
    _, lines = bench.export(chance)
    at = chance.randrange(1, len(lines))
    lines.insert(at, lines[at])
    return ExportMutation(b"".join(lines), found("export-order", index=index_of(lines[at])))


def truncate(bench: ExportBench, chance: Random) -> ExportMutation:
    """Within a line it shows at once, between lines by the tiles."""
    _, lines = bench.export(chance)
    whole = b"".join(lines)
    return ExportMutation(whole[: chance.randrange(len(whole))], found("export-malformed", "export-entry-missing"))


def back_date(bench: ExportBench, chance: Random) -> ExportMutation:
    _, lines = bench.export(chance)
    at = chance.randrange(1, len(lines))
    line = json.loads(lines[at])
    lines[at] = dumped({**line, "entry": base64.b64encode(back_dated(base64.b64decode(line["entry"]))).decode()})
    return ExportMutation(b"".join(lines), found("entry-changed", index=line["index"]))


def renumber(bench: ExportBench, chance: Random) -> ExportMutation:
    _, lines = bench.export(chance)
    at = chance.randrange(1, len(lines))
    line = json.loads(lines[at])
    other = chance.choice([index for index in (line["index"] - 1, line["index"] + 1, bench.size, -1) if index != line["index"]])
    lines[at] = dumped({**line, "index": other})
    return ExportMutation(b"".join(lines), found("entry-changed", "export-order", index=other))


def ask_for_another(bench: ExportBench, chance: Random) -> ExportMutation:
    """The head says that something else was asked for."""
    query, lines = bench.export(chance)
    head = json.loads(lines[0])
    other = chance.choice([one for one in bench.queries if one.keys() == query.keys() and one != query])
    lines[0] = dumped({**head, "query": other, "complete": other.get("case")})
    return ExportMutation(b"".join(lines), found("export-not-asked"))


def fork(bench: ExportBench, chance: Random) -> ExportMutation:
    """The log's own key signs a history in which an entry of the export is another."""
    query, lines = bench.export(chance)
    index = index_of(chance.choice(lines[1:]))
    forked = Log([back_dated(entry) if at == index else entry for at, entry in enumerate(bench.log.entries)])
    return ExportMutation(forked.export(query, bench.size), found("forked"))


def swap_key(bench: ExportBench, chance: Random) -> ExportMutation:
    query, _ = bench.export(chance)
    return ExportMutation(Log(bench.log.entries, OTHER_KEY).export(query, bench.size), found("wrong-key"))


EXPORT_KINDS: Final[tuple[Callable[[ExportBench, Random], ExportMutation], ...]] = (
    *(flip_anywhere, flip_in_entry, flip_in_proof, resize_proof, drop_entry, swap_entries, duplicate_entry, truncate),
    *(back_date, renumber, ask_for_another, fork, swap_key),
)


def export_mutation(bench: ExportBench, chance: Random, number: int) -> ExportMutation:
    """Return the mutation of this number: the kinds come one after the other."""
    kind = EXPORT_KINDS[number % len(EXPORT_KINDS)]
    return replace(kind(bench, chance), kind=kind.__name__)
