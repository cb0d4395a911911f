"""The secrets that sign what an endpoint is sent: a new one beside those before it, and the end of those."""

from datetime import timedelta
from typing import Annotated, Final

from pydantic import Field, SecretStr

from services.prescriber.domain.partners.keys import Fresh, Signing, WebhookSecret, require_secret_unused, secret_of, signing_of
from services.prescriber.domain.partners.state import Endpoint, Partner, Partners
from shared.events.base import EventData, Slug
from shared.events.partner import EndpointSecretRotated, EndpointSecretsRevoked
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request
from shared.service.definition import Decide

OVERLAP_HOURS: Final = 24
LONGEST_OVERLAP_HOURS: Final = 168
MOST_OLD_SECRETS: Final = 10
"""How many secrets before the newest may sign beside it. These figures are Svix's (`endpoint_secret_rotate`, `MAX_OLD_KEYS`)."""


class RotateSecret(Request):
    """Sign with a new secret, and with those before it for `overlap_hours` more; the secret is made here unless it is given."""

    endpoint: Slug
    overlap_hours: Annotated[int, Field(ge=0, le=LONGEST_OVERLAP_HOURS)] = OVERLAP_HOURS
    """0: those before it end now."""
    signing: Signing | None = None
    """Left out: what the endpoint signs with already."""
    webhook_secret: WebhookSecret | None = None
    """`whsec_` and base64 of 24 to 64 bytes, for `v1` alone."""


class RevokeSecrets(Request):
    """End every secret of the endpoint but the newest now."""

    endpoint: Slug


def rotating(partners: Partners) -> Decide:
    """Return the decision that gives an endpoint a secret which no endpoint has or had."""

    def rotate(partner: Partner, fresh: Fresh[RotateSecret], _context: Context) -> list[EventData]:
        entry, asked = partner.require_entry(), fresh.asked
        endpoint = entry.require_endpoint(asked.endpoint)
        until = fresh.at + timedelta(hours=asked.overlap_hours)
        if until > fresh.at and len(endpoint.secrets_at(fresh.at)) > MOST_OLD_SECRETS:
            detail = f"{MOST_OLD_SECRETS} old secrets are in force beside the newest; revoke them, wait, or rotate without overlap."
            raise Refusal("too-many-secrets", detail)
        secret = _secret(endpoint, fresh)
        require_secret_unused(secret, (entry, *partners()))
        return [EndpointSecretRotated(partner=entry.slug, endpoint=endpoint.slug, webhook_secret=secret, earlier_until=until)]

    return rotate


def revoke_secrets(partner: Partner, command: RevokeSecrets, _context: Context) -> list[EventData]:
    """End all secrets but the newest. Raises Refusal if the endpoint has no other."""
    entry = partner.require_entry()
    endpoint = entry.require_endpoint(command.endpoint)
    if len(endpoint.secrets) < 2:
        raise Refusal("no-old-secret", "This endpoint has no secret but the newest; rotate it first.")
    return [EndpointSecretsRevoked(partner=entry.slug, endpoint=endpoint.slug)]


def _secret(endpoint: Endpoint, fresh: Fresh[RotateSecret]) -> SecretStr:
    signing, given = fresh.asked.signing or signing_of(endpoint.secrets[0].text), fresh.asked.webhook_secret
    if given is None:
        return secret_of(fresh.random, signing)
    if signing == "v1a":
        raise Refusal("key-made-here", "The key of a v1a endpoint is made here; leave webhook_secret out.")
    return SecretStr(given.get_secret_value())
