"""OIDC access tokens, verified against the issuer's JWKS (RFC 9068): algorithm, issuer, audience, times, type."""

import asyncio
import base64
import hashlib
import json
import re
import time
from collections import OrderedDict
from typing import Any, Final, Protocol

import aiohttp
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from shared.access.decide import ROLES, Principal

ALGORITHMS: Final = ["EdDSA", "Ed25519", "ES256", "RS256", "PS256"]
TOKEN_LIMIT_CHARACTERS: Final = 8192
LEEWAY_SECONDS: Final = 5
REFRESH_AT_MOST_EVERY_SECONDS: Final = 60.0
REMEMBERED_TOKENS: Final = 10_000

_UNUSABLE: Final = (JoseError, ValueError, TypeError, RecursionError)
"""What reading a token that nobody here issued may raise: refused for what it says, or not to be read at all."""

_COMPACT: Final = re.compile(r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$")
_OPAQUE: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
"""Subjects, clinics and organisations are opaque ids: an e-mail address is refused, since ids stand in clear envelopes."""


class TokenRefused(Exception):
    """The token is not good; one reason for all, so that nothing can be probed."""


class Tokens(Protocol):
    """Turns bearer tokens into principals."""

    async def principal(self, token: str) -> Principal:
        """Return who the token speaks for; raises TokenRefused."""
        ...


class TokenVerifier:
    """Takes the tokens of the network's issuer. The JWKS is fetched when first needed and when a key is unknown, never more
    often than REFRESH_AT_MOST_EVERY_SECONDS; nothing in a token causes another fetch."""

    def __init__(self, issuer: str, audience: str, jwks_url: str) -> None:
        self._issuer = issuer
        self._audience = audience
        self._jwks_url = jwks_url
        self._keys: KeySet | None = None
        self._fetched_at = float("-inf")
        self._fetching = asyncio.Lock()
        self._remembered: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()

    async def principal(self, token: str) -> Principal:
        """Return who the token speaks for; raises TokenRefused."""
        digest = hashlib.sha256(token.encode()).digest()
        remembered = self._remembered.get(digest)
        if remembered is not None and remembered[0] > time.time():
            return remembered[1]
        claims = await self._verify(token)
        principal = _principal_of(claims)
        self._remembered[digest] = (float(claims["exp"]), principal)
        if len(self._remembered) > REMEMBERED_TOKENS:
            self._remembered.popitem(last=False)
        return principal

    async def _verify(self, token: str) -> dict[str, Any]:
        if not well_formed(token):
            raise TokenRefused
        keys = await self._key_set(refresh=False)
        try:
            return self._decode(token, keys)
        except _UNUSABLE:
            if not _names_unknown_key(token, keys):
                raise TokenRefused from None
        try:
            return self._decode(token, await self._key_set(refresh=True))
        except _UNUSABLE:
            raise TokenRefused from None

    def _decode(self, token: str, keys: KeySet) -> dict[str, Any]:
        decoded = jwt.decode(token, keys, algorithms=ALGORITHMS)
        if str(decoded.header.get("typ", "")).lower() not in {"at+jwt", "application/at+jwt"}:
            raise TokenRefused
        claims: dict[str, Any] = dict(decoded.claims)
        for name in ("exp", "nbf", "iat"):
            if name in claims and (isinstance(claims[name], bool) or not isinstance(claims[name], int | float)):
                raise TokenRefused
        registry = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        registry.validate(claims)
        return claims

    async def _key_set(self, *, refresh: bool) -> KeySet:
        async with self._fetching:
            due = time.monotonic() - self._fetched_at >= REFRESH_AT_MOST_EVERY_SECONDS
            if self._keys is None or (refresh and due):
                try:
                    timeout = aiohttp.ClientTimeout(total=5)
                    async with aiohttp.ClientSession(timeout=timeout) as client, client.get(self._jwks_url) as answer:
                        self._keys = KeySet.import_key_set(json.loads(await answer.text()))
                except (aiohttp.ClientError, TimeoutError, ValueError, JoseError) as error:
                    if self._keys is None:
                        raise TokenRefused from error
                self._fetched_at = time.monotonic()
            return self._keys


def _principal_of(claims: dict[str, Any]) -> Principal:
    roles = _strings(claims.get("roles", []))
    clinics = _strings(claims.get("clinics", []))
    organisation = claims.get("organisation")
    opaque = [claims["sub"], *clinics, *([organisation] if organisation is not None else [])]
    if not all(isinstance(item, str) and _OPAQUE.fullmatch(item) for item in opaque):
        raise TokenRefused
    return Principal(claims["iss"], claims["sub"], roles & frozenset(ROLES), clinics, organisation)


def _strings(value: object) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TokenRefused
    return frozenset(value)


def well_formed(token: str) -> bool:
    """Return whether the token is a compact JWS of bearable length, each part in canonical base64url."""
    return len(token) <= TOKEN_LIMIT_CHARACTERS and _COMPACT.fullmatch(token) is not None and _canonical(token)


def _canonical(token: str) -> bool:
    """Whether every part is canonical base64url: no unused bits that could be altered without notice."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for part in token.split("."):
        spare = {0: 0, 2: 4, 3: 2}.get(len(part) % 4)
        if spare is None or (spare and alphabet.index(part[-1]) & ((1 << spare) - 1)):
            return False
    return True


def _names_unknown_key(token: str, keys: KeySet) -> bool:
    try:
        kid = _kid_of(token)
    except (ValueError, RecursionError):
        return False
    return kid is not None and all(key.kid != kid for key in keys.keys)


def _kid_of(token: str) -> str | None:
    head = token.partition(".")[0]
    header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    kid = header.get("kid") if isinstance(header, dict) else None
    return kid if isinstance(kid, str) else None
