"""R-30 rests on it, whatever an admin does and in whatever order: a key or secret that ended proves nothing any more.

The oracle keeps books of its own from the events: which secret was the newest, until when each may sign, what was revoked.
"""

import base64
from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.prescriber.domain.partners.credentials import IssueCredential, RevokeCredential, issue_credential, revoke_credential
from services.prescriber.domain.partners.decision_keys import AddDecisionKey, RevokeDecisionKey, adding_key, revoke_key
from services.prescriber.domain.partners.endpoints import NameEndpoint, disable, disable_endpoint, pause, remove, resume
from services.prescriber.domain.partners.secrets import RevokeSecrets, revoke_secrets
from services.prescriber.domain.partners.standing import ActivatePartner, PartnerLeaves, PartnerReturns, activate, come_back, leave
from shared.events.base import EventData
from shared.events.partner import (
    CredentialRevoked,
    DecisionKeyRevoked,
    EndpointAdded,
    EndpointRemoved,
    EndpointSecretRotated,
    EndpointSecretsRevoked,
)
from shared.pathway.refusal import Refusal
from tests.unit.prescriber.given import nobody
from tests.unit.prescriber.partners.office import KEY, SECRET, key_of, read, registered

ENDPOINTS = st.sampled_from(["main", "second", "third"])
NAMES = st.sampled_from(["one", "two", "three"])
GIVEN = st.none() | st.sampled_from(["whsec_" + base64.b64encode(bytes([number]) * 24).decode() for number in range(3)])
KEYS = st.sampled_from([KEY, *(key_of(seed) for seed in range(1, 4))])


class Management(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.office = registered(sandbox=True)
        self.until: dict[str, dict[str, Any]] = {"main": {SECRET: None}}
        """Of each endpoint that was ever there, until when each of its secrets may sign: None is without end."""
        self.revoked_keys: set[str] = set()
        self.revoked_credentials: set[str] = set()

    def keep_books(self, events: list[EventData]) -> None:
        for event in events:
            match event:
                case EndpointAdded():
                    assert event.endpoint not in self.until, "a name is used once"
                    self.until[event.endpoint] = {event.webhook_secret.get_secret_value(): None}
                case EndpointSecretRotated():
                    books = self.until[event.endpoint]
                    for secret, until in books.items():
                        books[secret] = event.earlier_until if until is None else min(until, event.earlier_until)
                    secret = event.webhook_secret.get_secret_value()
                    assert all(secret not in of_one for of_one in self.until.values()), "a secret is used once"
                    books[secret] = None
                case EndpointSecretsRevoked():
                    books = self.until[event.endpoint]
                    books |= {secret: self.office.at for secret, until in books.items() if until is not None and until > self.office.at}
                case EndpointRemoved():
                    self.until[event.endpoint] = dict.fromkeys(self.until[event.endpoint], self.office.at)
                case DecisionKeyRevoked():
                    self.revoked_keys.add(event.decision_key)
                case CredentialRevoked():
                    self.revoked_credentials.add(event.credential)
                case _:
                    continue

    def attempt(self, act: Any, *arguments: Any, **values: Any) -> None:
        try:
            events = act(*arguments, **values)
        except Refusal:
            return
        self.keep_books(events)

    @rule(endpoint=ENDPOINTS, signing=st.sampled_from(["v1", "v1a"]), given=GIVEN)
    def add(self, endpoint: str, signing: str, given: str | None) -> None:
        self.attempt(self.office.add, endpoint, **({"signing": signing} if given is None else {"webhook_secret": given}))

    @rule(endpoint=ENDPOINTS, hours=st.sampled_from([0, 1, 24, 168]), given=GIVEN, signing=st.sampled_from([None, "v1", "v1a"]))
    def rotate(self, endpoint: str, hours: int, given: str | None, signing: str | None) -> None:
        self.attempt(self.office.rotate, endpoint, overlap_hours=hours, webhook_secret=given, signing=signing)

    @rule(times=st.integers(1, 12))
    def rotate_often(self, times: int) -> None:
        for _ in range(times):
            self.attempt(self.office.rotate, "main", overlap_hours=168)

    @rule(endpoint=ENDPOINTS)
    def revoke_old_secrets(self, endpoint: str) -> None:
        self.attempt(self.office.do, revoke_secrets, RevokeSecrets(endpoint=endpoint))

    @rule(endpoint=ENDPOINTS, verb=st.sampled_from([pause, resume, disable, remove]))
    def act_on(self, endpoint: str, verb: Any) -> None:
        self.attempt(self.office.do, verb, NameEndpoint(endpoint=endpoint))

    @rule(endpoint=ENDPOINTS, why=st.sampled_from(["gone", "failing"]))
    def find_dead(self, endpoint: str, why: Any) -> None:
        self.attempt(self.office.do, lambda partner, slug, context: disable_endpoint(partner, slug, why, context), endpoint)

    @rule(key=KEYS)
    def add_key(self, key: str) -> None:
        self.attempt(self.office.do, adding_key(nobody), read(AddDecisionKey, decision_key=key))

    @rule(key=KEYS)
    def revoke_key(self, key: str) -> None:
        self.attempt(self.office.do, revoke_key, read(RevokeDecisionKey, decision_key=key, reason="lost"))

    @rule(name=NAMES)
    def issue(self, name: str) -> None:
        self.attempt(self.office.make, issue_credential, IssueCredential(credential=name))

    @rule(name=NAMES)
    def revoke_credential(self, name: str) -> None:
        self.attempt(self.office.do, revoke_credential, RevokeCredential(credential=name))

    @rule(step=st.sampled_from([(activate, ActivatePartner()), (leave, PartnerLeaves(reason="end")), (come_back, PartnerReturns())]))
    def stand(self, step: Any) -> None:
        self.attempt(self.office.do, *step)

    @rule(hours=st.sampled_from([1, 24, 167]))
    def time_passes(self, hours: int) -> None:
        self.office.at += timedelta(hours=hours)

    @invariant()
    def exactly_what_may_sign_signs(self) -> None:
        now = self.office.at
        for endpoint in self.office.entry.endpoints:
            may = {secret for secret, until in self.until[endpoint.slug].items() if until is None or now < until}
            assert set(endpoint.secrets_at(now)) == may
            (newest,) = (secret for secret, until in self.until[endpoint.slug].items() if until is None)
            assert endpoint.secrets_at(now)[0] == newest
            assert endpoint.secrets_at(now + timedelta(days=36_500)) == (newest,)
            assert len(may) - 1 <= 10

    @invariant()
    def names_are_unique_and_something_always_proves(self) -> None:
        entry = self.office.entry
        for names in ([one.slug for one in entry.endpoints], [one.slug for one in entry.credentials], entry.decision_keys):
            assert len(names) == len(set(names)) <= 10
        assert entry.decision_keys
        assert not self.revoked_keys & set(entry.decision_keys)
        assert not self.revoked_credentials & {one.slug for one in entry.credentials}

    @invariant()
    def an_alert_is_about_an_endpoint_that_is_disabled(self) -> None:
        disabled = {endpoint.slug for endpoint in self.office.entry.endpoints if endpoint.status == "disabled"}
        assert {alert.about for alert in self.office.partner.alerts.unacknowledged} <= disabled


TestAnyManagement = Management.TestCase
TestAnyManagement.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
