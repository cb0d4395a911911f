"""Looking up receivers' names: in threads of its own, so that names that hang hold up nothing else; judged as a whole.

The system's resolver is replaced by one that a test can hold; the threads are real.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from shared.clock import system_now
from shared.webhooks import resolving
from shared.webhooks.posting import Poster
from shared.webhooks.resolving import LOOK_UPS_AT_ONCE, AddressRefused, CheckedResolver, SystemLookUp
from shared.webhooks.signing import SharedSecret

PUBLIC = "93.184.216.34"
KEY = SharedSecret(b"names-names-names-names-names-00")


@dataclass
class HeldSystem:
    """A resolver of the system that blocks for names that begin with `hang`, until they are let go."""

    asked: list[str] = field(default_factory=list)
    inside: int = 0
    most_inside: int = 0
    let_go: threading.Event = field(default_factory=threading.Event)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, host: str) -> Sequence[str]:
        with self._lock:
            self.asked.append(host)
            self.inside += 1
            self.most_inside = max(self.inside, self.most_inside)
        self.entered.release()
        try:
            if host.startswith("hang"):
                self.let_go.wait()
            if host.startswith("missing"):
                raise socket.gaierror(socket.EAI_NONAME, "no such name")
            return [PUBLIC]
        finally:
            with self._lock:
                self.inside -= 1

    async def until_entered(self, times: int) -> None:
        """Wait until so many look-ups have begun, beside those waited for before."""
        for _ in range(times):
            await asyncio.to_thread(self.entered.acquire)


@pytest.fixture
def system() -> Iterator[HeldSystem]:
    held = HeldSystem()
    yield held
    held.let_go.set()


async def settled(tasks: Sequence[asyncio.Task[Any]]) -> list[Any]:
    return list(await asyncio.gather(*tasks, return_exceptions=True))


async def test_names_that_hang_hold_up_neither_others_nor_the_loop_s_threads(system: HeldSystem) -> None:
    look_up = SystemLookUp(ask=system.ask)
    hanging = [asyncio.create_task(look_up(f"hang-{number}.example")) for number in range(LOOK_UPS_AT_ONCE - 1)]
    await system.until_entered(len(hanging))
    assert await look_up("partner.example") == [PUBLIC]
    assert await asyncio.to_thread(lambda: "free") == "free"
    assert not any(task.done() for task in hanging)
    system.let_go.set()
    assert await settled(hanging) == [[PUBLIC]] * len(hanging)


async def test_threads_are_bounded_and_end_with_the_process(system: HeldSystem) -> None:
    look_up = SystemLookUp(at_once=4, ask=system.ask)
    tasks = [asyncio.create_task(look_up(f"hang-{number}.example")) for number in range(20)]
    await system.until_entered(4)
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "webhook-name")
    system.let_go.set()
    assert await settled(tasks) == [[PUBLIC]] * 20
    assert system.most_inside == 4
    assert len(system.asked) == 20


async def test_a_look_up_that_nobody_waits_for_any_more_keeps_its_thread_until_it_ends(system: HeldSystem) -> None:
    """Otherwise attempts that time out at a name that hangs would take one thread after another."""
    look_up = SystemLookUp(at_once=1, ask=system.ask)
    given_up = asyncio.create_task(look_up("hang.example"))
    await system.until_entered(1)
    given_up.cancel()
    next_one = asyncio.create_task(look_up("partner.example"))
    await asyncio.gather(given_up, return_exceptions=True)
    await asyncio.sleep(0)
    assert system.asked == ["hang.example"]
    system.let_go.set()
    assert await next_one == [PUBLIC]


async def test_many_attempts_at_a_name_that_hangs_take_one_thread(system: HeldSystem) -> None:
    """Each attempt times out for itself; other names are called meanwhile (here they are refused a connection)."""
    impatient = aiohttp.ClientTimeout(total=60, connect=0.2)

    def no_socket(*_how: int) -> socket.socket:
        raise ConnectionRefusedError

    async with Poster(
        at_once=64, allow_loopback=False, attempt=impatient, look_up=SystemLookUp(ask=system.ask), open_socket=no_socket
    ) as poster:

        async def post(host: str) -> int | str:
            return (await poster.post(f"https://{host}/", [KEY], "msg_names", system_now(), b"{}")).outcome

        first = await asyncio.gather(*[post("hang.example") for _ in range(16)], post("partner.example"), post("missing.example"))
        assert first == ["timeout"] * 16 + ["connect-failed", "name-not-found"]
        assert await post("hang.example") == "timeout"
        assert system.asked.count("hang.example") == 1
        system.let_go.set()


async def test_a_loop_that_ended_is_not_called_back(system: HeldSystem) -> None:
    """A thread may outlive its loop; an exception in it would fail this test."""

    async def give_up() -> None:
        task = asyncio.create_task(SystemLookUp(ask=system.ask)("hang.example"))
        await asyncio.sleep(0.01)
        task.cancel()

    await asyncio.to_thread(asyncio.run, give_up())
    system.let_go.set()
    for thread in threading.enumerate():
        if thread.name == "webhook-name":
            await asyncio.to_thread(thread.join)


async def test_what_a_look_up_raises_is_raised_where_it_is_awaited() -> None:
    def fail(_host: str) -> Sequence[str]:
        raise KeyError

    with pytest.raises(KeyError):
        await SystemLookUp(ask=fail)("partner.example")


async def test_no_thread_is_a_name_that_is_not_found(monkeypatch: pytest.MonkeyPatch, system: HeldSystem) -> None:
    def no_thread(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    look_up = SystemLookUp(at_once=1, ask=system.ask)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(OSError, match="no thread"):
            await look_up("partner.example")
    assert await look_up("partner.example") == [PUBLIC]


@pytest.mark.parametrize(
    ("host", "asked"),
    [("partner.example", b"partner.example."), ("xn--prtner-bua.example", b"xn--prtner-bua.example."), ("localhost", b"localhost")],
)
async def test_the_system_is_asked_for_the_name_as_it_is_and_no_other(monkeypatch: pytest.MonkeyPatch, host: str, asked: bytes) -> None:
    """With its root, so that no search domain is appended; as bytes, so that Python's IDNA codec does not rewrite it."""
    calls: list[Any] = []

    def getaddrinfo(name: object, *_args: object, **_how: object) -> list[Any]:
        calls.append(name)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC, 0)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1%eth0", 0, 0, 2)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert resolving.ask_system(host) == [PUBLIC, "fe80::1%eth0"]
    assert calls == [asked]


