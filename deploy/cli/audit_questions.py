"""`kap audit`, the questions: which events, how many, what was known, and exports in auditors' formats."""

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from deploy.cli.options import AsJson, Data
from deploy.cli.service_calls import calls_as
from deploy.local.data import DEFAULT_DATA

COLUMNS = (
    *("index", "time", "happened", "type", "case", "patient", "clinic", "actor", "roles", "policy"),
    *("route", "status", "purpose", "address", "about"),
)
DISCLOSED_COLUMNS = ("index", "date", "recipient", "address", "description", "purpose", "must_be_listed")
KNOWN_COLUMNS = ("index", "time", "type", "source", "sequence", "basis")
CHUNK_BYTES = 65_536
WIDEST = 10_000
"""Characters of a line."""


class Format(StrEnum):
    """What an export is written as."""

    NDJSON = "ndjson"
    CSV = "csv"
    FHIR = "fhir"


class Order(StrEnum):
    """Which events come first."""

    OLDEST = "oldest"
    NEWEST = "newest"


class By(StrEnum):
    """What events are counted by."""

    TYPE = "type"
    CLINIC = "clinic"
    ACTOR = "actor"
    ROLE = "role"
    DAY = "day"
    HAPPENED_DAY = "happened_day"
    SOURCE = "source"
    POLICY = "policy"
    PARTNER = "partner"
    OUTCOME = "outcome"
    CASE = "case"
    PATIENT = "patient"
    PURPOSE = "purpose"
    ABOUT = "about"


Case = Annotated[str | None, typer.Option("--case", help="Only this case, or other stream such as partner-oak.")]
Patient = Annotated[str | None, typer.Option("--patient", help="Only this patient (pseudonym).")]
About = Annotated[str | None, typer.Option("--about", help="Only accesses of this case, lists that showed it among them.")]
Purpose = Annotated[str | None, typer.Option("--purpose", help="Only accesses for this purpose, such as ETREAT.")]
Address = Annotated[str | None, typer.Option("--address", help="Only accesses from this IP address.")]
Clinic = Annotated[str | None, typer.Option("--clinic", help="Only this clinic.")]
ActorId = Annotated[str | None, typer.Option("--actor", help="Only what this actor did.")]
Partner = Annotated[str | None, typer.Option("--partner", help="Only what this organisation did, and what was done about it (slug).")]
Role = Annotated[str | None, typer.Option("--role", help="Only what was done in this role.")]
Types = Annotated[str | None, typer.Option("--type", help="Only these types, with commas between; kapcare.session.* is all of a service.")]
Source = Annotated[str | None, typer.Option("--source", help="Only what this service recorded.")]
PolicyVersion = Annotated[str | None, typer.Option("--policy", help="Only what was decided under this version of the policy.")]
Outcome = Annotated[str | None, typer.Option("--outcome", help="refused or done.")]
Since = Annotated[str | None, typer.Option("--from", help="Recorded not before this time (ISO 8601).")]
Until = Annotated[str | None, typer.Option("--to", help="Recorded before this time (ISO 8601).")]
HappenedFrom = Annotated[str | None, typer.Option("--happened-from", help="Happened not before this time, whenever recorded (ISO 8601).")]
HappenedTo = Annotated[str | None, typer.Option("--happened-to", help="Happened before this time, whenever recorded (ISO 8601).")]


