"""A small HTTP client for one kind of request: POSTs on kept-alive loopback connections, stamped as the answer arrives."""

import asyncio
import re
import time
import uuid
from dataclasses import dataclass
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and the monotonic time at which it was here."""

    status: int
    body: bytes
    at: float


class Connection(asyncio.Protocol):
    """One connection, with at most one request under way."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._received = bytearray()
        self._answer: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what requests are written to."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer."""
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        length = _LENGTH.search(self._received, 0, head + 2) if head >= 0 else None
        if length is None:
            return
        end = head + 4 + int(length[1])
        if len(self._received) >= end and self._answer is not None and not self._answer.done():
            self._answer.set_result(Answer(int(self._received[9:12]), bytes(self._received[head + 4 : end]), time.monotonic()))

    def connection_lost(self, error: Exception | None) -> None:
        """Tell who waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("the server closed the connection"))

    async def send(self, request: bytes) -> Answer:
        """Send one request and return its answer."""
        self._received.clear()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Close it."""
        self._transport.close()


@dataclass(frozen=True, slots=True)
class Target:
    """Where to post, and as whom."""

    port: int
    token: str

    async def connect(self) -> Connection:
        """Open a connection."""
        _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", self.port)
        return connection

    def request(self, path: str, body: bytes) -> bytes:
        """Return the bytes of a POST with a key of its own."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self.token}\r\nContent-Type: application/json\r\n"
            f"Idempotency-Key: {uuid.uuid4().hex}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body
