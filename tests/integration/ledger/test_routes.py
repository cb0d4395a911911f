"""The ledger over HTTP: files of the log and proofs, for whom they are, and what is refused (bad input B31)."""

import asyncio
import base64
import json
import re
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import ValidationError
from pymongo import AsyncMongoClient

from deploy.bench.ledger_log import BEGIN, Log, write
from services.audit import kap_verify, signing
from services.audit.app import build
from services.audit.domain.proofs import verify_consistency, verify_inclusion
from services.audit.ledger import AnotherFormat
from shared.events.codec import time_text
from shared.settings import SettingWrong
from tests import toy
from tests.integration.frame.served import token
from tests.integration.ledger.kept import KEY, arrival, arrivals
from tests.integration.ledger.served import SEED, Auditor, auditing, issuing, running

SIZE = 600


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def auditor(mongo_url: str, kafka_bootstrap: str) -> AsyncIterator[Auditor]:
    """The service with so many entries, signed."""
    async with auditing(mongo_url, kafka_bootstrap) as made:
        await made.kept.append(arrivals(SIZE))
        await made.kept.signed(SIZE)
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def log(auditor: Auditor) -> Log:
    """What must be served, made anew from the entries."""
    return await auditor.kept.log()


async def test_the_files_are_those_of_the_entries_and_verify_offline(auditor: Auditor, log: Log, tmp_path: Path) -> None:
    found = await auditor.served_files(SIZE)
    assert found == log.files(SIZE)
    write(found, tmp_path)
    verifier = tmp_path / "kap_verify.py"
    verifier.write_bytes((await auditor.get("/ledger/kap_verify.py", bearer=None)).body)
    command = [sys.executable, "-I", str(verifier), "tiles", str(tmp_path), "--key", str(KEY.public), "--json"]
    run = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    told = json.loads((await run.communicate())[0])
    assert (told["verdict"], told["size"]) == ("holds", SIZE)


async def test_the_checkpoint_is_for_everyone_and_the_rest_for_auditors(auditor: Auditor) -> None:
    answer = await auditor.get("/ledger/tlog/checkpoint", bearer=None)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert answer.headers["cache-control"] == "no-cache"
    paths = [
        *(
            "/ledger/tlog/tile/0/000",
            "/ledger/tlog/tile/entries/000",
            "/ledger/proofs/inclusion?index=1",
            "/ledger/proofs/consistency?from=1",
        ),
        *("/ledger/export", "/ledger/events", "/ledger/root", "/ledger/verification"),
    ]
    for path in paths:
        assert (await auditor.get(path, bearer=None)).status == 401, path
        assert (await auditor.get(path, roles=["admin", "coordinator", "medical_director"])).slug == "role-may-not", path


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/002.p/88", "tile/entries/001", "tile/0/001.p/3", "tile/1/000.p/2"])
async def test_a_file_never_changes_so_it_may_be_kept_for_ever(auditor: Auditor, path: str) -> None:
    answer = await auditor.get(f"/ledger/tlog/{path}")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/octet-stream")
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"


