"""The load generator: posts the screening of prepared cases, in a closed loop or at Poisson times. A job of its own process."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deploy.bench.jobs import do_job
from deploy.bench.posting import Connection, Target

CONNECTIONS_AT_FIRST = 32


async def work(specification: Mapping[str, Any], ready: Callable[[], None]) -> Mapping[str, Any]:
    """Post one screening for each case."""
    load = Load(Target(specification["port"], specification["token"]), specification["body"].encode())
    ready()
    if specification["rate"] is None:
        await load.closed_loop(specification["cases"], specification["window"])
    else:
        await load.poisson(specification["cases"], specification["rate"], random.Random(specification["seed"]))
    return {"started": load.started, "posted": load.posted, "answered": load.answered, "refused": load.refused}


class Load:
    """One run; times are the system's monotonic clock, which all processes share."""

    def __init__(self, target: Target, body: bytes) -> None:
        self._target = target
        self._body = body
        self._idle: list[Connection] = []
        self.started = 0.0
        self.posted: dict[str, float] = {}
        self.answered: dict[str, float] = {}
        self.refused: dict[str, str] = {}

    async def closed_loop(self, cases: Sequence[str], window: int) -> None:
        """Keep `window` requests under way until every case is posted."""
        connections = [await self._target.connect() for _ in range(window)]
        coming = iter(cases)

        async def keep_posting(connection: Connection) -> None:
            for case in coming:
                await self._post(connection, case)

        self.started = time.monotonic()
        await asyncio.gather(*(keep_posting(connection) for connection in connections))

    async def poisson(self, cases: Sequence[str], rate: float, chance: random.Random) -> None:
        """Post at independent random times, `rate` a second on average, whatever is still under way."""
        self._idle = [await self._target.connect() for _ in range(CONNECTIONS_AT_FIRST)]
        self.started = time.monotonic()
        due = self.started
        posts: list[asyncio.Task[None]] = []
        for case in cases:
            due += chance.expovariate(rate)
            await asyncio.sleep(due - time.monotonic())
            posts.append(asyncio.create_task(self._post_on_any(case)))
        await asyncio.gather(*posts)

    async def _post_on_any(self, case: str) -> None:
        connection = self._idle.pop() if self._idle else await self._target.connect()
        await self._post(connection, case)
        self._idle.append(connection)

    async def _post(self, connection: Connection, case: str) -> None:
        self.posted[case] = time.monotonic()
        answer = await connection.send(self._target.request(f"/cases/{case}/screening", self._body))
        self.answered[case] = answer.at
        if answer.status not in (200, 201, 202):
            self.refused[case] = f"{answer.status} {answer.body[:300].decode(errors='replace')}"


if __name__ == "__main__":
    do_job(work)
