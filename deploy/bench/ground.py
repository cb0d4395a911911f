"""What every build stands on: one database and one issuer for the whole run, and for each turn of a build an empty broker."""

import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import Any, Self

import aiohttp
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from deploy.bench import sample
from deploy.bench.builds import ROLES, Build
from deploy.bench.posting import Target
from deploy.local.broker import start_broker
from deploy.local.children import Child, start_child, until_ready
from deploy.local.data import ROOT, random_key
from deploy.local.issuer import AUDIENCE, ISSUER, Issuer
from deploy.local.mongod import start_mongod
from deploy.local.ports import free_port
from deploy.topics import PARTITIONS, create_topics
from shared.events.topics import topics

START_PATIENCE = 60.0
FETCH_MAX_WAIT_MS = 10
SESSION_TIMEOUT_MS = 6000
DATABASE_CACHE_GB = 1.0
"""Holds what a turn writes: what is measured is the work for a case, not a cache too small for the preparation."""


@dataclass(frozen=True)
class Running:
    """A build that runs."""

    build: Build
    children: Mapping[str, Child]
    target: Target
    bootstrap: str
    databases: Mapping[str, AsyncDatabase[dict[str, Any]]]


class Ground:
    """`async with Ground() as ground:` everything is under one temporary folder and gone after."""

    def __init__(self, profiles: Path | None = None) -> None:
        self.folder = Path(mkdtemp(prefix="kapcare-bench-"))
        self._profiles = profiles
        self._ends = AsyncExitStack()
        self._turn = 0
        self.mongo = ""
        self._mongod: Child
        self._settings: dict[str, str] = {}
        self._token = ""
        self.client: AsyncMongoClient[dict[str, Any]]

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._end()

    @asynccontextmanager
    async def running(self, build: Build) -> AsyncIterator[Running]:
        """Start a build on databases of its own and an empty broker; end it and drop its databases after."""
        self._turn += 1
        prefix = f"bench{self._turn}"
        logs = self.folder / f"{self._turn}-{build.name}"
        async with AsyncExitStack() as ends:
            broker = await start_broker(logs / "broker.log", free_port())
            ends.push_async_callback(broker.stop)
            await create_topics(broker.bootstrap, topics(), PARTITIONS)
            ports = {role: free_port() for role in ROLES}
            settings = self._settings | {
                "KAPCARE_DATABASE_PREFIX": prefix,
                "KAPCARE_KAFKA_BOOTSTRAP": broker.bootstrap,
                **{f"KAPCARE_{role.upper()}_URL": f"http://127.0.0.1:{port}" for role, port in ports.items()},
            }
            children = {"mongod": self._mongod, "broker": broker.child}
            for role, port in ports.items():
                environment = {**os.environ, **settings, "KAPCARE_PORT": str(port)}
                children[role] = await start_child(role, build.command(role, self._profiles), logs / f"{role}.log", environment, ROOT)
                ends.push_async_callback(children[role].stop)
            for role, port in ports.items():
                await until_ready(children[role], partial(_answers, f"http://127.0.0.1:{port}/health/ready"), START_PATIENCE)
            databases = {role: self.client[f"{prefix}_{role}"] for role in ROLES}
            yield Running(build, children, Target(ports["intake"], self._token), broker.bootstrap, databases)
        for name in (*ROLES, *(f"{role}_access" for role in ROLES), "vault"):
            await self.client.drop_database(f"{prefix}_{name}")

    async def _start(self) -> None:
        mongod = await start_mongod(self.folder / "mongo", self.folder / "mongod.log", free_port(), cache_gb=DATABASE_CACHE_GB)
        self._mongod, self.mongo = mongod.child, mongod.url
        self._ends.push_async_callback(mongod.stop)
        # Read at majority, so that the checks count what is durable.
        self.client = AsyncMongoClient(self.mongo, readConcernLevel="majority")
        self._ends.push_async_callback(self.client.close)
        key_file, port = self.folder / "issuer.json", free_port()
        self._token = Issuer.kept_at(key_file).mint("bench", ["coordinator"], [sample.CLINIC])
        jwks = f"http://127.0.0.1:{port}/jwks.json"
        command = [sys.executable, "-P", "-m", "deploy.local.issuer", "--port", str(port), "--key-file", str(key_file)]
        issuer = await start_child("issuer", command, self.folder / "issuer.log", {**os.environ, "PYTHONPATH": str(ROOT)}, ROOT)
        self._ends.push_async_callback(issuer.stop)
        await until_ready(issuer, partial(_answers, jwks), START_PATIENCE)
        self._settings = {
            "PYTHONPATH": str(ROOT),
            "KAPCARE_MONGO_URL": self.mongo,
            "KAPCARE_KAFKA_IDEMPOTENT_PRODUCER": "false",
            "KAPCARE_KAFKA_FETCH_MAX_WAIT_MS": str(FETCH_MAX_WAIT_MS),
            "KAPCARE_KAFKA_SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_MS),
            "KAPCARE_ISSUER": ISSUER,
            "KAPCARE_JWKS_URL": jwks,
            "KAPCARE_AUDIENCE": AUDIENCE,
            "KAPCARE_VAULT_MASTER_KEY": random_key(),
            "KAPCARE_RECEIPT_KEY": random_key(),
            "KAPCARE_LEDGER_SIGNING_KEY": random_key(),
        }

    async def _end(self) -> None:
        await self._ends.aclose()
        shutil.rmtree(self.folder, ignore_errors=True)


async def _answers(url: str) -> bool:
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session, session.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
