"""What auditors ask, over HTTP, of a real service on a real mongod. The expected answers are picked from the recorded envelopes by hand."""

import asyncio
import csv
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio
from fhir.resources.R4B.auditevent import AuditEvent
from typer.testing import CliRunner

from deploy.cli import audit_questions
from deploy.cli.__main__ import app
from deploy.cli.service_calls import ServiceCalls
from services.audit.domain.query import read_page
from services.audit.reading import Reader
from shared.events.base import Envelope
from tests.integration.audited import Audited, accesses, audited, small_network

COUNT = 1500
REFUSED = ("StepRefused", "DecisionRefused", "MessageQuarantined", "AccessRefused", "LoginFailed")

Holds = Callable[[Envelope], bool]


def of(slug: str) -> Holds:
    """What an organisation did, what its stream holds, and what it was told or read."""
    acted = (f"partner:{slug}/", f"{slug}.main")
    return lambda e: e.actor == f"partner:{slug}" or e.actor.startswith(acted) or slug in (e.subject.removeprefix("partner-"), e.recipient)


def between(first: str, last: str) -> Holds:
    begin, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
    return lambda e: begin <= e.time < end


def happened(first: str, last: str) -> Holds:
    begin, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
    return lambda e: begin <= (e.happened or e.time) < end


def or_none(values: Iterable[str]) -> list[str | None]:
    """Where an entry has no such value, it is counted under none."""
    return [*values] or [None]


def both(*all_of: Holds) -> Holds:
    return lambda e: all(holds(e) for holds in all_of)


