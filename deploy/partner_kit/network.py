"""The network as a partner reaches it: its API for partners, and the route on which decisions go."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp

from deploy.partner_kit.identity import DecisionKey

TIMEOUT: Final = aiohttp.ClientTimeout(total=15)


class NotYet(Exception):
    """The network does not answer, or says that it cannot know yet: the same is asked again later."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the network answered."""

    status: int
    content: Mapping[str, Any]

    @property
    def problem(self) -> str:
        """The stable name of a problem; empty if there is none."""
        return str(self.content.get("type", self.status)).rpartition(":")[2] if self.status >= 400 else ""

    @property
    def because(self) -> frozenset[str]:
        """What the rules held against it."""
        return frozenset(str(refusal.get("because")) for refusal in self.content.get("refusals", ()))

    @property
    def recorded(self) -> tuple[str, ...]:
        """The events that followed, by their short names."""
        return tuple(str(event["type"]).split(".")[2] for event in self.content.get("events", ()) if event["type"].count(".") > 1)


class Network:
    """One organisation's calls; each raises NotYet where it must be made again."""

    def __init__(self, session: aiohttp.ClientSession, url: str, slug: str, token: Callable[[], str]) -> None:
        self._session, self._url, self._slug, self._token = session, url, slug, token

    async def review(self, case: str) -> Reply:
        """Ask for a review."""
        return await self._reply("GET", f"/partner/reviews/{case}", headers=self._bearer())

    async def events(self, after: int) -> Reply:
        """Ask which messages became due after a sequence."""
        query = {"endpoint": "main", "after": str(after)}
        return await self._reply("GET", "/partner/events", headers=self._bearer(), params=query)

    async def decide(self, webhook_id: str, body: bytes, key: DecisionKey) -> Reply:
        """Send a decision, signed now."""
        headers = {**key.sign(webhook_id, datetime.now(UTC), body), "Content-Type": "application/json"}
        return await self._reply("POST", f"/partners/{self._slug}/decisions", data=body, headers=headers)

    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token()}"}

    async def _reply(self, method: str, path: str, **request: Any) -> Reply:
        try:
            async with self._session.request(method, self._url + path, timeout=TIMEOUT, allow_redirects=False, **request) as response:
                content = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            raise NotYet from None
        reply = Reply(response.status, content if isinstance(content, dict) else {})
        if reply.status >= 500 or reply.problem == "inbox-waits":
            raise NotYet
        return reply
