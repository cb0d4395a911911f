"""The keys that prove an organisation's decisions: there is always one, each is one organisation's, and none comes back."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.prescriber.domain.partners.decision_keys import MOST_KEYS, AddDecisionKey, RevokeDecisionKey, adding_key, revoke_key
from shared.events.partner import DecisionKeyAdded, DecisionKeyRevoked
from shared.pathway.refusal import Refusal
from tests.unit.prescriber.given import nobody
from tests.unit.prescriber.partners.office import KEY, OTHER_KEY, SECRET, Office, key_of, read, registered


def add(office: Office, key: str, others: Any = nobody) -> Any:
    return office.do(adding_key(others), read(AddDecisionKey, decision_key=key))


def revoke(office: Office, key: str) -> Any:
    return office.do(revoke_key, read(RevokeDecisionKey, decision_key=key, reason="laptop stolen"))


def refused(act: Any, *arguments: Any) -> Refusal:
    with pytest.raises(Refusal) as reason:
        act(*arguments)
    return reason.value


def test_a_key_is_added_beside_the_first_and_the_first_is_revoked() -> None:
    office = registered()
    assert [type(event) for event in add(office, OTHER_KEY)] == [DecisionKeyAdded]
    assert list(office.entry.decision_keys) == [OTHER_KEY, KEY]
    (event,) = revoke(office, KEY)
    assert isinstance(event, DecisionKeyRevoked)
    assert event.reason == "laptop stolen"
    assert list(office.entry.decision_keys) == [OTHER_KEY]


def test_the_last_key_stays_until_there_is_another() -> None:
    office = registered()
    refusal = refused(revoke, office, KEY)
    assert (refusal.slug, "add another one first" in refusal.detail) == ("last-key", True)
    assert office.entry.decision_keys == (KEY,)


def test_b27_a_key_is_one_organisations_and_never_comes_back() -> None:
    office = registered()
    assert refused(add, office, KEY).slug == "key-in-use"
    add(office, OTHER_KEY)
    revoke(office, KEY)
    assert refused(add, office, KEY).slug == "key-in-use"
    assert refused(add, office, KEY.rstrip("=")).slug == "key-in-use"
    south = registered(slug="south", decision_key=key_of(1))
    assert refused(add, south, KEY, lambda: (office.entry,)).slug == "key-in-use"


def test_there_is_an_end_to_keys() -> None:
    office = registered()
    for seed in range(1, MOST_KEYS):
        add(office, key_of(seed))
    assert refused(add, office, key_of(99)).slug == "too-many-keys"


def test_a_key_or_an_organisation_that_is_not_there() -> None:
    assert refused(revoke, registered(), OTHER_KEY).slug == "no-such-key"
    assert refused(revoke, Office(), KEY).slug == "no-such-partner"
    assert refused(add, Office(), KEY).slug == "no-such-partner"


@pytest.mark.parametrize("key", [SECRET, "whpk_AAAA", KEY[:-4], "whpk_" + "A" * 43 + "=", "whsk_" + "A" * 43 + "="])
def test_b27_what_is_not_a_public_key(key: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        read(AddDecisionKey, decision_key=key)
    assert key not in str(wrong.value)


def test_a_revocation_says_why() -> None:
    with pytest.raises(ValidationError):
        read(RevokeDecisionKey, decision_key=KEY)
    with pytest.raises(ValidationError):
        read(RevokeDecisionKey, decision_key=KEY, reason=" ")
