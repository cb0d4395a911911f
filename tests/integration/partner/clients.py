"""Partners as OAuth clients: their credentials, their tokens, and what they ask for with them."""

import base64
import random
import uuid
from dataclasses import dataclass
from typing import Any

import aiohttp
from pydantic import SecretStr

from shared.events.base import EventData
from shared.events.partner import CredentialIssued, CredentialRevoked, EndpointAdded
from shared.log.commit import Cause
from tests import toy
from tests.integration.partner_clinic import Answer, Clinic


@dataclass(frozen=True)
class Credentials:
    """What an administrator hands to a partner."""

    partner: str
    name: str
    secret: str

    @property
    def client_id(self) -> str:
        return f"{self.partner}.{self.name}"

    @property
    def basic(self) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()}

    @property
    def form(self) -> dict[str, str]:
        return {"client_id": self.client_id, "client_secret": self.secret}


async def record(clinic: Clinic, partner: str, *events: EventData) -> None:
    """Commit events on a partner's stream, as its commands do."""
    cause = Cause.operator("test", uuid.uuid4().hex, b"m" * 32)
    await clinic.prescriber.run(f"partner-{partner}", lambda _state, _context: events, cause, toy.CLINICIAN)


def endpoint_added(partner: str, endpoint: str, host: str = "hooks.example") -> EndpointAdded:
    """An endpoint that takes none of the messages there are, so that a test can say what was sent there."""
    url = f"https://{host}/a/secret/path?with=a-key"
    secret = SecretStr("whsec_" + "A" * 32)
    return EndpointAdded(partner=partner, endpoint=endpoint, webhook_url=url, events=("kapcare.none",), webhook_secret=secret)


async def issued(clinic: Clinic, partner: str) -> Credentials:
    """A new credential that the service knows of."""
    made = Credentials(partner, f"c{uuid.uuid4().hex[:8]}", f"kaps_{uuid.uuid4().hex}+/")
    secret = SecretStr(made.secret)
    event = CredentialIssued(partner=partner, credential=made.name, client_id=made.client_id, client_secret=secret)
    await record(clinic, partner, event)

    async def known() -> bool:
        return (await ask_token(clinic, headers=made.basic))[0] == 200

    await toy.eventually(known)
    return made


async def revoke(clinic: Clinic, credentials: Credentials) -> None:
    """End a credential."""
    await record(clinic, credentials.partner, CredentialRevoked(partner=credentials.partner, credential=credentials.name))


async def ask_token(
    clinic: Clinic, form: dict[str, str] | None = None, headers: dict[str, str] | None = None, address: str | None = None
) -> Answer:
    """Ask for a token, from an address of its own unless one is named."""
    return await post_form(clinic, {"grant_type": "client_credentials", **(form or {})}, headers or {}, address=address)


async def post_form(
    clinic: Clinic, parameters: Any, headers: dict[str, str], path: str = "/partner/token", address: str | None = None
) -> Answer:
    """Post to the token route from a loopback address; answers with the headers that matter under "headers"."""
    source = address or f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}"
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(source, 0))) as session,
        session.post(clinic.url + path, data=parameters, headers=headers) as response,
    ):
        body = await response.json(content_type=None)
        told = {name: response.headers.get(name) for name in ("Cache-Control", "WWW-Authenticate", "Retry-After", "Content-Type")}
        return response.status, {**body, "headers": told}


async def token_of(clinic: Clinic, credentials: Credentials) -> str:
    """An access token got with credentials."""
    status, answer = await ask_token(clinic, headers=credentials.basic)
    assert status == 200, answer
    token: str = answer["access_token"]
    return token


async def ask(clinic: Clinic, token: str | None, path: str, body: Any = None, method: str | None = None) -> Answer:
    """One request with a token: a POST where there is a body."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    if body is not None:
        headers["Idempotency-Key"] = uuid.uuid4().hex
    async with clinic.session.request(
        method or ("GET" if body is None else "POST"), clinic.url + path, json=body, headers=headers
    ) as response:
        return response.status, await response.json()
