"""The receiving end of the webhook bench: takes POSTs on loopback and stamps when each was first here. A job of its own process.

Paths that begin with /hole take the request and never answer; a GET of /count tells how many came, and of /arrived when each did.
The same for every build.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from deploy.bench.jobs import do_job

_HEAD = re.compile(rb"(GET|POST) (/\S+) HTTP/1\.1\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ID = re.compile(rb"\r\nwebhook-id: *(\S+)", re.IGNORECASE)
_TAKEN = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"


class Seen:
    """What came in."""

    def __init__(self) -> None:
        self.arrived: dict[str, float] = {}
        self.again: list[str] = []

    def note(self, identity: str) -> None:
        """Note a webhook."""
        if identity in self.arrived:
            self.again.append(identity)
        else:
            self.arrived[identity] = time.monotonic()


class Receiving(asyncio.Protocol):
    """One connection."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._transport: asyncio.Transport
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what answers are written to."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take what is complete."""
        self._received += data
        while (head := self._received.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._received, 0, head + 2)
            end = head + 4 + (0 if length is None else int(length[1]))
            if len(self._received) < end:
                return
            asked, identity = _HEAD.match(self._received), _ID.search(self._received, 0, head + 2)
            if asked is not None and asked[1] == b"GET":
                self._tell(asked[2])
            elif asked is not None and not asked[2].startswith(b"/hole"):
                if identity is not None:
                    self._seen.note(identity[1].decode())
                self._transport.write(_TAKEN)
            del self._received[:end]

    def _tell(self, path: bytes) -> None:
        count = len(self._seen.arrived)
        content = json.dumps(count if path == b"/count" else {"arrived": self._seen.arrived, "again": self._seen.again}).encode()
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(content) + content)


async def work(specification: Mapping[str, Any], ready: Callable[[], None]) -> Mapping[str, Any]:
    """Receive until the process is ended."""
    seen = Seen()
    server = await asyncio.get_running_loop().create_server(lambda: Receiving(seen), "127.0.0.1", specification["port"], backlog=1024)
    ready()
    await server.serve_forever()
    return {}


if __name__ == "__main__":
    do_job(work)
