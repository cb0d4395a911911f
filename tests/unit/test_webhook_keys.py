"""Keys of webhooks: what is read as one, what is not, and that none shows itself."""

import base64

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.webhooks.signing import (
    MalformedKey,
    PrivateKey,
    PublicKey,
    SharedSecret,
)
from tests.unit.signed import (
    GOOD,
    PRIVATE,
    SECRET,
    SVIX_PRIVATE,
    SVIX_PUBLIC,
)


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


@pytest.mark.parametrize("y", range(19))
def test_a_point_has_one_encoding_as_a_key(y: int) -> None:
    """RFC 8032, 5.1.3: y at or above the prime 2^255 - 19 fails to decode; only 19 values have such a second encoding."""
    for high in (0, 1):
        again = (y + 2**255 - 19 | high << 255).to_bytes(32, "little")
        with pytest.raises(MalformedKey):
            PublicKey.parse("whpk_" + base64.b64encode(again).decode())


def test_points_of_great_y_are_keys() -> None:
    """The greatest y under the prime that is on the curve and of no small order; which it is follows from the curve alone."""
    prime = 2**255 - 19
    y = next(y for y in range(prime - 2, 0, -1) if is_on_the_curve(y))
    for high in (0, 1):
        key = (y | high << 255).to_bytes(32, "little")
        assert PublicKey.parse("whpk_" + base64.b64encode(key).decode()).key == key


@given(st.integers(0, 2**255 - 20), st.binary(max_size=20))
def test_32_bytes_that_are_no_point_verify_nothing(y: int, content: bytes) -> None:
    assume(not is_on_the_curve(y))
    key = PublicKey.parse("whpk_" + base64.b64encode(y.to_bytes(32, "little")).decode())
    for signature in (bytes(64), PRIVATE.sign(content), y.to_bytes(32, "little") + bytes(32)):
        assert not key.verifies(content, signature)


def is_on_the_curve(y: int) -> bool:
    """Whether some x has -x² + y² = 1 + d·x²·y² modulo 2^255 - 19: whether (y² - 1)(d·y² + 1) is a square."""
    prime = 2**255 - 19
    d = -121665 * pow(121666, -1, prime)
    return pow((y * y - 1) * (d * y * y + 1), (prime - 1) // 2, prime) in {0, 1}


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
