"""The official clients for Node, npm `standardwebhooks` and `svix`, take what we send and refuse what was tampered with."""

import base64
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.webhooks.signing import PrivateKey, SharedSecret, SigningKey, sign
from tests.contract.npm import install
from tests.unit.webhook_mutations import AFTER_SIGNING, Message

CLIENTS = ("standardwebhooks@1.1.1", "svix@2.5.0")
SECRETS = ["whsec_" + base64.b64encode(bytes(range(first, first + 32))).decode() for first in (0, 100)]
NEW, OLD = (SharedSecret.parse(secret) for secret in SECRETS)
PRIVATE = PrivateKey(bytes(range(7, 39)))
BODIES = [
    b'{"type":"kapcare.heartbeat","timestamp":"2026-03-02T09:00:00Z","data":{"endpoint":"main","last_sequence":12}}',
    '{"type": "kapcare.test", "sequence": 3, "data": {"endpoint": "Zoë 🍄 \\u2028"}}'.encode(),
    b"{}",
]
SIGNERS: dict[str, list[SigningKey]] = {"one secret": [NEW], "two secrets": [NEW, OLD], "v1a as well": [PRIVATE, NEW]}
TAMPERED = [
    "body: one bit", "body: line break after", "body: byte order mark", "body: empty", "body: compressed",
    "id: another", "id: dot", "timestamp: 299 s ago", "timestamp: word", "timestamp: 301 s ago",
    "signature: one character", "signature: cut to 16 bytes", "signature: no scheme", "signature: other scheme",
    "signature: schemes swapped",
    "without webhook-id", "without webhook-timestamp", "without webhook-signature",
]  # fmt: skip

VERIFY = """
import { readFileSync } from "node:fs";
import standardwebhooks from "standardwebhooks";
import * as svix from "svix";

const clients = { standardwebhooks, svix };
const verdict = ({ Webhook, WebhookVerificationError }, { secret, headers, body }) => {
  try {
    return { accepted: new Webhook(secret).verify(Buffer.from(body, "base64"), headers) ?? null };
  } catch (error) {
    return error instanceof WebhookVerificationError ? "refused" : `${error.name}: ${error.message}`;
  }
};
const messages = JSON.parse(readFileSync(0));
console.log(JSON.stringify(messages.map((message) =>
  Object.fromEntries(Object.entries(clients).map(([name, client]) => [name, verdict(client, message)])))));
"""


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = install(tmp_path_factory.mktemp("webhook-clients"), *CLIENTS)
    (folder / "verify.mjs").write_text(VERIFY)
    return folder


def verdicts(clients: Path, messages: list[tuple[str, Message]]) -> list[dict[str, Any]]:
    """What each client, holding the secret, says of each message now: what it returns, `refused`, or how it failed."""
    given = [
        {"secret": secret, "headers": dict(message.headers), "body": base64.b64encode(message.body).decode()}
        for secret, message in messages
    ]
    command = ["node", "verify.mjs"]
    answer = subprocess.run(command, cwd=clients, input=json.dumps(given), capture_output=True, text=True, check=True, timeout=60)
    said: list[dict[str, Any]] = json.loads(answer.stdout)
    return said


def message(keys: list[SigningKey], body: bytes, at: datetime) -> Message:
    return Message(tuple(sign("msg_0198c0de", at, body, keys).items()), body)


@pytest.mark.npm
@pytest.mark.timeout(300)
def test_they_verify_what_we_send(clients: Path) -> None:
    now = datetime.now(UTC)
    sent = [(SECRETS[0], message(keys, body, now), body) for keys in SIGNERS.values() for body in BODIES]
    # While a secret is being replaced, who still holds the old one verifies as well.
    sent += [(SECRETS[1], message(SIGNERS["two secrets"], body, now), body) for body in BODIES]
    said = verdicts(clients, [(secret, signed) for secret, signed, _ in sent])
    for (_, _, body), of in zip(sent, said, strict=True):
        assert of == {"standardwebhooks": {"accepted": json.loads(body)}, "svix": {"accepted": None}}  # svix leaves parsing to its caller


@pytest.mark.npm
@pytest.mark.timeout(300)
def test_they_refuse_what_was_tampered_with(clients: Path) -> None:
    now = datetime.now(UTC)
    tampered = [(name, SECRETS[0], AFTER_SIGNING[name](message([NEW], BODIES[1], now))) for name in TAMPERED]
    tampered += [
        ("another secret", SECRETS[1], message([NEW], BODIES[0], now)),
        ("v1a alone", SECRETS[0], message([PRIVATE], BODIES[0], now)),
        ("the public key taken for a secret", SECRETS[0], message([SharedSecret(PRIVATE.public.key)], BODIES[0], now)),
        ("sent an hour ago", SECRETS[0], message([NEW], BODIES[0], now - timedelta(hours=1))),
        ("sent in an hour", SECRETS[0], message([NEW], BODIES[0], now + timedelta(hours=1))),
    ]
    said = verdicts(clients, [(secret, changed) for _, secret, changed in tampered])
    taken = {name: of for (name, _, _), of in zip(tampered, said, strict=True) if of != {"standardwebhooks": "refused", "svix": "refused"}}
    assert taken == {}
