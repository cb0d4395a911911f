"""What is known of a prescriber organisation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from services.prescriber.domain.partners.names import NAMES
from services.prescriber.domain.partners.used import digest_of, used_by
from shared.events.base import EventData, Slug
from shared.events.partner import (
    FIRST_ENDPOINT,
    CredentialIssued,
    CredentialRevoked,
    DecisionKeyAdded,
    DecisionKeyRevoked,
    EndpointAdded,
    EndpointChanged,
    EndpointDisabled,
    EndpointPaused,
    EndpointRemoved,
    EndpointResumed,
    EndpointSecretRotated,
    EndpointSecretsRevoked,
    MessageQuarantined,
    PartnerActivated,
    PartnerLeft,
    PartnerRegistered,
    PartnerReturned,
    PartnerTermsChanged,
    WhyDisabled,
)
from shared.pathway import alert
from shared.pathway.alert import Alerts
from shared.pathway.refusal import Refusal
from shared.service.definition import Origin

ORIGIN = Origin(clinic="network", patient="none")
"""Partners belong to the network, and their streams to no patient."""

PartnerStatus = Literal["sandbox", "active", "left"]
"""`sandbox`: it gets test events and examples, and no patient's review."""
EndpointStatus = Literal["active", "paused", "disabled"]


CLOCKS_APART: Final = timedelta(minutes=1)
"""By so much the clocks of two instances may differ."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that signs what is sent to an endpoint."""

    text: str = field(repr=False)
    """`whsec_` (`v1`) or `whsk_` (`v1a`) and base64."""
    until: datetime | None = None
    """When it ends, by system time; None for the newest."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an organisation is told."""

    slug: Slug
    url: str
    events: tuple[str, ...] = ()
    """What is sent here; empty: everything."""
    secrets: tuple[Secret, ...] = ()
    """The newest first."""
    status: EndpointStatus = "active"
    why: WhyDisabled | None = None
    since: tuple[tuple[str, datetime], ...] = ()
    """Since when, by care time, messages of a type are sent here; of a type that is not named, since ever."""

    def takes(self, name: str) -> bool:
        """Return whether a message of this type is sent here."""
        return not self.events or name in self.events

    def took(self, name: str, at: datetime) -> bool:
        """Return whether what happened at a moment of care time is sent here: it takes that, and did so then.

        Commits may be followed again long after, and nobody is to be told then of what is past.
        """
        return self.takes(name) and at + CLOCKS_APART >= dict(self.since).get(name, at)

    def secrets_at(self, now: datetime) -> tuple[str, ...]:
        """Return the secrets that sign at a moment of system time: the newest, and those before it that have not ended."""
        return tuple(secret.text for secret in self.secrets if secret.until is None or now < secret.until)


