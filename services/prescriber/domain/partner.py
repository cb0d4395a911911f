"""Register a prescriber organisation: where it is told, with which secret, and the key that proves its decisions."""

from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from services.prescriber.domain.review import Partners
from services.prescriber.domain.state import Partner
from shared.events.base import EventData
from shared.events.prescriber import IN_HOUSE, PartnerRegistered
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request
from shared.service.definition import Decide, Origin
from shared.webhooks.destinations import what_is_wrong_with
from shared.webhooks.signing import MalformedKey, PublicKey, SharedSecret

ORIGIN = Origin(clinic="network", patient="none")
"""Partners belong to the network, and their streams to no patient."""


class RegisterPartner(Request):
    """A new prescriber organisation."""

    slug: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,47}$")]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    webhook_url: str
    """https, on a public host; in a local stack also http on loopback."""
    webhook_secret: SecretStr
    """`whsec_` and base64 of 24 to 64 bytes: signs what we send."""
    decision_key: str
    """`whpk_` and base64 of 32 bytes: verifies the decisions it sends; the private half never reaches us."""

    @field_validator("slug")
    @classmethod
    def _is_not_ours(cls, slug: str) -> str:
        if slug == IN_HOUSE:
            raise ValueError("this slug names the network's own prescribers")
        return slug

    @field_validator("webhook_url")
    @classmethod
    def _may_be_called(cls, url: str) -> str:
        wrong = what_is_wrong_with(url, allow_loopback=True)
        if wrong is not None:
            raise ValueError(wrong)
        return url

    @field_validator("webhook_secret")
    @classmethod
    def _signs(cls, secret: SecretStr) -> SecretStr:
        try:
            SharedSecret.parse(secret.get_secret_value())
        except MalformedKey as reason:
            raise ValueError(str(reason)) from None
        return secret

    @field_validator("decision_key")
    @classmethod
    def _verifies(cls, key: str) -> str:
        try:
            PublicKey.parse(key)
        except MalformedKey as reason:
            raise ValueError(str(reason)) from None
        return key


def registering(partners: Partners, *, allow_loopback: bool) -> Decide:
    """Return the decision that registers an organisation once, with a secret and a key that no other one has."""

    def register(partner: Partner, command: RegisterPartner, _context: Context) -> list[EventData]:
        if partner.entry is not None:
            raise Refusal("partner-exists", "A partner of this slug is registered already.")
        if what_is_wrong_with(command.webhook_url, allow_loopback=allow_loopback) is not None:
            raise Refusal("destination-not-allowed", "Webhooks go to https on a public host.")
        secret = SharedSecret.parse(command.webhook_secret.get_secret_value())
        key = PublicKey.parse(command.decision_key)
        for other in partners():
            if SharedSecret.parse(other.webhook_secret) == secret or PublicKey.parse(other.decision_key) == key:
                raise Refusal("key-in-use", "Each partner has a secret and a key of its own.")
        return [
            PartnerRegistered(
                partner=command.slug,
                name=command.name,
                webhook_url=command.webhook_url,
                webhook_secret=command.webhook_secret,
                decision_key=command.decision_key,
            )
        ]

    return register
