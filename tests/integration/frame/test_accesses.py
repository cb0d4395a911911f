"""Who accessed what, recorded before the answer leaves. Expectations: reliability.md 4.5 (view, export, failed access, who, what, when,
from where; never what was read) and its row on completeness: the requests that a test counts itself and the records differ by nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient

from shared.access.record import Asking
from shared.events.access import LoginFailed
from shared.events.base import Envelope
from shared.events.codec import open_sealed, read_envelope
from shared.log.commit import Commit
from shared.service import access_stream
from shared.service.access_stream import Accessed
from tests import toy
from tests.integration.frame.served import CANARY, Client, Keys, client_of, settings_of, token


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def asked(mongo_url: str, kafka_bootstrap: str, keys: tuple[Keys, str]) -> AsyncIterator[Client]:
    """A service that nobody else asks."""
    async with client_of(settings_of(mongo_url, kafka_bootstrap, keys[1]), keys[0]) as made:
        yield made


async def told(client: Client) -> list[Envelope]:
    """Every access that was recorded, in order; each opens under the key of its stream."""
    commits = [Commit.from_document(document) async for document in client.runtime.access_store.collection.find().sort("_id")]
    commits.sort(key=lambda commit: (commit.at, commit.stream, commit.version))
    keys = await client.runtime.vault.keys({commit.stream for commit in commits})
    return [open_sealed(event, keys[commit.stream]).envelope for commit in commits for event in commit.events]


async def newest(client: Client, name: str) -> Envelope:
    found = [envelope for envelope in await told(client) if envelope.type == f"kapcare.access.{name}.v1"]
    return found[-1]


def count(envelopes: list[Envelope], name: str) -> int:
    return sum(each.access.times for each in envelopes if each.access is not None and each.type == f"kapcare.access.{name}.v1")


async def test_who_read_which_case_of_whom_from_where_and_what_for(asked: Client) -> None:
    case = await asked.case()
    before = await asked.get(f"/cases/{case}")
    assert before.status == 200
    envelope = await newest(asked, "RecordRead")
    assert (envelope.actor, sorted(envelope.roles)) == ("clinician-1", ["coordinator", "therapist"])
    assert (envelope.clinic, envelope.patient) == ("riverside", before.json()["patient"])
    assert envelope.source == "urn:kapcare:intake"
    assert envelope.policy_version == asked.runtime.policies.policy(asked.runtime.care_now()).version
    assert envelope.access is not None
    assert (envelope.access.about, envelope.access.route, envelope.access.status) == ((case,), "GET /cases/{case}", 200)
    assert (envelope.access.purpose, envelope.access.address, envelope.access.detail) == ("TREAT", "127.0.0.1", None)
    assert abs(envelope.time - asked.runtime.care_now()) < timedelta(seconds=5)
    assert before.headers["etag"] == (await asked.get(f"/cases/{case}")).headers["etag"], "reading changes no case"


async def test_each_request_that_shows_or_is_refused_leaves_exactly_one_record(asked: Client) -> None:
    """Counted here as they are sent, and compared with the store's records and with /metrics."""
    case = await asked.case()
    foreign = await asked.case("elsewhere")
    nobody, auditor = "Bearer nonsense", f"Bearer {token(asked.keys, roles=['auditor'], clinics=[])}"
    before = await told(asked)
    sent: list[tuple[str, Any]] = []
    for _ in range(7):
        sent += [
            ("RecordRead", asked.get(f"/cases/{case}")),
            ("RecordRead", asked.get("/cases")),
            ("RecordRead", asked.get("/alerts")),
            ("AccessRefused", asked.get(f"/cases/{foreign}")),
            ("AccessRefused", asked.get(f"/cases/case-{'0' * 32}")),
            ("AccessRefused", asked.post(f"/cases/{foreign}/facts", {"code": "one"})),
            ("AccessRefused", asked.get(f"/cases/{case}", authorization=auditor)),
            ("LoginFailed", asked.get(f"/cases/{case}", authorization=nobody)),
            ("LoginFailed", asked.get(f"/cases/{case}", authorization=None)),
            ("", asked.post(f"/cases/{case}/facts", {"code": "one"})),
            ("", asked.post(f"/cases/{case}/facts", {"wrong": CANARY})),
            ("", asked.post(f"/cases/{case}/refusals", {"code": "one"})),
            ("", asked.get(f"/cases?wrong={CANARY}")),
            ("", asked.get("/operations/progress", authorization=auditor)),
            ("", asked.get("/health/live", authorization=None)),
            ("", asked.get("/nowhere", authorization=None)),
        ]
    counters = await metrics(asked)
    await asyncio.gather(*(request for _, request in sent))
    await asyncio.sleep(access_stream.FAILURES_EVERY_SECONDS + 0.3)
    after = (await told(asked))[len(before) :]
    names = ("RecordRead", "AccessRefused", "LoginFailed")
    expected = {name: sum(1 for what, _ in sent if what == name) for name in names}
    assert {name: count(after, name) for name in names} == expected
    assert len(after) - sum(1 for each in after if "LoginFailed" in each.type) == expected["RecordRead"] + expected["AccessRefused"]
    grown = await metrics(asked)
    assert {name: grown[name] - counters.get(name, 0) for name in names} == expected
    assert CANARY not in repr(after)


