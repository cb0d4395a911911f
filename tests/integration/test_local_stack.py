"""The local stack's parts on this machine: they start, survive what they should, and end with whoever started them."""

import asyncio
import json
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from pymongo import AsyncMongoClient, WriteConcern
from pymongo.errors import OperationFailure

from deploy.local.children import Child, ChildDiedError, start_child, until_ready
from deploy.local.data import DataDirectory
from deploy.local.failure import StackError
from deploy.local.issuer import ISSUER, Issuer
from deploy.local.mongod import Mongod, start_mongod
from deploy.local.ports import free_port, is_free
from deploy.local.restarts import Restarts
from deploy.local.running import RunningStack
from deploy.local.stack import LocalStack
from deploy.replica_set import prepare
from deploy.topics import create_topics
from tests.conftest import PrivateBroker

ROOT = Path(__file__).parents[2]
TOPICS = ["kapcare.first.v1", "kapcare.second.v1"]


async def write_and_count(url: str) -> int:
    """Store one document as the services do, and say how many there are."""
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        collection = client["kept"].get_collection("notes", write_concern=WriteConcern("majority", j=True))
        await collection.insert_one({"written": True})
        return await collection.count_documents({})


async def test_mongod_keeps_its_data_through_kills_and_other_ports(tmp_path: Path) -> None:
    first = await start_mongod(tmp_path / "data", tmp_path / "log", free_port())
    assert await write_and_count(first.url) == 1
    await first.kill()
    same_port = await start_mongod(tmp_path / "data", tmp_path / "log", first.port)
    assert await write_and_count(same_port.url) == 2
    await same_port.kill()
    other_port = await start_mongod(tmp_path / "data", tmp_path / "log", free_port())
    assert other_port.port != first.port
    assert await write_and_count(other_port.url) == 3
    async with AsyncMongoClient[dict[str, Any]](other_port.url) as client:
        hello = await client.admin.command("hello")
        assert hello["hosts"] == [f"127.0.0.1:{other_port.port}"]
    await other_port.stop()


async def test_a_change_stream_resumes_after_a_move_to_another_port(tmp_path: Path) -> None:
    first = await start_mongod(tmp_path / "data", tmp_path / "log", free_port())
    async with AsyncMongoClient[dict[str, Any]](first.url) as client, await client["kept"].notes.watch() as changes:
        await client["kept"].notes.insert_one({"number": 1})
        token = (await changes.next())["_id"]
        await client["kept"].notes.insert_one({"number": 2})
    await first.kill()
    second = await start_mongod(tmp_path / "data", tmp_path / "log", free_port())
    async with AsyncMongoClient[dict[str, Any]](second.url) as client, await client["kept"].notes.watch(resume_after=token) as changes:
        assert (await changes.next())["fullDocument"]["number"] == 2
    await second.stop()


async def test_a_mongod_that_cannot_start_says_why(mongod: Mongod, tmp_path: Path) -> None:
    with pytest.raises(ChildDiedError, match=r"mongod ended with exit code \d+\n(.*\n)*.*[Aa]ddress already in use"):
        await start_mongod(tmp_path / "data", tmp_path / "log", mongod.port)


async def test_a_prepared_server_knows_its_user_by_the_last_password(mongod: Mongod) -> None:
    for password in ("first", "second"):
        await prepare(mongod.url, f"127.0.0.1:{mongod.port}", "kept_user", password, ["kept"])
    as_user = mongod.url.replace("mongodb://", "mongodb://kept_user:{}@") + "&authSource=admin"
    async with AsyncMongoClient[dict[str, Any]](as_user.format("second")) as client:
        await client["kept"].notes.find_one()
    async with AsyncMongoClient[dict[str, Any]](as_user.format("first")) as client:
        with pytest.raises(OperationFailure, match="Authentication failed"):
            await client["kept"].notes.find_one()


async def topics_of(bootstrap: str) -> set[str]:
    """The topics a broker has."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        return set(await admin.list_topics())
    finally:
        await admin.close()


async def send_and_receive(bootstrap: str, topic: str) -> bytes:
    """One record there and back."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    await producer.send_and_wait(topic, b"value", key=b"stream")
    await producer.stop()
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", fetch_max_wait_ms=10)
    await consumer.start()
    try:
        record = await asyncio.wait_for(consumer.getone(), 10)
        return bytes(record.value)
    finally:
        await consumer.stop()


async def test_topics_are_created_once(kafka_bootstrap: str) -> None:
    await create_topics(kafka_bootstrap, TOPICS)
    await create_topics(kafka_bootstrap, TOPICS)
    assert set(TOPICS) <= await topics_of(kafka_bootstrap)
    assert await send_and_receive(kafka_bootstrap, TOPICS[0]) == b"value"


