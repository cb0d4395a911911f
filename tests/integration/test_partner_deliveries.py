"""Webhooks to partners: each one delivered at least once, in order, the same each time, and everything accounted for."""

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook

from services.prescriber.app import define
from services.prescriber.domain.partners.state import ORIGIN
from services.prescriber.domain.review import opening
from services.prescriber.domain.stops import STOPS
from services.prescriber.partners.deliveries import Deliveries
from services.prescriber.partners.directory import Directory
from services.prescriber.partners.sending import Sender
from shared.events.partner import PartnerRegistered
from shared.events.prescriber import ReviewAssigned, StopNoted
from shared.log.commit import Cause, Commit
from shared.pathway.context import Actor
from shared.pathway.stop import PlaceHold
from shared.service.definition import Origin
from shared.service.runtime import Runtime
from shared.webhooks import health, resolving, schedule
from tests import toy
from tests.integration.partner_stub import PartnerStub, partner, serving
from tests.unit.prescriber.given import CONSENT, screened

ACTOR = Actor("prescriber-7")


@dataclass
class Prescriber:
    """The prescriber service without broker and HTTP: decisions are made here, and followed when told."""

    runtime: Runtime
    directory: Directory
    deliveries: Deliveries
    sender: Sender

    async def decide(self, stream: str, events: Any, origin: Origin | None = None) -> Commit:
        cause = Cause.http("test", "tester", uuid.uuid4().hex, b"m" * 32)
        committed = await self.runtime.decisions.run(stream, events, cause, ACTOR, origin=origin)
        return committed.commit

    async def register(self, stub: PartnerStub, url: str | None = None) -> None:
        secret = SecretStr("whsec_" + base64.b64encode(stub.secret.key).decode())
        event = PartnerRegistered(
            partner=stub.slug, name=stub.slug, webhook_url=url or stub.url, webhook_secret=secret, decision_key=str(stub.private.public)
        )
        await self.decide(f"partner-{stub.slug}", lambda _state, _context: [event], ORIGIN)
        await self.directory.refresh(self.runtime)

    async def screen(self, partner_slug: str | None = None) -> tuple[str, list[Commit]]:
        """A consented case whose review is open, with the partner named or whichever is chosen."""
        case = f"case-{uuid.uuid4().hex}"
        entries = tuple(entry for entry in self.directory.partners() if partner_slug in {None, entry.slug})
        clinic = Origin("riverside", "patient-1")
        noted = StopNoted(
            kind="consent_given", at=CONSENT.given_at, noted_from="urn:kapcare:intake", consent_version="c1", scopes=CONSENT.scopes
        )
        first = await self.decide(case, lambda _state, _context: [noted], clinic)
        second = await self.decide(case, lambda state, context: opening(lambda: entries)(state, screened(), context))
        return case, [first, second]

    def opening(self) -> Any:
        """A decision that opens one more review of a case."""
        return lambda state, context: opening(self.directory.partners)(state, screened(), context)

    async def follow(self, *commits: Commit) -> None:
        await self.deliveries.follow(self.runtime, commits)

    async def rows(self) -> list[dict[str, Any]]:
        return await self.deliveries.rows.find().sort([("endpoint", 1), ("sequence", 1)]).to_list()

    async def states(self) -> list[str]:
        return [row["state"] for row in await self.rows()]

    async def attempted(self) -> dict[str, Any]:
        """The only row, once it was tried."""

        async def check() -> bool:
            (row,) = await self.rows()
            return bool(row["attempts"])

        await toy.eventually(check)
        (row,) = await self.rows()
        return row

    async def settled(self, *states: str) -> None:
        async def check() -> bool:
            return await self.states() == list(states)

        await toy.eventually(check)


@asynccontextmanager
async def prescriber_on(
    mongo_url: str, *, allow_loopback: bool = True, prefix: str | None = None, **changes: Any
) -> AsyncIterator[Prescriber]:
    settings = toy.settings_for(mongo_url, "127.0.0.1:1", prefix or toy.unique(), allow_loopback_webhooks=allow_loopback, **changes)
    directory = Directory()
    async with toy.runtime_of(define(directory.partners, allow_loopback=allow_loopback), settings) as runtime:
        deliveries = Deliveries(runtime.database, directory)
        await deliveries.create_indexes()
        yield Prescriber(runtime, directory, deliveries, Sender(runtime, directory, deliveries))


