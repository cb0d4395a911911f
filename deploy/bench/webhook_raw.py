"""The raw limit of the webhook bench: the same HTTP client posting bodies in a bare loop, unsigned and unrecorded. A job of its own."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from deploy.bench.jobs import do_job


async def work(specification: Mapping[str, Any], ready: Callable[[], None]) -> Mapping[str, Any]:
    """Post so many bodies over so many connections; returns posts per second."""
    body = b"x" * specification["body_bytes"]
    waiting = iter(range(specification["posts"]))
    urls: list[str] = specification["urls"]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=specification["at_once"])) as session:

        async def keep_posting() -> None:
            for number in waiting:
                headers = {"webhook-id": f"raw-{specification['round']}-{number}", "Content-Type": "application/json"}
                async with session.post(urls[number % len(urls)], data=body, headers=headers, allow_redirects=False) as response:
                    await response.read()

        ready()
        started = time.monotonic()
        await asyncio.gather(*(keep_posting() for _ in range(specification["at_once"])))
        return {"per_second": specification["posts"] / (time.monotonic() - started)}


if __name__ == "__main__":
    do_job(work)
