"""Addresses, secrets and keys as stated in requests or made for them, and that none is used twice."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import AfterValidator, SecretStr

from services.prescriber.domain.partners import used
from services.prescriber.domain.partners.state import Organisation
from shared.pathway.refusal import Refusal
from shared.webhooks.destinations import what_is_wrong_with
from shared.webhooks.signing import MalformedKey, PrivateKey, PublicKey, SharedSecret, SigningKey

Signing = Literal["v1", "v1a"]
"""What webhooks are signed with: HMAC-SHA256 under a shared secret, or ed25519 under a key of which the partner has the public half."""


def _may_be_called(url: str) -> str:
    wrong = what_is_wrong_with(url, allow_loopback=True)
    if wrong is not None:
        raise ValueError(wrong)
    return url


def _signs(secret: SecretStr) -> SecretStr:
    try:
        SharedSecret.parse(secret.get_secret_value())
    except MalformedKey as reason:
        raise ValueError(str(reason)) from None
    return secret


def _verifies(key: str) -> str:
    try:
        return str(PublicKey.parse(key))
    except MalformedKey as reason:
        raise ValueError(str(reason)) from None


WebhookUrl = Annotated[str, AfterValidator(_may_be_called)]
WebhookSecret = Annotated[SecretStr, AfterValidator(_signs)]
"""`whsec_` and base64 of 24 to 64 bytes."""
DecisionKeyText = Annotated[str, AfterValidator(_verifies)]
"""`whpk_` and base64 of 32 bytes, in its one canonical form."""

Asked = TypeVar("Asked")


@dataclass(frozen=True, slots=True)
class Fresh(Generic[Asked]):
    """A command, and beside it what no caller and no pure decision can make."""

    asked: Asked
    random: bytes = field(repr=False)
    """32 bytes that nobody can guess."""
    at: datetime
    """System time: secrets begin and end by it, as signatures do."""


def secret_of(random: bytes, signing: Signing) -> SecretStr:
    """Return 32 random bytes as the secret of an endpoint: `whsec_`, or `whsk_` of the private key whose seed they are."""
    return SecretStr(PrivateKey(random).reveal() if signing == "v1a" else "whsec_" + base64.b64encode(random).decode())


def signing_of(secret: str) -> Signing:
    """Return what a stored secret signs with."""
    return "v1a" if secret.startswith("whsk_") else "v1"


@lru_cache(maxsize=1024)
def signing_key(secret: str) -> SigningKey:
    """Return the key that a stored secret is: `whsk_` signs `v1a`, `whsec_` signs `v1`."""
    return PrivateKey.parse(secret) if signing_of(secret) == "v1a" else SharedSecret.parse(secret)


def public_half(secret: str) -> str | None:
    """Return the `whpk_` that verifies what a stored secret signs; None for a shared secret, which has no public half."""
    return str(PrivateKey.parse(secret).public) if signing_of(secret) == "v1a" else None


def require_secret_unused(secret: SecretStr, partners: Iterable[Organisation]) -> None:
    """Raise Refusal if any endpoint has the secret or ever had it."""
    if _is_used(used.webhook_secret(secret.get_secret_value()), partners):
        raise Refusal("key-in-use", "Each endpoint has secrets of its own, and none comes back.")


def require_key_unused(key: str, partners: Iterable[Organisation]) -> None:
    """Raise Refusal if any organisation signs decisions with the key or ever did."""
    if _is_used(used.decision_key(key), partners):
        raise Refusal("key-in-use", "Each partner has keys of its own, and none comes back.")


def _is_used(mark: str, partners: Iterable[Organisation]) -> bool:
    return any(mark in partner.used for partner in partners)
