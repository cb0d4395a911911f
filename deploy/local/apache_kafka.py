"""Apache Kafka from its jars, without containers: for tests against the real thing. Maven fetches the jars once."""

import asyncio
import base64
import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

from deploy.local.broker import answers_as
from deploy.local.children import Child, plain_environment, start_child, until_ready
from deploy.local.failure import UnavailableError
from deploy.local.ports import free_port

POM = Path(__file__).parent / "kafka" / "pom.xml"
JAVA_NEEDED = 17
FETCH_PATIENCE = 100.0
START_PATIENCE = 60.0


@dataclass(frozen=True)
class Kafka:
    """A running cluster; a broker that was killed can be started again over its data."""

    cluster: str
    ports: tuple[int, ...]
    folders: tuple[Path, ...]
    jars: Path
    children: list[Child]

    @property
    def bootstrap(self) -> str:
        """Where Kafka clients connect."""
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    async def stop(self) -> None:
        """End all brokers. Their data goes with the test, so nothing waits for an orderly hand-over."""
        await asyncio.gather(*(child.kill() for child in self.children))

    async def kill(self, number: int = 0) -> None:
        """End one broker as a power cut would."""
        await self.children[number].kill()

    async def start(self, number: int = 0) -> None:
        """Start one broker over the data it has."""
        self.children[number] = await _start_broker(self.folders[number], self.jars, number)
        port = self.ports[number]
        await until_ready(self.children[number], partial(answers_as, self.cluster, port), START_PATIENCE)


async def start_kafka(folder: Path, brokers: int = 1) -> Kafka:
    """Start a cluster of combined brokers and controllers (KRaft) on loopback, and wait until every one answers."""
    _require_java()
    jars = await fetch_jars()
    ports = [(free_port(), free_port()) for _ in range(brokers)]
    voters = ",".join(f"{number}@127.0.0.1:{controller}" for number, (_, controller) in enumerate(ports))
    # A leading zero byte, so that the name cannot start with a dash, as options do.
    cluster = base64.urlsafe_b64encode(b"\0" + os.urandom(15)).decode().rstrip("=")
    folders = tuple(folder / f"broker-{number}" for number in range(brokers))
    for number, (port, controller) in enumerate(ports):
        folders[number].mkdir(parents=True)
        _properties(folders[number]).write_text(_settings(number, port, controller, voters, folders[number], brokers))
        await _format(folders[number], jars, cluster)
    children = [await _start_broker(folders[number], jars, number) for number in range(brokers)]
    kafka = Kafka(cluster, tuple(port for port, _ in ports), folders, jars, children)
    try:
        for child, (port, _) in zip(children, ports, strict=True):
            await until_ready(child, partial(answers_as, cluster, port, brokers), START_PATIENCE)
    except BaseException:
        await kafka.stop()
        raise
    return kafka


async def fetch_jars() -> Path:
    """The folder with Kafka's jars; Maven fetches them on first use."""
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("KAPCARE_KAFKA_JARS") or Path(__file__).parents[2] / ".kap" / "kafka-jars")
    jars = cache / digest
    if jars.is_dir():
        return jars
    maven = shutil.which("mvn")
    if maven is None:
        raise UnavailableError("Apache Kafka's jars are not here and there is no Maven (mvn) to fetch them")
    draft = _draft(cache)
    command = [maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={draft}"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        output, _ = await asyncio.wait_for(process.communicate(), FETCH_PATIENCE)
        if process.returncode != 0:
            last = output.decode(errors="replace").strip().splitlines()[-1:]
            raise UnavailableError(f"Maven did not fetch Apache Kafka's jars: {' '.join(last)}")
        _put(draft, jars)
    except TimeoutError:
        raise UnavailableError("Maven did not fetch Apache Kafka's jars in time") from None
    finally:
        if process.returncode is None:
            process.kill()
        shutil.rmtree(draft, ignore_errors=True)
    return jars


def _draft(cache: Path) -> Path:
    cache.mkdir(parents=True, exist_ok=True)
    return Path(mkdtemp(dir=cache, prefix=".fetching-"))


def _put(draft: Path, jars: Path) -> None:
    try:
        draft.rename(jars)
    except OSError:
        # Another run fetched them meanwhile.
        if not jars.is_dir():
            raise


def _require_java() -> None:
    java = shutil.which("java")
    if java is None:
        raise UnavailableError(f"Apache Kafka needs Java {JAVA_NEEDED} or later, and there is no java on the PATH")
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    # The first line says: openjdk version "17.0.15" 2025-04-15
    quoted = re.search(r'version "(\d+)', answer.stderr)
    version = quoted[1] if quoted else ""
    if not version or int(version) < JAVA_NEEDED:
        raise UnavailableError(f"Apache Kafka needs Java {JAVA_NEEDED} or later; this one is {version or 'not working'}")


def _properties(folder: Path) -> Path:
    return folder / "server.properties"


def _settings(number: int, port: int, controller: int, voters: str, folder: Path, brokers: int) -> str:
    copies = min(brokers, 3)
    settings = {
        "process.roles": "broker,controller",
        "node.id": number,
        "controller.quorum.voters": voters,
        "listeners": f"BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"BROKER://127.0.0.1:{port}",
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "BROKER",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": folder / "data",
        # Brokers that were killed come back as soon as the controller has forgotten them.
        "broker.session.timeout.ms": 2000,
        "broker.heartbeat.interval.ms": 500,
        "default.replication.factor": copies,
        "min.insync.replicas": max(1, copies - 1),
        "offsets.topic.replication.factor": copies,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.num.partitions": 4,
        "transaction.state.log.min.isr": max(1, copies - 1),
        "group.initial.rebalance.delay.ms": 0,
        "auto.create.topics.enable": "false",
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _java(jars: Path, *words: str) -> list[str]:
    return [
        *("java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.apache.logging.log4j.level=INFO"),
        *("-cp", f"{jars}/*", *words),
    ]


async def _format(folder: Path, jars: Path, cluster: str) -> None:
    command = _java(jars, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(_properties(folder)))
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise UnavailableError(f"Apache Kafka's storage was not formatted: {output.decode(errors='replace')[-500:]}")


async def _start_broker(folder: Path, jars: Path, number: int) -> Child:
    command = _java(jars, "kafka.Kafka", str(_properties(folder)))
    return await start_child(f"kafka-{number}", command, folder / "broker.log", plain_environment())
