"""B37 and the spoof of B38: who fails to prove its messages is asked for patience before it costs anything, and nobody else is.

The limits here give nothing back for as long as a test runs, so that no expectation rests on how fast the machine is.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from shared.clock import system_now
from shared.webhooks.signing import PrivateKey, verify
from tests.integration.partner_clinic import Clinic, clinic_on, decision
from tests.integration.partner_stub import PartnerStub, partner
from tests.integration.raw_http import Headers, request_of, signed, wire

pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
"""The development issuer signs with EdDSA, which newer texts call Ed25519."""

NO_CASE = decision(f"case-{uuid.uuid4().hex}", kind="ineligible")
"""Of a case that never was: whoever proves the message gets a 404."""
AT_ONCE = 20
LIMITED = {"webhook_failures_at_once": AT_ONCE, "webhook_failures_per_second": 0.0001}
addresses = iter(range(1, 10_000))


@asynccontextmanager
async def limited(mongo_url: str, bootstrap: str, **changed: Any) -> AsyncIterator[Clinic]:
    async with clinic_on(mongo_url, bootstrap, **{**LIMITED, **changed}) as clinic, partner("north") as north, partner("south") as south:
        for stub in (north, south):
            assert (await clinic.register(stub))[0] == 201
        yield clinic


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def behind_no_proxy(mongo_url: str, kafka_bootstrap: str) -> AsyncIterator[Clinic]:
    async with limited(mongo_url, kafka_bootstrap) as clinic:
        yield clinic


def source() -> str:
    """An address of loopback that no other test calls from."""
    number = next(addresses)
    return f"127.9.{number // 250}.{number % 250 + 1}"


def bad(webhook_id: bytes = b"msg_1") -> Headers:
    return signed(PrivateKey.generate(), webhook_id, b"%d" % int(system_now().timestamp()), NO_CASE)


def good(stub: PartnerStub) -> Headers:
    return signed(stub.private, f"msg_{uuid.uuid4().hex}".encode(), b"%d" % int(system_now().timestamp()), NO_CASE)


async def sent(clinic: Clinic, address: str, messages: list[Headers], slug: str = "north", body: bytes = NO_CASE) -> Counter[int]:
    """Send the messages one after another; how often which status came back."""
    counted: Counter[int] = Counter()
    async with wire(clinic.port, address) as line:
        for headers in messages:
            answer = await line.post(f"/partners/{slug}/decisions".encode(), headers, body)
            assert answer.problem
            if answer.status == 429:
                assert answer.slug == "too-many-failures"
                assert int(answer.header("retry-after") or "") >= 1
            counted[answer.status] += 1
    return counted


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts how often a signature was looked at."""
    counted: Counter[str] = Counter()

    def counting(*arguments: Any) -> Any:
        counted["verify"] += 1
        return verify(*arguments)

    monkeypatch.setattr("services.prescriber.partners.proving.verify", counting)
    return counted


async def test_b37_a_flood_of_bad_signatures_is_limited_before_any_of_them_is_looked_at(
    behind_no_proxy: Clinic, verified: Counter[str]
) -> None:
    clinic, flood = behind_no_proxy, source()
    parts = await asyncio.gather(*(sent(clinic, flood, [bad()] * 100) for _ in range(10)))
    assert sum(parts, Counter[int]()) == {401: AT_ONCE, 429: 1_000 - AT_ONCE}
    assert verified["verify"] == AT_ONCE


async def test_b37_the_partner_from_another_address_and_another_partner_from_the_same_are_not_slowed(behind_no_proxy: Clinic) -> None:
    clinic, flood = behind_no_proxy, source()
    north, south = clinic.partners["north"], clinic.partners["south"]
    assert await sent(clinic, flood, [bad()] * 30) == {401: AT_ONCE, 429: 30 - AT_ONCE}
    assert await sent(clinic, source(), [good(north) for _ in range(30)]) == {404: 30}
    assert await sent(clinic, flood, [good(south) for _ in range(30)], "south") == {404: 30}
    # Whether this one is good could only be told by looking at it.
    assert await sent(clinic, flood, [good(north)]) == {429: 1}


async def test_b37_nobody_is_slowed_by_messages_that_are_proven(behind_no_proxy: Clinic) -> None:
    clinic, address = behind_no_proxy, source()
    north = clinic.partners["north"]
    assert await sent(clinic, address, [bad()] * (AT_ONCE - 1)) == {401: AT_ONCE - 1}
    assert await sent(clinic, address, [good(north) for _ in range(100)]) == {404: 100}
    assert await sent(clinic, address, [bad(), bad()]) == {401: 1, 429: 1}


