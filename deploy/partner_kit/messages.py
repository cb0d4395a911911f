"""Messages as the network sends them to one endpoint: ids that never came before, sequences without a gap, thin bodies."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from shared.events.codec import time_text
from shared.webhooks.signing import PrivateKey, SharedSecret, SigningKey, sign

ASSIGNED: Final = "kapcare.review.assigned"
ABOUT_A_REVIEW: Final = (
    "kapcare.review.reassigned",
    "kapcare.review.recalled",
    "kapcare.review.stopped",
    "kapcare.review.resumed",
    "kapcare.review.outdated",
    "kapcare.approval.revoked",
    "kapcare.approval.expired",
    "kapcare.outcome.deteriorated",
)
ENDPOINT_DISABLED: Final = "kapcare.endpoint.disabled"
TEST: Final = "kapcare.test"
HEARTBEAT: Final = "kapcare.heartbeat"
ENDPOINT: Final = "main"
EXAMPLE_CASE: Final = f"case-{'0' * 32}"
"""The case of example reviews, which is no patient's."""
ANSWER_WITHIN: Final = timedelta(hours=72)

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """A message before it is signed."""

    webhook_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request: the signed headers in their order, and the raw body."""

    headers: Headers
    body: bytes
    label: str = ""
    """What is peculiar about it, in words."""
    lane: str = ""
    """Requests of one lane go one after the other."""


@dataclass(frozen=True, slots=True)
class Due:
    """A numbered message that became due to the endpoint, as `GET /partner/events` lists it."""

    sequence: int
    webhook_id: str
    message: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Keys:
    """What signs, and what an attacker may sign with."""

    good: SigningKey
    stranger: SigningKey
    """Another key of the same scheme."""
    other_scheme: SigningKey
    """A key of the scheme that the endpoint does not have, of which the partner knows nothing but what is public."""

    @classmethod
    def around(cls, good: SharedSecret | PrivateKey) -> "Keys":
        """Return the keys of an examination. Against `v1a` the public key is tried as an HMAC secret: a classic confusion."""
        another = PrivateKey.generate()
        if isinstance(good, SharedSecret):
            return cls(good, SharedSecret(another.seed), another)
        return cls(good, another, SharedSecret(good.public.key))


@dataclass
class Composer:
    """Makes the messages of one endpoint. Time and ids are passed in."""

    keys: Keys
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    """32 hexadecimal digits."""
    next_sequence: int = 1
    due: list[Due] = field(default_factory=list)

    def new_case(self) -> str:
        """Return the id of a case that no message named before."""
        return f"case-{self.new_id()}"

    def draft(self, kind: str, data: Mapping[str, Any], **more: Any) -> Draft:
        """Return a message with the next sequence, and list it as due; `more` goes beside `data`."""
        message = {"type": kind, "timestamp": time_text(self.now()), "sequence": self.next_sequence, "data": data, **more}
        draft = self.unnumbered(message)
        self.due.append(Due(self.next_sequence, draft.webhook_id, message))
        self.next_sequence += 1
        return draft

    def unnumbered(self, message: Mapping[str, Any]) -> Draft:
        """Return a message that takes no sequence."""
        return Draft(f"msg_{self.new_id()}", json.dumps(message, separators=(",", ":")).encode())

    def assigned(self, case: str | None = None, request: int = 1, **more: Any) -> Draft:
        """Return the message that a review is assigned."""
        return self.draft(ASSIGNED, self.assignment(case or self.new_case(), request), **more)

    def assignment(self, case: str, request: int = 1) -> dict[str, Any]:
        """Return the data of an assignment."""
        return {
            "case": case,
            "request": request,
            "due_at": time_text(self.now() + ANSWER_WITHIN),
            "review_url": f"/partner/reviews/{case}",
        }

    def probe(self) -> Draft:
        """Return a message that is to be refused: it has the next sequence and does not take it."""
        data = self.assignment(self.new_case())
        return self.unnumbered({"type": ASSIGNED, "timestamp": time_text(self.now()), "sequence": self.next_sequence, "data": data})

    def signed(self, draft: Draft, *, age: timedelta = timedelta(0), keys: Sequence[SigningKey] = ()) -> dict[str, str]:
        """Return the headers of a draft, signed so long ago, with the good key or with these."""
        return sign(draft.webhook_id, self.now() - age, draft.body, keys or (self.keys.good,))

    def good(self, draft: Draft, label: str = "", lane: str = "") -> Outgoing:
        """Return a draft as the network sends it."""
        return outgoing(self.signed(draft), draft.body, label, lane)


def outgoing(headers: Mapping[str, str], body: bytes, label: str = "", lane: str = "") -> Outgoing:
    """Return a request with these headers."""
    return Outgoing(tuple(headers.items()), body, label, lane)
