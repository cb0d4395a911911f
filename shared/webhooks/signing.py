"""Standard Webhooks 1.0.0: `v1` (HMAC-SHA256) and `v1a` (ed25519), signed and strictly verified.

What is signed is `id.timestamp.body` over the raw bytes; verify before parsing anything. A verifier is pinned to the
scheme of its keys, so a sender cannot choose a weaker one. Every failure is one typed error with a stable reason.
Source: standard-webhooks spec/standard-webhooks.md, version 1.0.0.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Final, Generic, Literal, Protocol, Self, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

TOLERANCE_SECONDS: Final = 300
"""How far the timestamp may lie from now, both ways."""
MOST_SIGNATURES: Final = 16
SIGNATURE_HEADER_LIMIT: Final = 4096

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_TIMESTAMP: Final = re.compile(r"0|[1-9][0-9]{0,11}")
_SIGNATURE: Final = re.compile(r"(v[0-9]{1,3}[a-z]?),([A-Za-z0-9+/]+={0,2})")

HeaderName = Literal["webhook-id", "webhook-timestamp", "webhook-signature"]
Reason = Literal["header-missing", "header-repeated", "id", "timestamp", "too-old", "too-new", "signature-malformed", "signature-wrong"]


class Unverified(Exception):
    """A message that is not proven to come from the sender; `reason` is stable and holds no input."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class MalformedKey(Exception):
    """Text that is not a key of the kind asked for; the message names the rule, never the key."""


class SigningKey(Protocol):
    """A secret that signs."""

    def sign(self, content: bytes) -> bytes:
        """Return the raw signature."""
        ...

    @property
    def scheme(self) -> str:
        """`v1` or `v1a`."""
        ...