def events(
    case: Case = None,
    patient: Patient = None,
    clinic: Clinic = None,
    actor: ActorId = None,
    partner: Partner = None,
    role: Role = None,
    kind: Types = None,
    source: Source = None,
    policy: PolicyVersion = None,
    outcome: Outcome = None,
    about: About = None,
    purpose: Purpose = None,
    address: Address = None,
    since: Since = None,
    until: Until = None,
    happened_from: HappenedFrom = None,
    happened_to: HappenedTo = None,
    order: Annotated[Order, typer.Option(help="Which come first.")] = Order.OLDEST,
    cursor: Annotated[str | None, typer.Option(help="Go on where an earlier answer ended.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=500)] = 100,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """List events of the ledger."""
    asked = _asked(
        *(case, patient, clinic, actor, partner, role, kind, source, policy, outcome, about, purpose, address),
        *(since, until, happened_from, happened_to),
    )
    answer = asyncio.run(_get("/ledger/events", {**asked, **_given(cursor=cursor), "order": order.value, "limit": str(limit)}, data))
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    _print_rows([{**row, "happened": row["happened"] if row["happened"] != row["time"] else None} for row in answer["events"]], COLUMNS)
    if answer["next"] is not None:
        print(f"more: --cursor {answer['next']}")


def count(
    by: Annotated[By, typer.Option(help="What to count by.")],
    case: Case = None,
    patient: Patient = None,
    clinic: Clinic = None,
    actor: ActorId = None,
    partner: Partner = None,
    role: Role = None,
    kind: Types = None,
    source: Source = None,
    policy: PolicyVersion = None,
    outcome: Outcome = None,
    about: About = None,
    purpose: Purpose = None,
    address: Address = None,
    since: Since = None,
    until: Until = None,
    happened_from: HappenedFrom = None,
    happened_to: HappenedTo = None,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Count events of the ledger, by a value of theirs."""
    asked = _asked(
        *(case, patient, clinic, actor, partner, role, kind, source, policy, outcome, about, purpose, address),
        *(since, until, happened_from, happened_to),
    )
    answer = asyncio.run(_get("/ledger/counts", {**asked, "by": by.value}, data))
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    _print_rows([{by.value: row["value"] or "(none)", "count": row["count"]} for row in answer["counts"]], (by.value, "count"))
    if answer["more"]:
        print("more: the rarest are left out; ask for less")


def disclosures(
    patient: Annotated[str, typer.Argument(help="A patient's pseudonym.")],
    since: Since = None,
    until: Until = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what an accounting need not list, such as treatment.")] = False,
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Account for the disclosures of a patient's record to organisations outside: six years, unless said otherwise."""
    rows, cursor = [], None
    while True:
        query = {"patient": patient, "limit": "500", **_given(**{"from": since, "to": until, "cursor": cursor})}
        answer = asyncio.run(_get("/ledger/disclosures", query, data))
        rows += answer["disclosures"]
        if answer["next"] is None:
            break
        cursor = str(answer["next"])
    shown = [row for row in rows if everything or row["must_be_listed"]]
    if as_json:
        told = {name: answer[name] for name in ("patient", "from", "to")}
        print(json.dumps({**told, "disclosures": shown, "not_listed": len(rows) - len(shown)}, indent=2))
        return
    print(f"disclosures of {patient} from {answer['from']} to {answer['to']}:")
    _print_rows(shown, DISCLOSED_COLUMNS)
    print(f"{len(shown)} listed; {len(rows) - len(shown)} more for treatment or operations need not be (45 CFR 164.528(a)(1)(i)): --all")


def known(
    decision: Annotated[str, typer.Argument(help="The id of an event, as `events --json` shows it.")],
    as_json: AsJson = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Show what a service can have known of a case when it recorded this event."""
    answer = asyncio.run(_get("/ledger/known", {"decision": decision}, data))
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    decided = answer["decision"]
    print(f"{decided['type']} at {decided['time']} in {decided['case']}, by {decided['actor']}. Known then:")
    _print_rows(answer["known"], KNOWN_COLUMNS)
    if answer["unshown"]:
        print("recorded elsewhere by then, and nothing shows that it was known:")
        _print_rows(answer["unshown"], KNOWN_COLUMNS)


def export(
    case: Case = None,
    patient: Patient = None,
    clinic: Clinic = None,
    actor: ActorId = None,
    partner: Partner = None,
    role: Role = None,
    kind: Types = None,
    source: Source = None,
    policy: PolicyVersion = None,
    outcome: Outcome = None,
    about: About = None,
    purpose: Purpose = None,
    address: Address = None,
    since: Since = None,
    until: Until = None,
    happened_from: HappenedFrom = None,
    happened_to: HappenedTo = None,
    form: Annotated[Format, typer.Option("--format", help="NDJSON to verify with, CSV, or FHIR AuditEvents.")] = Format.NDJSON,
    file: Annotated[Path | None, typer.Option("--to-file", help="Write there instead of to standard output.")] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Write the ledger, or what matches, in a format that other software reads; progress goes to standard error."""
    asked = _asked(
        *(case, patient, clinic, actor, partner, role, kind, source, policy, outcome, about, purpose, address),
        *(since, until, happened_from, happened_to),
    )
    asyncio.run(write_export({**asked, "format": form.value}, file, data))


async def write_export(query: Mapping[str, str], file: Path | None, data: Path) -> None:
    """Write what matches to a file, or to standard output, with progress on standard error."""
    with _target(file) as target, _progress() as progress:
        task = progress.add_task("export", total=None)
        async with calls_as("auditor", data) as calls, calls.response("GET", "audit", "/ledger/export", query=query) as answer:
            lines = size = 0
            async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                target.write(chunk)
                lines, size = lines + chunk.count(b"\n"), size + len(chunk)
                progress.update(task, description=f"{lines:,} lines, {size / 1_000_000:,.1f} MB")


def _asked(*values: str | None) -> dict[str, str]:
    names = (
        *("case", "patient", "clinic", "actor", "partner", "role", "type", "source", "policy", "outcome"),
        *("about", "purpose", "address", "from", "to", "happened_from", "happened_to"),
    )
    return _given(**dict(zip(names, values, strict=True)))


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


async def _get(path: str, query: Mapping[str, str], data: Path) -> dict[str, Any]:
    async with calls_as("auditor", data) as calls:
        return await calls.get("audit", path, query)


@contextmanager
def _target(file: Path | None) -> Iterator[IO[bytes]]:
    if file is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with file.open("wb") as target:
            yield target


def _progress() -> Progress:
    """Return a progress display on standard error; it shows nothing where that is no terminal."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    shown = [column for column in columns if any(row.get(column) for row in rows) or column in ("index", "count")]
    table = Table(*shown, box=None, pad_edge=False)
    for row in rows:
        # As text: what the ledger says is no markup.
        table.add_row(*(Text(_cell(row.get(column))) for column in shown))
    # As wide as it is: squeezed into a screen's width, ids and times could not be read.
    Console(soft_wrap=True, width=WIDEST).print(table)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "" if value is None else str(value)
