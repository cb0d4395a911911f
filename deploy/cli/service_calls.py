"""Calls to the services of the stack that is up, as an operator or an auditor."""

import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from deploy.local.data import DataDirectory
from deploy.local.failure import StackError
from deploy.local.issuer import Issuer
from deploy.local.running import RunningStack


class NotThere(StackError):
    """A service answers that it has no such thing, or none that this token may see."""


@dataclass(frozen=True)
class ServiceCalls:
    """An HTTP session with one role's token."""

    stack: RunningStack
    session: aiohttp.ClientSession

    async def get(self, service: str, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """What a service answers to a question."""
        async with self.response("GET", service, path, query=query) as answer:
            content: dict[str, Any] = await answer.json()
            return content

    async def post(self, service: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask a service to do something, once; returns its answer."""
        async with self.response("POST", service, path, body=body, headers={"Idempotency-Key": str(uuid.uuid4())}) as answer:
            content: dict[str, Any] = await answer.json()
            return content

    @asynccontextmanager
    async def response(
        self,
        method: str,
        service: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A good answer; any other is raised in the service's own words."""
        url = URL(self.stack.url(service) + path, encoded=True)
        try:
            async with self.session.request(method, url, params=query, json=body, headers=headers) as answer:
                if not answer.ok:
                    raise (NotThere if answer.status == 404 else StackError)(f"{service}: {await _problem(answer)}")
                yield answer
        except aiohttp.ClientConnectionError:
            raise StackError(f"{service} does not answer at {self.stack.url(service)}") from None
        except TimeoutError:
            raise StackError(f"{service} did not answer in time") from None


@asynccontextmanager
async def calls_as(role: str, data: Path, clinics: Sequence[str] = ()) -> AsyncIterator[ServiceCalls]:
    """Calls with a short-lived token of this role, at these clinics, to the stack that is up on this folder."""
    directory = DataDirectory(data)
    stack = RunningStack.found_in(directory)
    token = Issuer.kept_at(directory.issuer).mint(f"kap-{role}", [role], clinics, lifetime=timedelta(minutes=15))
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60)
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}, timeout=timeout) as session:
        yield ServiceCalls(stack, session)


async def _problem(answer: aiohttp.ClientResponse) -> str:
    try:
        problem = json.loads(await answer.text())
        words = ": ".join(problem[part] for part in ("title", "detail") if problem.get(part))
    except (ValueError, KeyError, TypeError, AttributeError):
        words = ""
    return words or f"answered {answer.status} {answer.reason}"
