"""What may befall an export between the ledger and an auditor, drawn by chance, and what the verifier must then say.

The auditor has the whole log's tiles besides and a checkpoint, and asked for a case, or for what a clinician did.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

from deploy.bench.ledger_log import OTHER_KEY, Log
from deploy.bench.ledger_mutations import Found, back_dated, flipped, found
from services.audit.domain.entry import read_entry

MALFORMED: Final = ("export-malformed", "query-unknown")
ANY: Final = (*MALFORMED, "entry-changed", "export-order", "export-not-asked", "note-malformed", "signature-malformed")
IN_HEAD: Final = (*ANY, "wrong-key", "signature-does-not-hold", "export-entry-missing")


@dataclass(frozen=True)
class ExportMutation:
    """An export that is not what the ledger gave, and what must be said."""

    export: bytes
    expected: Found
    kind: str = ""


Asked = Callable[[Mapping[str, str]], bool]
QUESTIONS: Final[tuple[tuple[dict[str, str], Asked], ...]] = (
    ({}, lambda headers: True),
    (
        {"actor": "clinician-1", "clinic": "riverside"},
        lambda headers: headers["ce_actor"] == "clinician-1" and headers["ce_clinic"] == "riverside",
    ),
    ({"source": "session", "outcome": "refused"}, lambda headers: headers["ce_type"] == "kapcare.session.StepRefused.v1"),
    (
        {"source": "urn:kapcare:intake", "outcome": "done"},
        lambda headers: "intake" in headers["ce_type"] and "Refused" not in headers["ce_type"],
    ),
    ({"type": "kapcare.*.HoldPlaced.v1,kapcare.intake.*"}, lambda headers: "Hold" in headers["ce_type"] or "intake" in headers["ce_type"]),
    ({"partner": "oak"}, lambda headers: "oak" in headers["ce_actor"] or headers["ce_subject"] == "partner-oak"),
    ({"role": "therapist"}, lambda headers: headers["ce_actor"].startswith("clinician")),
    ({"policy": "network-2026.2"}, lambda headers: headers["ce_policyversion"].endswith(".2")),
    ({"from": "2026-03-01T08:01:00Z"}, lambda headers: headers["ce_time"] >= "2026-03-01T08:01"),
    (
        {"to": "2026-03-01T10:04:00+02:00", "clinic": "seaside"},
        lambda headers: headers["ce_time"] < "2026-03-01T08:04" and headers["ce_clinic"] == "seaside",
    ),
)
"""What an auditor may ask beside a case, and in other words which entries of the made-up log that is."""


class ExportBench:
    """A log and its exports."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.size = len(log.entries)
        subjects = {read_entry(entry).headers["ce_subject"] for entry in log.entries}
        self._cases: list[tuple[dict[str, str], Asked | None]] = [({"case": name}, None) for name in sorted(subjects)]
        self._exports: dict[str, list[bytes]] = {}

    def question(self, chance: Random) -> tuple[dict[str, str], Asked | None]:
        """As often a case as something else."""
        return chance.choice(self._cases if chance.random() < 0.5 else QUESTIONS)

    def lines(self, question: tuple[dict[str, str], Asked | None]) -> list[bytes]:
        """Return the lines of an export."""
        query, asked = question
        if json.dumps(query) not in self._exports:
            self._exports[json.dumps(query)] = self.log.export(query, self.size, asked).splitlines(keepends=True)
        return list(self._exports[json.dumps(query)])

    def export(self, chance: Random, at_least: int = 1) -> tuple[dict[str, str], list[bytes]]:
        """Return a query and the lines of its export, of which at least so many are entries."""
        while True:
            question = self.question(chance)
            lines = self.lines(question)
            if len(lines) > at_least:
                return question[0], lines


def index_of(line: bytes) -> int:
    index: int = json.loads(line)["index"]
    return index


def dumped(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def flip_anywhere(bench: ExportBench, chance: Random) -> ExportMutation:
    """Not in the times of a question: another second may ask for the same entries."""
    query, lines = bench.export(chance)
    head, whole = 8 * len(lines[0]), b"".join(lines)
    bit = chance.randrange(head if {"from", "to"} & query.keys() else 0, 8 * len(whole))
    return ExportMutation(flipped(whole, bit), found(*(IN_HEAD if bit < head else ANY)))


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
    """The head says that another case was asked for, or something that is no question."""
    _, lines = bench.export(chance)
    head = json.loads(lines[0])
    other = chance.choice(
        [{"case": "case-0"}, {"clinic": "nowhere"}, {"actor": "clinician-1", "role": "nurse"}, {"cases": "case-0"}, {"from": "then"}]
    )
    lines[0] = dumped({**head, "query": other, "complete": other.get("case")})
    return ExportMutation(b"".join(lines), found("export-not-asked", "query-unknown"))


def fork(bench: ExportBench, chance: Random) -> ExportMutation:
    """The log's own key signs a history in which an entry of the export is another."""
    query, asked = bench.question(chance)
    lines = bench.lines((query, asked))
    if len(lines) < 2 or "from" in query or "to" in query:
        return fork(bench, chance)
    index = index_of(chance.choice(lines[1:]))
    forked = Log([back_dated(entry) if at == index else entry for at, entry in enumerate(bench.log.entries)])
    return ExportMutation(forked.export(query, bench.size, asked), found("forked"))


def swap_key(bench: ExportBench, chance: Random) -> ExportMutation:
    query, asked = bench.question(chance)
    return ExportMutation(Log(bench.log.entries, OTHER_KEY).export(query, bench.size, asked), found("wrong-key"))


EXPORT_KINDS: Final[tuple[Callable[[ExportBench, Random], ExportMutation], ...]] = (
    *(flip_anywhere, flip_in_entry, flip_in_proof, resize_proof, drop_entry, swap_entries, duplicate_entry, truncate),
    *(back_date, renumber, ask_for_another, fork, swap_key),
)


def export_mutation(bench: ExportBench, chance: Random, number: int) -> ExportMutation:
    """Return the mutation of this number: the kinds come one after the other."""
    kind = EXPORT_KINDS[number % len(EXPORT_KINDS)]
    return replace(kind(bench, chance), kind=kind.__name__)
