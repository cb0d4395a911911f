"""What webhooks to an organisation are called: the `type` of each message that an endpoint can be sent."""

from typing import Final

ASSIGNED: Final = "kapcare.review.assigned"
REASSIGNED: Final = "kapcare.review.reassigned"
RECALLED: Final = "kapcare.review.recalled"
STOPPED: Final = "kapcare.review.stopped"
RESUMED: Final = "kapcare.review.resumed"
OUTDATED: Final = "kapcare.review.outdated"
REVOKED: Final = "kapcare.approval.revoked"
EXPIRED: Final = "kapcare.approval.expired"
DETERIORATED: Final = "kapcare.outcome.deteriorated"
ENDPOINT_DISABLED: Final = "kapcare.endpoint.disabled"
TEST: Final = "kapcare.test"
HEARTBEAT: Final = "kapcare.heartbeat"
"""Comes to each endpoint, so nobody asks for it."""

NAMES: Final = frozenset(
    {ASSIGNED, REASSIGNED, RECALLED, STOPPED, RESUMED, OUTDATED, REVOKED, EXPIRED, DETERIORATED, ENDPOINT_DISABLED, TEST}
)
"""What an endpoint can ask for."""
