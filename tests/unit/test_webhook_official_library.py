"""The official Standard Webhooks library as a second opinion on what is signed and what is taken."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from shared.webhooks.signing import (
    Unverified,
    is_webhook_id,
    sign,
    verify,
)
from tests.unit.signed import GOOD, SECRET, SPEC_AT, SPEC_BODY, raw, signed


def verdict_of_the_official_library(headers: dict[str, str], body: bytes) -> str:
    """Whether standardwebhooks 1.1.0 takes it, by the system's clock; `crash` where it raises what is not its own error."""
    try:
        Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").verify(body, dict(headers), json_parse=False)
    except WebhookVerificationError:
        return "refused"
    except ValueError:
        return "crash"
    return "accepted"


MUTATIONS: dict[str, Callable[[str], str]] = {
    "none": lambda text: text,
    "plus": lambda text: "+" + text,
    "spaces": lambda text: f" {text} ",
    "fraction": lambda text: text + ".9",
    "underscore": lambda text: text[:1] + "_" + text[1:],
    "leading-zero": lambda text: "0" + text,
    "empty": lambda text: "",
    "word": lambda text: "hello",
    "junk-inside": lambda text: text[:12] + "!!" + text[12:],
    "no-padding": lambda text: text.rstrip("="),
    "more-padding": lambda text: text + "==",
    "url-safe": lambda text: text.replace("+", "-").replace("/", "_"),
    "two-commas": lambda text: text.replace(",", ",,"),
    "no-comma": lambda text: text.replace(",", ""),
    "doubled": lambda text: f"{text} {text}",
    "double-space": lambda text: f"{text}  {text}",
    "unknown-first": lambda text: f"v2,{GOOD} {text}",
    "flipped": lambda text: text[:-3] + ("A" if text[-3] != "A" else "B") + text[-2:],
    "dot": lambda text: text + ".x",
    "dollar": lambda text: "$" + text,
}

LAXER_THAN_US = {
    ("webhook-timestamp", "plus"): "float() reads a sign",
    ("webhook-timestamp", "spaces"): "float() reads blanks",
    ("webhook-timestamp", "fraction"): "float() reads fractions, and signs the whole seconds",
    ("webhook-timestamp", "underscore"): "float() reads underscores",
    ("webhook-timestamp", "leading-zero"): "float() drops zeros, and signs what is left",
    ("webhook-signature", "junk-inside"): "b64decode() drops what is not base64",
    ("webhook-signature", "more-padding"): "b64decode() drops padding beyond the end",
    ("webhook-signature", "fraction"): "b64decode() drops what follows the padding",
    ("webhook-signature", "dot"): "b64decode() drops what follows the padding",
    ("webhook-signature", "double-space"): "it stops reading at the first valid signature",
}
"""What the official library accepts and we refuse: other bytes than the sender made stand for the same message."""


@pytest.mark.parametrize("body", [b"", SPEC_BODY, b"\xff"], ids=["empty", "json", "not-text"])
@pytest.mark.parametrize("mutation", sorted(MUTATIONS))
@pytest.mark.parametrize("header", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_every_difference_from_the_official_library_is_one_we_can_explain(header: str, mutation: str, body: bytes) -> None:
    now = datetime.now(UTC)
    headers = signed(SECRET, body, at=now)
    headers[header] = MUTATIONS[mutation](headers[header])
    theirs = verdict_of_the_official_library(headers, body)
    try:
        verify(raw(headers), body, [SECRET], now)
        ours = "accepted"
    except Unverified:
        ours = "refused"
    if not is_utf8(body):
        assert theirs in {"crash", "refused"}  # they take text only
    elif (header, mutation) in LAXER_THAN_US:
        assert (theirs, ours) == ("accepted", "refused")
    else:
        assert (theirs == "accepted") == (ours == "accepted")


def is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


@given(st.binary(max_size=100).filter(is_utf8), st.text(alphabet="abcXYZ019_-", min_size=1, max_size=40).filter(is_webhook_id))
def test_the_official_library_signs_as_we_do(body: bytes, webhook_id: str) -> None:
    theirs = Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").sign(webhook_id, SPEC_AT, body.decode())
    assert sign(webhook_id, SPEC_AT, body, [SECRET])["webhook-signature"] == theirs
