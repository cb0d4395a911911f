"""The commit document and the causes that make it unique."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Self

from bson import Binary

from shared.events.base import Envelope
from shared.events.codec import Sealed


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a decision is made. The same cause has the same effect, once per stream; a receipt, once in the service.

    `mac` is a keyed MAC of what was asked (a bare hash of health data can be guessed): the same receipt with another
    MAC is another request in disguise and is refused.
    """

    key: str
    receipt: bool = False
    mac: bytes | None = None

    @classmethod
    def event(cls, envelope: Envelope) -> Self:
        """The cause of a reaction."""
        return cls(f"event:{envelope.source}/{envelope.id}")

    @classmethod
    def tick(cls, deadline: str, due: datetime) -> Self:
        """The cause of what a due deadline brings."""
        return cls(f"tick:{deadline}/{due.isoformat()}")

    @classmethod
    def carried(cls, what: str, identity: str) -> Self:
        """The cause of what something on another stream means for this one: the recall of a lot, a hold on another case."""
        return cls(f"carried:{what}/{identity}")

    @classmethod
    def http(cls, issuer: str, subject: str, key: str, mac: bytes) -> Self:
        """The cause of a command over HTTP."""
        return cls(f"http:{issuer}/{subject}/{key}", receipt=True, mac=mac)

    @classmethod
    def webhook(cls, partner: str, webhook_id: str, mac: bytes) -> Self:
        """The cause of a partner's signed webhook."""
        return cls(f"webhook:{partner}/{webhook_id}", receipt=True, mac=mac)

    @classmethod
    def operator(cls, subject: str, key: str, mac: bytes) -> Self:
        """The cause of an operator's act."""
        return cls(f"operator:{subject}/{key}", receipt=True, mac=mac)


def request_mac(secret: bytes, method: str, path: str, body: bytes) -> bytes:
    """Return the keyed MAC of a request, 32 bytes."""
    return hmac.new(secret, f"{method}\n{path}\n".encode() + body, hashlib.sha256).digest()


def stream_id_of(secret: bytes, kind: str, cause: Cause) -> str:
    """Return the id of a stream that a cause begins: a retry cannot begin it twice."""
    return f"{kind}-{hmac.new(secret, f'stream|{cause.key}'.encode(), hashlib.sha256).hexdigest()[:32]}"


def pseudonym_of(secret: bytes, identifier: str) -> str:
    """Return the network's pseudonym of a patient identifier, which itself is never stored."""
    return f"patient-{hmac.new(secret, f'patient|{identifier}'.encode(), hashlib.sha256).hexdigest()[:32]}"


@dataclass(frozen=True, slots=True)
class ReactionTo:
    """The event that a commit is the reaction to: how far the event's lane has come, in the same write."""

    source: str
    sequence: int
    event: str


@dataclass(frozen=True, slots=True)
class Commit:
    """One decision on one stream, as stored: version and sequences are contiguous from 1 per stream."""

    id: str
    stream: str
    version: int
    first_sequence: int
    cause: str
    receipt: bool
    request_mac: bytes | None
    actor: str
    at: datetime
    trace: str | None
    events: tuple[Sealed, ...]
    reaction_to: ReactionTo | None = None

    @property
    def last_sequence(self) -> int:
        """The sequence of the last event in the commit."""
        return self.first_sequence + len(self.events) - 1

    @property
    def clinic(self) -> str:
        """The clinic that the stream belongs to after this commit."""
        return self.events[-1].headers["ce_clinic"]

    @property
    def patient(self) -> str:
        """The network's pseudonym of the patient."""
        return self.events[-1].headers["ce_patient"]

    def to_document(self) -> dict[str, Any]:
        """Return the document; `receipt` is there only for HTTP and webhook causes, `reaction_to` only for reactions."""
        document: dict[str, Any] = {
            "_id": self.id,
            "stream": self.stream,
            "version": self.version,
            "first_sequence": self.first_sequence,
            "cause": self.cause,
            "actor": self.actor,
            "at": self.at,
            "trace": self.trace,
            "events": [{"headers": dict(event.headers), "data": Binary(event.data)} for event in self.events],
        }
        if self.receipt:
            document["receipt"] = self.cause
            document["request_mac"] = Binary(self.request_mac) if self.request_mac is not None else None
        if self.reaction_to is not None:
            document["reaction_to"] = asdict(self.reaction_to)
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read a stored document."""
        return cls(
            id=document["_id"],
            stream=document["stream"],
            version=document["version"],
            first_sequence=document["first_sequence"],
            cause=document["cause"],
            receipt="receipt" in document,
            request_mac=document.get("request_mac"),
            actor=document["actor"],
            at=document["at"].replace(tzinfo=UTC) if document["at"].tzinfo is None else document["at"],
            trace=document["trace"],
            events=tuple(Sealed(event["headers"], bytes(event["data"])) for event in document["events"]),
            reaction_to=ReactionTo(**document["reaction_to"]) if "reaction_to" in document else None,
        )