CASE = f"case-{2:032x}"
FORMULA = quote("=cmd|'/c calc'", safe="")
QUESTIONS: dict[str, Holds] = {
    "": lambda e: True,
    f"case={CASE}": lambda e: e.subject == CASE,
    "case=partner-oak": lambda e: e.subject == "partner-oak",
    "patient=patient-3": lambda e: "patient-3" in e.patient.split(","),
    "clinic=northgate": lambda e: "northgate" in e.clinic.split(","),
    f"about={CASE}": lambda e: e.access is not None and CASE in e.access.about,
    "purpose=ETREAT": lambda e: e.access is not None and e.access.purpose == "ETREAT",
    "address=2001:db8::1": lambda e: e.access is not None and e.access.address == "2001:db8::1",
    "type=kapcare.access.*": lambda e: e.access is not None,
    "type=kapcare.access.RecordRead.v1&patient=patient-3": lambda e: "RecordRead" in e.type and "patient-3" in e.patient.split(","),
    f"about={CASE}&type=kapcare.access.AccessRefused.v1&outcome=refused": lambda e: (
        e.access is not None and CASE in e.access.about and "AccessRefused" in e.type
    ),
    "source=audit": lambda e: e.source == "urn:kapcare:audit",
    "actor=nurse-1": lambda e: e.actor == "nurse-1",
    "actor=partner:oak/dr-7": lambda e: e.actor == "partner:oak/dr-7",
    f"actor={FORMULA}": lambda e: e.actor.startswith("=cmd"),
    "partner=oak": of("oak"),
    "partner=oak.west": of("oak.west"),
    "role=coordinator": lambda e: "coordinator" in e.roles,
    "type=kapcare.session.SessionDosed.v1": lambda e: e.type == "kapcare.session.SessionDosed.v1",
    "type=kapcare.session.*": lambda e: e.type.startswith("kapcare.session."),
    "type=kapcare.*.StepRefused.v1,kapcare.integration.GoalSet.v1": lambda e: "StepRefused" in e.type or "GoalSet" in e.type,
    "source=prescriber": lambda e: e.source == "urn:kapcare:prescriber",
    "policy=network-2": lambda e: e.policy_version == "network-2",
    "outcome=refused": lambda e: e.type.split(".")[2] in REFUSED,
    "outcome=done": lambda e: e.type.split(".")[2] not in REFUSED,
    "from=2026-03-03T00:00:00Z&to=2026-03-04T12:00:00Z": between("2026-03-03T00:00:00Z", "2026-03-04T12:00:00Z"),
    "from=2026-03-07T00:00:00Z": between("2026-03-07T00:00:00Z", "2099-01-01T00:00:00Z"),
    "to=2026-03-02T00:00:00Z": between("1999-01-01T00:00:00Z", "2026-03-02T00:00:00Z"),
    "from=2031-01-01T00:00:00Z": lambda e: False,
    "to=2025-01-01T00:00:00Z": lambda e: False,
    "happened_from=2026-03-03T00:00:00Z&happened_to=2026-03-03T05:00:00Z": happened("2026-03-03T00:00:00Z", "2026-03-03T05:00:00Z"),
    "happened_from=2026-03-07T00:00:00Z": happened("2026-03-07T00:00:00Z", "2099-01-01T00:00:00Z"),
    "happened_to=2026-03-01T07:00:00Z": happened("1999-01-01T00:00:00Z", "2026-03-01T07:00:00Z"),
    "happened_from=2031-01-01T00:00:00Z": lambda e: False,
    "clinic=harbor&from=2026-03-03T00:00:00Z&happened_to=2026-03-03T00:00:00Z": both(
        lambda e: "harbor" in e.clinic.split(","),
        between("2026-03-03T00:00:00Z", "2099-01-01T00:00:00Z"),
        happened("1999-01-01T00:00:00Z", "2026-03-03T00:00:00Z"),
    ),
    f"case={CASE}&from=2026-03-02T00:00:00Z&to=2026-03-03T00:00:00Z": both(
        lambda e: e.subject == CASE, between("2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z")
    ),
    "outcome=refused&policy=network-3": lambda e: e.type.split(".")[2] in REFUSED and e.policy_version == "network-3",
    "outcome=refused&type=kapcare.session.*": lambda e: e.type == "kapcare.session.StepRefused.v1",
    "outcome=done&type=kapcare.session.StepRefused.v1": lambda e: False,
    "partner=oak&outcome=refused": both(of("oak"), lambda e: e.type.split(".")[2] in REFUSED),
    "clinic=harbor&role=therapist&type=kapcare.session.*&source=session": lambda e: (
        e.clinic == "harbor" and "therapist" in e.roles and e.source == "urn:kapcare:session"
    ),
    "actor=nurse-2&clinic=riverside&from=2026-03-01T12:00:00Z": both(
        lambda e: e.actor == "nurse-2" and e.clinic == "riverside", between("2026-03-01T12:00:00Z", "2099-01-01T00:00:00Z")
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def auditor(mongo_url: str, kafka_bootstrap: str) -> AsyncIterator[Audited]:
    async with audited(mongo_url, kafka_bootstrap, [*small_network(COUNT), *accesses(200)]) as found:
        yield found


def expected(auditor: Audited, holds: Holds) -> list[int]:
    return [index for index, envelope in enumerate(auditor.recorded) if holds(envelope)]


async def paged(auditor: Audited, question: str, limit: int) -> list[int]:
    """Every index of an answer, page by page."""
    found: list[int] = []
    cursor = ""
    while True:
        page = await auditor.get(f"/ledger/events?{question}&limit={limit}{cursor}".replace("?&", "?"))
        found.extend(event["index"] for event in page["events"])
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_filter_finds_what_was_recorded(auditor: Audited, question: str) -> None:
    wanted = expected(auditor, QUESTIONS[question])
    assert await paged(auditor, question, 97) == wanted
    assert await paged(auditor, f"{question}&order=newest", 101) == wanted[::-1]


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_filter_reads_indexes_alone(auditor: Audited, question: str) -> None:
    """MongoDB's own explanation of each read: no COLLSCAN, and no sorting in memory but of the few that are marked as apart, which are
    found by when they happened."""
    asked = [tuple(pair.split("=", 1)) for pair in question.replace(FORMULA, "x").split("&") if pair]
    query, _ = read_page(asked)  # type: ignore[arg-type]
    for edge in ({}, {"$gt": 700}):
        for span in await Reader(auditor.entries)._spans(query, edge):
            plan = await auditor.entries.find(span).sort([("_id", 1)]).limit(100).explain()
            winning = stages(plan["queryPlanner"]["winningPlan"])
            assert "COLLSCAN" not in winning
            assert "SORT" not in winning or "apart" in span
            assert winning & {"IXSCAN", "EOF", "IDHACK", "CLUSTERED_IXSCAN", "EXPRESS_IXSCAN"}


async def test_what_would_be_a_collection_scan_is_seen_as_one(auditor: Audited) -> None:
    plan = await auditor.entries.find({"leaf": b"x"}).explain()
    assert "COLLSCAN" in stages(plan["queryPlanner"]["winningPlan"])


def stages(plan: Any) -> set[str]:
    if isinstance(plan, list):
        return set().union(*map(stages, plan)) if plan else set()
    if not isinstance(plan, dict):
        return set()
    own = {plan["stage"]} if "stage" in plan else set()
    return own.union(*(stages(value) for value in plan.values()))


@pytest.mark.parametrize(
    ("by", "value_of"),
    [
        ("type", lambda e: [e.type]),
        ("clinic", lambda e: e.clinic.split(",")),
        ("actor", lambda e: [e.actor]),
        ("role", lambda e: or_none(e.roles)),
        ("day", lambda e: [e.time.astimezone(UTC).date().isoformat()]),
        ("happened_day", lambda e: [(e.happened or e.time).astimezone(UTC).date().isoformat()]),
        ("policy", lambda e: [e.policy_version]),
        ("source", lambda e: [e.source]),
        ("outcome", lambda e: ["refused" if e.type.split(".")[2] in REFUSED else "done"]),
        ("partner", lambda e: or_none(slug for slug in ("oak", "oak.west") if of(slug)(e))),
        ("case", lambda e: [e.subject]),
        ("purpose", lambda e: [None if e.access is None else e.access.purpose]),
        ("about", lambda e: or_none(() if e.access is None else e.access.about)),
        ("patient", lambda e: e.patient.split(",")),
    ],
)
async def test_counts(auditor: Audited, by: str, value_of: Callable[[Envelope], list[str | None]]) -> None:
    questions: dict[str, Holds] = {
        "": lambda e: True,
        "&clinic=harbor&outcome=refused": lambda e: "harbor" in e.clinic.split(",") and e.type.split(".")[2] in REFUSED,
        "&from=2026-03-02T00:00:00Z&to=2026-03-03T00:00:00Z": between("2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"),
    }
    for question, holds in questions.items():
        answer = await auditor.get(f"/ledger/counts?by={by}{question}")
        counted = Counter(value for e in auditor.recorded if holds(e) for value in value_of(e))
        assert {row["value"]: row["count"] for row in answer["counts"]} == counted
        numbers = [row["value"] if by.endswith("day") else -row["count"] for row in answer["counts"]]
        assert numbers == sorted(numbers)
        assert not answer["more"]


async def test_a_page_shows_the_clear_envelope(auditor: Audited) -> None:
    (event,) = (await auditor.get("/ledger/events?cursor=30&limit=1"))["events"]
    recorded = auditor.recorded[31]
    assert event.pop("leaf") == bytes((await auditor.entries.find_one({"_id": 31}))["leaf"]).hex()
    assert event == {
        "index": 31,
        "id": recorded.id,
        "source": recorded.source,
        "type": recorded.type,
        "case": recorded.subject,
        "sequence": recorded.sequence,
        "time": recorded.time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "happened": (recorded.happened or recorded.time).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "clinic": recorded.clinic,
        "patient": recorded.patient,
        "actor": recorded.actor,
        "roles": sorted(recorded.roles),
        "policy": recorded.policy_version,
        "outcome": "refused" if recorded.type.split(".")[2] in REFUSED else "done",
        "correlation": "c",
        "causation": recorded.causation,
    }


@pytest.mark.parametrize(
    "path",
    [
        "/ledger/events?limit=0",
        "/ledger/events?limit=1000000000",
        "/ledger/events?cursor=forged",
        "/ledger/events?actor[$ne]=x",
        "/ledger/events?from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z",
        "/ledger/events?case=a&case=b",
        "/ledger/export?format=xlsx",
        "/ledger/export?limit=5",
        "/ledger/counts",
        "/ledger/counts?by=$type",
        "/ledger/known",
        "/ledger/known?decision=%24ne",
    ],
)
async def test_what_cannot_be_asked_is_422_and_echoes_nothing(auditor: Audited, path: str) -> None:
    status, media_type, body = await auditor.raw(path)
    assert (status, media_type) == (422, "application/problem+json")
    assert not any(sent in body for sent in (b"forged", b"$ne", b"xlsx", b"1000000000"))


@pytest.mark.parametrize("path", ["/ledger/events", "/ledger/counts?by=day", "/ledger/known?decision=a.0", "/ledger/export?format=csv"])
async def test_only_auditors_ask(auditor: Audited, path: str) -> None:
    assert (await auditor.raw(path, role=None))[0] == 401
    assert (await auditor.raw(path, role="admin"))[0] == 403


async def test_an_export_as_csv(auditor: Audited) -> None:
    status, media_type, body = await auditor.raw(f"/ledger/export?format=csv&actor={FORMULA}")
    assert (status, media_type) == (200, "text/csv")
    rows = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    assert [int(row["index"]) for row in rows] == expected(auditor, lambda e: e.actor.startswith("=cmd"))
    assert {row["actor"] for row in rows} == {"'=cmd|'/c calc'"}


async def test_an_export_as_audit_events(auditor: Audited) -> None:
    status, media_type, body = await auditor.raw("/ledger/export?format=fhir&outcome=refused&clinic=harbor")
    assert (status, media_type) == (200, "application/fhir+ndjson")
    events = [json.loads(line) for line in body.splitlines()]
    wanted = expected(auditor, lambda e: "harbor" in e.clinic.split(",") and e.type.split(".")[2] in REFUSED)
    assert [int(event["entity"][-1]["detail"][0]["valueString"]) for event in events] == wanted
    for event in events:
        AuditEvent.model_validate(event)


async def test_an_export_of_everything_has_everything(auditor: Audited) -> None:
    _, _, body = await auditor.raw("/ledger/export?format=csv")
    assert body.count(b"\r\n") == len(auditor.recorded) + 1


async def test_what_was_known(auditor: Audited) -> None:
    """Worked out anew here: own events by sequence, others by the causes named up to the decision, and their lanes up to these."""
    number = next(n for n in range(900, COUNT) if auditor.recorded[n].subject == CASE and auditor.recorded[n].causation)
    decision = auditor.recorded[number]
    case = [e for e in auditor.recorded if e.subject == CASE]
    own = [e for e in case if e.source == decision.source]
    causes = {e.causation for e in own if e.sequence <= decision.sequence}
    reached = Counter[str]()
    for e in case:
        if e.source != decision.source and e.id in causes:
            reached[e.source] = max(reached[e.source], e.sequence)
    answer = await auditor.get(f"/ledger/known?decision={decision.id}")
    assert {e["basis"] for e in answer["known"]} == {"own", "reacted", "delivered"}
    assert {e["id"] for e in answer["known"] if e["basis"] == "own"} == {e.id for e in own if e.sequence < decision.sequence}
    assert {e["id"] for e in answer["known"] if e["basis"] != "own"} == {
        e.id for e in case if e.source != decision.source and e.sequence <= reached[e.source]
    }
    assert [e["id"] for e in answer["commit"]] == [decision.id]
    assert answer["decision"]["index"] == number


@pytest_asyncio.fixture(loop_scope="session")
async def kap(auditor: Audited, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[str]]:
    """`kap audit` against this service; returns what it prints."""

    class Stack:
        def url(self, _service: str) -> str:
            return auditor.url

    @asynccontextmanager
    async def calls_as(role: str, _data: Path) -> AsyncIterator[ServiceCalls]:
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {auditor.issuer.mint('a', [role])}"}) as session:
            yield ServiceCalls(Stack(), session)  # type: ignore[arg-type]

    monkeypatch.setattr(audit_questions, "calls_as", calls_as)

    async def run(*words: str) -> str:
        result = await asyncio.to_thread(CliRunner().invoke, app, ["audit", *words])
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


async def test_the_command_lists_counts_and_shows_what_was_known(auditor: Audited, kap: Callable[..., Awaitable[str]]) -> None:
    listed = await kap("events", "--partner", "oak", "--outcome", "refused", "--order", "newest", "--limit", "2")
    wanted = expected(auditor, QUESTIONS["partner=oak&outcome=refused"])
    assert [line.split()[0] for line in listed.splitlines()[1:3]] == [str(index) for index in wanted[:-3:-1]]
    assert listed.splitlines()[-1] == f"more: --cursor {wanted[-2]}"
    counted = await kap("count", "--by", "clinic", "--role", "coordinator")
    clinics = Counter(e.clinic for e in auditor.recorded if "coordinator" in e.roles)
    assert [line.split() for line in counted.splitlines()[1:]] == [
        [clinic, str(count)] for clinic, count in sorted(clinics.items(), key=lambda row: (-row[1], row[0]))
    ]
    shown = await kap("known", auditor.recorded[1400].id)
    assert auditor.recorded[1400].type in shown.splitlines()[0]
    assert " own" in shown


@pytest.mark.parametrize("form", ["csv", "fhir", "ndjson"])
async def test_the_command_exports(auditor: Audited, kap: Callable[..., Awaitable[str]], tmp_path: Path, form: str) -> None:
    target = tmp_path / "export"
    assert await kap("export", "--format", form, "--case", CASE, "--to-file", str(target)) == ""
    _, _, body = await auditor.raw(f"/ledger/export?format={form}&case={CASE}")
    assert target.read_bytes() == body
    assert len(body.splitlines()) >= len(expected(auditor, QUESTIONS[f"case={CASE}"]))


async def test_an_event_that_is_not_there(auditor: Audited) -> None:
    status, _, body = await auditor.raw("/ledger/known?decision=ffff.0")
    assert (status, json.loads(body)["type"]) == (404, "urn:kapcare:problem:no-such-event")
