"""HTTP/1.1 with nothing smoothed over: the bytes of a request are the bytes on the wire, also where no client library would send them."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from shared.webhooks.signing import SigningKey

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header."""
        lines = (line.partition(b":") for line in self.head.split(b"\r\n")[1:])
        return next((value.strip().decode() for known, _, value in lines if known.lower() == name.encode()), None)

    @property
    def problem(self) -> dict[str, Any]:
        """The problem document; fails for anything else."""
        assert self.header("content-type") == "application/problem+json", self
        document: dict[str, Any] = json.loads(self.body)
        assert document["status"] == self.status
        return document

    @property
    def slug(self) -> str:
        """The last word of the problem's type."""
        return str(self.problem["type"]).removeprefix("urn:kapcare:problem:")


class Wire:
    """One connection; opened again when the server has closed it."""

    def __init__(self, port: int, source: str | None = None) -> None:
        self._port = port
        self._source = source
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, request: bytes, *, later: bytes = b"") -> Answer:
        """Send the bytes, `later` in a segment of its own; return the one answer."""
        if self._streams is None:
            local = None if self._source is None else (self._source, 0)
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, local_addr=local)
        reader, writer = self._streams
        writer.write(request)
        if later:
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.write(later)
        head = await reader.readuntil(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 1"):
            head = await reader.readuntil(b"\r\n\r\n")
        answer = Answer(int(head[9:12]), head, b"")
        body = await reader.readexactly(int(answer.header("content-length") or "0"))
        if answer.header("connection") == "close":
            await self.close()
        return Answer(answer.status, head, body)

    async def post(self, path: bytes, headers: Headers, body: bytes, **options: Any) -> Answer:
        """Send a request whose length is said."""
        return await self.exchange(request_of(path, [*headers, (b"Content-Length", b"%d" % len(body))], body), **options)

    async def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            await asyncio.gather(self._streams[1].wait_closed(), return_exceptions=True)
            self._streams = None


@asynccontextmanager
async def wire(port: int, source: str | None = None) -> AsyncIterator[Wire]:
    """A connection from an address of loopback."""
    made = Wire(port, source)
    try:
        yield made
    finally:
        await made.close()


def request_of(path: bytes, headers: Headers, body: bytes) -> bytes:
    """The bytes of a POST."""
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: prescriber", *(name + b": " + value for name, value in headers)]
    return b"\r\n".join([*lines, b"", b""]) + body


def in_chunks(body: bytes, sizes: Sequence[int], trailers: Headers | None = None) -> bytes:
    """The body in chunks of these sizes in turn, and what follows the last one."""
    out, place, turn = b"", 0, 0
    while place < len(body):
        piece = body[place : place + sizes[turn % len(sizes)]]
        out += b"%x\r\n" % len(piece) + piece + b"\r\n"
        place, turn = place + len(piece), turn + 1
    return out + b"0\r\n" + b"".join(name + b": " + value + b"\r\n" for name, value in trailers or []) + b"\r\n"


def signed(key: SigningKey, webhook_id: bytes, timestamp: bytes, body: bytes) -> Headers:
    """The three headers, signed whatever they hold (Standard Webhooks 1.0.0: over `id.timestamp.body`)."""
    signature = key.scheme.encode() + b"," + base64.b64encode(key.sign(webhook_id + b"." + timestamp + b"." + body))
    return [(b"webhook-id", webhook_id), (b"webhook-timestamp", timestamp), (b"webhook-signature", signature)]
