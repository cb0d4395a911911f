"""B25, F32: however an address inside is written, and however a name comes to it, no byte reaches it.

The senders here have loopback forbidden, as in production. Nothing is on a real network: a public address leads to a
receiver in this process, every other address to a listener that must never be dialled (`simulated_internet`).
What counts is that listener, not the word that the sender gives.
"""

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from shared.clock import system_now
from shared.webhooks import posting, resolving
from shared.webhooks.destinations import what_is_wrong_with
from shared.webhooks.posting import Answer, Poster
from shared.webhooks.signing import SharedSecret
from tests.faults.forbidden_spellings import AS_ANSWERS, HOSTS, TRICKS
from tests.faults.simulated_internet import NO_CONTENT, PUBLIC, SimulatedInternet, answering, simulated_internet

NAME = "partner.example"
URL = f"https://{NAME}/hooks"
KEY = SharedSecret(b"zero-bytes-zero-bytes-zero-bytes")
PATIENT = aiohttp.ClientTimeout(total=60, connect=60)
"""Nothing here waits for a timeout; a slow machine must not look like one."""
REFUSALS = {"destination-not-allowed", "address-not-allowed"}


@pytest_asyncio.fixture(loop_scope="session")
async def internet(tmp_path: Any) -> AsyncIterator[SimulatedInternet]:
    async with simulated_internet(tmp_path, NAME) as made:
        yield made


@asynccontextmanager
async def poster(internet: SimulatedInternet, *answers: Sequence[str]) -> AsyncIterator[Poster]:
    async with Poster(
        at_once=4, allow_loopback=False, attempt=PATIENT, look_up=answering(*answers), tls=internet.tls, open_socket=internet.open_socket
    ) as made:
        yield made


async def post(sender: Poster, url: str = URL) -> Answer:
    return await sender.post(url, [KEY], "msg_zero_bytes", system_now(), b'{"canary":"c4n4ry"}')


def assert_nothing_leaked(internet: SimulatedInternet) -> None:
    assert internet.dialled == []
    assert internet.leaked == []


WALLS = {
    "every wall": None,
    "without the form of the URL": (posting, "what_is_wrong_with"),
    "without the resolver's": (resolving, "check_address"),
    "without the socket's": (posting, "check_address"),
}


@pytest.fixture(params=list(WALLS))
def walls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """All three walls, and each pair of them: none may stand on another's being there."""
    name: str = request.param
    torn_down = WALLS[name]
    if torn_down is not None:
        monkeypatch.setattr(*torn_down, lambda *_args, **_how: None)
    return name


def test_there_are_as_many_spellings_as_promised() -> None:
    """At least 120, each another: as hosts in a URL, and as what a name resolves to."""
    assert len(set(HOSTS)) >= 120
    assert len(set(AS_ANSWERS)) >= 120


async def test_the_receiver_can_be_reached_at_all_under_its_name(internet: SimulatedInternet) -> None:
    """Without this, silence of the listener would prove nothing; SNI and Host are the name that was checked."""
    async with poster(internet, [PUBLIC]) as sender:
        assert (await post(sender)).outcome == 204
    assert [request.server_name for request in internet.taken] == [NAME]
    assert b"\r\nHost: partner.example\r\n" in internet.taken[0].head
    assert_nothing_leaked(internet)


