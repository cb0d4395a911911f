"""Register a prescriber organisation: what it undertakes, where it is told, and the key that proves its decisions."""

from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from services.prescriber.domain.partners.keys import DecisionKeyText, WebhookSecret, WebhookUrl, require_key_unused, require_secret_unused
from services.prescriber.domain.partners.state import Partner, Partners
from services.prescriber.domain.partners.terms import Terms
from shared.events.base import EventData
from shared.events.partner import PartnerRegistered
from shared.events.prescriber import IN_HOUSE
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.service.definition import Decide
from shared.webhooks.destinations import what_is_wrong_with


class RegisterPartner(Terms):
    """A new prescriber organisation; with `webhook_url` and `webhook_secret` it has its first endpoint, named `main`."""

    slug: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,47}$")]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    webhook_url: WebhookUrl | None = None
    """https, on a public host; in a local stack also http on loopback."""
    webhook_secret: WebhookSecret | None = None
    """`whsec_` and base64 of 24 to 64 bytes: signs what we send."""
    decision_key: DecisionKeyText
    """`whpk_` and base64 of 32 bytes: verifies the decisions it sends; the private half never reaches us."""
    sandbox: bool = False
    """Whether it begins with test events and examples alone, until it is activated."""

    @field_validator("slug")
    @classmethod
    def _is_not_ours(cls, slug: str) -> str:
        if slug == IN_HOUSE:
            raise ValueError("this slug names the network's own prescribers")
        return slug

    @model_validator(mode="after")
    def _url_and_secret_come_together(self) -> Self:
        if (self.webhook_url is None) != (self.webhook_secret is None):
            raise ValueError("webhook_url and webhook_secret come together; endpoints can be added later")
        return self


def registering(partners: Partners, *, allow_loopback: bool) -> Decide:
    """Return the decision that registers an organisation once, with a secret and a key that no other one has."""

    def register(partner: Partner, command: RegisterPartner, _context: Context) -> list[EventData]:
        if partner.entry is not None:
            raise Refusal("partner-exists", "A partner of this slug is registered already.")
        secret = None if command.webhook_secret is None else SecretStr(command.webhook_secret.get_secret_value())
        if command.webhook_url is not None:
            require_destination(command.webhook_url, allow_loopback=allow_loopback)
        if secret is not None:
            require_secret_unused(secret, partners())
        require_key_unused(command.decision_key, partners())
        return [
            PartnerRegistered(
                partner=command.slug,
                name=command.name,
                webhook_url=command.webhook_url,
                webhook_secret=secret,
                decision_key=command.decision_key,
                licensed_states=command.licensed_states,
                capacity=command.capacity,
                answer_hours=command.answer_hours,
                sandbox=command.sandbox,
            )
        ]

    return register


def require_destination(url: str, *, allow_loopback: bool) -> None:
    """Raise Refusal unless webhooks may go there."""
    if what_is_wrong_with(url, allow_loopback=allow_loopback) is not None:
        raise Refusal("destination-not-allowed", "Webhooks go to https on a public host.")
