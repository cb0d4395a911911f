"""What becomes a webhook to a partner, and its body: thin, without a clinical value and without a reason.

Values are fetched over the API, under the consent in force at the fetch; so nothing here has to be withheld.
"""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from services.prescriber.domain.partners.names import ASSIGNED, ENDPOINT_DISABLED, HEARTBEAT, TEST
from shared.events.base import EventData, Slug
from shared.events.codec import Recorded, time_text
from shared.events.partner import EndpointDisabled, PartnerTold, TestEventAsked
from shared.events.prescriber import IN_HOUSE, ReviewAssigned

EXAMPLE_CASE: Final = f"case-{'0' * 32}"
"""The case of example reviews; no patient's case ever has this id."""
EXAMPLE_DUE: Final = timedelta(hours=72)
"""How long after it is asked for an example says that it is due: as much as the default policy gives (partner_answer_hours)."""

TELLING: Final[tuple[type[EventData], ...]] = (ReviewAssigned, PartnerTold, TestEventAsked, EndpointDisabled)
"""What partners are told of."""


@dataclass(frozen=True, slots=True)
class Message:
    """What one organisation is told."""

    partner: Slug
    type: str
    data: dict[str, Any]
    only: Slug | None = None
    """The one endpoint it is for."""
    never: Slug | None = None
    """The one endpoint it is not for."""


def message_of(recorded: Recorded) -> Message | None:
    """Return what a partner is told of an event; None where it is the network's own prescribers."""
    case = recorded.envelope.subject
    match recorded.data:
        case ReviewAssigned(partner=partner) as assigned if partner != IN_HOUSE:
            data = {"case": case, "request": assigned.request, "due_at": time_text(assigned.due_at), **_review(case)}
            return Message(partner, ASSIGNED, data)
        case PartnerTold(partner=partner) as told:
            return Message(partner, told.told, {"case": case, "request": told.request, **_review(case)})
        case TestEventAsked(partner=partner, example=True) as asked:
            due_at = time_text(recorded.envelope.time + EXAMPLE_DUE)
            data = {"case": EXAMPLE_CASE, "request": 1, "due_at": due_at, **_review(EXAMPLE_CASE), "test": True}
            return Message(partner, ASSIGNED, data, only=asked.endpoint)
        case TestEventAsked(partner=partner) as asked:
            return Message(partner, TEST, {"endpoint": asked.endpoint}, only=asked.endpoint)
        case EndpointDisabled(partner=partner) as disabled:
            data = {"endpoint": disabled.endpoint, "why": disabled.why}
            return Message(partner, ENDPOINT_DISABLED, data, never=disabled.endpoint)
        case _:
            return None


def body_of(message: Message, recorded: Recorded, sequence: int) -> bytes:
    """Return the body for one endpoint: the same bytes on every attempt, and what is signed."""
    document = {
        "type": message.type,
        "timestamp": time_text(recorded.envelope.time),
        "sequence": sequence,
        "data": message.data,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def heartbeat_of(endpoint: Slug, last_sequence: int, at: str, checkpoint: str | None) -> bytes:
    """Return the body of a heartbeat: up to which sequence the endpoint was sent something, so that a gap at the end shows too.

    `checkpoint` is the newest signed note of the ledger; left out where none is known.
    """
    data = {"endpoint": endpoint, "last_sequence": last_sequence, **({} if checkpoint is None else {"checkpoint": checkpoint})}
    return json.dumps({"type": HEARTBEAT, "timestamp": at, "data": data}, separators=(",", ":")).encode()


def _review(case: str) -> dict[str, str]:
    return {"review_url": f"/partner/reviews/{case}"}
