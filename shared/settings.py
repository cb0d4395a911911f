"""Every setting of a service, in one place, read from the environment with the prefix KAPCARE_. Secrets have no default."""

import base64
import binascii
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretBytes, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.webhooks.destinations import what_is_wrong_with
from shared.webhooks.signing import MalformedKey, SharedSecret


def key_from_base64(value: str) -> bytes:
    """Return the 32 bytes of a key; raises ValueError."""
    try:
        key = base64.b64decode(value, validate=True)
    except binascii.Error:
        raise ValueError("must be base64 of 32 bytes") from None
    if len(key) != 32:
        raise ValueError("must be base64 of 32 bytes")
    return key


Key = Annotated[SecretBytes, BeforeValidator(lambda value: key_from_base64(value) if isinstance(value, str) else value)]
"""A 32-byte secret, given as base64."""


def _only_networks(value: str) -> str:
    try:
        return ",".join(str(ip_network(item.strip())) for item in value.split(",") if item.strip())
    except ValueError:
        raise ValueError("must be addresses or networks such as 10.0.0.0/8, with commas between") from None


Networks = Annotated[str, AfterValidator(_only_networks)]
"""Addresses and networks with commas between; empty: none."""


def _pairs(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [tuple(item.split()) for item in value.split(",") if item.strip()]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError("must be pairs of URL and key with a space between, and commas between the pairs")
    return tuple((url.rstrip("/"), key) for url, key in pairs)


class SettingWrong(Exception):
    """A setting that one service needs, and that is missing or wrong; `name` is the field's."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"KAPCARE_{name.upper()}: {what}")


class Settings(BaseSettings):
    """The settings of one service process."""

    model_config = SettingsConfigDict(env_prefix="KAPCARE_", frozen=True, extra="ignore", hide_input_in_errors=True)

    host: str = "127.0.0.1"
    port: int = Field(ge=1, le=65535)

    mongo_url: str
    """A replica set; the service uses the databases `<database_prefix>_<service>` and `<database_prefix>_vault`."""
    database_prefix: str = "kapcare"

    kafka_bootstrap: str
    topic_prefix: str = "kapcare"
    kafka_idempotent_producer: bool = True
    """On with Apache Kafka; the embedded broker refuses it."""
    kafka_fetch_max_wait_ms: int = 500
    """How long a fetch may wait; about 10 on the embedded broker, which answers only when the wait ends."""
    kafka_session_timeout_ms: int = 10_000
    """After this silence a consumer counts as gone; the embedded broker also makes each join wait for half of it."""

    issuer: str
    """The `iss` that access tokens must carry."""
    jwks_url: str
    audience: str = "kapcare"

    vault_master_key: Key
    """Clinic keys, which wrap case keys, are derived from it."""
    receipt_key: Key
    """MACs of requests, and the patients' pseudonyms, are made with it; changing it breaks both."""

    care_clock: Literal["system", "movable"] = "system"
    """`movable` only in the local stack: care time is then one stored value that can be moved forward."""
    policy_file: Path | None = None
    """A policy document instead of the shipped one."""

    body_limit_bytes: int = 262_144
    lease_seconds: float = 5.0
    """How long a silent relay holder keeps its lease, by the database's clock."""
    heartbeat_seconds: float = 2.0
    """How often an idle topic partition tells consumers that its source is alive."""
    gap_alarm_seconds: float = 10.0
    """How long an event may wait for its predecessor before the gap is an alarm."""

    webhook_failures_at_once: int = Field(default=20, ge=1)
    """How many messages that are not proven to come from a partner one address may send to the partner's path in a row."""
    webhook_failures_per_second: float = Field(default=1.0, gt=0)
    """How many more each second after that; a proven message takes none of them."""
    trusted_proxies: Networks = ""
    """Addresses and networks of the proxies in front, with commas between: only they may say in `X-Forwarded-For` who called."""

    allow_loopback_webhooks: bool = False
    """Only in the local stack: partners, and whoever is on call, may be plain HTTP on loopback."""

    webhook_disable_after_hours: float = 120.0
    """An endpoint that took nothing for so long is disabled (Svix: five days)."""
    webhook_heartbeat_seconds: float = 60.0
    """How often an endpoint to which nothing else is sent is told that all is well, and up to which sequence it was sent something."""

    on_call_url: str | None = None
    """Where alerts ring: https on a public host, as for partners. Without it alerts stand on work lists alone."""
    on_call_secret: SecretStr | None = None
    """`whsec_` and base64, Standard Webhooks symmetric: signs each ring; needed with `on_call_url`."""

    ledger_origin: str = Field(default="kapcare.local/ledger", pattern=r"^[!-*,-~]{1,200}$")
    """The name of the ledger, which stands in every checkpoint: a URL without its scheme. A ledger that begins anew needs another one."""
    ledger_signing_key: Key | None = None
    """Signs the ledger's checkpoints: the seed of an Ed25519 key. The audit service needs it, and nobody else should have it."""
    ledger_witnesses: Annotated[tuple[tuple[str, str], ...], NoDecode, BeforeValidator(_pairs)] = ()
    """Who co-signs checkpoints: pairs of URL and vkey with a space between, and commas between the pairs."""

    intake_url: str | None = None
    prescriber_url: str | None = None
    session_url: str | None = None
    integration_url: str | None = None
    """Where the ledger asks each service for its heads."""
    audit_url: str | None = None
    """Where the prescriber service fetches the ledger's newest checkpoint for partners; without it they are told of none."""

    @model_validator(mode="after")
    def _witnesses_may_be_called(self) -> Self:
        for url, _ in self.ledger_witnesses:
            wrong = what_is_wrong_with(url, allow_loopback=self.allow_loopback_webhooks)
            if wrong is not None:
                raise ValueError(f"ledger_witnesses: {wrong}")
        return self

    @model_validator(mode="after")
    def _on_call_is_whole(self) -> Self:
        if self.on_call_url is None:
            return self
        wrong = what_is_wrong_with(self.on_call_url, allow_loopback=self.allow_loopback_webhooks)
        if wrong is not None:
            raise ValueError(f"on_call_url: {wrong}")
        if self.on_call_secret is None:
            raise ValueError("on_call_url needs on_call_secret")
        try:
            SharedSecret.parse(self.on_call_secret.get_secret_value())
        except MalformedKey as reason:
            raise ValueError(f"on_call_secret: {reason}") from None
        return self
