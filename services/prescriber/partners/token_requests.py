"""Where partners get access tokens: the client credentials grant of OAuth 2.0 (RFC 6749, 4.4), for the credentials in their streams.

Every client that does not prove itself gets one answer, in one time. Failures are limited for each address and client id; the address
is that of the connection, or what a proxy says that the server was told to trust.
"""

import base64
import binascii
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, unquote

from fastapi import APIRouter
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from services.prescriber.partners.tokens import LIFETIME_SECONDS, Client, PartnerTokens, principal_of
from shared.http.body import read_capped
from shared.http.callers import address_of, asking
from shared.http.failure_limit import FailureLimit
from shared.http.problems import Problem
from shared.service.runtime import Runtime

BODY_LIMIT_BYTES: Final = 8_192
FAILURES_AT_ONCE: Final = 10
FAILURES_PER_SECOND: Final = 0.2
"""What follows ten failures in a row: one each five seconds."""

OAuthError = Literal["invalid_request", "invalid_client", "unsupported_grant_type", "invalid_scope"]

_CLIENT_ID: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,129}")
_UNCACHED: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_SAID: Final[Mapping[OAuthError, str]] = {
    "invalid_request": "Send each parameter once, in a form-encoded body, and one way of proving who you are.",
    "invalid_client": "The client is not known, or did not prove that it is the client.",
    "unsupported_grant_type": "Only client_credentials is granted.",
    "invalid_scope": "The one scope is partner.",
}
_FORM: Final = {
    "type": "object",
    "required": ["grant_type"],
    "properties": {
        "grant_type": {"type": "string", "enum": ["client_credentials"]},
        "scope": {"type": "string", "enum": ["partner"]},
        "client_id": {"type": "string"},
        "client_secret": {"type": "string"},
    },
}
_DESCRIBED: Final[dict[str, Any]] = {
    "security": [],
    "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": _FORM}}},
}


class _Refused(Exception):
    """The request gets no token (RFC 6749, 5.2)."""

    def __init__(self, error: OAuthError) -> None:
        super().__init__(error)
        self.error = error


@dataclass(frozen=True, slots=True)
class _Presented:
    """What a client says of itself; empty where it says nothing, or what no client id can be."""

    client_id: str
    client_secret: str = field(repr=False)


class TokenRequests:
    """The route of POST /partner/token."""

    def __init__(self, runtime: Runtime, tokens: PartnerTokens, clock: Callable[[], float] = time.monotonic) -> None:
        self._runtime = runtime
        self._tokens = tokens
        self._clock = clock
        self._failures = FailureLimit(FAILURES_AT_ONCE, FAILURES_PER_SECOND)

    def router(self) -> APIRouter:
        """Return the route."""
        router = APIRouter(tags=["partners"])
        router.add_api_route(
            "/partner/token",
            self.grant,
            methods=["POST"],
            summary="Get an access token with a client id and secret",
            response_model=None,
            openapi_extra=_DESCRIBED,
        )
        return router

    async def grant(self, request: Request) -> Response:
        """Grant a token to a client that proves itself by HTTP Basic or in the body."""
        try:
            form = await _read_form(request)
            presented = _presented(request, form)
            if "grant_type" not in form:
                raise _Refused("invalid_request")
            if form["grant_type"] != "client_credentials":
                raise _Refused("unsupported_grant_type")
            client = self._prove(request, presented)
            if form.get("scope", "partner") != "partner":
                raise _Refused("invalid_scope")
        except _Refused as refused:
            return self._refuse(refused.error)
        self._runtime.log.info("a partner got a token", partner=client.organisation, credential=client.credential.slug)
        token = self._tokens.issue(client)
        asking(request).principal, asking(request).token_issued = principal_of(client), True
        content = {"access_token": token, "token_type": "Bearer", "expires_in": LIFETIME_SECONDS, "scope": "partner"}
        return Response(to_json(content), media_type="application/json", headers=_UNCACHED)

    def _prove(self, request: Request, presented: _Presented) -> Client:
        """Return the client; what it presents is not looked at where too many failures came before."""
        key = (address_of(request), presented.client_id)
        now = self._clock()
        seconds = self._failures.seconds_to_wait(key, now)
        if seconds > 0:
            self._runtime.metrics.refused("token-too-many-failures")
            wait = {"Retry-After": str(math.ceil(seconds))}
            raise Problem(429, "too-many-failures", "Too many requests for tokens failed; wait before the next.", headers=wait)
        client = self._tokens.client(presented.client_id, presented.client_secret)
        if client is None:
            self._failures.failed(key, now)
            raise _Refused("invalid_client")
        return client

    def _refuse(self, error: OAuthError) -> Response:
        self._runtime.metrics.refused(f"token-{error.replace('_', '-')}")
        self._runtime.log.warning("a request for a token was refused", because=error)
        failed_to_prove = error == "invalid_client"
        challenge = {"WWW-Authenticate": 'Basic realm="kapcare"'} if failed_to_prove else {}
        content = to_json({"error": error, "error_description": _SAID[error]})
        headers = {**_UNCACHED, **challenge}
        return Response(content, status_code=401 if failed_to_prove else 400, media_type="application/json", headers=headers)


async def _read_form(request: Request) -> dict[str, str]:
    """Return the parameters of the body; one without a value counts as left out, and none stands in the address (RFC 6749, 3.2)."""
    body = await read_capped(request, BODY_LIMIT_BYTES)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded" or request.url.query:
        raise _Refused("invalid_request")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=20)
    except ValueError:
        raise _Refused("invalid_request") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise _Refused("invalid_request")
    return {name: value for name, value in form.items() if value}


def _presented(request: Request, form: Mapping[str, str]) -> _Presented:
    """Return what the client says of itself, one way only (RFC 6749, 2.3.1)."""
    headers = request.headers.getlist("authorization")
    if not headers:
        return _checked(form.get("client_id", ""), form.get("client_secret", ""))
    if len(headers) > 1 or "client_secret" in form:
        raise _Refused("invalid_request")
    client_id, secret = _read_basic(headers[0])
    if form.get("client_id", client_id) != client_id:
        raise _Refused("invalid_request")
    return _checked(client_id, secret)


def _read_basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        # Both are form-encoded first. A plus sign is left as it is: nothing here has a space, and many clients do not encode it.
        return unquote(client_id, errors="strict"), unquote(secret, errors="strict")
    except (binascii.Error, ValueError):
        return "", ""


def _checked(client_id: str, secret: str) -> _Presented:
    return _Presented(client_id if _CLIENT_ID.fullmatch(client_id) else "", secret)