@dataclass(frozen=True, slots=True)
class Credential:
    """What an organisation gets access tokens with."""

    slug: Slug
    client_id: str
    secret_sha256: str
    """Of the secret's text, in hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class Organisation:
    """A registered prescriber organisation."""

    slug: Slug
    name: str
    decision_keys: tuple[str, ...]
    """`whpk_` and base64: verify what it sends."""
    endpoints: tuple[Endpoint, ...] = ()
    status: PartnerStatus = "active"
    licensed_states: tuple[str, ...] = ()
    capacity: int | None = None
    answer_hours: int | None = None
    credentials: tuple[Credential, ...] = ()
    activated: bool = True
    """Whether it ever was more than a sandbox: what it returns to after it left."""
    used: frozenset[str] = frozenset()
    """Names, keys and secrets that it has or had, none of which is taken again; see `used.py`."""
    open_reviews: int = 0
    """How many reviews it has open, as the directory last counted; not a part of its stream."""

    def endpoint(self, slug: Slug) -> Endpoint | None:
        """Return the endpoint of this name."""
        return next((endpoint for endpoint in self.endpoints if endpoint.slug == slug), None)

    def require_endpoint(self, slug: Slug) -> Endpoint:
        """Return the endpoint of this name. Raises Refusal if there is none."""
        found = self.endpoint(slug)
        if found is None:
            raise Refusal("no-such-endpoint", "The organisation has no endpoint of this name.")
        return found


Partners = Callable[[], tuple[Organisation, ...]]
"""The partner organisations registered now."""


@dataclass(frozen=True, slots=True)
class Partner:
    """The stream of one partner organisation."""

    entry: Organisation | None = None
    quarantined: int = 0
    """Messages kept aside because their webhook id stood for another one."""
    alerts: Alerts = field(default_factory=Alerts)

    @property
    def status(self) -> str:
        """How it stands in the network."""
        return "unknown" if self.entry is None else self.entry.status

    def require_entry(self) -> Organisation:
        """Return the organisation. Raises Refusal if none of this slug is registered."""
        if self.entry is None:
            raise Refusal("no-such-partner", "No organisation of this slug is registered.")
        return self.entry

    @property
    def deadlines(self) -> Mapping[str, datetime]:
        """When the next alert goes on to another role."""
        return self.alerts.deadlines


def evolve_partner(partner: Partner, event: EventData) -> Partner:
    """Return the partner after an event."""
    partner = replace(partner, alerts=alert.fold(partner.alerts, event))
    if isinstance(event, PartnerRegistered):
        return replace(partner, entry=replace(_registered(event), used=used_by(event)))
    if isinstance(event, MessageQuarantined):
        return replace(partner, quarantined=partner.quarantined + 1)
    if partner.entry is None:
        return partner
    entry = _evolve_endpoints(_evolve_organisation(partner.entry, event), event)
    return replace(partner, entry=replace(entry, used=entry.used | used_by(event)))


def _registered(event: PartnerRegistered) -> Organisation:
    endpoints: tuple[Endpoint, ...] = ()
    if event.webhook_url is not None and event.webhook_secret is not None:
        secret = Secret(event.webhook_secret.get_secret_value())
        endpoints = (Endpoint(FIRST_ENDPOINT, event.webhook_url, secrets=(secret,)),)
    return Organisation(
        slug=event.partner,
        name=event.name,
        decision_keys=(event.decision_key,),
        endpoints=endpoints,
        status="sandbox" if event.sandbox else "active",
        activated=not event.sandbox,
        licensed_states=event.licensed_states,
        capacity=event.capacity,
        answer_hours=event.answer_hours,
    )


def _evolve_organisation(entry: Organisation, event: EventData) -> Organisation:
    match event:
        case PartnerTermsChanged():
            return replace(entry, licensed_states=event.licensed_states, capacity=event.capacity, answer_hours=event.answer_hours)
        case PartnerActivated():
            return replace(entry, status="active", activated=True)
        case PartnerReturned():
            endpoints = tuple(replace(one, since=_since(one.events, event.returned_at)) for one in entry.endpoints)
            return replace(entry, status="active" if entry.activated else "sandbox", endpoints=endpoints)
        case PartnerLeft():
            return replace(entry, status="left")
        case DecisionKeyAdded():
            return replace(entry, decision_keys=(event.decision_key, *entry.decision_keys))
        case DecisionKeyRevoked():
            return replace(entry, decision_keys=tuple(key for key in entry.decision_keys if key != event.decision_key))
        case CredentialIssued():
            issued = Credential(event.credential, event.client_id, digest_of(event.client_secret.get_secret_value()))
            return replace(entry, credentials=(*entry.credentials, issued))
        case CredentialRevoked():
            return replace(entry, credentials=tuple(one for one in entry.credentials if one.slug != event.credential))
        case _:
            return entry


def _evolve_endpoints(entry: Organisation, event: EventData) -> Organisation:
    match event:
        case EndpointAdded():
            secret = Secret(event.webhook_secret.get_secret_value())
            added = Endpoint(event.endpoint, event.webhook_url, event.events, (secret,), since=_since(event.events, event.added_at))
            return replace(entry, endpoints=(*entry.endpoints, added))
        case EndpointChanged():
            known = entry.endpoint(event.endpoint)
            since = () if known is None else _widened(known, event)
            return _changed(entry, event.endpoint, url=event.webhook_url, events=event.events, since=since)
        case EndpointPaused():
            return _changed(entry, event.endpoint, status="paused", why=None)
        case EndpointDisabled():
            return _changed(entry, event.endpoint, status="disabled", why=event.why)
        case EndpointResumed():
            return _changed(entry, event.endpoint, status="active", why=None)
        case EndpointRemoved():
            return replace(entry, endpoints=tuple(one for one in entry.endpoints if one.slug != event.endpoint))
        case EndpointSecretRotated():
            return _rotated(entry, event)
        case EndpointSecretsRevoked():
            known = entry.endpoint(event.endpoint)
            return entry if known is None else _changed(entry, event.endpoint, secrets=known.secrets[:1])
        case _:
            return entry


def _rotated(entry: Organisation, event: EndpointSecretRotated) -> Organisation:
    """Those that were to end earlier still do."""
    known = entry.endpoint(event.endpoint)
    if known is None:
        return entry
    until = event.earlier_until
    earlier = tuple(replace(secret, until=until if secret.until is None else min(secret.until, until)) for secret in known.secrets)
    return _changed(entry, event.endpoint, secrets=(Secret(event.webhook_secret.get_secret_value()), *earlier))


def _since(names: tuple[str, ...], at: datetime | None) -> tuple[tuple[str, datetime], ...]:
    return () if at is None else tuple((name, at) for name in sorted(names or NAMES))


def _widened(known: Endpoint, event: EndpointChanged) -> tuple[tuple[str, datetime], ...]:
    """What it took before it takes since when it did."""
    return (
        *((name, at) for name, at in known.since if not event.events or name in event.events),
        *((name, at) for name, at in _since(event.events, event.changed_at) if not known.takes(name)),
    )


def _changed(entry: Organisation, slug: Slug, **changes: Any) -> Organisation:
    endpoints = tuple(replace(one, **changes) if one.slug == slug else one for one in entry.endpoints)
    return replace(entry, endpoints=endpoints)
