"""What an organisation gets access tokens with: a secret of 32 random bytes, of which state keeps the SHA-256."""

import base64
import hashlib
from typing import Any

import pytest
from pydantic import ValidationError

from services.prescriber.domain.partners.credentials import (
    MOST_CREDENTIALS,
    IssueCredential,
    RevokeCredential,
    issue_credential,
    revoke_credential,
)
from services.prescriber.domain.partners.keys import Fresh
from shared.events.partner import CredentialIssued, CredentialRevoked
from shared.pathway.refusal import Refusal
from tests.unit.prescriber.partners.office import SYSTEM_NOW, Office, read, registered


def issue(office: Office, name: str) -> CredentialIssued:
    (event,) = office.make(issue_credential, read(IssueCredential, credential=name))
    assert isinstance(event, CredentialIssued)
    return event


def refused(act: Any, *arguments: Any) -> str:
    with pytest.raises(Refusal) as reason:
        act(*arguments)
    return reason.value.slug


def revoke(office: Office, name: str) -> Any:
    return office.do(revoke_credential, read(RevokeCredential, credential=name))


def test_a_credential_is_issued_and_state_keeps_its_digest_alone() -> None:
    office, random = registered(), bytes(range(32))
    (event,) = office.do(issue_credential, Fresh(IssueCredential(credential="intake-desk"), random, SYSTEM_NOW))
    assert isinstance(event, CredentialIssued)
    secret = event.client_secret.get_secret_value()
    assert secret.startswith("kcs_")
    assert base64.urlsafe_b64decode(secret.removeprefix("kcs_") + "=") == random
    (kept,) = office.entry.credentials
    assert (kept.slug, kept.client_id) == ("intake-desk", "north.intake-desk")
    assert kept.secret_sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in repr(office.partner) + repr(event)


def test_a_revoked_credential_is_gone_and_its_name_does_not_come_back() -> None:
    office = registered()
    issue(office, "one")
    issue(office, "two")
    assert refused(issue, office, "one") == "name-used"
    assert [type(event) for event in revoke(office, "one")] == [CredentialRevoked]
    assert [kept.slug for kept in office.entry.credentials] == ["two"]
    assert refused(revoke, office, "one") == "no-such-credential"
    assert refused(issue, office, "one") == "name-used"


def test_there_is_an_end_to_credentials() -> None:
    office = registered()
    for number in range(MOST_CREDENTIALS):
        issue(office, f"credential-{number}")
    assert refused(issue, office, "one-more") == "too-many-credentials"
    revoke(office, "credential-0")
    issue(office, "one-more")


def test_an_organisation_that_is_not_there() -> None:
    assert refused(issue, Office(), "one") == "no-such-partner"
    assert refused(revoke, Office(), "one") == "no-such-partner"


@pytest.mark.parametrize("name", ["", "One", "a b", "-a", "a" * 65])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValidationError):
        read(IssueCredential, credential=name)
