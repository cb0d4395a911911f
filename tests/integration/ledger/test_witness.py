"""A witness over real HTTP, and a ledger that asks it: co-signatures, a witness that is down, a fork and a ledger put back (F35, F36)."""

import asyncio
import json
import os
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deploy.bench.ledger_log import Log, write
from deploy.local.failure import StackError
from deploy.local.ports import free_port
from deploy.witness.record import Record
from deploy.witness.serve import Witness, serving
from services.audit import kap_verify, witnesses
from services.audit.domain.note import read_note, verify_note
from services.audit.domain.proofs import plan_consistency
from services.audit.domain.witnessing import Submission
from services.audit.witnesses import Witnessing
from tests import toy
from tests.integration.ledger.kept import KEY, ORIGIN, Kept, arrivals, files, signing
from tests.integration.ledger.served import auditing

ROOT = Path(__file__).parents[3]
NAME = "witness.example/one"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witnesses, "PAUSES_SECONDS", (0.1, 0.2))
    monkeypatch.setattr(witnesses, "ASK_EVERY_SECONDS", 0.05)


class Running:
    """A witness that is served, or not for a while."""

    def __init__(self, record: Record, port: int) -> None:
        self.record = record
        self.port = port
        self.said: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        async with serving(Witness(self.record, [KEY.public], self.said.append), "127.0.0.1", self.port):
            yield


@asynccontextmanager
async def witness_of(file: Path) -> AsyncIterator[Running]:
    with Record.held(file, NAME) as record:
        yield Running(record, free_port())


def asking(kept: Kept, running: Running) -> Witnessing:
    """What asks the witness, beside a signer."""
    import structlog

    log = structlog.wrap_logger(None, processors=[kept.capture])
    witness = witnesses.Witness(running.url, running.record.public)
    return Witnessing(witness, kept.tiles, kept.checkpoints, kept.metrics, log, allow_loopback=True)


async def cosigned(kept: Kept, size: int, running: Running) -> None:
    """Wait until the checkpoint of this size has a co-signature of the witness that holds."""

    async def there() -> bool:
        last = await kept.checkpoints.latest(cosigned=True)
        return last is not None and last.size == size

    await toy.eventually(there)
    last = await kept.checkpoints.latest(cosigned=True)
    assert last is not None
    assert verify_note(read_note(last.text.encode()), (KEY.public, running.record.public))[1].at is not None


def counted(kept: Kept, result: str) -> float:
    for line in kept.metrics.text().decode().splitlines():
        if line.startswith("kapcare_ledger_witness_answers_total") and f'result="{result}"' in line:
            return float(line.rpartition(" ")[2])
    return 0.0


async def test_the_service_has_its_checkpoints_co_signed_and_shows_it(mongo_url: str, kafka_bootstrap: str, tmp_path: Path) -> None:
    async with witness_of(tmp_path / "witness.json") as running, running.up():
        asked = f"{running.url} {running.record.public}"
        async with auditing(mongo_url, kafka_bootstrap, ledger_witnesses=asked, allow_loopback_webhooks=True) as auditor:
            events = arrivals(400)
            for begin in range(0, 400, 100):
                await auditor.kept.append(events[begin : begin + 100])
                await cosigned(auditor.kept, begin + 100, running)
            newest, shown = [(await auditor.get(f"/ledger/tlog/checkpoint{query}", bearer=None)).body for query in ("", "?cosigned=true")]
            assert newest == shown
            write(await files(auditor.kept, 400), tmp_path / "log")
    given = ["tiles", str(tmp_path / "log"), "--key", str(KEY.public), "--witness", str(running.record.public)]
    assert kap_verify.main(given) == 0
    assert running.record.last[ORIGIN].size == 400


async def test_a_witness_that_is_down_delays_nothing_and_gets_the_newest_later(kept: Kept, tmp_path: Path) -> None:
    events = arrivals(300)
    async with witness_of(tmp_path / "witness.json") as running, signing(kept.signer(beside=[asking(kept, running).run])):
        async with running.up():
            await kept.append(events[:100])
            await cosigned(kept, 100, running)
        await kept.append(events[100:200])
        assert (await kept.signed(200)).cosignatures == ()
        await kept.append(events[200:])
        await kept.signed(300)
        await toy.eventually(lambda: is_counted(kept, "failed"))
        async with running.up():
            await cosigned(kept, 300, running)
    assert {line["log_level"] for line in kept.logged if line["event"] == "a witness did not co-sign"} == {"warning"}


async def is_counted(kept: Kept, result: str) -> bool:
    return counted(kept, result) > 0


async def test_a_ledger_that_starts_again_learns_where_the_witness_is(kept: Kept, tmp_path: Path) -> None:
    events = arrivals(300)
    async with witness_of(tmp_path / "witness.json") as running, running.up():
        for size in (120, 300):
            after = Kept(kept.database)
            await after.append(events[:size])
            async with signing(after.signer(beside=[asking(after, running).run])):
                await cosigned(after, size, running)
            assert counted(after, "refused") == 0


