"""Receivers that answer as no HTTP server should: raw socket servers on loopback, and ways to behave."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

BODY = b'{"type":"kapcare.test"}'
"""What is sent to them, each time."""
GIGABYTE = 2**30


@dataclass
class Receiver:
    """One connection of a receiver after it read the request, and what all of them did."""

    url: str = ""
    connections: int = 0
    requests: int = 0
    last_request: bytes = b""
    sent: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Send, and count what left: `drain` waits while buffers are full."""
        writer.write(data)
        await writer.drain()
        self.sent += len(data)


Behaviour = Callable[[Receiver, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def receiving(behave: Behaviour, *, then_close: bool = True) -> AsyncIterator[Receiver]:
    """A receiver that reads each request whole and then behaves as it likes, until its peer is gone."""
    receiver = Receiver()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receiver.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                receiver.last_request = head + await reader.readexactly(len(BODY))
                async with receiver.changed:
                    receiver.requests += 1
                    receiver.changed.notify_all()
                await behave(receiver, writer)
                if then_close:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks"
    try:
        yield receiver
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # connections that were closed are let go of


def saying(*parts: bytes) -> Behaviour:
    async def say(receiver: Receiver, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            await receiver.write(writer, part)

    return say


def forever(head: bytes, again: bytes, pause: float = 0.0, until: int = GIGABYTE) -> Behaviour:
    """Send the head and then the same bytes again and again, a gigabyte at most."""
    again_at_once = again if pause else again * max(1, 65_536 // len(again))

    async def go_on(receiver: Receiver, writer: asyncio.StreamWriter) -> None:
        await receiver.write(writer, head)
        while receiver.sent < until:
            await receiver.write(writer, again_at_once)
            await asyncio.sleep(pause)

    return go_on


async def hang(_receiver: Receiver, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def reset(_receiver: Receiver, writer: asyncio.StreamWriter) -> None:
    """End the connection with a TCP reset."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def then(*behaviours: Behaviour) -> Behaviour:
    async def one_after_the_other(receiver: Receiver, writer: asyncio.StreamWriter) -> None:
        for behave in behaviours:
            await behave(receiver, writer)

    return one_after_the_other
