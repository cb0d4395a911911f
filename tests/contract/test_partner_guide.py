"""What partners copy from docs/partner-guide.md says of every message what we say of it, and signs as we sign."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

from shared.webhooks.signing import (
    MalformedKey,
    PrivateKey,
    PublicKey,
    SharedSecret,
    Unverified,
    VerifyingKey,
    sign,
    verify,
)
from tests.contract.partner_snippets import Run, go, python, snippets, typescript
from tests.unit.test_webhook_wycheproof import read
from tests.unit.webhook_mutations import AFTER_SIGNING, BEFORE_SIGNING, Draft, Message

NOW = 1_790_000_000
SECRET, OLD = SharedSecret(bytes(range(32))), SharedSecret(bytes(range(100, 140)))
PRIVATE, FORMER = PrivateKey(bytes(range(7, 39))), PrivateKey(bytes(range(1, 33)))
BODIES = [
    b'{"type":"kapcare.review.assigned","timestamp":"2026-09-21T14:13:20Z","sequence":12,"data":{"case":"case-0123","request":1}}',
    '{"type": "kapcare.test", "timestamp": "2026-09-21T14:13:20.5Z", "sequence": 9007, "data": {"endpoint": "Zoë 🍄"}}'.encode(),
    b'{"type":"kapcare.heartbeat","timestamp":"2026-09-21T14:13:20Z","data":{"endpoint":"main","last_sequence":12}}',
]
SIGNERS: list[list[SharedSecret | PrivateKey]] = [[SECRET], [PRIVATE], [SECRET, OLD], [PRIVATE, SECRET], [FORMER]]


def text(key: bytes, prefix: str) -> str:
    return prefix + base64.b64encode(key).decode()


SECRET_TEXT, OLD_TEXT = text(SECRET.key, "whsec_"), text(OLD.key, "whsec_")
TRUSTED = [
    [SECRET_TEXT],
    [str(PRIVATE.public)],
    [OLD_TEXT, SECRET_TEXT],
    [str(FORMER.public), OLD_TEXT.rstrip("="), str(PRIVATE.public)],
    [],
]


def messages() -> Iterator[tuple[str, Message, list[str]]]:
    """Yield messages of every kind with every change there is, and the keys that their receiver trusts."""
    for keys in SIGNERS:
        for body in BODIES:
            for trusted in TRUSTED:
                yield "sound", Draft("msg_1-2", str(NOW), body).signed(keys), trusted
        draft = Draft("msg_0198c0de", str(NOW), BODIES[1])
        for name, change in BEFORE_SIGNING.items():
            yield name, change(draft).signed(keys), [SECRET_TEXT, str(PRIVATE.public)]
        for name, tamper in AFTER_SIGNING.items():
            yield name, tamper(draft.signed(keys)), [SECRET_TEXT, str(PRIVATE.public)]
    for name, key in (("a key missing", b""), ("a short key", bytes(18))):
        yield name, Draft("msg_1", str(NOW), BODIES[0]).signed([SharedSecret(key)]), [text(key, "whsec_"), text(key, "whpk_")]
    as_secret = Draft("msg_1", str(NOW), BODIES[0]).signed([SharedSecret(PRIVATE.public.key)])
    yield "a public key taken for a secret", as_secret, [str(PRIVATE.public)]
    yield "a secret taken for a public key", as_secret, [text(SECRET.key, "whpk_")]


def parsed(keys: list[str]) -> list[VerifyingKey]:
    """The keys; none where one is malformed, since we would not let it be registered."""
    try:
        return [SharedSecret.parse(key) if key.startswith("whsec_") else PublicKey.parse(key) for key in keys]
    except MalformedKey:
        return []


def our_verdict(message: Message, keys: list[str]) -> Any:
    try:
        verified = verify(message.raw(), message.body, parsed(keys), datetime.fromtimestamp(NOW, UTC))
    except Unverified:
        return "refused"
    return {"accepted": [verified.id, json.loads(message.body)]}


@cache
def table() -> tuple[list[str], list[dict[str, Any]], list[Any]]:
    """Return the names of the changes, what to verify, and what we say."""
    every = list(messages())
    given = [
        {"headers": message.headers, "body": base64.b64encode(message.body).decode(), "keys": keys, "now": NOW}
        for _, message, keys in every
    ]
    return [name for name, _, _ in every], given, [our_verdict(message, keys) for _, message, keys in every]


def without_nothing(verdict: Any) -> Any:
    """A heartbeat has no sequence; Go says so with a null."""
    if isinstance(verdict, dict):
        webhook_id, message = verdict["accepted"]
        return {"accepted": [webhook_id, {name: value for name, value in message.items() if value is not None}]}
    return verdict


@pytest.fixture(
    scope="session",
    params=[python, pytest.param(typescript, marks=pytest.mark.npm), pytest.param(go, marks=pytest.mark.go)],
    ids=lambda made: str(made.__name__),
)
def snippet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The snippets of one language, ready to run."""
    made: Run = request.param(tmp_path_factory.mktemp("snippets"))
    return made


def test_the_guide_has_all_six() -> None:
    assert set(snippets()) == {f"{name}.{suffix}" for name in ("verify_webhook", "sign_decision") for suffix in ("py", "ts", "go")}


def test_the_table_has_messages_of_both_kinds_for_every_signer() -> None:
    names, given, ours = table()
    assert len(names) > 400
    accepted = [name for name, verdict in zip(names, ours, strict=True) if verdict != "refused"]
    assert len(accepted) > 60
    assert {
        "sound",
        "nothing",
        "signature: one of 16",
        "signature: 4096 characters",
        "signed timestamp: 300 s ago",
        "an id of svix beside",
    } <= set(accepted)
    assert {signature.split(",")[0] for one in given for name, signature in one["headers"] if name == "webhook-signature"} >= {"v1", "v1a"}


@pytest.mark.timeout(300)
def test_a_snippet_says_what_we_say(snippet: Run) -> None:
    names, given, ours = table()
    theirs = [without_nothing(verdict) for verdict in snippet({"verify": given})]
    assert [(name, one["keys"], us, them) for name, one, us, them in zip(names, given, ours, theirs, strict=True) if us != them] == []


@pytest.mark.timeout(300)
def test_a_snippet_signs_as_we_sign(snippet: Run) -> None:
    """An ed25519 key has one signature of a content, so the headers are the same, character by character."""
    keys = [PRIVATE.reveal(), text(PRIVATE.seed + PRIVATE.public.key, "whsk_")]
    bodies = [*BODIES, b"", b"\xff\x00"]
    given = [{"id": "decision-7_1", "body": base64.b64encode(body).decode(), "key": key, "now": NOW} for body in bodies for key in keys]
    at = datetime.fromtimestamp(NOW, UTC)
    assert snippet({"sign": given}) == [sign("decision-7_1", at, body, [PRIVATE]) for body in bodies for _ in keys]


def test_the_ed25519_of_the_python_snippet_passes_wycheproof(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Node and Go have one of their own, which others test."""
    vectors = list(read("ed25519"))
    given = [{"key": each.key.hex(), "signature": each.signature.hex(), "message": each.message.hex()} for each in vectors]
    verdicts = python(tmp_path_factory.mktemp("snippets"))({"ed25519": given})
    assert [each.id for each, verdict in zip(vectors, verdicts, strict=True) if verdict is not each.valid] == []
    assert len(vectors) == 151
