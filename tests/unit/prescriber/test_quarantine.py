"""What comes second under a webhook id is kept as it came, and calls an admin once."""

import base64
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.prescriber.app import define
from services.prescriber.domain.alerts import ALERT
from services.prescriber.domain.partners.message import SignedMessage
from services.prescriber.domain.partners.quarantine import quarantine
from services.prescriber.domain.partners.state import Partner, evolve_partner
from services.prescriber.partners.proving import BODY_LIMIT_BYTES
from shared.events.base import EventData
from shared.events.codec import EVENT_LIMIT_BYTES
from shared.events.partner import MessageQuarantined
from shared.events.prescriber import AlertEscalated, AlertRaised
from shared.pathway.alert import AcknowledgeAlert
from shared.webhooks.signing import SIGNATURE_HEADER_LIMIT
from tests.unit.prescriber.given import NOW, context


def message(body: bytes = b"\xff{", signature: str = "v1a,AAAA") -> SignedMessage:
    return SignedMessage("north", "msg_1", 1_772_442_000, signature, "whpk_x", body)


def after(partner: Partner, events: list[EventData]) -> Partner:
    for event in events:
        partner = evolve_partner(partner, event)
    return partner


@given(st.binary(max_size=300))
def test_the_bytes_are_kept_whatever_they_are(body: bytes) -> None:
    kept = quarantine(Partner(), message(body), context())[0]
    assert isinstance(kept, MessageQuarantined)
    assert base64.b64decode(kept.body, validate=True) == body
    assert (kept.partner, kept.webhook_id, kept.timestamp) == ("north", "msg_1", 1_772_442_000)
    assert (kept.signature, kept.decision_key, kept.received_at) == ("v1a,AAAA", "whpk_x", NOW)


def test_an_admin_is_called_once_until_someone_took_it_on() -> None:
    _, alert = first = quarantine(Partner(), message(), context())
    assert isinstance(alert, AlertRaised)
    assert (alert.role, alert.why, alert.emergency) == ("admin", "webhook-equivocation", False)
    partner = after(Partner(), first)
    second = quarantine(partner, message(b"other"), context(seed="another"))
    assert [type(event) for event in second] == [MessageQuarantined]
    partner = after(partner, second)
    assert partner.quarantined == 2
    partner = after(partner, ALERT.acknowledge(partner, AcknowledgeAlert(alert=alert.alert), context()))
    third = quarantine(partner, message(b"third"), context(seed="third"))
    assert [type(event) for event in third] == [MessageQuarantined, AlertRaised]


def test_an_alert_that_nobody_takes_on_goes_further() -> None:
    (kind,) = (kind for kind in define(tuple, allow_loopback=True).kinds if kind.name == "partner")
    partner = after(Partner(), quarantine(Partner(), message(), context()))
    assert kind.tick is not None
    ((name, due),) = partner.deadlines.items()
    escalated = kind.tick(partner, name, context(now=due))
    assert [type(event) for event in escalated] == [AlertEscalated]
    assert after(partner, escalated).deadlines.get(name, due + timedelta(days=1)) > due


def test_the_largest_message_that_is_read_fits_an_event() -> None:
    largest = quarantine(Partner(), message(b"\xff" * BODY_LIMIT_BYTES, "v" * SIGNATURE_HEADER_LIMIT), context())[0]
    assert len(largest.model_dump_json()) + 2_000 < EVENT_LIMIT_BYTES  # which leaves 2,000 for the envelope