def test_the_system_knows_loopback() -> None:
    assert set(resolving.ask_system("localhost")) <= {"127.0.0.1", "::1"}


def answering(*addresses: str) -> Callable[[str], Any]:
    async def look_up(_host: str) -> Sequence[str]:
        return addresses

    return look_up


@pytest.mark.parametrize(
    "addresses",
    [
        ("10.0.0.1",),
        (PUBLIC, "10.0.0.1"),
        ("2606:4700::1111", "fd00::1"),
        ("fe80::1%eth0",),
        ("not an address",),
        ("",),
        ("127.1",),
        (PUBLIC, "0x7f.1"),
    ],
)
async def test_a_name_is_refused_whole(addresses: tuple[str, ...]) -> None:
    with pytest.raises(AddressRefused):
        await CheckedResolver(answering(*addresses), allow_loopback=False).resolve("partner.example", 443)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_addresses_of_the_family_that_is_not_wanted_are_judged_too(family: socket.AddressFamily) -> None:
    for addresses in ((PUBLIC, "fd00::1"), ("2606:4700::1111", "10.0.0.1")):
        with pytest.raises(AddressRefused):
            await CheckedResolver(answering(*addresses), allow_loopback=False).resolve("partner.example", 443, family)


async def test_all_addresses_of_an_allowed_name_in_their_order() -> None:
    found = await CheckedResolver(answering("2606:4700::1111", PUBLIC), allow_loopback=False).resolve("partner.example", 443)
    assert [(one["hostname"], one["host"], one["port"], one["family"]) for one in found] == [
        ("partner.example", "2606:4700::1111", 443, socket.AF_INET6),
        ("partner.example", PUBLIC, 443, socket.AF_INET),
    ]


async def test_a_name_without_an_address_is_an_error_of_its_own() -> None:
    with pytest.raises(OSError, match="no address") as error:
        await CheckedResolver(answering(), allow_loopback=False).resolve("partner.example", 443)
    assert not isinstance(error.value, AddressRefused)