@asynccontextmanager
async def sending_by(prescriber: Prescriber) -> AsyncIterator[None]:
    task = asyncio.create_task(prescriber.sender.run())
    try:
        yield
    finally:
        await prescriber.sender.stop()
        await toy.finish(task)


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "RETRY_SECONDS", (0.05,) * 9)
    monkeypatch.setattr(health, "OPENS_AFTER", 100)


async def test_a_review_is_told_once_thin_and_signed(mongo_url: str) -> None:
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        case, commits = await service.screen()
        await service.follow(*commits)
        await service.follow(*commits)
        async with sending_by(service):
            await service.settled("done")
        (taken,) = north.taken
        assigned = next(event for event in commits[1].events if event.type == ReviewAssigned.TYPE)
        assert taken.webhook_id == assigned.headers["ce_id"].replace(".", "-") + "-main"
        body = json.loads(taken.body)
        assert body.pop("timestamp").endswith("Z")
        assert body["data"].pop("due_at").endswith("Z")
        assert body == {
            "type": "kapcare.review.assigned",
            "sequence": 1,
            "data": {"case": case, "request": 1, "review_url": f"/partner/reviews/{case}"},
        }
        headers = {name.decode().lower(): value.decode() for name, value in taken.headers}
        assert headers["content-type"] == "application/json"
        assert headers["webhook-signature"].startswith("v1,")
        assert Webhook(north.secret.key).verify(taken.body, headers)["sequence"] == 1
        assert "sertraline" not in str(await service.rows())


async def test_a_failed_delivery_comes_again_with_the_same_id_and_bytes(mongo_url: str, quick_retries: None) -> None:
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        north.statuses = [500, 429, 301, 404]
        north.answer_headers = {"Location": "http://127.0.0.1:1/elsewhere", "Retry-After": "soon"}
        await service.register(north)
        _, commits = await service.screen()
        await service.follow(*commits)
        async with sending_by(service):
            await service.settled("done")
        assert len(north.taken) == 5
        assert len({(taken.webhook_id, taken.body) for taken in north.taken}) == 1
        (row,) = await service.rows()
        assert row["attempts"] == 5
        assert [tried["outcome"] for tried in row["tries"]] == [500, 429, 301, 404, 204]


async def test_f29_after_ten_attempts_a_delivery_is_given_up_and_kept(mongo_url: str, quick_retries: None) -> None:
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        north.statuses = [500] * 20
        await service.register(north)
        await service.follow(*(await service.screen())[1])
        async with sending_by(service):
            await service.settled("dead")
        assert len(north.taken) == 10


async def test_sequences_are_contiguous_for_each_partner_whoever_writes_them(mongo_url: str) -> None:
    prefix = toy.unique()
    async with (
        partner("north") as north,
        partner("south") as south,
        prescriber_on(mongo_url, prefix=prefix) as one,
        prescriber_on(mongo_url, prefix=prefix) as other,
    ):
        await one.register(north)
        await one.register(south)
        await other.directory.refresh(other.runtime)
        commits = [commit for _ in range(12) for commit in (await one.screen())[1]]
        await asyncio.gather(*[service.follow(*part) for part in _parts(commits, 6) for service in (one, other)])
        for slug in ("north", "south"):
            sequences = [row["sequence"] for row in await one.rows() if row["partner"] == slug]
            assert sequences == list(range(1, len(sequences) + 1))
        assert len(await one.rows()) == 12
        async with sending_by(one), sending_by(other):
            await one.settled(*["done"] * 12)
        assert len(north.taken) + len(south.taken) == 12


def _parts(commits: Sequence[Commit], size: int) -> list[Sequence[Commit]]:
    return [commits[start : start + size] for start in range(0, len(commits), size)]


async def test_b34_a_stop_withholds_nothing_for_nothing_is_disclosed(mongo_url: str) -> None:
    """What is sent names a case and a request alone; what a partner fetches is refused meanwhile (tests of the partner API)."""
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        case, commits = await service.screen()
        await service.follow(*commits)
        await service.decide(case, lambda state, context: STOPS.place(state, PlaceHold(reason="other"), context))
        async with sending_by(service):
            await service.settled("done")
        (taken,) = north.taken
        assert set(json.loads(taken.body)["data"]) == {"case", "request", "due_at", "review_url"}