class VerifyingKey(Protocol):
    """A key that verifies signatures of its one scheme."""

    def verifies(self, content: bytes, signature: bytes) -> bool:
        """Return whether the raw signature was made over the content; constant time."""
        ...

    @property
    def scheme(self) -> str:
        """`v1` or `v1a`."""
        ...


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """The symmetric secret of one endpoint: it signs and verifies `v1`."""

    key: bytes = field(repr=False)
    scheme: ClassVar[str] = "v1"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `whsec_` and base64 of 24 to 64 bytes, padded or not; raises MalformedKey."""
        key = _decode_key(text, "whsec_")
        if not 24 <= len(key) <= 64:
            raise MalformedKey("a webhook secret has 24 to 64 bytes")
        return cls(key)

    def sign(self, content: bytes) -> bytes:
        """Return the HMAC-SHA256 of the content, 32 bytes."""
        return hmac.digest(self.key, content, "sha256")

    def verifies(self, content: bytes, signature: bytes) -> bool:
        """Return whether the signature is the HMAC of the content; constant time."""
        return hmac.compare_digest(self.sign(content), signature)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public half of an ed25519 pair: it verifies `v1a`, and cannot sign."""

    key: bytes
    scheme: ClassVar[str] = "v1a"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `whpk_` and base64 of 32 bytes; raises MalformedKey.

        Refused are points of small order, which accept forgeries, and a second encoding of a point (RFC 8032, 5.1.3: y
        is under the prime), which OpenSSL takes. 32 bytes that are no point of the curve are read, and verify nothing.
        """
        key = _decode_key(text, "whpk_")
        if len(key) != 32:
            raise MalformedKey("an ed25519 public key has 32 bytes")
        without_sign = key[:31] + bytes([key[31] & 0x7F])
        if without_sign in _SMALL_ORDER:
            raise MalformedKey("a point of small order is not a key")
        if int.from_bytes(without_sign, "little") >= _FIELD_PRIME:
            raise MalformedKey("an ed25519 public key has one encoding")
        return cls(key)

    def verifies(self, content: bytes, signature: bytes) -> bool:
        """Return whether the signature was made with the private half."""
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, content)
        except InvalidSignature:
            return False
        return True

    def __str__(self) -> str:
        return "whpk_" + base64.b64encode(self.key).decode()


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """The private half of an ed25519 pair: it signs `v1a`."""

    seed: bytes = field(repr=False)
    _loaded: Ed25519PrivateKey = field(init=False, repr=False, compare=False)
    scheme: ClassVar[str] = "v1a"

    def __post_init__(self) -> None:
        # Once: loading derives the public half, which takes as long as a signature.
        object.__setattr__(self, "_loaded", Ed25519PrivateKey.from_private_bytes(self.seed))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `whsk_` and base64 of the 32-byte seed, or of seed and public key; raises MalformedKey."""
        key = _decode_key(text, "whsk_")
        if len(key) not in {32, 64}:
            raise MalformedKey("an ed25519 private key has 32 bytes, or 64 with the public key")
        private = cls(key[:32])
        if key[32:] not in {b"", private.public.key}:
            raise MalformedKey("the public half does not belong to the private half")
        return private

    @classmethod
    def generate(cls) -> Self:
        """Return a fresh private key."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    @property
    def public(self) -> PublicKey:
        """The key that verifies what this one signs."""
        return PublicKey(self._loaded.public_key().public_bytes_raw())

    def sign(self, content: bytes) -> bytes:
        """Return the ed25519 signature of the content, 64 bytes."""
        return self._loaded.sign(content)

    def reveal(self) -> str:
        """Return the one encoding we write: `whsk_` and base64 of the seed."""
        return "whsk_" + base64.b64encode(self.seed).decode()


Key = TypeVar("Key", bound=VerifyingKey)


@dataclass(frozen=True, slots=True)
class Verified(Generic[Key]):
    """A message proven to come from the holder of the key."""

    id: str
    timestamp: int
    """When this attempt was sent, in Unix seconds."""
    key: Key
    """The one of the trusted keys that verifies the message."""


def is_webhook_id(text: str) -> bool:
    """Return whether the text may be a webhook id: letters, digits, `_` and `-`, at most 128; never a dot."""
    return _ID.fullmatch(text) is not None


def sign(webhook_id: str, at: datetime, body: bytes, keys: Sequence[SigningKey]) -> dict[str, str]:
    """Return the three headers of one attempt, signed with each key (two of them while one is being replaced).

    Raises ValueError for what no verifier takes: text that is no webhook id, no key, or more than 16 of them.
    """
    if not is_webhook_id(webhook_id):
        raise ValueError("a webhook id has letters, digits, _ and -")
    if not 1 <= len(keys) <= MOST_SIGNATURES:
        raise ValueError("a message is signed with 1 to 16 keys")
    timestamp = str(int(at.timestamp()))
    content = _content(webhook_id, timestamp, body)
    signatures = [f"{key.scheme},{base64.b64encode(key.sign(content)).decode()}" for key in keys]
    return {"webhook-id": webhook_id, "webhook-timestamp": timestamp, "webhook-signature": " ".join(signatures)}


@dataclass(frozen=True, slots=True)
class Claimed:
    """What the headers of a message say: well-formed and in time, and as yet unproven."""

    id: str
    timestamp: str
    signatures: tuple[tuple[str, bytes], ...]
    """(scheme, raw signature), as they came."""


def read_claim(headers: Iterable[tuple[bytes, bytes]], now: datetime) -> Claimed:
    """Return what the raw headers say, before the body is read and without any key; raises Unverified and nothing else."""
    found = _read_headers(headers)
    webhook_id, timestamp = found["webhook-id"], found["webhook-timestamp"]
    if not is_webhook_id(webhook_id):
        raise Unverified("id")
    if _TIMESTAMP.fullmatch(timestamp) is None:
        raise Unverified("timestamp")
    age = int(now.timestamp()) - int(timestamp)
    if age > TOLERANCE_SECONDS:
        raise Unverified("too-old")
    if age < -TOLERANCE_SECONDS:
        raise Unverified("too-new")
    return Claimed(webhook_id, timestamp, _read_signatures(found["webhook-signature"]))


def verify(headers: Iterable[tuple[bytes, bytes]], body: bytes, keys: Sequence[Key], now: datetime) -> Verified[Key]:
    """Verify the raw headers and raw body of a message against trusted keys; raises Unverified and nothing else."""
    claimed = read_claim(headers, now)
    content = _content(claimed.id, claimed.timestamp, body)
    for scheme, signature in claimed.signatures:
        for key in keys:
            if key.scheme == scheme and key.verifies(content, signature):
                return Verified(claimed.id, int(claimed.timestamp), key)
    raise Unverified("signature-wrong")


def _content(webhook_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{webhook_id}.{timestamp}.".encode() + body


def _read_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[HeaderName, str]:
    """Return the three headers; each must be there exactly once. Undecodable bytes become marks that no pattern takes."""
    found: dict[HeaderName, str] = {}
    for name, value in headers:
        match name.lower():
            case b"webhook-id":
                known: HeaderName = "webhook-id"
            case b"webhook-timestamp":
                known = "webhook-timestamp"
            case b"webhook-signature":
                known = "webhook-signature"
            case _:
                continue
        if known in found:
            raise Unverified("header-repeated")
        found[known] = value.decode("ascii", errors="replace")
    if len(found) < 3:
        raise Unverified("header-missing")
    return found


def _read_signatures(header: str) -> tuple[tuple[str, bytes], ...]:
    if len(header) > SIGNATURE_HEADER_LIMIT:
        raise Unverified("signature-malformed")
    entries = header.split(" ")
    if len(entries) > MOST_SIGNATURES:
        raise Unverified("signature-malformed")
    signatures = []
    for entry in entries:
        parts = _SIGNATURE.fullmatch(entry)
        signature = _decode_canonical(parts[2]) if parts is not None else None
        if parts is None or signature is None:
            raise Unverified("signature-malformed")
        signatures.append((parts[1], signature))
    return tuple(signatures)


def _decode_canonical(text: str) -> bytes | None:
    """Return the bytes that this base64, and no other, stands for; None if it is not canonical."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return decoded if base64.b64encode(decoded).decode() == text else None


def _decode_key(text: str, prefix: str) -> bytes:
    if not text.startswith(prefix):
        raise MalformedKey(f"a key of this kind begins with {prefix}")
    encoded = text.removeprefix(prefix)
    if "=" not in encoded:
        encoded += "=" * (-len(encoded) % 4)
    key = _decode_canonical(encoded)
    if key is None:
        raise MalformedKey(f"{prefix} is followed by base64")
    return key


_SMALL_ORDER: Final = frozenset(
    bytes.fromhex(point)
    for point in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)
"""The canonical encodings of the eight points of small order, without the sign bit."""
_FIELD_PRIME: Final = 2**255 - 19