async def test_the_listener_hears_what_is_let_through(internet: SimulatedInternet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The instrument itself: with all walls down, each way leads to it."""
    for wall in filter(None, WALLS.values()):
        monkeypatch.setattr(*wall, lambda *_args, **_how: None)
    for url, answers in [("http://127.0.0.1/", ["127.0.0.1"]), ("http://[::ffff:127.0.0.1]/", ["127.0.0.1"]), (URL, ["127.0.0.1"])]:
        internet.dialled.clear()
        internet.leaked.clear()
        async with poster(internet, answers) as sender:
            await post(sender, url)
        assert len(internet.dialled) == 1
        assert len(internet.leaked) == 1
        assert internet.leaked[0] != b""


@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_as_a_literal(internet: SimulatedInternet, walls: str, scheme: str) -> None:
    """Refused at registration, or, where a name looks innocent, once it resolves; also where the resolver plays along."""
    # Without its form judged, only what the client itself takes for http can be tried.
    tricks = [url for url in TRICKS if walls != "without the form of the URL" or url.startswith(("https://", "http://"))]
    async with poster(internet, ["127.0.0.1"]) as sender:
        for url in [*(f"{scheme}://{host}/hooks" for host in HOSTS), *(f"{scheme}://{host}:8443/" for host in HOSTS), *tricks]:
            answer = await post(sender, url)
            assert isinstance(answer.outcome, str), url
            if walls == "every wall":
                assert answer.outcome in REFUSALS, url
            assert internet.dialled == [], url
    assert_nothing_leaked(internet)


@pytest.mark.parametrize("url", TRICKS)
def test_tricks_are_refused_where_they_are_registered(url: str) -> None:
    assert what_is_wrong_with(url) is not None


async def test_as_what_a_name_resolves_to(internet: SimulatedInternet, walls: str) -> None:
    for address in AS_ANSWERS:
        async with poster(internet, [address]) as sender:
            assert (await post(sender)).outcome == "address-not-allowed", address
        assert internet.dialled == [], address
    assert_nothing_leaked(internet)
    assert internet.taken == []


async def test_as_one_answer_among_others(internet: SimulatedInternet, walls: str) -> None:
    """A name that also resolves to an address inside is refused whole: its public address gets nothing either.

    The resolver's wall alone does that; without it the public address may be called, and still the other one is not.
    """
    for address in AS_ANSWERS:
        for answers in ([PUBLIC, address], [address, PUBLIC], [PUBLIC, PUBLIC, address]):
            async with poster(internet, answers) as sender:
                answer = await post(sender)
            if walls != "without the resolver's":
                assert answer.outcome == "address-not-allowed", answers
            assert internet.dialled == [], answers
    assert_nothing_leaked(internet)
    if walls != "without the resolver's":
        assert internet.taken == []


async def test_as_what_a_name_is_rebound_to(internet: SimulatedInternet, walls: str) -> None:
    """Public at first, inside at the next look-up, once what was remembered of the first has run out."""
    for number, address in enumerate(AS_ANSWERS, 1):
        async with poster(internet, [PUBLIC], [address]) as sender:
            assert (await post(sender)).outcome == 204, address
            assert sender._session.connector is not None
            sender._session.connector.clear_dns_cache()  # type: ignore[attr-defined]
            assert (await post(sender)).outcome == "address-not-allowed", address
        assert internet.dialled == [], address
        assert len(internet.taken) == number
    assert_nothing_leaked(internet)


async def test_a_rebinding_between_check_and_connection_has_nothing_to_bite_on(internet: SimulatedInternet) -> None:
    """A connection is made to an address that was checked: the name is asked for once, and what was remembered was checked."""
    asked = []

    async def look_up(host: str) -> Sequence[str]:
        asked.append(host)
        return [PUBLIC] if len(asked) == 1 else ["127.0.0.1"]

    async with Poster(
        at_once=4, allow_loopback=False, attempt=PATIENT, look_up=look_up, tls=internet.tls, open_socket=internet.open_socket
    ) as sender:
        assert (await post(sender)).outcome == 204
        assert (await post(sender)).outcome == 204
    assert asked == [NAME]
    assert len(internet.taken) == 2
    assert_nothing_leaked(internet)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_as_where_a_receiver_redirects_to(internet: SimulatedInternet, status: int) -> None:
    places = [*(f"https://{host}/" for host in HOSTS), *(f"http://{host}/" for host in HOSTS[::3]), *TRICKS]
    async with poster(internet, [PUBLIC]) as sender:
        for number, place in enumerate(places, 1):
            location = place.replace("\r", "").replace("\n", "").replace("\x00", "")
            internet.answer = f"HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
            answer = await post(sender)
            assert (answer.outcome, answer.taken) == (status, False), place
            assert len(internet.taken) == number
    assert_nothing_leaked(internet)


@pytest.mark.parametrize(
    "header",
    [
        'Alt-Svc: h2="127.0.0.1:443"; ma=86400', "Refresh: 0; url=https://127.0.0.1/", "Content-Location: https://127.0.0.1/",
        "Link: <https://127.0.0.1/>; rel=preload", "Location: https://127.0.0.1/",
    ],
)  # fmt: skip
async def test_as_where_an_answer_that_takes_the_message_points(internet: SimulatedInternet, header: str) -> None:
    internet.answer = f"HTTP/1.1 204 No Content\r\n{header}\r\nConnection: close\r\n\r\n".encode()
    async with poster(internet, [PUBLIC]) as sender:
        assert [(await post(sender)).outcome for _ in range(2)] == [204, 204]
    assert_nothing_leaked(internet)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"])
async def test_as_a_proxy_that_the_environment_names(internet: SimulatedInternet, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, f"http://127.0.0.1:{internet.forbidden_port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with poster(internet, [PUBLIC]) as sender:
        assert (await post(sender)).outcome == 204
    assert_nothing_leaked(internet)


async def test_f32_a_name_with_private_ipv6_addresses_alone(internet: SimulatedInternet) -> None:
    async with poster(internet, ["fd12:3456::1", "fd12:3456::2"]) as sender:
        assert (await post(sender)).outcome == "address-not-allowed"
    assert_nothing_leaked(internet)


async def test_f32_a_name_that_comes_and_goes(internet: SimulatedInternet) -> None:
    """Each time it is away the attempt fails, for the sender to try again; nothing of that is remembered."""
    asked = 0

    async def look_up(_host: str) -> Sequence[str]:
        nonlocal asked
        asked += 1
        if asked % 2:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [PUBLIC]

    outcomes = []
    async with Poster(
        at_once=4, allow_loopback=False, attempt=PATIENT, look_up=look_up, tls=internet.tls, open_socket=internet.open_socket
    ) as sender:
        for _ in range(4):
            outcomes.append((await post(sender)).outcome)
            assert sender._session.connector is not None
            sender._session.connector.clear_dns_cache()  # type: ignore[attr-defined]
    assert outcomes == ["name-not-found", 204, "name-not-found", 204]


async def test_a_name_without_any_address(internet: SimulatedInternet) -> None:
    async with poster(internet, []) as sender:
        assert (await post(sender)).outcome == "name-not-found"


async def test_no_cookie_comes_back(internet: SimulatedInternet) -> None:
    internet.answer = NO_CONTENT.replace(b"\r\n\r\n", b"\r\nSet-Cookie: session=7; Path=/; Secure\r\n\r\n")
    async with poster(internet, [PUBLIC]) as sender:
        assert [(await post(sender)).outcome for _ in range(2)] == [204, 204]
    assert len(internet.taken) == 2
    assert b"cookie" not in b"".join(request.head.lower() for request in internet.taken)


async def test_a_certificate_for_another_name(internet: SimulatedInternet) -> None:
    async with poster(internet, [PUBLIC]) as sender:
        assert (await post(sender, "https://other.example/hooks")).outcome == "certificate-refused"
    assert internet.taken == []


async def test_a_certificate_of_an_authority_that_nobody_trusts(internet: SimulatedInternet) -> None:
    """The sender's own trust, as in production."""
    async with Poster(
        at_once=4, allow_loopback=False, attempt=PATIENT, look_up=answering([PUBLIC]), open_socket=internet.open_socket
    ) as sender:
        assert (await post(sender)).outcome == "certificate-refused"
    assert internet.taken == []