async def test_b37_every_way_to_fail_counts_and_so_does_a_partner_that_is_none(behind_no_proxy: Clinic) -> None:
    clinic = behind_no_proxy
    ways: list[tuple[Headers, bytes, int]] = [
        ([], NO_CASE, 401),
        (bad(b"a.b"), NO_CASE, 401),
        ([*bad(), (b"Content-Encoding", b"gzip")], NO_CASE, 415),
        (bad(), b"x" * 70_000, 413),
    ]
    for headers, body, status in ways:
        assert await sent(clinic, source(), [headers] * (AT_ONCE + 5), body=body) == {status: AT_ONCE, 429: 5}
    assert await sent(clinic, source(), [bad()] * (AT_ONCE + 5), "nobody") == {401: AT_ONCE, 429: 5}
    # Names that no partner can have share one count, or each would begin a new one.
    address = source()
    made_up = [await sent(clinic, address, [bad()], f"No-{number}") for number in range(AT_ONCE + 5)]
    assert sum(made_up, Counter[int]()) == {401: AT_ONCE, 429: 5}


async def test_b37_who_must_wait_is_told_before_the_body_is_read(behind_no_proxy: Clinic) -> None:
    clinic, address = behind_no_proxy, source()
    assert await sent(clinic, address, [bad()] * AT_ONCE) == {401: AT_ONCE}
    async with wire(clinic.port, address) as line:
        # Announced and never sent: whoever waited for the body would wait for 15 seconds, and answer 408.
        answer = await line.exchange(request_of(b"/partners/north/decisions", [*bad(), (b"Content-Length", b"2000")], b""))
        assert answer.status == 429


async def test_b37_failures_that_come_in_together_are_limited_too(behind_no_proxy: Clinic, verified: Counter[str]) -> None:
    """Their bodies arrive after all of them were let in: each is judged again before its signature is looked at."""
    clinic, address = behind_no_proxy, source()
    head = request_of(b"/partners/north/decisions", [*bad(), (b"Content-Length", b"%d" % len(NO_CASE))], b"")

    async def slowly() -> int:
        async with wire(clinic.port, address) as line:
            return (await line.exchange(head, later=NO_CASE)).status

    assert Counter(await asyncio.gather(*(slowly() for _ in range(60)))) == {401: AT_ONCE, 429: 60 - AT_ONCE}
    assert verified["verify"] == AT_ONCE


async def test_b38_a_forwarded_address_is_not_believed(behind_no_proxy: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # what uvicorn would read of itself
    spoofed = [[*bad(), (b"X-Forwarded-For", f"203.0.113.{number}".encode())] for number in range(AT_ONCE + 5)]
    assert await sent(behind_no_proxy, "127.0.0.1", spoofed) == {401: AT_ONCE, 429: 5}


async def test_b38_only_a_trusted_proxy_says_who_called(mongo_url: str, kafka_bootstrap: str) -> None:
    proxy, other = source(), source()
    async with limited(mongo_url, kafka_bootstrap, trusted_proxies=f"{proxy}, 10.0.0.0/8") as clinic:

        def through(caller: str) -> list[Headers]:
            return [[*bad(), (b"X-Forwarded-For", caller.encode())] for _ in range(AT_ONCE + 5)]

        limited_once = {401: AT_ONCE, 429: 5}
        assert await sent(clinic, proxy, through("203.0.113.7")) == limited_once
        assert await sent(clinic, proxy, through("203.0.113.8")) == limited_once
        # What the caller itself had put there stands further left, and counts for nothing.
        assert await sent(clinic, proxy, through("198.51.100.1, 203.0.113.8")) == {429: AT_ONCE + 5}
        assert await sent(clinic, proxy, [[*good(clinic.partners["north"]), (b"X-Forwarded-For", b"203.0.113.9")]]) == {404: 1}
        # Hosts of one IPv6 network of 64 bits are one sender.
        assert await sent(clinic, proxy, through("2001:db8:1:2::1")) == limited_once
        assert await sent(clinic, proxy, through("2001:db8:1:2:ffff::9")) == {429: AT_ONCE + 5}
        assert await sent(clinic, proxy, through("2001:db8:1:3::1")) == limited_once
        assert await sent(clinic, other, through("203.0.113.10")) == limited_once
        assert await sent(clinic, other, through("203.0.113.11")) == {429: AT_ONCE + 5}