async def metrics(client: Client) -> dict[str, int]:
    lines = (await client.get("/metrics", authorization=None)).body.decode().splitlines()
    counted = [line for line in lines if line.startswith("kapcare_accesses_total{")]
    return {line.partition('event="')[2].partition('"')[0]: int(float(line.rpartition(" ")[2])) for line in counted}


async def test_what_is_refused_names_whose_case_it_was(asked: Client) -> None:
    foreign = await asked.case("elsewhere")
    assert (await asked.get(f"/cases/{foreign}")).status == 404
    refused = await newest(asked, "AccessRefused")
    assert refused.access is not None
    assert (refused.clinic, refused.access.about, refused.access.status, refused.actor) == ("elsewhere", (foreign,), 404, "clinician-1")


async def test_many_failed_logins_of_one_address_are_one_record_with_their_number(asked: Client) -> None:
    before = count(await told(asked), "LoginFailed")
    records = len(await told(asked))
    answers = await asyncio.gather(*(asked.get("/cases", authorization="Bearer x") for _ in range(40)))
    assert {answer.status for answer in answers} == {401}

    async def all_counted() -> bool:
        return count(await told(asked), "LoginFailed") == before + 40

    await toy.eventually(all_counted)
    assert len(await told(asked)) - records <= 4
    failed = await newest(asked, "LoginFailed")
    assert (failed.actor, failed.patient, failed.roles) == ("nobody", "none", frozenset())


async def test_a_list_names_every_case_that_it_shows(asked: Client) -> None:
    cases = {await asked.case("lists") for _ in range(3)}

    async def listed() -> bool:
        answer = await asked.get("/cases?clinic=lists", authorization=f"Bearer {token(asked.keys, clinics=['lists'])}")
        return {row["case"] for row in answer.json()["cases"]} == cases

    await toy.eventually(listed)
    envelope = await newest(asked, "RecordRead")
    assert envelope.access is not None
    assert (set(envelope.access.about), envelope.clinic, envelope.access.detail) == (cases, "lists", "clinic=lists")


@asynccontextmanager
async def failing(client: Client, mongo_url: str) -> AsyncIterator[None]:
    """Accesses cannot be stored meanwhile."""
    name = client.runtime.access_store.collection.database.name
    mongo: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo_url) as mongo:
        fails = {"failCommands": ["insert"], "errorCode": 11602, "namespace": f"{name}.commits"}
        point = {"configureFailPoint": "failCommand", "data": fails}
        await mongo.admin.command({**point, "mode": "alwaysOn"})
        try:
            yield
        finally:
            await mongo.admin.command({**point, "mode": "off"})


