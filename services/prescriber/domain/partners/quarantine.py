"""A partner said two things under one webhook id: what came second is kept aside, acted on by nobody, and a person looks."""

import base64

from services.prescriber.domain.partners.alerts import ALERTS, with_alerts
from services.prescriber.domain.partners.message import SignedMessage
from services.prescriber.domain.partners.state import Partner
from shared.events.base import EventData
from shared.events.partner import MessageQuarantined
from shared.pathway.context import Context


def quarantine(partner: Partner, message: SignedMessage, context: Context) -> list[EventData]:
    """Keep the message as it came, whatever it holds; an alert that nobody took on yet speaks for those that follow too."""
    kept = MessageQuarantined(
        partner=message.partner,
        webhook_id=message.webhook_id,
        timestamp=message.timestamp,
        signature=message.signature,
        decision_key=message.decision_key,
        body=base64.b64encode(message.body).decode(),
        received_at=context.now,
    )
    why = ALERTS[MessageQuarantined].why
    if any(alert.why == why for alert in partner.alerts.unacknowledged):
        return [kept]
    return with_alerts([kept], context)