@pytest.mark.parametrize(
    "path",
    [
        *("tile/0/002", "tile/0/002.p/89", "tile/0/003.p/1", "tile/1/000", "tile/1/000.p/3", "tile/2/000.p/1", "tile/entries/002"),
        *("tile/entries/002.p/89", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/05", "tile/0/0", "tile/00/000", "tile/64/000"),
        *("tile/0/x000/000", "tile/0/x001", "tile/-1/000", "tile/0/000/", "tile/entries", "tile", "checkpoint/", "tile/0/..%2f0/000"),
        *("tile/0/%30%30%30.p/%D9%A3", "tile/0/x999/x999/x999/x999/x999/x999/999", "entries/000", "tile/0/000%00"),
    ],
)
async def test_a_file_that_the_tree_does_not_have_is_not_there(auditor: Auditor, path: str) -> None:
    answer = await auditor.get(f"/ledger/tlog/{path}")
    assert (answer.status, answer.slug) == (404, "no-such-tile")
    assert "D9" not in answer.body.decode()


async def test_proofs_of_inclusion_hold(auditor: Auditor, log: Log) -> None:
    for index, size in ((0, 1), (0, SIZE), (255, 256), (255, 257), (511, 512), (599, 600), (300, 301)):
        answer = (await auditor.get(f"/ledger/proofs/inclusion?index={index}&size={size}")).json()
        proof = [base64.b64decode(one) for one in answer.pop("proof")]
        assert answer == {"index": index, "size": size}
        verify_inclusion(log.leaves[index], index, size, proof, log.edge(size)[0].tree.root)
    assert (await auditor.get("/ledger/proofs/inclusion?index=5")).json()["size"] == SIZE


async def test_proofs_of_consistency_hold(auditor: Auditor, log: Log) -> None:
    for old, new in ((1, 2), (1, SIZE), (256, 257), (256, 512), (300, 599), (SIZE, SIZE)):
        answer = (await auditor.get(f"/ledger/proofs/consistency?from={old}&to={new}")).json()
        proof = [base64.b64decode(one) for one in answer.pop("proof")]
        assert answer == {"from": old, "to": new}
        verify_consistency(old, new, proof, log.edge(old)[0].tree.root, log.edge(new)[0].tree.root)


@pytest.mark.parametrize(
    ("path", "slug"),
    [
        ("proofs/inclusion", "parameter"),
        ("proofs/inclusion?index=600&size=600", "parameter"),
        ("proofs/inclusion?index=1&size=601", "parameter"),
        ("proofs/inclusion?index=-1", "parameter"),
        ("proofs/inclusion?index=0&size=0", "parameter"),
        ("proofs/inclusion?index=1&index=2", "unknown-parameter"),
        ("proofs/inclusion?index=1&of=2", "unknown-parameter"),
        ("proofs/inclusion?index=٣", "parameter"),
        ("proofs/inclusion?index=1e2", "parameter"),
        ("proofs/inclusion?index=9999999999999", "parameter"),
        ("proofs/consistency?from=0&to=5", "parameter"),
        ("proofs/consistency?from=6&to=5", "parameter"),
        ("proofs/consistency?from=1&to=601", "parameter"),
        ("tlog/checkpoint?cosigned=maybe", "parameter"),
        ("tlog/checkpoint?size=3", "unknown-parameter"),
        ("events?from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z", "parameter"),
        ("events?limit=0", "parameter"),
        ("events?limit=-5", "parameter"),
        ("events?cursor=eyJpZCI6IDF9", "parameter"),
        ("events?case=.*", "parameter"),
        ("events?case[$ne]=x", "unknown-parameter"),
        ("events?clinic=(a%2B)%2B$", "parameter"),
        ("events?from=yesterday", "parameter"),
        ("events?from=2026-03-01T00:00:00", "parameter"),
        ("export?limit=5", "unknown-parameter"),
        ("export?patient=%24gt", "parameter"),
    ],
)
async def test_a_question_that_is_none_is_refused_without_an_echo(auditor: Auditor, path: str, slug: str) -> None:
    answer = await auditor.get(f"/ledger/{path}")
    assert (answer.status, answer.slug) == (422, slug)
    for word in ("eyJpZCI6IDF9", "yesterday", "$ne", "$gt", "maybe", "(a"):
        assert word not in answer.body.decode()


async def test_a_page_is_capped_and_its_cursor_goes_on(auditor: Auditor) -> None:
    first = (await auditor.get("/ledger/events?limit=500")).json()
    assert (len(first["events"]), first["next"], first["size"]) == (500, 499, SIZE)
    rest = (await auditor.get(f"/ledger/events?limit=500&cursor={first['next']}")).json()
    assert [event["index"] for event in first["events"] + rest["events"]] == list(range(SIZE))
    assert rest["next"] is None


async def test_events_are_found_by_time_and_clinic(auditor: Auditor) -> None:
    since, until = BEGIN + timedelta(seconds=100), BEGIN + timedelta(seconds=200)
    query = f"from={time_text(since)}&to={time_text(until)}&clinic=seaside".replace(":", "%3A")
    found = (await auditor.get(f"/ledger/events?{query}&limit=500")).json()["events"]
    everything = (await auditor.get("/ledger/events?limit=500")).json()["events"]
    wanted = [one for one in everything if one["clinic"] == "seaside" and time_text(since) <= one["time"] < time_text(until)]
    assert found == wanted
    assert len(wanted) > 5


def lines_of(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in body.splitlines()]


async def test_an_export_is_that_of_the_entries_word_for_word(auditor: Auditor, log: Log, tmp_path: Path) -> None:
    case = (await auditor.get("/ledger/events?limit=1")).json()["events"][0]["case"]
    for query in ({"case": case}, {"clinic": "seaside"}, {"case": case, "clinic": "seaside"}, {}):

        def matches(headers: Mapping[str, str], query: dict[str, str] = query) -> bool:
            names = {"case": "ce_subject", "clinic": "ce_clinic"}
            return all(headers[names[name]] == value for name, value in query.items())

        path = "/ledger/export?" + "&".join(f"{name}={value}" for name, value in query.items())
        answer = await auditor.get(path)
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert lines_of(answer.body) == lines_of(log.export(query, SIZE, matches))
        file = tmp_path / "export"
        file.write_bytes(answer.body)
        assert kap_verify.main(["export", str(file), "--key", str(KEY.public)]) == 0


async def test_an_export_of_a_range_of_time_verifies_and_nothing_is_left_out(auditor: Auditor, log: Log, tmp_path: Path) -> None:
    write(log.files(SIZE), tmp_path / "log")
    query = f"from={time_text(BEGIN + timedelta(seconds=50))}&to={time_text(BEGIN + timedelta(seconds=90))}".replace(":", "%3A")
    (tmp_path / "export").write_bytes((await auditor.get(f"/ledger/export?{query}")).body)
    given = ["export", str(tmp_path / "export"), "--key", str(KEY.public), "--tiles", str(tmp_path / "log")]
    assert kap_verify.main(given) == 0


async def test_an_export_is_against_one_checkpoint_while_the_ledger_grows(mongo_url: str, kafka_bootstrap: str, tmp_path: Path) -> None:
    """Entries that come while it is read are not in it; each proof leads to the root in the first line."""
    async with auditing(mongo_url, kafka_bootstrap) as auditor:
        events = arrivals(1500)
        await auditor.kept.append(events[:1000])
        await auditor.kept.signed(1000)
        headers = {"Authorization": f"Bearer {token(auditor.keys, roles=['auditor'])}"}
        async with auditor.session.get(f"{auditor.base}/ledger/export", headers=headers) as answer:
            begun = await answer.content.readline()
            await auditor.kept.append(events[1000:])
            await auditor.kept.signed(1500)
            body = begun + await answer.read()
        found = lines_of(body)
        assert [line["index"] for line in found[1:]] == list(range(1000))
        (tmp_path / "export").write_bytes(body)
        assert kap_verify.main(["export", str(tmp_path / "export"), "--key", str(KEY.public)]) == 0


async def test_before_anything_is_signed_there_is_no_checkpoint(mongo_url: str, kafka_bootstrap: str) -> None:
    async with auditing(mongo_url, kafka_bootstrap) as auditor:
        for path in ("tlog/checkpoint", "tlog/tile/0/000.p/1", "root", "export", "proofs/inclusion?index=0"):
            assert (await auditor.get(f"/ledger/{path}")).slug == "no-checkpoint", path
        await auditor.kept.append([arrival(1)])
        await auditor.kept.signed(1)
        assert (await auditor.get("/ledger/tlog/checkpoint?cosigned=true")).slug == "no-checkpoint"
        assert (await auditor.get("/ledger/root")).json() == {"size": 1, "root": (await auditor.kept.log()).leaves[0].hex()}


async def test_an_inconsistent_ledger_is_unready_and_serves_and_takes_events_on(
    mongo_url: str, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "LOOK_AGAIN_SECONDS", 0.2)
    async with issuing(mongo_url, kafka_bootstrap) as (settings, keys):
        async with running(settings, keys) as auditor:
            await auditor.kept.append(arrivals(300))
            await auditor.kept.signed(300)
            await auditor.kept.database["entries"].update_one({"_id": 270}, {"$set": {"entry": b"other"}})
        async with running(settings, keys) as auditor:
            await toy.eventually(lambda: is_unready(auditor))
            metrics = (await auditor.get("/metrics", bearer=None)).body
            assert b'kapcare_ledger_refused{service="audit"} 1.0' in metrics
            await auditor.kept.append([arrival(1)])
            assert (await auditor.get("/ledger/events?limit=1")).json()["size"] == 301
            shown = (await auditor.get("/ledger/events?limit=1&cursor=269")).json()["events"][0]
            assert shown["index"] == 270
            assert (await auditor.get("/ledger/verification")).json()["first_bad"] == 270


async def test_a_ledger_of_before_this_format_ends_the_start_with_a_line_that_says_what_to_do(
    mongo_url: str, kafka_bootstrap: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = toy.settings_for(mongo_url, kafka_bootstrap, toy.unique(), ledger_signing_key=SEED)
    async with AsyncMongoClient[dict[str, Any]](mongo_url, w="majority", journal=True) as client:
        await client[f"{settings.database_prefix}_audit"]["entries"].insert_one({"_id": 0, "headers": {}, "data": b""})
    app = build(settings)
    with pytest.raises(AnotherFormat):
        async with app.router.lifespan_context(app):
            pass
    said = [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]
    assert [line for line in said if "drop the audit database" in line and "replay --topic-refill" in line]


def witnessed_by(vkey: str) -> dict[str, str]:
    return {"ledger_signing_key": SEED, "ledger_witnesses": f"https://w.example {vkey}"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "KAPCARE_LEDGER_SIGNING_KEY: the ledger needs it"),
        (
            {"ledger_signing_key": SEED, "ledger_witnesses": f"https://w.example {KEY.public}"},
            "KAPCARE_LEDGER_WITNESSES: this is the key of a log",
        ),
        (
            {"ledger_signing_key": SEED, "ledger_witnesses": "https://w.example w.example+00000000+AAAA"},
            "KAPCARE_LEDGER_WITNESSES: not the key",
        ),
    ],
)
def test_settings_that_only_the_ledger_needs_are_named(changes: dict[str, str], words: str) -> None:
    with pytest.raises(SettingWrong, match=re.escape(words)):
        build(toy.settings_for("mongodb://127.0.0.1:1", "127.0.0.1:1", "t", **changes))


@pytest.mark.parametrize("wrong", ["https://w.example", "https://w.example key more", "http://w.example key", "https://127.0.0.1 key"])
def test_witnesses_are_pairs_of_url_and_key(wrong: str) -> None:
    with pytest.raises(ValidationError):
        toy.settings_for("mongodb://127.0.0.1:1", "127.0.0.1:1", "t", ledger_witnesses=wrong)


@pytest.mark.parametrize("wrong", ["", "with space", "with+plus", "ümlaut.example/ledger", "line\nfeed"])
def test_an_origin_is_a_name_that_a_note_may_hold(wrong: str) -> None:
    with pytest.raises(ValidationError):
        toy.settings_for("mongodb://127.0.0.1:1", "127.0.0.1:1", "t", ledger_origin=wrong)


async def is_unready(auditor: Auditor) -> bool:
    answer = await auditor.get("/health/ready", bearer=None)
    return answer.status == 503 and answer.slug == "ledger-inconsistent"
