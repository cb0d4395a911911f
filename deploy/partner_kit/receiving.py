"""Whether a webhook comes from the network, as a partner can tell it: the published library, and what it leaves to its user.

`standardwebhooks` 1.1.0 takes base64 with junk inside and timestamps such as `1e9`, looks at one of several headers of a
name, and raises other errors than its own on malformed ones; what is not in the one right form is refused before it looks.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from standardwebhooks import Webhook, WebhookVerificationError

HEADERS: Final = (b"webhook-id", b"webhook-timestamp", b"webhook-signature")
MOST_SIGNATURES: Final = 16

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")
_SIGNATURE: Final = re.compile(r"v[0-9]{1,3}[a-z]?,([A-Za-z0-9+/]+={0,2})")


class NotProven(Exception):
    """A message that may come from anybody; the message says what is wrong with it and holds none of it."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message that the network signed."""

    webhook_id: str
    body: bytes
    document: Mapping[str, Any]


def verified(headers: Sequence[tuple[bytes, bytes]], body: bytes, webhook: Webhook) -> Received:
    """Return a message whose raw headers and body hold; raises NotProven and nothing else."""
    given = [[value for name, value in headers if name.lower() == wanted] for wanted in HEADERS]
    if any(len(values) != 1 for values in given):
        raise NotProven("each of the three headers must be there once")
    webhook_id, timestamp, signatures = (values[0].decode("ascii", errors="replace") for values in given)
    entries = signatures.split(" ")
    if _ID.fullmatch(webhook_id) is None or _TIMESTAMP.fullmatch(timestamp) is None:
        raise NotProven("malformed header")
    if len(entries) > MOST_SIGNATURES or not all(_is_canonical(entry) for entry in entries):
        raise NotProven("malformed signatures")
    try:
        names = (name.decode() for name in HEADERS)
        document = webhook.verify(body, dict(zip(names, (webhook_id, timestamp, signatures), strict=True)))
    except (WebhookVerificationError, ValueError) as error:
        raise NotProven(str(error) if isinstance(error, WebhookVerificationError) else "not JSON") from None
    if not isinstance(document, dict):
        raise NotProven("not a JSON object")
    return Received(webhook_id, body, document)


def _is_canonical(entry: str) -> bool:
    found = _SIGNATURE.fullmatch(entry)
    if found is None:
        return False
    try:
        return base64.b64encode(base64.b64decode(found[1], validate=True)).decode() == found[1]
    except binascii.Error:
        return False
