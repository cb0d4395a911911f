"""What a test does itself over HTTP: tokens, calls, care time."""

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp

from deploy.local.stack import LocalStack


@dataclass(frozen=True)
class Hands:
    """Plain calls to the stack that is up."""

    stack: LocalStack
    session: aiohttp.ClientSession

    async def get(self, role: str, service: str, path: str, clinic: str = "riverside") -> tuple[int, dict[str, Any]]:
        return await self._call("GET", role, service, path, clinic)

    async def post(
        self, role: str, service: str, path: str, body: dict[str, Any], clinic: str = "riverside", key: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        return await self._call("POST", role, service, path, clinic, json=body, headers={"Idempotency-Key": key or str(uuid.uuid4())})

    async def care_time(self) -> datetime:
        _, progress = await self.get("admin", "intake", "/operations/progress")
        return datetime.fromisoformat(progress["care_time"])

    async def move_to(self, moment: datetime) -> None:
        status, _ = await self.post("admin", "intake", "/operations/care-clock", {"to": moment.isoformat()})
        assert status == 200
        for service in self.stack.running.services:
            await self.until("admin", service, "/operations/progress", lambda seen: datetime.fromisoformat(seen["care_time"]) >= moment)

    async def until(
        self, role: str, service: str, path: str, holds: Callable[[dict[str, Any]], bool], clinic: str = "riverside"
    ) -> dict[str, Any]:
        """Ask until the answer is as awaited."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            status, seen = await self.get(role, service, path, clinic)
            if status == 200 and holds(seen):
                return seen
            await asyncio.sleep(0.05)
        raise AssertionError(f"{service} {path} last showed {seen}")

    async def _call(self, method: str, role: str, service: str, path: str, clinic: str, **request: Any) -> tuple[int, dict[str, Any]]:
        token = self.stack.issuer.mint(f"test-{role}-{clinic}", [role], [clinic])
        headers = {"Authorization": f"Bearer {token}", **request.pop("headers", {})}
        async with self.session.request(method, self.stack.running.url(service) + path, headers=headers, **request) as answer:
            return answer.status, await answer.json(content_type=None)