async def test_a_killed_broker_comes_back_empty(private_broker: Callable[[], Awaitable[PrivateBroker]]) -> None:
    broker = await private_broker()
    await create_topics(broker.bootstrap, TOPICS)
    await broker.restart()
    assert await topics_of(broker.bootstrap) == set()
    await create_topics(broker.bootstrap, TOPICS)
    assert await send_and_receive(broker.bootstrap, TOPICS[1]) == b"value"


@pytest.mark.apache_kafka
async def test_apache_kafka_takes_the_same_calls(apache_kafka_bootstrap: str) -> None:
    await create_topics(apache_kafka_bootstrap, TOPICS)
    await create_topics(apache_kafka_bootstrap, TOPICS)
    assert set(TOPICS) <= await topics_of(apache_kafka_bootstrap)
    assert await send_and_receive(apache_kafka_bootstrap, TOPICS[0]) == b"value"


def script(code: str) -> list[str]:
    """A child that runs a line of Python."""
    return [sys.executable, "-c", code]


async def test_a_child_that_dies_is_reported_with_its_code_and_last_words(tmp_path: Path) -> None:
    child = await start_child("speaker", script("print('last words'); raise SystemExit(7)"), tmp_path / "speaker.log")
    death = await child.died()
    assert (death.name, death.code) == ("speaker", 7)
    assert "speaker ended with exit code 7" in str(death)
    assert "| last words" in str(death)


async def test_a_child_that_is_never_ready_is_ended_and_reported(tmp_path: Path) -> None:
    child = await start_child("sleeper", script("import time; time.sleep(60)"), tmp_path / "sleeper.log")

    async def never() -> bool:
        return False

    with pytest.raises(StackError, match="sleeper was not ready within 0 s"):
        await until_ready(child, never, 0.3)
    assert await child.ended() == -signal.SIGKILL


async def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    ignoring = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    child = await start_child("deaf", script(ignoring), tmp_path / "deaf.log")
    await until_ready(child, lambda: said(child, "deaf"), 10)
    assert await child.stop(patience=0.2) == -signal.SIGKILL