async def test_a_ledger_put_back_to_an_earlier_day_is_an_alarm(kept: Kept, tmp_path: Path) -> None:
    """The whole database of yesterday: all of it holds, only the witness knows of more."""
    events = arrivals(200)
    async with witness_of(tmp_path / "witness.json") as running, running.up():
        async with signing(kept.signer(beside=[asking(kept, running).run])):
            await kept.append(events[:100])
            await cosigned(kept, 100, running)
            await kept.append(events[100:])
            await cosigned(kept, 200, running)
        for name, wanted in {"entries": {"_id": {"$gte": 100}}, "checkpoints": {"_id": {"$gt": 100}}}.items():
            await kept.database[name].delete_many(wanted)
        after = Kept(kept.database)
        async with signing(after.signer(beside=[asking(after, running).run])) as signer:
            await toy.eventually(lambda: is_counted(after, "ahead"))
            assert signer.refusal is None
        said = next(line for line in after.logged if line["event"] == "a witness did not co-sign")
        assert (said["log_level"], said["witness"], said["because"]) == ("error", NAME, "it has co-signed a larger ledger")
    assert running.record.last[ORIGIN].size == 200


@pytest.mark.parametrize(("size", "words"), [(150, "it answered 422"), (100, "it has co-signed another ledger of the same size")])
async def test_a_fork_with_the_true_key_is_not_co_signed(kept: Kept, mongo_url: str, tmp_path: Path, size: int, words: str) -> None:
    """The history written anew and signed with a stolen key: whoever asks for the witness sees no co-signature."""
    async with witness_of(tmp_path / "witness.json") as running, running.up():
        async with signing(kept.signer(beside=[asking(kept, running).run])):
            await kept.append(arrivals(100))
            await cosigned(kept, 100, running)
        forked = Kept(kept.database.client[f"{kept.database.name}_f"])
        try:
            await forked.append(arrivals(size, seed=2))
            async with signing(forked.signer(beside=[asking(forked, running).run])):
                await toy.eventually(lambda: is_counted(forked, "refused"))
                assert await forked.checkpoints.latest(cosigned=True) is None
            said = next(line for line in forked.logged if line["event"] == "a witness did not co-sign")
            assert (said["log_level"], said["because"]) == ("error", words)
            write(await files(forked, size), tmp_path / "log")
        finally:
            await kept.database.client.drop_database(forked.database.name)
    given = ["tiles", str(tmp_path / "log"), "--key", str(KEY.public)]
    assert kap_verify.main(given) == 0, "by itself the fork holds"
    assert kap_verify.main([*given, "--witness", str(running.record.public)]) == 1
    assert running.record.last[ORIGIN].size == 100


LYING: dict[str, tuple[int, str, bytes]] = {
    "another note's signature": (200, "text/plain", b""),
    "no signature at all": (200, "text/plain", b"thank you\n"),
    "nothing": (200, "text/plain", b""),
    "a size that is none": (409, "text/x.tlog.size", b"many\n"),
    "a size without its type": (409, "text/plain", b"3\n"),
    "an endless answer": (200, "text/plain", b"x" * 100_000),
    "a redirect": (302, "text/plain", b""),
}


