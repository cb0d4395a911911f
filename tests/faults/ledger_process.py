"""A process that appends and signs as fast as it can, until it is killed: `python -m tests.faults.ledger_process <url> <database>`."""

import asyncio
import sys
from typing import Any

import structlog
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from services.audit import signing
from services.audit.checkpoints import Checkpoints
from services.audit.ledger import Ledger
from services.audit.signing import Signer
from services.audit.tiles import KeptTiles
from shared.clock import system_now
from shared.telemetry.metrics import Metrics
from shared.transport.lease import Lease
from tests.integration.ledger.kept import KEY, arrivals

AT_ONCE = 37
EVENTS = 15_000


async def main(url: str, name: str) -> None:
    signing.SIGN_EVERY_SECONDS = 0.02  # type: ignore[misc]
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(url, w="majority", journal=True, readConcernLevel="majority", tz_aware=True) as client:
        database: AsyncDatabase[dict[str, Any]] = client[name]
        ledger, tiles = Ledger(database["entries"]), KeptTiles(database["tiles"], database["entries"])
        await ledger.prepare()
        lease = Lease(database["leases"], "signer", 0.3)
        log = structlog.wrap_logger(structlog.PrintLogger(sys.stderr))
        signer = Signer(database["entries"], tiles, Checkpoints(database["checkpoints"]), lease, KEY, system_now, Metrics("audit"), log)
        running = asyncio.create_task(signer.run())
        events = arrivals(EVENTS)[ledger.size :]
        for begin in range(0, len(events), AT_ONCE):
            await ledger.append(events[begin : begin + AT_ONCE])
            sys.stdout.write(f"{ledger.size}\n")
            sys.stdout.flush()
        await running


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
