"""A real mongod as a one-node replica set on loopback: for development and tests, without authentication."""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from deploy.local.children import Child, plain_environment, start_child, until_ready
from deploy.local.failure import UnavailableError
from deploy.local.wheels import program_in_wheel

REPLICA_SET = "kapcare"
SETTING = "KAPCARE_MONGOD"
START_PATIENCE = 60.0

# On its way out mongod logs dozens of lines; what went wrong stands above them, marked error or fatal.
ERRORS_IN_LOG = re.compile(r'"s":"[EF]"')

NOT_YET_INITIALIZED = 94
ALREADY_INITIALIZED = 23
NO_REPLICATION_ENABLED = 76


@dataclass(frozen=True)
class Mongod:
    """A running mongod."""

    port: int
    child: Child

    @property
    def url(self) -> str:
        """Where clients connect. Direct, because the replica set's own record of its port may be about to change."""
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    async def stop(self) -> None:
        """End it in order."""
        await self.child.stop()

    async def kill(self) -> None:
        """End it as a power cut would."""
        await self.child.kill()


def find_mongod() -> Path:
    """The mongod to run: the one the setting names, else the one on the PATH, else the one in the wheel."""
    named = os.environ.get(SETTING)
    if named:
        if not os.access(named, os.X_OK) or not Path(named).is_file():
            raise UnavailableError(f"{SETTING} names {named}, which is not a program")
        return Path(named)
    on_path = shutil.which("mongod")
    found = Path(on_path) if on_path else program_in_wheel("fiftyone", "db/bin/mongod")
    if found is None:
        raise UnavailableError(
            f"no mongod for this platform: install MongoDB, or name a mongod in {SETTING}, or run everything with `docker compose up`"
        )
    return found


async def start_mongod(data: Path, log: Path, port: int, parameters: Sequence[str] = (), cache_gb: float = 0.25) -> Mongod:
    """Start mongod over `data` and wait until it is a writable primary. `parameters` are `name=value` for --setParameter."""
    child = await start_child("mongod", _command(data, port, parameters, cache_gb), log, plain_environment(), telling=ERRORS_IN_LOG)
    mongod = Mongod(port, child)
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongod.url, serverSelectionTimeoutMS=200)
    async with client:
        await until_ready(mongod.child, lambda: _became_primary(client, mongod), START_PATIENCE)
    return mongod


def _command(data: Path, port: int, parameters: Sequence[str], cache_gb: float) -> list[str]:
    data.mkdir(parents=True, exist_ok=True)
    settings = [
        "diagnosticDataCollectionEnabled=false",
        # A lone member has nobody to hand over to, and would wait 15 s for it.
        "shutdownTimeoutMillisForSignaledShutdown=100",
        *parameters,
    ]
    return [
        *(str(find_mongod()), "--dbpath", str(data), "--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket"),
        *("--replSet", REPLICA_SET, "--oplogSize", "1024", "--wiredTigerCacheSizeGB", str(cache_gb), "--quiet"),
        *(word for setting in settings for word in ("--setParameter", setting)),
    ]


async def _became_primary(client: AsyncMongoClient[dict[str, Any]], mongod: Mongod) -> bool:
    try:
        # Another mongod may have taken the port meanwhile; it is not to be reconfigured, nor taken for this one.
        if (await client.admin.command("serverStatus"))["pid"] != mongod.child.pid:
            return False
        hello = await client.admin.command("hello")
        if hello.get("isWritablePrimary"):
            return True
        # Neither initiated nor a member of the set it has on record: new data, or data from another port.
        if hello.get("isreplicaset") and not hello.get("setName"):
            await _join(client, f"127.0.0.1:{mongod.port}")
    except OperationFailure as error:
        if error.code not in (ALREADY_INITIALIZED, NO_REPLICATION_ENABLED):
            raise
    except PyMongoError:
        pass
    return False


async def _join(client: AsyncMongoClient[dict[str, Any]], host: str) -> None:
    try:
        configuration = (await client.admin.command("replSetGetConfig"))["config"]
    except OperationFailure as error:
        if error.code != NOT_YET_INITIALIZED:
            raise
        await client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [{"_id": 0, "host": host}]})
        return
    # The set remembers the port it had. Nobody else is in it, so forcing the new one cannot split it.
    if configuration["members"][0]["host"] != host:
        configuration["members"][0]["host"] = host
        configuration["version"] += 1
        await client.admin.command("replSetReconfig", configuration, force=True)
