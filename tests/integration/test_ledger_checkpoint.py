"""Checkpoints of the ledger on their way to partners: from an audit service that answers well or badly into heartbeats."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web

from services.audit import kap_verify
from services.audit.domain.checkpoint import Checkpoint, open_checkpoint
from services.prescriber.partners import ledger_checkpoint
from services.prescriber.partners.ledger_checkpoint import LedgerCheckpoint
from services.prescriber.partners.sending import Sender
from tests import toy
from tests.integration.ledger.kept import KEY, arrivals
from tests.integration.ledger.served import auditing
from tests.integration.partner_clinic import clinic_on
from tests.integration.partner_stub import partner, serving
from tests.integration.test_endpoints import HEARTBEAT, MovedClock, screens
from tests.integration.test_partner_deliveries import Prescriber, prescriber_on, sending_by

PATIENCE = aiohttp.ClientTimeout(total=0.5)

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


def note(size: int, root: bytes = b"r") -> str:
    return str(Checkpoint(KEY.origin, size, root * 32).signed(KEY.private))


def with_note(size: int, root: bytes = b"r") -> Answering:
    return with_body(note(size, root))


def with_body(body: str | bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Answering:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=status, headers=headers)

    return answer


async def never(_request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


async def pouring(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        while True:
            await response.write(b"x" * 65_536)
    except ConnectionError:
        return response


async def drop_by_drop(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for letter in note(7):
        await response.write(letter.encode())
        await asyncio.sleep(0.1)
    return response


async def hanging_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@dataclass
class Ledger:
    """Plays the audit service: answers as it is told, and counts."""

    answer: Answering
    url: str = ""
    asked: list[str] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        return await self.answer(request)


@asynccontextmanager
async def ledger_that_answers(answer: Answering) -> AsyncIterator[Ledger]:
    ledger = Ledger(answer)
    async with serving(ledger.take) as url:
        ledger.url = url
        yield ledger


@asynccontextmanager
async def followed(service: Prescriber, ledger: Ledger, patience: aiohttp.ClientTimeout = PATIENCE) -> AsyncIterator[LedgerCheckpoint]:
    """What the service knows of the ledger, fetched again and again in the test's time."""
    known = LedgerCheckpoint(service.runtime, ledger.url, patience)
    task = asyncio.create_task(known.run())
    try:
        yield known
        assert not task.done()
    finally:
        await toy.kill(task)


async def counted(service: Prescriber, result: str, more_than: float = 0) -> float:
    """Wait until so many more fetches ended so."""

    async def look() -> float:
        for line in service.runtime.metrics.text().decode().splitlines():
            if line.startswith("kapcare_ledger_checkpoints_heard_total") and f'result="{result}"' in line:
                count = float(line.rpartition(" ")[2])
                return count if count > more_than else 0
        return 0

    return float(await toy.eventually(look))


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_checkpoint, "AGAIN_SECONDS", 0.05)


def prescriber_in_haste(mongo_url: str) -> AbstractAsyncContextManager[Prescriber]:
    return prescriber_on(mongo_url, webhook_heartbeat_seconds=0.05)


@pytest.mark.parametrize(
    "badly",
    [
        with_body("no checkpoint yet", 404),
        with_body(note(9), 500),
        with_body(b"", 302, {"Location": "/ledger/elsewhere"}),
        with_body(b"\xff\xfe garbage"),
        with_body(""),
        with_body(b"x" * 8_193),
        with_body(note(9).encode() + b" " * 8_193),
        with_body(gzip.compress(note(9).encode()), 200, {"Content-Encoding": "gzip"}),
        pouring,
        drop_by_drop,
        never,
        hanging_up,
    ],
)
async def test_what_is_no_checkpoint_leaves_what_was_known(mongo_url: str, badly: Answering) -> None:
    async with prescriber_in_haste(mongo_url) as service, ledger_that_answers(badly) as ledger, followed(service, ledger) as known:
        assert await counted(service, "failed", more_than=1) > 1
        assert known.newest is None
        ledger.answer = with_note(7)
        await counted(service, "newer")
        assert known.newest == note(7)
        ledger.answer = badly
        before = await counted(service, "failed")
        await counted(service, "failed", more_than=before)
        assert known.newest == note(7)
        assert set(ledger.asked) == {"/ledger/tlog/checkpoint"}


