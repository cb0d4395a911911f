"""Find the addresses of a receiver's name, and refuse the name if any one of them is not an address we call."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

from shared.webhooks.destinations import is_allowed

LOOK_UPS_AT_ONCE: Final = 32
"""Threads that may wait for the system's resolver, which cannot be interrupted: a name that hangs keeps one of them."""

LookUp = Callable[[str], Awaitable[Sequence[str]]]
"""From a host name to its addresses as text; raises OSError where there are none to be found."""


class AddressRefused(OSError):
    """An address that we do not call: it is not on the public internet."""

    def __init__(self) -> None:
        super().__init__("the address is not one we call")


def check_address(text: str, *, allow_loopback: bool) -> None:
    """Raise AddressRefused unless the text is an address that may be connected to."""
    try:
        allowed = is_allowed(ip_address(text), allow_loopback=allow_loopback)
    except ValueError:
        allowed = False
    if not allowed:
        raise AddressRefused


class CheckedResolver(AbstractResolver):
    """Resolves names for outbound connections: all addresses of a name, or none if one of them is refused."""

    def __init__(self, look_up: LookUp, *, allow_loopback: bool) -> None:
        self._look_up = look_up
        self._allow_loopback = allow_loopback

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """Return where the name may be connected to; raises AddressRefused, or OSError if it has no address."""
        found = await self._look_up(host)
        for address in found:
            check_address(address, allow_loopback=self._allow_loopback)
        families = {address: socket.AF_INET6 if ":" in address else socket.AF_INET for address in found}
        wanted = [address for address in found if family in {socket.AF_UNSPEC, families[address]}]
        if not wanted:
            raise OSError("the name has no address")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=families[address], proto=0, flags=socket.AI_NUMERICHOST)
            for address in wanted
        ]

    async def close(self) -> None:
        """Nothing is open."""


class SystemLookUp:
    """Asks the operating system for addresses, in threads of its own.

    Names that hang use up neither the loop's threads nor the time of a process that ends: these threads are daemons.
    """

    def __init__(self, *, at_once: int = LOOK_UPS_AT_ONCE, ask: Callable[[str], Sequence[str]] | None = None) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._ask = ask or ask_system

    async def __call__(self, host: str) -> Sequence[str]:
        """Return the addresses of a name; raises OSError. Its thread stays taken until the system answers, whoever still waits."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[str]] = loop.create_future()

        def settle(found: Sequence[str] | Exception) -> None:
            self._free.release()
            if answer.cancelled():
                return
            if isinstance(found, Exception):
                answer.set_exception(found)
            else:
                answer.set_result(found)

        def work() -> None:
            found: Sequence[str] | Exception
            try:
                found = self._ask(host)
            except Exception as error:  # noqa: BLE001 - raised where the look-up is awaited
                found = error
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(settle, found)

        try:
            threading.Thread(target=work, name="webhook-name", daemon=True).start()
        except RuntimeError:
            self._free.release()
            raise OSError("no thread to look the name up") from None
        return await answer


def ask_system(host: str) -> Sequence[str]:
    """Return the addresses that the system knows for a name, of both families; blocks.

    The name is asked for as bytes, so that nothing in it is normalised, and with its root, so that the machine's search
    domains (in Kubernetes: the cluster's own services) are not tried.
    """
    name = f"{host}." if "." in host else host
    return [str(where[0]) for *_, where in socket.getaddrinfo(name.encode("ascii"), None, type=socket.SOCK_STREAM)]
