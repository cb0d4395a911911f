"""A partner organisation on loopback: takes webhooks, verifies them as a partner would, answers as it is told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from shared.clock import system_now
from shared.webhooks.signing import PrivateKey, SharedSecret, verify


@dataclass(frozen=True, slots=True)
class Taken:
    """One attempt as it arrived."""

    webhook_id: str
    timestamp: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


@dataclass
class PartnerStub:
    """What came in, and what to answer: a list of statuses in turn, then 204."""

    slug: str
    secret: SharedSecret
    private: PrivateKey
    url: str = ""
    taken: list[Taken] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    answer_headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    connections: set[object] = field(default_factory=set)

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Verify and remember the attempt; answer as told."""
        body = await request.read()
        verified = verify(request.raw_headers, body, [self.secret], system_now())
        self.taken.append(Taken(verified.id, verified.timestamp, tuple(request.raw_headers), body))
        self.connections.add(request.transport)
        if self.hang:
            await asyncio.sleep(60)
        return web.Response(status=self.statuses.pop(0) if self.statuses else 204, headers=self.answer_headers)


@asynccontextmanager
async def serving(handler: Callable[[web.Request], object]) -> AsyncIterator[str]:
    """Serve one handler at every path of a loopback port; yields the URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)  # type: ignore[arg-type]
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def partner(slug: str) -> AsyncIterator[PartnerStub]:
    """A partner that serves webhooks."""
    stub = PartnerStub(slug, SharedSecret(f"{slug:-<32}".encode()), PrivateKey.generate())
    async with serving(stub.take) as url:
        stub.url = f"{url}/hooks"
        yield stub