async def test_an_answer_without_an_end_is_cut_off_and_not_waited_for(mongo_url: str) -> None:
    patient = aiohttp.ClientTimeout(total=120)
    async with prescriber_in_haste(mongo_url) as service, ledger_that_answers(pouring) as ledger, followed(service, ledger, patient):
        await counted(service, "failed", more_than=1)


async def test_a_ledger_that_is_not_there_leaves_none_known(mongo_url: str) -> None:
    async with prescriber_in_haste(mongo_url) as service, followed(service, Ledger(never, "http://127.0.0.1:1")) as known:
        await counted(service, "failed", more_than=1)
        assert known.newest is None


async def test_none_goes_back_neither_for_a_smaller_ledger_nor_for_another_tree_nor_after_a_restart(mongo_url: str) -> None:
    async with prescriber_in_haste(mongo_url) as service, ledger_that_answers(with_note(7)) as ledger:
        async with followed(service, ledger) as known:
            await counted(service, "newer")
            ledger.answer = with_note(6)
            await counted(service, "backwards")
            assert known.newest == note(7)
            ledger.answer = with_note(7, b"x")
            await counted(service, "forked")
            assert known.newest == note(7)
            ledger.answer = with_note(8)
            await counted(service, "newer", more_than=1)
            assert known.newest == note(8)
        ledger.answer = with_note(7)
        before = await counted(service, "backwards")
        async with followed(service, ledger) as restarted:
            assert restarted.newest is None
            await counted(service, "backwards", more_than=before)
            assert restarted.newest == note(8)


async def test_the_same_tree_with_another_signature_is_told(mongo_url: str) -> None:
    """A witness co-signs later than the ledger signs."""
    cosigned = note(7) + note(7).rpartition("\n\n")[2].replace(KEY.origin, "witness.example")
    async with prescriber_in_haste(mongo_url) as service, ledger_that_answers(with_note(7)) as ledger, followed(service, ledger) as known:
        await counted(service, "newer")
        ledger.answer = with_body(cosigned)

        async def told() -> bool:
            return known.newest == cosigned

        await toy.eventually(told)


async def test_a_ledger_that_hangs_holds_up_no_delivery_and_no_heartbeat(mongo_url: str) -> None:
    patient = aiohttp.ClientTimeout(total=60)
    async with partner("north") as north, prescriber_on(mongo_url) as service, ledger_that_answers(never) as ledger:
        async with followed(service, ledger, patient) as known:
            await service.register(north)
            await screens(service, 2)
            clock = MovedClock()
            service.sender = Sender(service.runtime, service.directory, service.deliveries, clock, known)
            began = time.monotonic()
            async with sending_by(service):
                await service.settled("done", "done")
                clock.now += timedelta(seconds=61)

                async def beaten() -> bool:
                    return len(north.taken) == 3

                await toy.eventually(beaten)
            assert time.monotonic() - began < 30
        beat = json.loads(north.taken[-1].body)
        assert beat["type"] == HEARTBEAT
        assert beat["data"] == {"endpoint": "main", "last_sequence": 2}


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
async def test_a_checkpoint_of_the_audit_service_comes_in_a_heartbeat_and_verifies(mongo_url: str, kafka_bootstrap: str) -> None:
    """Both services as they are run. The verifier is the one that auditors get, and the key is known from elsewhere than the log."""
    async with (
        auditing(mongo_url, kafka_bootstrap) as auditor,
        partner("north") as north,
        clinic_on(mongo_url, kafka_bootstrap, audit_url=auditor.base, webhook_heartbeat_seconds=0.2) as clinic,
    ):
        status, body = await clinic.register(north)
        assert status == 201, body
        await auditor.kept.append(arrivals(5))
        await auditor.kept.signed(5)

        async def told(size: int) -> bytes:
            async def look() -> bytes | None:
                for taken in reversed(north.taken):
                    message = json.loads(taken.body)
                    text = message["data"].get("checkpoint", "")
                    if message["type"] == HEARTBEAT and f"\n{size}\n" in text:
                        return str(text).encode()
                return None

            return bytes(await toy.eventually(look))

        first = await told(5)
        verified = kap_verify.open_checkpoint(first, kap_verify.read_key(str(KEY.public), 1))
        assert (verified.origin, verified.size) == (KEY.origin, 5)
        await auditor.kept.append(arrivals(9)[5:])
        await auditor.kept.signed(9)
        second = open_checkpoint(await told(9), KEY.public)
        assert second.checkpoint.root == (await auditor.kept.log()).edge(9)[0].tree.root