async def test_what_cannot_be_recorded_is_not_shown(asked: Client, mongo_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.log.store.RESEND_SECONDS", 0.5)
    case = await asked.case()
    async with failing(asked, mongo_url):
        answer = await asked.get(f"/cases/{case}")
    assert (answer.status, answer.slug, answer.headers["retry-after"]) == (503, "store-unavailable", "1")
    assert case.encode() not in answer.body
    assert (await asked.get(f"/cases/{case}")).status == 200
    envelope = await newest(asked, "RecordRead")
    assert envelope.access is not None
    assert envelope.access.about == (case,)


async def test_a_process_tells_of_its_start_and_its_settings_and_a_stream_is_contiguous(asked: Client) -> None:
    streams: dict[str, list[Envelope]] = {}
    for envelope in await told(asked):
        streams.setdefault(envelope.subject, []).append(envelope)
    for told_by_one in streams.values():
        assert [each.sequence for each in told_by_one] == list(range(1, len(told_by_one) + 1))
        first = told_by_one[0]
        assert first.type == "kapcare.access.InstanceStarted.v1"
        assert first.access is not None
        assert first.access.detail is not None
        assert first.access.detail.startswith("settings-")


async def test_an_operator_s_act_tells_to_what_and_its_reason_is_sealed(asked: Client) -> None:
    admin = f"Bearer {token(asked.keys, roles=['admin'])}"
    row = {"lane": "y|case-y", "source": "y", "stream": "case-y", "sequence": 1, "state": "parked", "type": "t", "reason": "r"}
    await asked.runtime.database["parked"].insert_one({"_id": "y/9.0", **row, "attempts": 1, "seen_at": toy.now(), "data": b"sealed"})
    done = await asked.post("/operations/parked/y/9.0/discard", {"reason": CANARY}, authorization=admin)
    assert done.status == 200
    envelope = await newest(asked, "OperationAsked")
    assert envelope.access is not None
    assert (envelope.access.detail, envelope.access.purpose, envelope.actor) == ("y/9.0", "HSYSADMIN", "clinician-1")
    documents = await asked.runtime.access_store.collection.find().to_list()
    assert CANARY not in repr(documents)
    assert read_envelope(documents[-1]["events"][-1]["headers"]) == envelope


async def test_an_operator_s_act_that_cannot_be_recorded_is_not_done(
    asked: Client, mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.log.store.RESEND_SECONDS", 0.5)
    admin = f"Bearer {token(asked.keys, roles=['admin'])}"
    row = {"lane": "y|case-y", "source": "y", "stream": "case-y", "sequence": 1, "state": "parked", "type": "t", "reason": "r"}
    await asked.runtime.database["parked"].insert_one({"_id": "y/8.0", **row, "attempts": 1, "seen_at": toy.now(), "data": b"sealed"})
    async with failing(asked, mongo_url):
        answer = await asked.post("/operations/parked/y/8.0/discard", {"reason": "a test"}, authorization=admin)
    assert answer.status == 503
    stored = await asked.runtime.database["parked"].find_one({"_id": "y/8.0"})
    assert stored is not None
    assert stored["state"] == "parked"


async def test_of_a_query_only_what_the_route_knows_is_recorded(asked: Client) -> None:
    case = await asked.case()
    assert (await asked.get(f"/cases/{case}?access_token={CANARY}&patient=John+Smith")).status == 200
    envelope = await newest(asked, "RecordRead")
    assert envelope.access is not None
    assert envelope.access.detail is None
    assert (await asked.get("/cases?clinic=John+Smith&after=case-0")).status == 200
    envelope = await newest(asked, "RecordRead")
    assert envelope.access is not None
    assert envelope.access.detail == "clinic=%3F&after=case-0"


async def test_a_role_that_may_not_is_recorded_with_the_case_it_asked_for(asked: Client) -> None:
    case = await asked.case()
    admin = f"Bearer {token(asked.keys, roles=['admin'])}"
    assert (await asked.get(f"/cases/{case}", authorization=admin)).status == 403
    envelope = await newest(asked, "AccessRefused")
    assert envelope.access is not None
    assert (envelope.access.about, envelope.access.status) == ((case,), 403)


async def test_more_than_fits_one_commit_is_several_in_one_stream(asked: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(access_stream, "EVENTS_AT_MOST", 3)
    case = await asked.case()
    before = await told(asked)
    await asyncio.gather(*(asked.get(f"/cases/{case}") for _ in range(20)))
    after = (await told(asked))[len(before) :]
    assert count(after, "RecordRead") == 20
    commits = await asked.runtime.access_store.collection.find({"_id": {"$in": sorted({each.correlation for each in after})}}).to_list()
    assert max(len(commit["events"]) for commit in commits) <= 3


async def test_many_failures_at_once_are_few_commits(asked: Client) -> None:
    """Of a hundred routes: one event each, and not a commit each."""
    commits = await asked.runtime.access_store.collection.count_documents({})
    before = count(await told(asked), "LoginFailed")
    for number in range(60):
        asked.runtime.accesses.count(Accessed(LoginFailed(), Asking(), f"GET /{number}", 401, f"2001:db8::{number:x}"))

    async def all_counted() -> bool:
        return count(await told(asked), "LoginFailed") == before + 60

    await toy.eventually(all_counted)
    assert await asked.runtime.access_store.collection.count_documents({}) - commits <= 6
    envelope = await newest(asked, "LoginFailed")
    assert envelope.access is not None
    assert envelope.access.address == "2001:db8::/64"


async def test_a_page_that_shows_more_than_fits_is_several_records(asked: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(access_stream, "ABOUT_AT_MOST", 2)
    cases = {await asked.case("pages") for _ in range(5)}
    authorization = f"Bearer {token(asked.keys, clinics=['pages'])}"

    async def listed() -> bool:
        return len((await asked.get("/cases?clinic=pages", authorization=authorization)).json()["cases"]) == 5

    await toy.eventually(listed)
    records = [each for each in await told(asked) if each.access is not None and each.clinic == "pages"][-3:]
    assert [len(each.access.about) for each in records if each.access is not None] == [2, 2, 1]
    assert {case for each in records if each.access is not None for case in each.access.about} == cases
