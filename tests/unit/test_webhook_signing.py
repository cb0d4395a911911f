"""Standard Webhooks: the published vectors, every malformed shape, and the official library as a second opinion."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from shared.webhooks.signing import (
    MalformedKey,
    PrivateKey,
    PublicKey,
    SharedSecret,
    SigningKey,
    Unverified,
    Verified,
    VerifyingKey,
    is_webhook_id,
    sign,
    verify,
)

SPEC_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
SPEC_TIMESTAMP = 1614265330
SPEC_BODY = b'{"test": 2432232314}'
SPEC_AT = datetime.fromtimestamp(SPEC_TIMESTAMP, UTC)

SECRET = SharedSecret.parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
PRIVATE = PrivateKey.parse("whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=")
SVIX_PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
SVIX_PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="

Headers = list[tuple[bytes, bytes]]


def raw(headers: dict[str, str]) -> Headers:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def signed(key: SigningKey = SECRET, body: bytes = SPEC_BODY, webhook_id: str = SPEC_ID, at: datetime = SPEC_AT) -> dict[str, str]:
    return sign(webhook_id, at, body, [key])


def reason(headers: Headers, body: bytes = SPEC_BODY, key: VerifyingKey = SECRET, now: datetime = SPEC_AT) -> str:
    with pytest.raises(Unverified) as refused:
        verify(headers, body, [key], now)
    return refused.value.reason


VECTORS = [
    pytest.param(SECRET, SECRET, SPEC_ID, SPEC_TIMESTAMP, SPEC_BODY, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", id="specification"),
    pytest.param(
        SharedSecret(base64.b64decode("plJ3nmyCDGBKInavdOK15jsl")),
        SharedSecret(base64.b64decode("plJ3nmyCDGBKInavdOK15jsl")),
        "msg_loFOjxBNrRLzqYUf",
        1731705121,
        b'{"event_type":"ping","data":{"success":true}}',
        "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
        id="svix-manual",
    ),
    pytest.param(
        PRIVATE,
        PRIVATE.public,
        SPEC_ID,
        SPEC_TIMESTAMP,
        SPEC_BODY,
        "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==",
        id="go-asymmetric",
    ),
    pytest.param(
        PrivateKey.parse(SVIX_PRIVATE),
        PublicKey.parse(SVIX_PUBLIC),
        SPEC_ID,
        SPEC_TIMESTAMP,
        SPEC_BODY,
        "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
        id="svix-worker",
    ),
]


@pytest.mark.parametrize(("private", "public", "webhook_id", "timestamp", "body", "expected"), VECTORS)
def test_published_vectors_sign_and_verify(
    private: SigningKey, public: VerifyingKey, webhook_id: str, timestamp: int, body: bytes, expected: str
) -> None:
    at = datetime.fromtimestamp(timestamp, UTC)
    headers = sign(webhook_id, at, body, [private])
    assert headers == {"webhook-id": webhook_id, "webhook-timestamp": str(timestamp), "webhook-signature": expected}
    assert verify(raw(headers), body, [public], at) == Verified(webhook_id, timestamp)


def test_header_names_have_no_case_and_others_are_ignored() -> None:
    headers = [(name.upper(), value) for name, value in raw(signed())]
    assert verify([(b"svix-id", b"other"), *headers, (b"host", b"x")], SPEC_BODY, [SECRET], SPEC_AT).id == SPEC_ID


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_b1_each_header_must_be_there(missing: str) -> None:
    headers = signed()
    del headers[missing]
    assert reason(raw(headers)) == "header-missing"


@pytest.mark.parametrize("repeated", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_b6_each_header_must_be_there_once(repeated: str) -> None:
    headers = raw(signed())
    assert reason([*headers, (repeated.title().encode(), signed()[repeated].encode())]) == "header-repeated"


@pytest.mark.parametrize(
    "timestamp",
    ["hello", "", "NaN", "1e9", "1614265330.9", "1_614265330", "+1614265330", " 1614265330 ", "٣٤", "1" * 20, "-1",
     "01614265330", "1614265330\n"],
)  # fmt: skip
def test_b2_timestamp_is_whole_seconds_in_ascii_digits(timestamp: str) -> None:
    content = f"{SPEC_ID}.{timestamp}.".encode() + SPEC_BODY
    signature = "v1," + base64.b64encode(SECRET.sign(content)).decode()
    headers = raw({"webhook-id": SPEC_ID, "webhook-timestamp": timestamp, "webhook-signature": signature})
    assert reason(headers) == "timestamp"


@pytest.mark.parametrize(("offset", "verdict"), [(-301, "too-new"), (-300, None), (0, None), (300, None), (301, "too-old")])
def test_b3_tolerance_is_300_seconds_both_ways(offset: int, verdict: str | None) -> None:
    now = SPEC_AT + timedelta(seconds=offset, milliseconds=400)
    if verdict is None:
        assert verify(raw(signed()), SPEC_BODY, [SECRET], now).timestamp == SPEC_TIMESTAMP
    else:
        assert reason(raw(signed()), now=now) == verdict


GOOD = "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
URL_SAFE = GOOD.replace("+", "-").replace("/", "_")


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "v1",
        "v1,",
        "v1,a,b",
        f"v1,{GOOD},",
        f"v1,{GOOD}  v1,{GOOD}",
        f" v1,{GOOD}",
        f"v1,{GOOD} ",
        f"v1,{GOOD}\tv1,{GOOD}",
        " ".join([f"v1,{GOOD}"] * 17),
        f"v1,{GOOD} v1," + "A" * 8192,
        f"v1,{GOOD} v1,é",
        f"v1,{URL_SAFE}",
        f"v1,{GOOD[:-1]}",
        f"v1,{GOOD}=",
        f"v1,{GOOD[:20]}!!{GOOD[20:]}",
        f"v1,{GOOD[:20]}\n{GOOD[20:]}",
        f"v1,{GOOD[:-2]}F=",
        f"V1,{GOOD}",
        f"v1,{GOOD} junk",
    ],
)
def test_b4_malformed_signature_headers(signature: str) -> None:
    assert reason(raw({**signed(), "webhook-signature": signature})) == "signature-malformed"


@pytest.mark.parametrize("signature", [f"v2,{GOOD}", f"v1b,{GOOD}", "v1,AAAA", f"v1,{base64.b64encode(bytes(32)).decode()}"])
def test_b4_wrong_signatures(signature: str) -> None:
    assert reason(raw({**signed(), "webhook-signature": signature})) == "signature-wrong"


def test_sixteen_signatures_are_read_and_the_valid_one_may_come_last() -> None:
    other = base64.b64encode(bytes(32)).decode()
    header = " ".join([f"v1,{other}", f"v2,{other}", *[f"v1,{other}"] * 13, f"v1,{GOOD}"])
    assert verify(raw({**signed(), "webhook-signature": header}), SPEC_BODY, [SECRET], SPEC_AT).id == SPEC_ID


def test_b5_no_downgrade_from_v1a_to_v1() -> None:
    """Who knows the public key must not be able to use it as an HMAC secret, nor pass a `v1` signature at all."""
    as_secret = SharedSecret(PRIVATE.public.key)
    assert reason(raw(signed(as_secret)), key=PRIVATE.public) == "signature-wrong"
    relabelled = signed(PRIVATE)["webhook-signature"].replace("v1a,", "v1,")
    assert reason(raw({**signed(), "webhook-signature": relabelled}), key=PRIVATE.public) == "signature-wrong"
    assert reason(raw({**signed(), "webhook-signature": relabelled}), key=SECRET) == "signature-wrong"


@pytest.mark.parametrize(
    "webhook_id",
    ["", "a.b", "a\0b", "a\r\nb", "a" * 129, "__proto__", "$ne", "-a", "a b", "../a", "ä", "a\n", '{"$gt":""}'],
)
def test_b6_ids_that_are_not_ids(webhook_id: str) -> None:
    content = f"{webhook_id}.{SPEC_TIMESTAMP}.".encode() + SPEC_BODY
    signature = "v1," + base64.b64encode(SECRET.sign(content)).decode()
    headers = raw({"webhook-id": webhook_id, "webhook-timestamp": str(SPEC_TIMESTAMP), "webhook-signature": signature})
    assert reason(headers) == "id"
    assert not is_webhook_id(webhook_id)


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body[:-1] + bytes([body[-1] ^ 1]),
        lambda body: body.replace(b" ", b""),
        lambda body: body + b"\n",
        lambda body: b"\xef\xbb\xbf" + body,
        lambda body: b"",
    ],
    ids=["one-bit", "serialised-again", "trailing-newline", "byte-order-mark", "empty"],
)
@pytest.mark.parametrize(("private", "public"), [(SECRET, SECRET), (PRIVATE, PRIVATE.public)], ids=["v1", "v1a"])
def test_b7_an_altered_body_does_not_verify(change: Callable[[bytes], bytes], private: SigningKey, public: VerifyingKey) -> None:
    assert reason(raw(signed(private)), body=change(SPEC_BODY), key=public) == "signature-wrong"


def test_empty_and_binary_bodies_can_be_signed() -> None:
    for body in (b"", b"\xff\x00\xfe"):
        assert verify(raw(signed(PRIVATE, body)), body, [PRIVATE.public], SPEC_AT).id == SPEC_ID


def test_old_and_new_key_hold_side_by_side_while_one_is_replaced() -> None:
    new = SharedSecret(bytes(range(32)))
    headers = raw(sign(SPEC_ID, SPEC_AT, SPEC_BODY, [new, SECRET]))
    for trusted in ([new], [SECRET], [SECRET, new]):
        assert verify(headers, SPEC_BODY, trusted, SPEC_AT).id == SPEC_ID
    assert verify(raw(signed(SECRET)), SPEC_BODY, [new, SECRET], SPEC_AT).id == SPEC_ID


def test_no_keys_verify_nothing() -> None:
    with pytest.raises(Unverified):
        verify(raw(signed()), SPEC_BODY, [], SPEC_AT)


@given(
    st.sampled_from([SECRET, PRIVATE]),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", fullmatch=True),
    st.binary(max_size=400),
    st.integers(0, 10**11),
)
def test_what_is_signed_verifies(key: SharedSecret | PrivateKey, webhook_id: str, body: bytes, timestamp: int) -> None:
    at = datetime.fromtimestamp(timestamp, UTC)
    trusted = key.public if isinstance(key, PrivateKey) else key
    assert verify(raw(sign(webhook_id, at, body, [key])), body, [trusted], at) == Verified(webhook_id, timestamp)


NAMES = st.sampled_from([b"webhook-id", b"Webhook-Timestamp", b"webhook-signature", b"other"])


@given(st.lists(st.tuples(NAMES, st.binary(max_size=120)), max_size=6), st.binary(max_size=50))
def test_nothing_but_the_typed_error_ever_comes_out(headers: Headers, body: bytes) -> None:
    for key in (SECRET, PRIVATE.public):
        with pytest.raises(Unverified):
            verify(headers, body, [key], SPEC_AT)


@given(st.text(alphabet="v12ab,+/=ABCz0 -_.!\né", max_size=120))
@example(f"v1,{GOOD} x")
def test_no_other_text_stands_for_a_good_signature(signature: str) -> None:
    with pytest.raises(Unverified):
        verify(raw({**signed(), "webhook-signature": signature}), SPEC_BODY, [SECRET], SPEC_AT)


@given(st.integers(0, len(GOOD) - 1), st.characters(codec="ascii"))
def test_no_changed_character_leaves_a_signature_valid(at: int, character: str) -> None:
    changed = GOOD[:at] + character + GOOD[at + 1 :]
    headers = raw({**signed(), "webhook-signature": f"v1,{changed}"})
    if changed == GOOD:
        verify(headers, SPEC_BODY, [SECRET], SPEC_AT)
    else:
        assert reason(headers) in {"signature-malformed", "signature-wrong"}


def verdict_of_the_official_library(headers: dict[str, str], body: bytes) -> str:
    """Whether standardwebhooks 1.1.0 takes it; `crash` where it raises what is not its own error."""
    now = datetime.now(UTC)
    try:
        Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").verify(body, dict(headers), json_parse=False)
    except WebhookVerificationError:
        return "refused"
    except ValueError:
        return "crash"
    assert abs((datetime.now(UTC) - now).total_seconds()) < 5
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


def secret_of(size: int) -> str:
    return "whsec_" + base64.b64encode(bytes(range(size))).decode()


@pytest.mark.parametrize("size", [24, 32, 64])
def test_secrets_of_24_to_64_bytes(size: int) -> None:
    assert SharedSecret.parse(secret_of(size)).key == bytes(range(size))
    assert SharedSecret.parse(secret_of(size).rstrip("=")).key == bytes(range(size))


@pytest.mark.parametrize(
    "text",
    ["", "whsec_", secret_of(23), secret_of(65), secret_of(24).removeprefix("whsec_"), "whsk_" + GOOD, "whsec_" + "!" * 32, "whsec_é",
     secret_of(25)[:-3] + "j==", secret_of(25)[:-1], SVIX_PRIVATE, SVIX_PUBLIC],
)  # fmt: skip
def test_b27_what_is_not_a_secret(text: str) -> None:
    with pytest.raises(MalformedKey) as refused:
        SharedSecret.parse(text)
    assert text == "" or text not in str(refused.value)


def test_both_encodings_of_a_private_key_are_read_and_one_is_written() -> None:
    private = PrivateKey.parse(SVIX_PRIVATE)
    assert str(private.public) == SVIX_PUBLIC
    assert PrivateKey.parse(private.reveal()) == private
    assert len(base64.b64decode(private.reveal().removeprefix("whsk_"))) == 32


def test_a_public_half_of_another_key_is_refused() -> None:
    seed = base64.b64decode(SVIX_PRIVATE.removeprefix("whsk_"))[:32]
    with pytest.raises(MalformedKey):
        PrivateKey.parse("whsk_" + base64.b64encode(seed + PRIVATE.public.key).decode())


@pytest.mark.parametrize("size", [0, 31, 33, 63, 65])
def test_ed25519_keys_of_other_lengths_are_refused(size: int) -> None:
    encoded = base64.b64encode(bytes(range(size))).decode()
    with pytest.raises(MalformedKey):
        PrivateKey.parse("whsk_" + encoded)
    with pytest.raises(MalformedKey):
        PublicKey.parse("whpk_" + encoded)


def small_order_points() -> list[bytes]:
    """The encodings y of all points P with 8P = 0, sign bit both ways, from the curve -x² + y² = 1 + d·x²·y² itself."""
    prime = 2**255 - 19
    d = -121665 * pow(121666, -1, prime) % prime
    # A point of order 8 doubles to one with y = 0, so x² = -y², and the curve gives y² = (-1 ± sqrt(1 + d)) / d.
    root = modular_root((1 + d) % prime, prime)
    squares = [(half - 1) * pow(d, -1, prime) % prime for half in (root, -root)]
    order_eight = next(modular_root(square, prime) for square in squares if pow(square, (prime - 1) // 2, prime) == 1)
    values = [0, 1, prime - 1, prime, prime + 1, order_eight, prime - order_eight]
    return [(value | high << 255).to_bytes(32, "little") for value in values for high in (0, 1)]


def modular_root(square: int, prime: int) -> int:
    root = pow(square, (prime + 3) // 8, prime)
    if root * root % prime != square % prime:
        root = root * pow(2, (prime - 1) // 4, prime) % prime
    return root


@pytest.mark.parametrize("point", small_order_points(), ids=lambda point: point.hex()[:8] + point.hex()[-2:])
def test_points_of_small_order_are_no_keys(point: bytes) -> None:
    with pytest.raises(MalformedKey):
        PublicKey.parse("whpk_" + base64.b64encode(point).decode())


@given(st.text(max_size=80))
def test_reading_a_key_raises_nothing_else(text: str) -> None:
    for kind, prefix in ((SharedSecret, "whsec_"), (PrivateKey, "whsk_"), (PublicKey, "whpk_")):
        for candidate in (text, prefix + text):
            try:
                kind.parse(candidate)
            except MalformedKey:
                continue
            assert candidate.startswith(prefix)


def test_secrets_do_not_show_in_a_repr() -> None:
    assert "key" not in repr(SECRET)
    assert "seed" not in repr(PRIVATE)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80))
def test_v1a_is_plain_ed25519_and_v1_is_plain_hmac(seed: bytes, content: bytes) -> None:
    assert PrivateKey(seed).sign(content) == Ed25519PrivateKey.from_private_bytes(seed).sign(content)
    assert SharedSecret(seed).sign(content) == hmac.new(seed, content, hashlib.sha256).digest()
