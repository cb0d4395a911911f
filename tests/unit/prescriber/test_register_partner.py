"""B25, B27: which partners can be registered."""

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from services.prescriber.domain.partners.register import RegisterPartner, registering
from services.prescriber.domain.partners.state import Partner, evolve_partner
from shared.events.partner import PartnerRegistered
from shared.pathway.refusal import Refusal
from tests.unit.prescriber.given import context, nobody

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
BODY = {
    "slug": "north",
    "name": "North Medical",
    "webhook_url": "https://north.example/hooks",
    "webhook_secret": SECRET,
    "decision_key": KEY,
}


def command(**changed: Any) -> RegisterPartner:
    return RegisterPartner.model_validate_json(json.dumps({**BODY, **changed}))


def registered(**changed: Any) -> Partner:
    (event,) = registering(nobody, allow_loopback=False)(Partner(), command(**changed), context())
    return evolve_partner(Partner(), event)


def test_a_partner_is_registered() -> None:
    (event,) = registering(nobody, allow_loopback=False)(Partner(), command(), context())
    assert isinstance(event, PartnerRegistered)
    stored = PartnerRegistered.model_validate_json(event.model_dump_json())
    entry = evolve_partner(Partner(), stored).entry
    assert entry is not None
    assert (entry.slug, entry.endpoints[0].secrets[0].text, entry.decision_keys) == ("north", SECRET, (KEY,))


def test_a_slug_is_registered_once() -> None:
    with pytest.raises(Refusal) as reason:
        registering(nobody, allow_loopback=False)(registered(), command(), context())
    assert reason.value.slug == "partner-exists"


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook_secret": "whsec_" + "A" * 28},
        {"webhook_secret": "whsec_" + "A" * 88},
        {"webhook_secret": "whsk_" + "A" * 32},
        {"webhook_secret": "not base64"},
        {"webhook_secret": SECRET.removeprefix("whsec_")},
        {"decision_key": SECRET},
        {"decision_key": KEY[:-4]},
        {"decision_key": "whpk_" + "A" * 43 + "="},
        {"slug": "in-house"},
        {"slug": "North"},
        {"slug": "north.west"},
        {"slug": ""},
        {"name": ""},
        {"clinic": "riverside"},
        {"webhook_url": "http://north.example/hooks"},
        {"webhook_url": "ftp://north.example/hooks"},
        {"webhook_url": "file:///etc/passwd"},
    ],
)
def test_b27_b25_what_is_not_a_partner(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as wrong:
        command(**changed)
    assert SECRET not in str(wrong.value)


@pytest.mark.parametrize(
    "other", [{"decision_key": "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}, {"webhook_secret": "whsec_" + "B" * 32}]
)
def test_b27_no_two_partners_share_a_secret_or_a_key(other: dict[str, str]) -> None:
    entry = registered().entry
    assert entry is not None
    register = registering(lambda: (replace(entry, slug="other"),), allow_loopback=False)
    with pytest.raises(Refusal) as reason:
        register(Partner(), command(**other), context())
    assert reason.value.slug == "key-in-use"


def test_loopback_is_for_the_local_stack_only() -> None:
    local = command(webhook_url="http://127.0.0.1:9000/hooks")
    assert registering(nobody, allow_loopback=True)(Partner(), local, context())
    with pytest.raises(Refusal) as reason:
        registering(nobody, allow_loopback=False)(Partner(), local, context())
    assert reason.value.slug == "destination-not-allowed"


def test_secrets_do_not_show() -> None:
    assert SECRET not in repr(registered())
    assert SECRET not in repr(command())
