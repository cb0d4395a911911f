"""A composer at a fixed moment, with ids that count."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count

from deploy.partner_kit.messages import Composer, Keys
from shared.webhooks.signing import PrivateKey, SharedSecret

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECRET = SharedSecret(b"the secret of a webhook endpoint")
PAIR = PrivateKey(b"the seed of a webhook endpoint!!")


def composer(key: SharedSecret | PrivateKey = SECRET, first_sequence: int = 1) -> Composer:
    ids: Iterator[int] = count(1)
    return Composer(Keys.around(key), lambda: NOW, lambda: f"{next(ids):032x}", first_sequence)
