"""Routes by which partner organisations are managed: which request leads to which decision, and what its answer shows once. No rules."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from services.prescriber.domain.alerts import ALERT
from services.prescriber.domain.partners.credentials import IssueCredential, RevokeCredential, issue_credential, revoke_credential
from services.prescriber.domain.partners.decision_keys import AddDecisionKey, RevokeDecisionKey, adding_key, revoke_key
from services.prescriber.domain.partners.endpoints import (
    AddEndpoint,
    ChangeEndpoint,
    NameEndpoint,
    adding,
    changing,
    disable,
    pause,
    remove,
    resume,
)
from services.prescriber.domain.partners.keys import Asked, Fresh, public_half
from services.prescriber.domain.partners.replay import AskForTest, ReplayDeliveries, ResendDelivery, ask_for_test, replay, resend
from services.prescriber.domain.partners.secrets import RevokeSecrets, RotateSecret, revoke_secrets, rotating
from services.prescriber.domain.partners.standing import ActivatePartner, PartnerLeaves, PartnerReturns, activate, come_back, leave
from services.prescriber.domain.partners.state import Partners
from services.prescriber.domain.partners.terms import Terms, change_terms
from shared.access.decide import Permission
from shared.clock import system_now
from shared.events.base import EventData
from shared.events.partner import CredentialIssued, EndpointAdded, EndpointSecretRotated
from shared.pathway.alert import AcknowledgeAlert
from shared.service.definition import Command, Decide

RANDOM_BYTES = 32


def partner_commands(partners: Partners, *, allow_loopback: bool) -> tuple[Command, ...]:
    """Return every POST on a partner organisation but its registration and what it sends itself."""
    return (
        _command("terms", Terms, change_terms, "State anew what an organisation undertakes"),
        _command("activation", ActivatePartner, activate, "Let an organisation out of the sandbox"),
        _command("departure", PartnerLeaves, leave, "Record that an organisation left the network"),
        _command("return", PartnerReturns, come_back, "Record that an organisation is back"),
        _making("endpoints", AddEndpoint, adding(partners, allow_loopback=allow_loopback), "Add an endpoint; its secret is shown once"),
        _command("endpoints/change", ChangeEndpoint, changing(allow_loopback=allow_loopback), "Change an endpoint's address or events"),
        _command("endpoints/pause", NameEndpoint, pause, "Let what is due to an endpoint wait"),
        _command("endpoints/resume", NameEndpoint, resume, "Send to a paused or disabled endpoint again"),
        _command("endpoints/disable", NameEndpoint, disable, "Send nothing to an endpoint until it is resumed"),
        _command("endpoints/removal", NameEndpoint, remove, "Remove an endpoint"),
        _command("endpoints/test", AskForTest, ask_for_test, "Send a test event to an endpoint"),
        _making("endpoints/secret/rotation", RotateSecret, rotating(partners), "Give an endpoint a new secret, shown once"),
        _command("endpoints/secret/revocation", RevokeSecrets, revoke_secrets, "End every secret of an endpoint but the newest"),
        _command("decision-keys", AddDecisionKey, adding_key(partners), "Add a key that proves an organisation's decisions"),
        _command("decision-keys/revocation", RevokeDecisionKey, revoke_key, "Take nothing more that is signed with a key"),
        _making("credentials", IssueCredential, issue_credential, "Issue a client id and secret, shown once"),
        _command("credentials/revocation", RevokeCredential, revoke_credential, "End a credential and its tokens"),
        _command("deliveries/resend", ResendDelivery, resend, "Send one delivery again"),
        _command("deliveries/replay", ReplayDeliveries, replay, "Send a range of deliveries again"),
        _command("alerts/acknowledge", AcknowledgeAlert, ALERT.acknowledge, "Take an alert about an organisation on"),
    )


def _command(path: str, body: type[Any], decide: Decide, summary: str, **more: Any) -> Command:
    return Command(
        path=f"/partners/{{partner}}/{path}",
        body=body,
        decide=decide,
        permission=Permission.MANAGE_PARTNERS,
        summary=summary,
        kind="partner",
        named_by_path=True,
        **more,
    )


def _making(path: str, body: type[Any], decide: Decide, summary: str) -> Command:
    """Return a command that makes a secret and shows it once."""
    return _command(path, body, decide, summary, fresh=_fresh, reveal=_reveal)


def _fresh(asked: Asked) -> Fresh[Asked]:
    return Fresh(asked, secrets.token_bytes(RANDOM_BYTES), system_now())


def _reveal(events: Sequence[EventData]) -> Mapping[str, Any]:
    """Show a secret to the request that made it, and to a retry of it; of a key pair, the public half."""
    shown: dict[str, Any] = {}
    for event in events:
        match event:
            case EndpointAdded():
                shown |= _signed_with(event.webhook_secret.get_secret_value())
            case EndpointSecretRotated():
                shown |= {**_signed_with(event.webhook_secret.get_secret_value()), "earlier_until": event.earlier_until}
            case CredentialIssued():
                shown |= {"client_id": event.client_id, "client_secret": event.client_secret.get_secret_value()}
            case _:
                continue
    return shown


def _signed_with(secret: str) -> dict[str, str]:
    public = public_half(secret)
    return {"webhook_secret": secret} if public is None else {"webhook_key": public}
