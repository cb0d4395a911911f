"""What a partner's webhook server is held to: for each check the messages, how they are sent, and what the answers must be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from deploy.partner_kit import deliveries, forgeries
from deploy.partner_kit.judging import Judge, in_time, refused, refused_or_noticed, taken, taken_on_one_connection
from deploy.partner_kit.messages import Composer, Outgoing

How = Literal["one by one", "at once", "on one connection"]
"""`one by one`: each on a connection of its own."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is tried."""

    name: str
    says: str
    """What must hold."""
    advice: str
    """What to do where it does not."""
    compose: Callable[[Composer], Sequence[Outgoing]]
    judge: Judge
    how: How = "one by one"
    required: bool = True
    """Whether kapcare relies on it; otherwise it is advised."""
    decisive: bool = False
    """Whether nothing can be learned from later checks unless this one passes."""


FIRST: Final = (
    Check(
        "in-time",
        "answers within 15 seconds",
        "See that your server can be reached. Keep the message, answer 204 and do the work afterwards: after 15 s it comes again.",
        deliveries.one,
        in_time,
        decisive=True,
    ),
    Check(
        "good-message",
        "takes a good message with 2xx",
        "Check the secret, that you verify the raw bytes of the body as they came, and your server's clock.",
        deliveries.one,
        taken,
        decisive=True,
    ),
)

MUST_BE_REFUSED: Final = (
    Check(
        "wrong-signature",
        "refuses a wrong signature",
        "Compare the whole signature over `id.timestamp.body`, in constant time, and refuse with 401.",
        forgeries.wrong_signature,
        refused,
    ),
    Check(
        "altered-body",
        "refuses an altered body",
        "Verify the raw bytes before you parse them; never verify JSON that you wrote anew.",
        forgeries.altered_body,
        refused,
    ),
    Check(
        "altered-id",
        "refuses an altered webhook-id",
        "The whole webhook-id is part of what is signed.",
        forgeries.altered_id,
        refused,
    ),
    Check(
        "altered-timestamp",
        "refuses an altered timestamp",
        "The timestamp is part of what is signed, to the second.",
        forgeries.altered_timestamp,
        refused,
    ),
    Check(
        "too-old",
        "refuses a timestamp 6 minutes old",
        "Refuse what is more than 5 minutes old, so that nobody can send an overheard message again.",
        forgeries.too_old,
        refused,
    ),
    Check(
        "too-new",
        "refuses a timestamp 6 minutes ahead",
        "Refuse what is more than 5 minutes ahead of your clock as well.",
        forgeries.too_new,
        refused,
    ),
    Check(
        "missing-id",
        "refuses a message without webhook-id",
        "Answer 4xx where a header is missing or empty.",
        forgeries.without_id,
        refused,
    ),
    Check(
        "missing-timestamp",
        "refuses a message without webhook-timestamp",
        "Answer 4xx where a header is missing or empty; do not take your own time instead.",
        forgeries.without_timestamp,
        refused,
    ),
    Check(
        "missing-signature",
        "refuses a message without webhook-signature",
        "Answer 4xx where a header is missing or empty; unsigned messages are anybody's.",
        forgeries.without_signature,
        refused,
    ),
    Check(
        "repeated-header",
        "refuses a header that is there twice",
        "Read all headers of the name and refuse if there is more than one: what you verify and what you use must be the same.",
        forgeries.repeated_header,
        refused,
    ),
    Check(
        "other-scheme",
        "refuses a signature of the other scheme alone",
        "Verify with your one scheme only; the message must not choose it, and a public key is no HMAC secret.",
        forgeries.other_scheme,
        refused,
    ),
    Check(
        "malformed",
        "refuses what cannot be read with 4xx, never 5xx",
        "Catch every error of parsing; with `standardwebhooks` for Python, ValueError as well as its own.",
        forgeries.malformed,
        refused,
    ),
    Check(
        "too-many-signatures",
        "refuses more than 16 signatures",
        "Set a limit: a message with thousands of signatures costs you and not its sender.",
        forgeries.too_many_signatures,
        refused,
        required=False,
    ),
    Check(
        "loose-base64",
        "refuses a signature in another spelling",
        "Decode base64 strictly: no junk, with padding, spare bits zero.",
        forgeries.loose_base64,
        refused,
        required=False,
    ),
    Check(
        "one-id-two-bodies",
        "refuses another body under a known webhook-id, or notices it",
        "Keep a digest of each body with its webhook-id; the network never uses an id for two bodies, so tell it.",
        forgeries.other_body_under_one_id,
        refused_or_noticed,
        required=False,
    ),
)

MUST_BE_TAKEN: Final = (
    Check(
        "unknown-signatures-first",
        "takes a good signature behind unknown ones",
        "Pass over signatures of schemes that you do not know; one good signature is enough.",
        deliveries.unknown_signatures_first,
        taken,
    ),
    Check(
        "rotation",
        "takes two signatures, the good one first or second",
        "Try every signature of your scheme: while a secret is replaced there are two.",
        deliveries.rotation,
        taken,
    ),
    Check(
        "retry",
        "takes the same message again",
        "Answer 2xx to a webhook-id that you have already, and do nothing twice: the network did not hear your first answer.",
        deliveries.again,
        taken,
    ),
    Check(
        "known-types",
        "takes every type of message",
        "Answer 2xx to each type, also to those from which nothing follows for you.",
        deliveries.known_types,
        taken,
    ),
    Check(
        "unknown-type",
        "takes a type that it does not know",
        "Answer 2xx and pass over it: new types come without a new version.",
        deliveries.unknown_type,
        taken,
    ),
    Check(
        "heartbeat",
        "takes a heartbeat",
        "Answer 2xx; it has no `sequence`, its `last_sequence` tells you what you should have, and its `checkpoint` is for you to keep.",
        deliveries.heartbeat,
        taken,
    ),
    Check(
        "test-message",
        "takes a test message",
        "Answer 2xx to kapcare.test, which names an endpoint and no case.",
        deliveries.test_message,
        taken,
    ),
    Check(
        "unknown-fields",
        "takes fields that it does not know",
        "Pass over unknown fields and headers: new ones come without a new version.",
        deliveries.unknown_fields,
        taken,
    ),
    Check(
        "large-body",
        "takes a body of nearly 20 kB",
        "Allow bodies of 20 kB, in front of your server too.",
        deliveries.large,
        taken,
    ),
    Check(
        "burst",
        "takes 20 messages at once",
        "Allow 16 connections at a time without a rate limit: all due messages come at once when you were away.",
        deliveries.burst,
        taken,
        how="at once",
    ),
    Check(
        "kept-connection",
        "takes several messages on one connection",
        "Read each body to its end and leave the connection open.",
        deliveries.one_after_another,
        taken_on_one_connection,
        how="on one connection",
    ),
    Check(
        "out-of-order",
        "takes messages out of order and with a gap",
        "Answer 2xx whatever the sequence is; note the gap and ask GET /partner/events?after=... for what is missing.",
        deliveries.out_of_order,
        taken,
    ),
)

CHECKS: Final = (*FIRST, *MUST_BE_REFUSED, *MUST_BE_TAKEN)
