"""Where an organisation is told: another endpoint, another address, a pause, an end."""

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from services.prescriber.domain.partners import used
from services.prescriber.domain.partners.alerts import settled, with_alerts
from services.prescriber.domain.partners.keys import Fresh, Signing, WebhookSecret, WebhookUrl, require_secret_unused, secret_of
from services.prescriber.domain.partners.names import NAMES
from services.prescriber.domain.partners.register import require_destination
from services.prescriber.domain.partners.state import Partner, Partners
from shared.events.base import EventData, Slug
from shared.events.partner import (
    EndpointAdded,
    EndpointChanged,
    EndpointDisabled,
    EndpointPaused,
    EndpointRemoved,
    EndpointResumed,
    EventName,
)
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request
from shared.service.definition import Decide

MOST_ENDPOINTS: Final = 10


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    if not NAMES.issuperset(names):
        raise ValueError("names of webhook events, such as kapcare.review.assigned")
    return tuple(dict.fromkeys(names))


Events = Annotated[tuple[EventName, ...], Field(max_length=50), AfterValidator(_known)]


NewName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
"""A slug without a dot: it is part of each webhook id, where none may be, and two names must not become one there."""


class AddEndpoint(Request):
    """Tell the organisation here as well; its secret is made here unless it is given."""

    endpoint: NewName
    webhook_url: WebhookUrl
    """https, on a public host; in a local stack also http on loopback."""
    events: Events = ()
    """What is sent here; left out: everything."""
    signing: Signing = "v1"
    webhook_secret: WebhookSecret | None = None
    """`whsec_` and base64 of 24 to 64 bytes, for `v1` alone."""

    @model_validator(mode="after")
    def _private_keys_are_made_here(self) -> Self:
        if self.signing == "v1a" and self.webhook_secret is not None:
            raise ValueError("the key of a v1a endpoint is made here; leave webhook_secret out")
        return self


class ChangeEndpoint(Request):
    """Give the endpoint another address, other events or both; what is left out stays."""

    endpoint: Slug
    webhook_url: WebhookUrl | None = None
    events: Events | None = None
    """Empty: everything."""


class NameEndpoint(Request):
    """An endpoint of the organisation, by its name."""

    endpoint: Slug


def adding(partners: Partners, *, allow_loopback: bool) -> Decide:
    """Return the decision that adds an endpoint under a name and with a secret that were not used before."""

    def add(partner: Partner, fresh: Fresh[AddEndpoint], context: Context) -> list[EventData]:
        entry, asked = partner.require_entry(), fresh.asked
        if used.endpoint_name(asked.endpoint) in entry.used:
            raise Refusal("name-used", "An endpoint of this name is or was there; each has a name of its own, and none comes back.")
        if len(entry.endpoints) >= MOST_ENDPOINTS:
            raise Refusal("too-many-endpoints", f"An organisation has at most {MOST_ENDPOINTS} endpoints; remove one first.")
        require_destination(asked.webhook_url, allow_loopback=allow_loopback)
        secret = asked.webhook_secret or secret_of(fresh.random, asked.signing)
        require_secret_unused(secret, (entry, *partners()))
        return [
            EndpointAdded(
                partner=entry.slug,
                endpoint=asked.endpoint,
                webhook_url=asked.webhook_url,
                events=asked.events,
                webhook_secret=SecretStr(secret.get_secret_value()),
                added_at=context.now,
            )
        ]

    return add


def changing(*, allow_loopback: bool) -> Decide:
    """Return the decision that changes an endpoint; one that changes nothing leads to no event."""

    def change(partner: Partner, command: ChangeEndpoint, context: Context) -> list[EventData]:
        entry = partner.require_entry()
        endpoint = entry.require_endpoint(command.endpoint)
        url = endpoint.url if command.webhook_url is None else command.webhook_url
        events = endpoint.events if command.events is None else command.events
        if (url, events) == (endpoint.url, endpoint.events):
            return []
        require_destination(url, allow_loopback=allow_loopback)
        return [EndpointChanged(partner=entry.slug, endpoint=endpoint.slug, webhook_url=url, events=events, changed_at=context.now)]

    return change


def pause(partner: Partner, command: NameEndpoint, _context: Context) -> list[EventData]:
    """Let what is due to an endpoint wait. Raises Refusal for one that is paused or disabled."""
    entry = partner.require_entry()
    endpoint = entry.require_endpoint(command.endpoint)
    if endpoint.status != "active":
        raise Refusal("endpoint-not-active", f"This endpoint is {endpoint.status} already.")
    return [EndpointPaused(partner=entry.slug, endpoint=endpoint.slug)]


def resume(partner: Partner, command: NameEndpoint, context: Context) -> list[EventData]:
    """Go on from where a paused or disabled endpoint stood, and end the alert about it. Raises Refusal for an active one."""
    entry = partner.require_entry()
    endpoint = entry.require_endpoint(command.endpoint)
    if endpoint.status == "active":
        raise Refusal("already-active", "This endpoint is neither paused nor disabled.")
    return [EndpointResumed(partner=entry.slug, endpoint=endpoint.slug), *settled(partner, entry, context, but=endpoint.slug)]


def disable(partner: Partner, command: NameEndpoint, context: Context) -> list[EventData]:
    """Send nothing more to an endpoint until it is resumed. Raises Refusal for one that is disabled."""
    entry = partner.require_entry()
    endpoint = entry.require_endpoint(command.endpoint)
    if endpoint.status == "disabled":
        raise Refusal("already-disabled", "This endpoint is disabled already.")
    return [EndpointDisabled(partner=entry.slug, endpoint=endpoint.slug, why="by-admin", disabled_at=context.now)]


def disable_endpoint(partner: Partner, endpoint: Slug, why: Literal["gone", "failing"], context: Context) -> list[EventData]:
    """Send nothing more to an endpoint that answered 410 or took nothing for days, and call an admin; no event if that is known."""
    known = None if partner.entry is None else partner.entry.endpoint(endpoint)
    if partner.entry is None or known is None or known.status == "disabled":
        return []
    disabled = EndpointDisabled(partner=partner.entry.slug, endpoint=endpoint, why=why, disabled_at=context.now)
    return with_alerts([disabled], context)


def remove(partner: Partner, command: NameEndpoint, context: Context) -> list[EventData]:
    """End an endpoint, and the alert about it; its name is not used again. Raises Refusal if there is none."""
    entry = partner.require_entry()
    endpoint = entry.require_endpoint(command.endpoint)
    return [EndpointRemoved(partner=entry.slug, endpoint=endpoint.slug), *settled(partner, entry, context, but=endpoint.slug)]
