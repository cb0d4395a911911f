"""Access tokens of partners: given for a credential, and good for five minutes or until the credential or its organisation ends.

They are made and verified by this service alone (RFC 9068, HS256 with a key derived from the receipt key). Tokens of the network's
issuer are passed on to their own verifier.
"""

import hashlib
import hmac
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from services.prescriber.domain.partners.state import Credential, Partners
from shared.access.decide import Principal
from shared.access.tokens import TokenRefused, Tokens, well_formed
from shared.events.base import Slug

ISSUER: Final = "urn:kapcare:prescriber"
AUDIENCE: Final = "urn:kapcare:prescriber/partner"
LIFETIME_SECONDS: Final = 300
"""What SMART Backend Services recommends as the most."""
KEY_INFO: Final = b"partner-tokens/v1"

_HEADER: Final = {"alg": "HS256", "typ": "at+jwt"}
_NO_SECRET: Final = hashlib.sha256(b"no client has this secret").hexdigest()
"""Stands in for unknown clients, so that they take as long as known ones. What follows does not rest on it being secret."""


@dataclass(frozen=True, slots=True)
class Client:
    """A credential that was proven, and whose it is."""

    organisation: Slug
    credential: Credential


def principal_of(client: Client) -> Principal:
    """Return who a client's token speaks for."""
    return Principal(ISSUER, client.credential.client_id, frozenset({"partner"}), frozenset(), client.organisation)


class PartnerTokens:
    """Issues tokens to partners, and turns bearer tokens, its own and the issuer's, into principals."""

    def __init__(self, others: Tokens, receipt_key: bytes, partners: Partners, now: Callable[[], datetime]) -> None:
        self._others = others
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=KEY_INFO).derive(receipt_key)
        self._key = OctKey.import_key(derived)
        self._partners = partners
        self._now = now
        self._own_begin = self._sign({}).partition(".")[0] + "."
        """Every token made here has the same header, byte for byte; any other is not from here."""

    def client(self, client_id: str, client_secret: str) -> Client | None:
        """Return whose client id and secret these are; None for an unknown client, a wrong secret and an organisation that left."""
        known = self._known().get(client_id)
        wanted = _NO_SECRET if known is None else known.credential.secret_sha256
        given = hashlib.sha256(client_secret.encode()).hexdigest()
        return known if hmac.compare_digest(given, wanted) and known is not None else None

    def issue(self, client: Client) -> str:
        """Return an access token for a client, good for LIFETIME_SECONDS."""
        now = int(self._now().timestamp())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": client.credential.client_id,
            "client_id": client.credential.client_id,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
            "jti": uuid.uuid4().hex,
            "scope": "partner",
            "organisation": client.organisation,
            "credential": client.credential.slug,
        }
        return self._sign(claims)

    async def principal(self, token: str) -> Principal:
        """Return who the token speaks for; raises TokenRefused."""
        if not token.startswith(self._own_begin):
            return await self._others.principal(token)
        client = self._known().get(self._verified(token)["sub"])
        if client is None:
            raise TokenRefused
        return principal_of(client)

    def _known(self) -> dict[str, Client]:
        """Return the clients of now, by client id."""
        return {
            credential.client_id: Client(partner.slug, credential)
            for partner in self._partners()
            if partner.status != "left"
            for credential in partner.credentials
        }

    def _sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(_HEADER, claims, self._key, algorithms=["HS256"])

    def _verified(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that was made here and has not ended."""
        if not well_formed(token):
            raise TokenRefused
        registry = jwt.JWTClaimsRegistry(now=int(self._now().timestamp()), iss={"value": ISSUER}, aud={"value": AUDIENCE})
        try:
            claims = jwt.decode(token, self._key, algorithms=["HS256"]).claims
            # Not `iat`: another instance, whose clock is a little ahead, may have made it.
            registry.validate({name: claims[name] for name in ("iss", "aud", "exp", "sub")})
        except (JoseError, ValueError, KeyError):
            raise TokenRefused from None
        return claims
