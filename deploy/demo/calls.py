"""HTTP calls to the stack that is up on a folder; while it is down, the same request is tried again with the same key."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import aiohttp

from deploy.local.data import DataDirectory
from deploy.local.failure import StackError
from deploy.local.issuer import Issuer
from deploy.local.running import RunningStack
from shared.pathway.view import VIEW_TOO_OLD

PATIENCE_SECONDS: Final = 120.0
"""How long the stack may be away before the demo gives up."""
LONGEST_PAUSE_SECONDS: Final = 1.0
TOKEN_LIFETIME: Final = timedelta(hours=8)
AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True)
class Caller:
    """A member of staff, by an opaque id; the same id on every run, so that a retry is known as one."""

    subject: str
    role: str
    clinics: tuple[str, ...] = ()


OPERATOR: Final = Caller("demo-operator", "admin")
AUDITOR: Final = Caller("demo-auditor", "auditor")
DIRECTOR: Final = Caller("demo-director", "medical_director")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered."""

    status: int
    content: Mapping[str, Any]

    @property
    def refusal(self) -> str | None:
        """The stable name of the problem; None when all went well."""
        return str(self.content.get("type", self.status)).rpartition(":")[2] if self.status >= 400 else None

    @property
    def because(self) -> str:
        """Why it was refused: what the rules hold against it, or else the name of the problem; empty when all went well."""
        return ", ".join(each["because"] for each in self.content.get("refusals", ()) if each.get("because")) or self.refusal or ""

    @property
    def waits_for_others(self) -> bool:
        """Whether it was refused for nothing but what the service does not know yet of the others."""
        refusals = self.content.get("refusals", ())
        return bool(refusals) and all(refusal.get("because") == VIEW_TOO_OLD for refusal in refusals)

    @property
    def words(self) -> str:
        """The problem in the service's own words."""
        return f"{self.status} {self.refusal}: {self.content.get('detail', '')} {self.content.get('errors', '')}".rstrip()


@dataclass
class Calls:
    """One HTTP session for all the staff."""

    data: DataDirectory
    session: aiohttp.ClientSession
    _tokens: dict[Caller, str] = field(default_factory=dict)
    _stack: RunningStack | None = None

    async def get(self, caller: Caller, service: str, path: str, query: Mapping[str, str] | None = None) -> Answer:
        """Ask; a 404 is an answer too, any other problem is an error."""
        answer = await self._until_answered("GET", caller, service, path, query=query)
        if answer.status >= 400 and answer.status != 404:
            raise StackError(f"{service} {path}: {answer.words}")
        return answer

    async def post(self, caller: Caller, service: str, path: str, body: Mapping[str, Any], key: str) -> Answer:
        """Do something, once, however often it must be asked for."""
        return await self._until_answered("POST", caller, service, path, body=body, headers={"Idempotency-Key": key})

    async def _until_answered(self, method: str, caller: Caller, service: str, path: str, **request: Any) -> Answer:
        deadline = time.monotonic() + PATIENCE_SECONDS
        pause = 0.05
        while True:
            try:
                answer = await self._once(method, caller, service, path, **request)
            except (aiohttp.ClientError, TimeoutError, StackError) as error:
                self._stack = None
                problem = str(error) or type(error).__name__
            else:
                if answer.status < 500:
                    return answer
                problem = answer.words
            if time.monotonic() > deadline:
                raise StackError(f"{service} did not answer {method} {path} within {PATIENCE_SECONDS:.0f} s: {problem}")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _once(
        self,
        method: str,
        caller: Caller,
        service: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        if self._stack is None:
            self._stack = RunningStack.found_in(self.data)
        given = {"Authorization": f"Bearer {self._token(caller)}", **(headers or {})}
        async with self.session.request(method, self._stack.url(service) + path, params=query, json=body, headers=given) as response:
            return Answer(response.status, await response.json(content_type=None))

    def _token(self, caller: Caller) -> str:
        if caller not in self._tokens:
            issuer = Issuer.kept_at(self.data.issuer)
            self._tokens[caller] = issuer.mint(caller.subject, [caller.role], caller.clinics, lifetime=TOKEN_LIFETIME)
        return self._tokens[caller]


def new_session() -> aiohttp.ClientSession:
    """A session that keeps its connections and gives each request a bounded time."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE), timeout=aiohttp.ClientTimeout(total=15))
