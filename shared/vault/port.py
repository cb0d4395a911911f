"""What the runtime asks of a key store, whatever holds it."""

import os
from collections.abc import Collection, Mapping
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12
TAG_BYTES = 16


class KeyMissing(Exception):
    """The stream has no key: it never began, or its key was destroyed."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"There is no key for {stream}: it never began, or it was erased.")
        self.stream = stream


class Unsealable(Exception):
    """Bytes that this key did not seal for this place: altered, moved, or another case's."""


class CaseKey:
    """One case's AES-256-GCM key. The associated data binds sealed bytes to their place."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, associated: bytes) -> bytes:
        """Return nonce, ciphertext and tag: 28 bytes longer than the plain bytes."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, associated)

    def open(self, sealed: bytes, associated: bytes) -> bytes:
        """Return the plain bytes; raises Unsealable if anything does not fit."""
        if len(sealed) < NONCE_BYTES + TAG_BYTES:
            raise Unsealable("The sealed bytes are too short.")
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated)
        except InvalidTag:
            raise Unsealable("The bytes were not sealed with this key for this place.") from None


class Vault(Protocol):
    """The one way to case keys."""

    async def create(self, stream: str, clinic: str) -> CaseKey:
        """Return the stream's key, making it if the stream never had one; raises KeyMissing once it was destroyed."""
        ...

    async def keys(self, streams: Collection[str]) -> Mapping[str, CaseKey]:
        """Return the keys that exist among the streams'."""
        ...

    async def destroy(self, stream: str) -> None:
        """Destroy the stream's key for good; it is never made again."""
        ...