async def test_f27_a_partner_that_hangs_holds_up_no_other(mongo_url: str) -> None:
    async with partner("north") as north, partner("south") as south, prescriber_on(mongo_url) as service:
        north.hang = True
        await service.register(north)
        await service.register(south)
        for slug in ["north"] * 40 + ["south"] * 5:
            await service.follow(*(await service.screen(slug))[1])
        task = asyncio.create_task(service.sender.run())

        async def south_has_all() -> bool:
            return len(south.taken) == 5

        await toy.eventually(south_has_all, seconds=5)
        assert 0 < len(north.taken) <= health.WINDOW_AT_FIRST
        await toy.kill(task)


async def test_f7_a_sender_killed_before_it_recorded_the_answer_sends_the_same_again(mongo_url: str) -> None:
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        await service.follow(*(await service.screen())[1])
        north.hang = True
        task = asyncio.create_task(service.sender.run())

        async def taken_once() -> bool:
            return len(north.taken) == 1

        await toy.eventually(taken_once)
        await toy.kill(task)
        north.hang = False
        (row,) = await service.rows()
        assert row["state"] == "due"
        another = Sender(service.runtime, service.directory, service.deliveries)
        async with sending_by(Prescriber(service.runtime, service.directory, service.deliveries, another)):
            await service.settled("done")
        first, second = north.taken
        assert (first.webhook_id, first.body) == (second.webhook_id, second.body)


async def test_the_reviews_of_one_case_are_told_in_order(mongo_url: str, quick_retries: None) -> None:
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        case, commits = await service.screen()
        again = await service.decide(case, lambda state, context: opening(service.directory.partners)(state, screened(), context))
        north.statuses = [500, 500]
        await service.follow(*commits, again)
        async with sending_by(service):
            await service.settled("done", "done")
        assert [json.loads(taken.body)["data"]["request"] for taken in north.taken] == [1, 1, 1, 2]


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
async def test_without_the_local_stack_nothing_reaches_loopback(mongo_url: str, name: str) -> None:
    reached: list[str] = []

    async def note(request: web.Request) -> web.Response:
        reached.append(request.path)
        return web.Response()

    async with serving(note) as url, partner("north") as north, prescriber_on(mongo_url, allow_loopback=False) as service:
        await service.register(north, url.replace("127.0.0.1", name))
        await service.follow(*(await service.screen())[1])
        async with sending_by(service):
            await service.attempted()
        assert reached == []


async def test_f32_a_name_that_resolves_to_loopback_is_tried_again_later(mongo_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The form of the URL is fine, only the address is not; that no byte reaches one is shown in tests/faults/test_zero_bytes_inside.py."""
    asked: list[str] = []

    def lie(host: str) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    monkeypatch.setattr(resolving, "ask_system", lie)
    async with partner("north") as north, prescriber_on(mongo_url, allow_loopback=False) as service:
        await service.register(north, "https://rebound.example.org/hooks")
        await service.follow(*(await service.screen())[1])
        async with sending_by(service):
            row = await service.attempted()
        assert asked == ["rebound.example.org"]
        assert [tried["outcome"] for tried in row["tries"]] == ["address-not-allowed"]
        assert row["state"] == "due"


async def test_b26_an_endless_answer_is_cut_short_and_a_failure(mongo_url: str) -> None:
    async def pour(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65_536)
        except ConnectionError:
            return response

    async with serving(pour) as url, partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north, url)
        await service.follow(*(await service.screen())[1])
        async with sending_by(service):
            row = await service.attempted()
        assert [tried["outcome"] for tried in row["tries"]] == ["answer-too-large"]
        assert row["state"] == "due"


async def test_in_house_reviews_are_told_nobody(mongo_url: str) -> None:
    async with prescriber_on(mongo_url) as service:
        await service.follow(*(await service.screen())[1])
        assert await service.rows() == []


async def test_an_erased_case_is_told_nobody(mongo_url: str) -> None:
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        erased, first = await service.screen()
        kept, second = await service.screen()
        await service.runtime.vault.destroy(erased)
        await service.follow(*first, *second)
        assert [row["stream"] for row in await service.rows()] == [kept]
        assert north.taken == []