@pytest.mark.parametrize("what", LYING)
async def test_what_a_witness_says_is_kept_only_if_it_is_signed(kept: Kept, tmp_path: Path, what: str) -> None:
    from aiohttp import web

    status, kind, body = LYING[what]
    if what == "another note's signature":
        body = str(Record(tmp_path / "x", {"name": NAME, "seed": "c" * 43 + "=", "last": {}}).public).encode() + b"\n"

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, content_type=kind, headers={"Location": "/"} if status == 302 else None)

    app = web.Application()
    app.router.add_post("/add-checkpoint", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    async with witness_of(tmp_path / "witness.json") as running:
        await web.TCPSite(runner, "127.0.0.1", running.port).start()
        try:
            await kept.append(arrivals(3))
            async with signing(kept.signer(beside=[asking(kept, running).run])):
                last = await kept.signed(3)
                await toy.eventually(lambda: is_failed(kept))
                last = await kept.signed(3)
            assert last.cosignatures == ()
            assert await kept.checkpoints.latest(cosigned=True) is None
        finally:
            await runner.cleanup()


async def is_failed(kept: Kept) -> bool:
    return counted(kept, "failed") + counted(kept, "refused") > 0


async def post(session: aiohttp.ClientSession, url: str, body: bytes) -> tuple[int, str, bytes]:
    async with session.post(f"{url}/add-checkpoint", data=body) as answer:
        return answer.status, answer.content_type, await answer.read()


async def test_the_witness_answers_as_the_protocol_says(tmp_path: Path) -> None:
    log = Log(Log.made_up(9, 50).entries, KEY.private, ORIGIN)

    def submission(old: int, new: int, of: Log = log) -> bytes:
        proof = plan_consistency(old, new).prove(of.tiles(new)) if 0 < old < new else ()
        return Submission(old, proof, read_note(of.checkpoint(new))).to_bytes()

    async with witness_of(tmp_path / "witness.json") as running, running.up(), aiohttp.ClientSession() as session:
        status, kind, body = await post(session, running.url, submission(0, 20))
        assert (status, kind) == (200, "text/plain")
        assert verify_note(read_note(log.checkpoint(20) + body), (running.record.public,))
        assert (await post(session, running.url, submission(0, 20)))[:3] == (409, "text/x.tlog.size", b"20\n")
        assert (await post(session, running.url, submission(20, 50)))[0] == 200
        assert (await post(session, running.url, submission(50, 50)))[0] == 200
        assert (await post(session, running.url, submission(20, 50)))[:3] == (409, "text/x.tlog.size", b"50\n")
        assert (await post(session, running.url, submission(50, 20)))[0] == 400
        assert (await post(session, running.url, submission(0, 20, Log(log.entries, origin="other.example/l"))))[0] == 404
        assert (await post(session, running.url, submission(0, 20, Log(log.entries, origin=ORIGIN))))[0] == 403
        forked = Log([b"x", *log.entries[1:]], KEY.private, ORIGIN)
        assert (await post(session, running.url, submission(50, 50, forked)))[0] == 409
        assert (await post(session, running.url, b"old 5\n\nno note"))[0] == 400
        assert (await post(session, running.url, b"x" * 100_000))[0] == 413
        async with session.get(f"{running.url}/add-checkpoint") as answer:
            assert answer.status == 405
    assert running.record.last[ORIGIN].size == 50


async def test_two_submissions_at_once_are_decided_one_after_the_other(tmp_path: Path) -> None:
    """The race that the protocol warns of: both begin at the same old size; one of them is told the size of the other."""
    log = Log(Log.made_up(9, 200).entries, KEY.private, ORIGIN)
    async with witness_of(tmp_path / "witness.json") as running, running.up(), aiohttp.ClientSession() as session:
        await post(session, running.url, Submission(0, (), read_note(log.checkpoint(100))).to_bytes())

        def larger(new: int) -> bytes:
            return Submission(100, plan_consistency(100, new).prove(log.tiles(new)), read_note(log.checkpoint(new))).to_bytes()

        answers = await asyncio.gather(*(post(session, running.url, larger(new)) for new in range(101, 200)))
        assert sorted(status for status, _, _ in answers) == [200] + [409] * 98
        kept = running.record.last[ORIGIN].size
        assert {body for status, _, body in answers if status == 409} == {f"{kept}\n".encode()}


async def test_a_killed_witness_knows_what_it_co_signed(tmp_path: Path) -> None:
    """`kap witness` ended with SIGKILL as soon as it answered, and begun again on its file."""
    log = Log(Log.made_up(9, 60).entries, KEY.private, ORIGIN)
    port, file = free_port(), tmp_path / "keys" / "witness.json"
    command = [sys.executable, "-P", "-m", "deploy.cli", "witness", "--port", str(port), "--key-file", str(file), "--log", str(KEY.public)]
    keys: set[str] = set()
    async with aiohttp.ClientSession() as session:
        for size in (20, 40, 60):
            process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
            )
            assert process.stdout is not None
            try:
                assert ORIGIN.encode() in await asyncio.wait_for(process.stdout.readline(), 30)
                keys.add((await process.stdout.readline()).decode())
                old = size - 20
                proof = plan_consistency(old, size).prove(log.tiles(size)) if old else ()
                sent = Submission(old, proof, read_note(log.checkpoint(size))).to_bytes()
                assert (await post(session, f"http://127.0.0.1:{port}", sent))[0] == 200
            finally:
                process.kill()
                await process.communicate()
    assert len(keys) == 1
    assert json.loads(file.read_text())["last"][ORIGIN]["size"] == "60"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_one_file_serves_one_witness_under_one_name(tmp_path: Path) -> None:
    file = tmp_path / "witness.json"
    with Record.held(file, NAME) as record:
        assert record.public.name == NAME
        with pytest.raises(StackError, match="already runs"), Record.held(file):
            pass
    with Record.held(file) as again:
        assert again.public == record.public
    with pytest.raises(StackError, match="another name"), Record.held(file, "other.example/w"):
        pass
    contents: list[Any] = ["{}", "[]", "not json", '{"name": "a b", "seed": "", "last": {}}']
    for content in contents:
        file.write_text(content)
        with pytest.raises(StackError, match="is not the file of a witness"), Record.held(file):
            pass
