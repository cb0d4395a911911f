"""The real parts that tests stand on: a mongod, a broker, and Apache Kafka where this machine can run it.

Each ends with the test run, by its own process id; a killed run takes them along.

Of several workers (`-n`) each has these parts to itself.

Properties are tried on few examples, which differ from run to run, and on many with `--hypothesis-profile=thorough`.
"""

import gc
import os
import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from deploy.local import ports
from deploy.local.apache_kafka import start_kafka
from deploy.local.broker import Broker, start_broker
from deploy.local.failure import UnavailableError
from deploy.local.mongod import Mongod, start_mongod
from deploy.local.ports import free_port

settings.register_profile("quick", max_examples=40, deadline=None)
settings.register_profile("thorough", max_examples=500, deadline=None)
settings.load_profile("quick")


JOURNEYS = "tests/journey/"


def pytest_configure() -> None:
    """Each of several workers has ports of its own, so that what one lets go of for a moment no other one takes.

    What a test starts in a process of its own chooses from all of them."""
    count, worker = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")), os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    each = (ports.LAST - ports.FIRST) // count
    ports.FIRST += int(worker.removeprefix("gw")) * each
    ports.LAST = ports.FIRST + each


class WholeFiles(LoadFileScheduling):  # type: ignore[misc]
    """A worker gets whole files, whose tests share what is set up; one gets all journeys, each of which fills a machine."""

    def _split_scope(self, nodeid: str) -> str:
        return JOURNEYS if nodeid.startswith(JOURNEYS) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> WholeFiles:
    """Files go out as they are collected, not by how many tests they hold: one of the longest has a single test."""
    config.option.loadscopereorder = False
    return WholeFiles(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The journeys, which take longest, are not left to the end, where other workers would wait for them."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: not item.nodeid.startswith(JOURNEYS))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector, and spare it what was imported: that stays for the whole run."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mongod(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mongod]:
    """A mongod of this run's own, with test commands (`failCommand`)."""
    root = tmp_path_factory.mktemp("mongod")
    running = await start_mongod(root / "data", root / "mongod.log", free_port(), ["enableTestCommands=1"])
    yield running
    await running.kill()  # nobody needs its many databases any more, which it would close one by one


@pytest.fixture(scope="session")
def mongo_url(request: pytest.FixtureRequest) -> str:
    """A replica set to test against: the one KAPCARE_TEST_MONGO_URL names, else one of this run's own."""
    named = os.environ.get("KAPCARE_TEST_MONGO_URL")
    if named:
        return named
    running: Mongod = request.getfixturevalue("mongod")
    return running.url


@pytest.fixture
def database() -> str:
    """A database name that no other test uses."""
    return f"test_{uuid.uuid4().hex[:16]}"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Broker]:
    """The embedded broker, shared by the whole run."""
    running = await start_broker(tmp_path_factory.mktemp("broker") / "broker.log", free_port())
    yield running
    await running.stop()


@pytest.fixture(scope="session")
def kafka_bootstrap(broker: Broker) -> str:
    """Where the embedded broker answers."""
    return broker.bootstrap


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def apache_kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Where one Apache Kafka broker answers; skipped where it cannot run."""
    try:
        running = await start_kafka(tmp_path_factory.mktemp("kafka"))
    except UnavailableError as reason:
        pytest.skip(str(reason))
    yield running.bootstrap
    await running.stop()


class PrivateBroker:
    """An embedded broker of one test's own, that it may kill and start again on the same port, empty."""

    def __init__(self, running: Broker, log: Path) -> None:
        self._running = running
        self._log = log

    @property
    def bootstrap(self) -> str:
        """Where it answers, or will again."""
        return self._running.bootstrap

    async def kill(self) -> None:
        """End it without warning."""
        await self._running.kill()

    async def start(self) -> None:
        """Start it again, empty, on the same port."""
        self._running = await start_broker(self._log, self._running.port)

    async def restart(self) -> None:
        """Wipe it: kill it and start it again."""
        await self.kill()
        await self.start()


@pytest_asyncio.fixture(loop_scope="session")
async def private_broker(tmp_path: Path) -> AsyncIterator[Callable[[], Awaitable[PrivateBroker]]]:
    """Starts brokers for one test alone: `broker = await private_broker()`."""
    async with AsyncExitStack() as ends:

        async def start() -> PrivateBroker:
            port = free_port()
            log = tmp_path / f"broker-{port}.log"
            private = PrivateBroker(await start_broker(log, port), log)
            ends.push_async_callback(private.kill)
            return private

        yield start


@pytest.fixture(scope="session")
def docker_kafka_bootstrap() -> Iterator[str]:
    """Apache Kafka in a container; skipped where no Docker engine answers."""
    # Asked through the client program: the library leaves its socket open where nothing answers.
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no Docker engine answers")
    from testcontainers.community.kafka import KafkaContainer

    with KafkaContainer().with_kraft() as container:
        yield container.get_bootstrap_server()
