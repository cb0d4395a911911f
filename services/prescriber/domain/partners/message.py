"""A message as a partner sent it, proven to come from the holder of one of its keys."""

from dataclasses import dataclass

from services.prescriber.domain.partners.used import key_id
from shared.events.base import Slug
from shared.events.prescriber import DecisionReceived


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """The bytes that were signed, and what proves who signed them (Standard Webhooks `v1a`)."""

    partner: Slug
    webhook_id: str
    timestamp: int
    """When this attempt was sent, in Unix seconds."""
    signature: str
    """The header as it came."""
    decision_key: str
    """The key of the organisation that verifies it: `whpk_` and base64."""
    body: bytes

    @property
    def key_id(self) -> str:
        """What the key is called in logs and metrics."""
        return key_id(self.decision_key)

    def proof(self) -> DecisionReceived:
        """Return the event that proves who sent it; the body is known to be text."""
        return DecisionReceived(
            partner=self.partner,
            webhook_id=self.webhook_id,
            timestamp=self.timestamp,
            signature=self.signature,
            decision_key=self.decision_key,
            body=self.body.decode(),
        )
