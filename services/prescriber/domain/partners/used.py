"""What an organisation used once and nobody takes again: names of endpoints and credentials, keys, secrets.

What ended may be known to whom it must not be: a key or secret that came back would let that person in again, and so would a
token under a credential's name. An endpoint's name stands for its sequence, which begins once.
"""

import hashlib

from pydantic import SecretStr

from shared.events.base import EventData, Slug
from shared.events.partner import (
    FIRST_ENDPOINT,
    CredentialIssued,
    DecisionKeyAdded,
    EndpointAdded,
    EndpointSecretRotated,
    PartnerRegistered,
)


def digest_of(text: str) -> str:
    """Return the SHA-256 of a text in 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def key_id(text: str) -> str:
    """Return what a key or secret is called where it may not be shown: the first 16 hexadecimal digits of its text's SHA-256."""
    return digest_of(text)[:16]


def endpoint_name(slug: Slug) -> str:
    """Return the mark of an endpoint's name."""
    return f"endpoint {slug}"


def credential_name(slug: Slug) -> str:
    """Return the mark of a credential's name."""
    return f"credential {slug}"


def webhook_secret(text: str) -> str:
    """Return the mark of a secret, which may be written with or without padding."""
    return f"secret {digest_of(text.rstrip('='))}"


def decision_key(text: str) -> str:
    """Return the mark of a decision key, which may be written with or without padding."""
    return f"key {digest_of(text.rstrip('='))}"


def used_by(event: EventData) -> frozenset[str]:
    """Return the marks of what an event brings into use."""
    match event:
        case PartnerRegistered(webhook_secret=None):
            return frozenset({decision_key(event.decision_key)})
        case PartnerRegistered(webhook_secret=SecretStr() as secret):
            return frozenset({decision_key(event.decision_key), webhook_secret(secret.get_secret_value()), endpoint_name(FIRST_ENDPOINT)})
        case EndpointAdded():
            return frozenset({endpoint_name(event.endpoint), webhook_secret(event.webhook_secret.get_secret_value())})
        case EndpointSecretRotated():
            return frozenset({webhook_secret(event.webhook_secret.get_secret_value())})
        case DecisionKeyAdded():
            return frozenset({decision_key(event.decision_key)})
        case CredentialIssued():
            return frozenset({credential_name(event.credential)})
        case _:
            return frozenset()
