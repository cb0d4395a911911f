"""Addresses, secrets and keys as stated in requests, and that no two have the same."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, SecretStr

from services.prescriber.domain.partners.state import Organisation
from shared.pathway.refusal import Refusal
from shared.webhooks.destinations import what_is_wrong_with
from shared.webhooks.signing import MalformedKey, PrivateKey, PublicKey, SharedSecret, SigningKey


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


@lru_cache(maxsize=1024)
def signing_key(secret: str) -> SigningKey:
    """Return the key that a stored secret is: `whsk_` signs `v1a`, `whsec_` signs `v1`."""
    return PrivateKey.parse(secret) if secret.startswith("whsk_") else SharedSecret.parse(secret)


def require_secret_unused(secret: SecretStr, partners: Iterable[Organisation]) -> None:
    """Raise Refusal if any endpoint has the secret, or had it before its last rotation."""
    wanted = signing_key(secret.get_secret_value())
    for partner in partners:
        for endpoint in partner.endpoints:
            if any(signing_key(known.text) == wanted for known in endpoint.secrets):
                raise Refusal("key-in-use", "Each endpoint has a secret of its own.")


def require_key_unused(key: str, partners: Iterable[Organisation]) -> None:
    """Raise Refusal if any organisation signs decisions with the key."""
    wanted = PublicKey.parse(key)
    if any(PublicKey.parse(known) == wanted for partner in partners for known in partner.decision_keys):
        raise Refusal("key-in-use", "Each partner has keys of its own.")
