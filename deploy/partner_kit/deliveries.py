"""Messages that a partner must take: all that the network sends or may come to send, and how it may arrive. Pure."""

import base64
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from deploy.partner_kit.forgeries import SIGNATURE
from deploy.partner_kit.messages import (
    ABOUT_A_REVIEW,
    ASSIGNED,
    ENDPOINT,
    ENDPOINT_DISABLED,
    EXAMPLE_CASE,
    HEARTBEAT,
    TEST,
    Composer,
    Draft,
    Outgoing,
    outgoing,
)
from shared.events.codec import time_text

LARGE_BYTES: Final = 19_900
"""Standard Webhooks asks senders to stay under 20 kB."""
CHECKPOINT: Final = (
    f"kapcare.example/check\n12\n{base64.b64encode(b'r' * 32).decode()}\n\n"
    f"\u2014 kapcare.example/check {base64.b64encode(b's' * 68).decode()}\n"
)
"""Of no ledger and signed by nobody, in the form of a real one."""
BURST_CASES: Final = 10
BURST_OF_EACH: Final = 2
SIGNATURE_BYTES: Final = {"v1": 32, "v1a": 64}


def one(compose: Composer) -> Sequence[Outgoing]:
    """A review is assigned."""
    return [compose.good(compose.assigned())]


def again(compose: Composer) -> Sequence[Outgoing]:
    """The same message twice, the second time as a retry: the same id and bytes, a fresh timestamp."""
    draft = compose.assigned()
    earlier = compose.signed(draft, age=timedelta(seconds=5))
    return [outgoing(earlier, draft.body, "the first attempt"), compose.good(draft, "the same id and body again")]


def unknown_signatures_first(compose: Composer) -> Sequence[Outgoing]:
    """Signatures of other schemes before the good one."""
    draft = compose.assigned()
    signed = compose.signed(draft)
    other = compose.keys.other_scheme.scheme
    strange = f"v9,{_noise(compose, 32)} {other},{_noise(compose, SIGNATURE_BYTES[other])}"
    return [outgoing({**signed, SIGNATURE: f"{strange} {signed[SIGNATURE]}"}, draft.body)]


def rotation(compose: Composer) -> Sequence[Outgoing]:
    """Two signatures while a secret is being replaced, the one that the partner knows first or second."""
    good, new = compose.keys.good, compose.keys.stranger
    first, second = compose.assigned(), compose.assigned()
    return [
        outgoing(compose.signed(first, keys=[new, good]), first.body, "the known key second"),
        outgoing(compose.signed(second, keys=[good, new]), second.body, "the known key first"),
    ]


def known_types(compose: Composer) -> Sequence[Outgoing]:
    """Every type that there is today, also where nothing follows from it."""
    case = compose.new_case()
    about = {"case": case, "request": 1, "review_url": f"/partner/reviews/{case}"}
    drafts = {kind: compose.draft(kind, about) for kind in ABOUT_A_REVIEW}
    drafts[ENDPOINT_DISABLED] = compose.draft(ENDPOINT_DISABLED, {"endpoint": "another", "why": "failing"})
    example = {**compose.assignment(EXAMPLE_CASE), "test": True}
    drafts["an example review"] = compose.draft(ASSIGNED, example)
    return [compose.good(draft, kind) for kind, draft in drafts.items()]


def unknown_type(compose: Composer) -> Sequence[Outgoing]:
    """A type that does not exist yet."""
    return [compose.good(compose.draft("kapcare.something.new", {"case": compose.new_case()}))]


def heartbeat(compose: Composer) -> Sequence[Outgoing]:
    """The sign of life, which has no sequence of its own, without a checkpoint of the ledger and with one."""
    data = {"endpoint": ENDPOINT, "last_sequence": compose.next_sequence - 1}
    with_checkpoint = {**data, "checkpoint": CHECKPOINT}
    return [
        compose.good(compose.unnumbered({"type": HEARTBEAT, "timestamp": time_text(compose.now()), "data": one}), label)
        for one, label in ((data, "without a checkpoint"), (with_checkpoint, "with a checkpoint"))
    ]


def test_message(compose: Composer) -> Sequence[Outgoing]:
    """What an administrator can send to try an endpoint."""
    return [compose.good(compose.draft(TEST, {"endpoint": ENDPOINT}))]


def unknown_fields(compose: Composer) -> Sequence[Outgoing]:
    """Fields that do not exist yet, beside the known ones and among them, and an unknown header."""
    case = compose.new_case()
    draft = compose.draft(ASSIGNED, {**compose.assignment(case), "new": {"nested": [1]}}, also_new="yes")
    return [outgoing({**compose.signed(draft), "webhook-new": "yes"}, draft.body)]


def large(compose: Composer) -> Sequence[Outgoing]:
    """A body of nearly 20 kB."""
    draft = compose.assigned()
    return [compose.good(Draft(draft.webhook_id, draft.body[:-1] + b" " * (LARGE_BYTES - len(draft.body)) + b"}"))]


def burst(compose: Composer) -> Sequence[Outgoing]:
    """Twenty messages at once on parallel connections; those of one case one after the other."""
    cases = [compose.new_case() for _ in range(BURST_CASES)]
    return [compose.good(compose.assigned(case, request), lane=case) for request in range(1, BURST_OF_EACH + 1) for case in cases]


def one_after_another(compose: Composer) -> Sequence[Outgoing]:
    """Three messages for one connection."""
    return [compose.good(compose.assigned(), f"message {number} on one connection") for number in (1, 2, 3)]


def out_of_order(compose: Composer) -> Sequence[Outgoing]:
    """A later message of a case before an earlier one, as after a resend; then one whose predecessor does not come."""
    case = compose.new_case()
    earlier, later = compose.assigned(case, 1), compose.assigned(case, 2)
    compose.draft(TEST, {"endpoint": ENDPOINT})
    after_the_gap = compose.assigned()
    return [
        compose.good(later, "a later sequence first"),
        compose.good(earlier, "the earlier one after it"),
        compose.good(after_the_gap, "a sequence whose predecessor did not come"),
    ]


def _noise(compose: Composer, size: int) -> str:
    return base64.b64encode(b"".join(bytes.fromhex(compose.new_id()) for _ in range(size // 16))).decode()
