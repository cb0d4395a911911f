"""What an organisation gets access tokens with (OAuth 2 client credentials): issued, and revoked."""

import base64
from typing import Final

from pydantic import SecretStr

from services.prescriber.domain.partners import used
from services.prescriber.domain.partners.keys import Fresh
from services.prescriber.domain.partners.state import Partner
from shared.events.base import EventData, Slug
from shared.events.partner import CredentialIssued, CredentialRevoked
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.pathway.stop import Request

MOST_CREDENTIALS: Final = 10


class IssueCredential(Request):
    """Give the organisation a client id and a secret; `credential` names them, for one of its systems perhaps."""

    credential: Slug


class RevokeCredential(Request):
    """End a credential and every token that was got with it."""

    credential: Slug


def issue_credential(partner: Partner, fresh: Fresh[IssueCredential], _context: Context) -> list[EventData]:
    """Issue a credential under a name that was not used before. Raises Refusal."""
    entry, name = partner.require_entry(), fresh.asked.credential
    if used.credential_name(name) in entry.used:
        raise Refusal("name-used", "A credential of this name was issued before; each has a name of its own, and none comes back.")
    if len(entry.credentials) >= MOST_CREDENTIALS:
        raise Refusal("too-many-credentials", f"An organisation has at most {MOST_CREDENTIALS} credentials; revoke one first.")
    secret = SecretStr("kcs_" + base64.urlsafe_b64encode(fresh.random).decode().rstrip("="))
    return [CredentialIssued(partner=entry.slug, credential=name, client_id=f"{entry.slug}.{name}", client_secret=secret)]


def revoke_credential(partner: Partner, command: RevokeCredential, _context: Context) -> list[EventData]:
    """Raise Refusal for a credential that the organisation has not."""
    entry = partner.require_entry()
    if all(credential.slug != command.credential for credential in entry.credentials):
        raise Refusal("no-such-credential", "The organisation has no credential of this name.")
    return [CredentialRevoked(partner=entry.slug, credential=command.credential)]