async def said(child: Child, word: str) -> bool:
    """Whether the child's log has the word."""
    return word in child.last_lines()


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    child = await start_child("missing", ["/nowhere/program"], tmp_path / "missing.log")
    assert "cannot run /nowhere/program: No such file or directory" in str(await child.died())


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_a_child_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    parent_code = """
import asyncio, sys
from pathlib import Path
from typing import Any
from deploy.local.children import start_child
async def main():
    child = await start_child("child", [sys.executable, "-c", "import time; time.sleep(60)"], Path(sys.argv[1]))
    print(child.pid, flush=True)
    await child.ended()
asyncio.run(main())
"""
    parent = subprocess.Popen([*script(parent_code), str(tmp_path / "log")], stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
    time.sleep(0.2)
    parent.kill()
    parent.wait()
    assert gone(child, within=5.0)


def gone(pid: int, within: float) -> bool:
    """Whether no such process runs any more. One that ended and was not reaped counts as gone."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_a_taken_port_is_not_given() -> None:
    port = free_port()
    assert free_port(port) == port
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
        assert free_port(port) != port


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    """An issuer of this test's own."""
    return Issuer.kept_at(tmp_path / "issuer.json")


@pytest_asyncio.fixture(loop_scope="session")
async def issuer_url(issuer: Issuer, tmp_path: Path) -> AsyncIterator[str]:
    """That issuer, served."""
    port = free_port()
    command = [sys.executable, "-m", "deploy.local.issuer", "--port", str(port), "--key-file", str(tmp_path / "issuer.json")]
    child = await start_child("issuer", command, tmp_path / "issuer.log", directory=ROOT)

    async def answers() -> bool:
        return not is_free(port)

    await until_ready(child, answers, 20)
    yield f"http://127.0.0.1:{port}"
    await child.stop()


async def test_a_token_verifies_with_software_that_is_not_ours(issuer: Issuer, issuer_url: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{issuer_url}/.well-known/openid-configuration") as answer:
            configuration = await answer.json()
        async with session.get(configuration["jwks_uri"]) as answer:
            published = await answer.json()
    assert configuration["issuer"] == ISSUER
    assert "d" not in json.dumps(published["keys"][0]).split('"')
    token = issuer.mint("nurse-7", ["coordinator"], ["riverside"], "north-pharmacy", timedelta(minutes=5))
    header = jwt.get_unverified_header(token)
    key = jwt.PyJWKSet.from_dict(published)[header["kid"]]
    claims = jwt.decode(token, key, algorithms=["EdDSA"], audience="kapcare", issuer=ISSUER, options={"require": ["exp", "nbf", "jti"]})
    assert header["typ"] == "at+jwt"
    assert claims["sub"] == "nurse-7"
    assert (claims["roles"], claims["clinics"], claims["organisation"]) == (["coordinator"], ["riverside"], "north-pharmacy")
    assert claims["exp"] - claims["iat"] == 300
    another = issuer.mint("nurse-7", ["admin"])
    forged = token.rpartition(".")[0] + "." + another.rpartition(".")[2]
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(forged, key, algorithms=["EdDSA"], audience="kapcare")


def test_the_issuer_keeps_one_key_that_only_its_owner_may_read(tmp_path: Path) -> None:
    file = tmp_path / "issuer.json"
    first = Issuer.kept_at(file)
    first.keep(file, 23_456)
    again = Issuer.kept_at(file)
    assert again.public_keys() == first.public_keys()
    assert again.port == 23_456
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_child_that_dies_again_and_again_is_given_up() -> None:
    restarts = Restarts()
    assert [restarts.pause() for _ in range(6)] == [0.2, 0.4, 0.8, 1.6, 3.2, None]


STAND_IN = """
import http.server, os
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health/ready" else 404)
        self.end_headers()
print("serving with", os.environ["KAPCARE_CARE_CLOCK"], flush=True)
http.server.HTTPServer((os.environ["KAPCARE_HOST"], int(os.environ["KAPCARE_PORT"])), Ready).serve_forever()
"""


class Told:
    """What a stack said, for a test to wait for."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._more = asyncio.Event()

    def hear(self, line: str) -> None:
        self.lines.append(line)
        self._more.set()

    async def wait_for(self, words: str) -> None:
        async with asyncio.timeout(30):
            while not any(words in line for line in self.lines):
                self._more.clear()
                await self._more.wait()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def stack(tmp_path: Path, told: Told) -> LocalStack:
    """A stack with stand-ins for two services."""
    return LocalStack(
        tmp_path / "kap",
        port_base=free_port(),
        care_clock="movable",
        services=("intake", "audit"),
        topics=TOPICS,
        command=lambda _: script(STAND_IN),
        say=told.hear,
    )


async def test_a_stack_restarts_what_may_be_restarted(stack: LocalStack, told: Told) -> None:
    async with stack:
        found = RunningStack.found_in(stack.data)
        assert found == stack.running
        assert await topics_of(found.kafka) == set(TOPICS)
        with pytest.raises(StackError, match="a stack is already up"):
            await LocalStack(stack.data.root, services=()).__aenter__()

        await stack.kill("broker")
        await told.wait_for("broker is running again")
        assert await topics_of(found.kafka) == set(TOPICS), "an empty broker gets its topics again"

        before = stack.pid("intake")
        await stack.kill("intake")
        await told.wait_for("intake was ended by SIGKILL; starting it again")
        await told.wait_for("intake is running again")
        assert RunningStack.found_in(stack.data).pids["intake"] == stack.pid("intake") != before
        pids = list(RunningStack.found_in(stack.data).pids.values())
    assert all(gone(pid, within=0.1) for pid in pids)
    with pytest.raises(StackError, match="no stack is up"):
        RunningStack.found_in(stack.data)


async def test_a_stack_ends_with_its_database(stack: LocalStack) -> None:
    async with stack:
        await stack.kill("mongod")
        assert str(await asyncio.wait_for(stack.failure(), 10)).startswith("mongod was ended by SIGKILL")


async def test_a_stack_that_was_killed_comes_up_again_with_its_keys_and_data(stack: LocalStack) -> None:
    await stack.__aenter__()
    secrets, token = stack.data.secrets(), stack.issuer.mint("someone", ["auditor"])
    assert await write_and_count(stack.running.mongo) == 1
    await stack.kill()
    async with stack:
        assert await write_and_count(stack.running.mongo) == 2
        assert stack.data.secrets() == secrets
        key = jwt.PyJWK(stack.issuer.public_keys()["keys"][0])
        assert jwt.decode(token, key, algorithms=["EdDSA"], audience="kapcare")["sub"] == "someone"


async def test_a_service_that_cannot_start_fails_the_stack_with_its_last_words(tmp_path: Path) -> None:
    broken = LocalStack(
        tmp_path / "kap",
        port_base=free_port(),
        services=("intake",),
        topics=TOPICS,
        command=lambda _: script("raise SystemExit('no such setting')"),
    )
    with pytest.raises(StackError, match=r"intake ended with exit code 1\n.*\n  \| no such setting"):
        await broken.__aenter__()
    assert not DataDirectory(tmp_path / "kap").in_use
