"""F31: an endpoint's secret is replaced without a message lost, and ends at once when it must.

Figures: overlap 24 h by default, 0 to 168 h, at most 10 old secrets (Svix: `endpoint_secret_rotate`, `MAX_OLD_KEYS`).
"""

import base64
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from services.prescriber.domain.partners.secrets import RevokeSecrets, RotateSecret, revoke_secrets
from shared.events.partner import EndpointSecretRotated, EndpointSecretsRevoked
from shared.pathway.refusal import Refusal
from shared.webhooks.signing import PrivateKey, SharedSecret
from tests.unit.prescriber.given import NOW
from tests.unit.prescriber.partners.office import SECRET, SYSTEM_NOW, Office, read, registered

REVOKE = RevokeSecrets(endpoint="main")
HOUR = timedelta(hours=1)


def refused(make: Any) -> str:
    with pytest.raises(Refusal) as reason:
        make()
    return reason.value.slug


def test_f31_both_secrets_sign_during_the_overlap_and_the_newest_alone_after_it() -> None:
    office = registered()
    (event,) = office.rotate()
    assert isinstance(event, EndpointSecretRotated)
    assert event.earlier_until == SYSTEM_NOW + 24 * HOUR  # by system time, whatever care time says
    newest, old = office.signing()
    assert old == SECRET
    assert len(SharedSecret.parse(newest).key) == 32
    office.at = SYSTEM_NOW + 24 * HOUR - timedelta(microseconds=1)
    assert office.signing() == (newest, SECRET)
    office.at = SYSTEM_NOW + 24 * HOUR
    assert office.signing() == (newest,)


def test_f31_without_overlap_the_old_secret_ends_at_once() -> None:
    office = registered()
    office.rotate(overlap_hours=0)
    assert SECRET not in office.signing()
    assert len(office.signing()) == 1


def test_f31_revoked_secrets_end_at_once_and_the_newest_stays() -> None:
    office = registered()
    office.rotate(overlap_hours=168)
    newest, _ = office.signing()
    (event,) = office.do(revoke_secrets, REVOKE)
    assert isinstance(event, EndpointSecretsRevoked)
    assert office.signing() == (newest,)
    assert refused(lambda: office.do(revoke_secrets, REVOKE)) == "no-old-secret"
    assert refused(lambda: office.rotate(webhook_secret=SECRET)) == "key-in-use"


def test_a_later_rotation_never_gives_an_old_secret_longer() -> None:
    office = registered()
    office.rotate(overlap_hours=1)
    office.rotate(overlap_hours=168)
    assert len(office.signing()) == 3
    office.at += HOUR
    assert SECRET not in office.signing()
    assert len(office.signing()) == 2


def test_at_most_ten_old_secrets_sign_beside_the_newest() -> None:
    office = registered()
    for _ in range(10):
        office.rotate(overlap_hours=168)
    assert len(office.signing()) == 11
    assert refused(office.rotate) == "too-many-secrets"
    office.at += 168 * HOUR  # those that ended do not count
    office.rotate(overlap_hours=168)
    assert len(office.signing()) == 2


def test_ten_old_secrets_do_not_keep_a_leaked_one_in_force() -> None:
    office = registered()
    for _ in range(10):
        office.rotate(overlap_hours=168)
    office.rotate(overlap_hours=0)
    assert len(office.signing()) == 1


@pytest.mark.parametrize("hours", [-1, 169, 24.0, "24", None])
def test_overlap_is_whole_hours_up_to_a_week(hours: Any) -> None:
    with pytest.raises(ValidationError):
        read(RotateSecret, endpoint="main", overlap_hours=hours)


def test_a_given_secret_is_taken_and_one_in_use_is_not() -> None:
    office = registered()
    given = "whsec_" + base64.b64encode(b"r" * 64).decode()
    office.rotate(webhook_secret=given)
    assert office.signing() == (given, SECRET)
    assert refused(lambda: office.rotate(webhook_secret=given)) == "key-in-use"
    assert refused(lambda: office.rotate(webhook_secret=SECRET)) == "key-in-use"


def test_an_endpoint_goes_from_v1_to_v1a_and_both_sign_meanwhile() -> None:
    office = registered()
    office.rotate(signing="v1a")
    newest, old = office.signing()
    assert PrivateKey.parse(newest).reveal() == newest
    assert old == SECRET
    office.rotate()  # and stays what it is
    assert PrivateKey.parse(office.signing()[0]).seed != PrivateKey.parse(newest).seed
    given = "whsec_" + base64.b64encode(b"r" * 32).decode()
    assert refused(lambda: office.rotate(webhook_secret=given)) == "key-made-here"
    office.rotate(webhook_secret=given, signing="v1")
    assert office.signing()[0] == given


def test_an_endpoint_or_an_organisation_that_is_not_there() -> None:
    for make in (lambda: registered().rotate("nowhere"), lambda: registered().do(revoke_secrets, RevokeSecrets(endpoint="nowhere"))):
        assert refused(make) == "no-such-endpoint"
    for make in (lambda: Office().rotate(), lambda: Office().do(revoke_secrets, REVOKE)):
        assert refused(make) == "no-such-partner"


def test_care_time_is_another_clock() -> None:
    """The figures above would hold by accident if both clocks said the same."""
    assert timedelta(hours=168) < NOW - SYSTEM_NOW
