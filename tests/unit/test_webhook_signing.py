"""Standard Webhooks: the published vectors, and every malformed shape of a message."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st

from shared.webhooks.signing import (
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
from tests.unit.signed import (
    GOOD,
    PRIVATE,
    SECRET,
    SPEC_AT,
    SPEC_BODY,
    SPEC_ID,
    SPEC_TIMESTAMP,
    SVIX_PRIVATE,
    SVIX_PUBLIC,
    Headers,
    raw,
    reason,
    signed,
)

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
    assert verify(raw(headers), body, [public], at) == Verified(webhook_id, timestamp, public)


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
    with pytest.raises(ValueError, match="a webhook id has"):
        sign(webhook_id, SPEC_AT, SPEC_BODY, [SECRET])


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
    assert verify(raw(signed(SECRET)), SPEC_BODY, [new, SECRET], SPEC_AT).key == SECRET
    assert verify(raw(signed(new)), SPEC_BODY, [new, SECRET], SPEC_AT).key == new


def test_no_keys_verify_nothing() -> None:
    with pytest.raises(Unverified):
        verify(raw(signed()), SPEC_BODY, [], SPEC_AT)


def test_a_message_has_1_to_16_signatures_as_many_as_are_read() -> None:
    headers = sign(SPEC_ID, SPEC_AT, SPEC_BODY, [PRIVATE] * 16)
    assert verify(raw(headers), SPEC_BODY, [PRIVATE.public], SPEC_AT).id == SPEC_ID
    for count in (0, 17):
        with pytest.raises(ValueError, match="1 to 16 keys"):
            sign(SPEC_ID, SPEC_AT, SPEC_BODY, [SECRET] * count)


@given(
    st.sampled_from([SECRET, PRIVATE]),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", fullmatch=True),
    st.binary(max_size=400),
    st.integers(0, 10**11),
)
def test_what_is_signed_verifies(key: SharedSecret | PrivateKey, webhook_id: str, body: bytes, timestamp: int) -> None:
    at = datetime.fromtimestamp(timestamp, UTC)
    trusted = key.public if isinstance(key, PrivateKey) else key
    assert verify(raw(sign(webhook_id, at, body, [key])), body, [trusted], at) == Verified(webhook_id, timestamp, trusted)


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


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80))
def test_v1a_is_plain_ed25519_and_v1_is_plain_hmac(seed: bytes, content: bytes) -> None:
    assert PrivateKey(seed).sign(content) == Ed25519PrivateKey.from_private_bytes(seed).sign(content)
    assert SharedSecret(seed).sign(content) == hmac.new(seed, content, hashlib.sha256).digest()
