"""Endpoints as the sender treats them: held, gone, failing for days, resumed, replayed; F29, F30, and ten days of outage on moved time."""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from services.prescriber.partners.sending import Sender
from shared.clock import system_now
from shared.events.base import EventData
from shared.events.partner import (
    DeliveriesReplayed,
    EndpointAdded,
    EndpointDisabled,
    EndpointPaused,
    EndpointRemoved,
    EndpointResumed,
    EndpointSecretRotated,
    EndpointSecretsRevoked,
    TestEventAsked,
)
from shared.log.commit import Commit
from shared.webhooks import health
from shared.webhooks.schedule import ATTEMPTS, JITTER, RETRY_SECONDS
from shared.webhooks.signing import SharedSecret, verify
from tests import toy
from tests.integration.partner_stub import PartnerStub, partner
from tests.integration.test_partner_deliveries import Prescriber, prescriber_on, sending_by

HEARTBEAT = "kapcare.heartbeat"


class MovedClock:
    """System time as the sender knows it, moved by the test."""

    def __init__(self) -> None:
        self.now = system_now()

    def __call__(self) -> datetime:
        return self.now


def secret_of(stub: PartnerStub) -> SecretStr:
    return SecretStr("whsec_" + base64.b64encode(stub.secret.key).decode())


async def say(service: Prescriber, slug: str, *events: EventData) -> None:
    """Record events in a partner's stream, and follow them as the relay would."""
    commit = await service.decide(f"partner-{slug}", lambda _state, _context: list(events))
    await service.directory.refresh(service.runtime)
    await service.follow(commit)


async def screens(service: Prescriber, count: int) -> list[str]:
    cases = []
    for _ in range(count):
        case, commits = await service.screen()
        cases.append(case)
        await service.follow(*commits)
    return cases


def sequences(stub: PartnerStub) -> list[int]:
    return [json.loads(taken.body)["sequence"] for taken in stub.taken if json.loads(taken.body)["type"] != HEARTBEAT]


@asynccontextmanager
async def moved(service: Prescriber) -> AsyncIterator[MovedClock]:
    """A sender on moved time."""
    clock = MovedClock()
    service.sender = Sender(service.runtime, service.directory, service.deliveries, clock)
    async with sending_by(service):
        yield clock


async def test_a_paused_endpoint_is_sent_nothing_and_then_everything_in_order(mongo_url: str) -> None:
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        await say(service, "north", EndpointPaused(partner="north", endpoint="main"))
        await screens(service, 3)
        async with sending_by(service):
            await asyncio.sleep(0.6)  # two looks of the sender
            assert north.taken == []
            await say(service, "north", EndpointResumed(partner="north", endpoint="main"))
            await service.settled("done", "done", "done")
        assert sorted(sequences(north)) == [1, 2, 3]


async def test_f30_an_endpoint_that_says_it_is_gone_is_disabled_and_the_others_are_told(mongo_url: str) -> None:
    async with partner("north") as north, partner("second") as second, prescriber_on(mongo_url) as service:
        await service.register(north)
        added = EndpointAdded(partner="north", endpoint="second", webhook_url=second.url, events=(), webhook_secret=secret_of(second))
        await say(service, "north", added)
        north.statuses = [410]
        await screens(service, 1)
        async with sending_by(service):

            async def disabled() -> Any:
                entry = (await service.runtime.load("partner-north")).state.entry
                return entry.endpoint("main").status == "disabled"

            await toy.eventually(disabled)
            commits = await service.runtime.store.collection.find({"stream": "partner-north"}).sort([("version", -1)]).to_list()
            assert commits[0]["events"][0]["headers"]["ce_type"] == EndpointDisabled.TYPE
            await service.follow(Commit.from_document(commits[0]))

            async def told() -> bool:
                return any(json.loads(taken.body)["type"] == "kapcare.endpoint.disabled" for taken in second.taken)

            await toy.eventually(told)
            await asyncio.sleep(0.6)
        assert len(north.taken) == 1
        (row,) = [row for row in await service.rows() if row["endpoint"] == "north/main"]
        assert row["state"] == "due"
        entry = (await service.runtime.load("partner-north")).state.entry
        assert entry.endpoint("main").why == "gone"


async def test_f29_an_endpoint_that_fails_for_days_is_disabled_and_goes_on_where_it_stood(mongo_url: str) -> None:
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        north.statuses = [500] * 100
        await screens(service, 1)
        async with moved(service) as clock:
            times: list[datetime] = []
            for pause in RETRY_SECONDS[:7]:

                async def attempted(count: int = len(times) + 1) -> Any:
                    (row,) = await service.rows()
                    return row["tries"] if len(row["tries"]) == count else None

                times.append((await toy.eventually(attempted))[-1]["at"])
                clock.now += timedelta(seconds=pause * (1 + JITTER))
            entry = (await service.runtime.load("partner-north")).state.entry
            assert entry.endpoint("main").status == "active"
            clock.now += timedelta(days=5)

            async def disabled() -> Any:
                entry = (await service.runtime.load("partner-north")).state.entry
                return entry.endpoint("main").why == "failing"

            await toy.eventually(disabled)
            await say(service, "north", TestEventAsked(partner="north", endpoint="main"))
            attempts = len(north.taken)
            await asyncio.sleep(0.6)
            assert len(north.taken) == attempts
            north.statuses = []
            await say(service, "north", EndpointResumed(partner="north", endpoint="main"))
            await service.settled("done", "done")
        assert sorted(sequences(north)[-2:]) == [1, 2]


async def test_every_delivery_past_ten_days_of_outage_is_dead_after_ten_attempts_or_taken_and_all_can_be_fetched(
    mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time is moved by three hours a step. The endpoint is never disabled here, so that attempts go on to the tenth."""
    monkeypatch.setattr(health, "OPENS_AFTER", 10**6)
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        service.runtime.settings = service.runtime.settings.model_copy(update={"webhook_disable_after_hours": 10_000.0})
        await service.register(north)
        north.statuses = [500] * 100_000
        async with moved(service) as clock:
            for hour in range(0, 240, 3):
                if hour % 12 == 0:
                    case, commits = await service.screen()
                    again = await service.decide(case, service.opening())
                    await service.follow(*commits, again)
                clock.now += timedelta(hours=3)
                await settle(service, clock)
            dead = [row["sequence"] for row in await service.rows() if row["state"] == "dead"]
            north.taken.clear()
            north.statuses = []
            for _ in range(40):
                clock.now += timedelta(hours=3)
                await settle(service, clock)
        rows = await service.rows()
        assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
        assert {row["state"] for row in rows} == {"done", "dead"}
        assert dead == [row["sequence"] for row in rows if row["state"] == "dead"]
        assert all(row["attempts"] == ATTEMPTS for row in rows if row["state"] == "dead")
        assert 0 < len(dead) < len(rows)
        assert Counter(sequences(north)) == Counter(set(range(1, len(rows) + 1)) - set(dead))
        taken: dict[str, list[int]] = {}
        for message in north.taken:
            body = json.loads(message.body)
            if body["type"] != HEARTBEAT:
                taken.setdefault(body["data"]["case"], []).append(body["sequence"])
        assert all(numbers == sorted(numbers) for numbers in taken.values())
        # What GET /partner/events answers from: every body is there, also of what was given up.
        assert [json.loads(row["body"])["sequence"] for row in rows] == [row["sequence"] for row in rows]


async def settle(service: Prescriber, clock: MovedClock) -> None:
    """Wait until nothing that is due by now is left: each head of a case waits for later, or none is due at all."""

    async def quiet() -> bool:
        heads: dict[str, Any] = {}
        for row in await service.rows():
            if row["state"] == "due":
                heads.setdefault(row["stream"], row["next_at"])
        return all(next_at is not None and next_at > clock.now for next_at in heads.values())

    service.deliveries.woken.set()  # the clock does not tell the sender that it was moved
    await toy.eventually(quiet, every=0.01)


async def test_a_removed_endpoint_is_sent_nothing_more(mongo_url: str) -> None:
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        north.statuses = [500] * 10
        await screens(service, 2)
        async with sending_by(service):

            async def attempted() -> bool:
                return len(north.taken) >= 2

            await toy.eventually(attempted)
            await say(service, "north", EndpointRemoved(partner="north", endpoint="main"))
            await service.settled("dead", "dead")
            await screens(service, 1)
        assert len(await service.rows()) == 2


async def test_a_replayed_range_is_sent_again_with_the_same_ids_and_bodies(mongo_url: str) -> None:
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        await screens(service, 4)
        async with sending_by(service):
            await service.settled(*["done"] * 4)
            before = {json.loads(taken.body)["sequence"]: (taken.webhook_id, taken.body) for taken in north.taken}
            north.taken.clear()
            await say(service, "north", DeliveriesReplayed(partner="north", endpoint="main", first=2, last=3))

            async def again() -> bool:
                return len(north.taken) == 2

            await toy.eventually(again)
            await service.settled(*["done"] * 4)
        after = {json.loads(taken.body)["sequence"]: (taken.webhook_id, taken.body) for taken in north.taken}
        assert after == {sequence: before[sequence] for sequence in (2, 3)}


async def test_what_waits_for_its_next_attempt_is_sent_at_once_when_it_is_asked_for_again(mongo_url: str) -> None:
    """By the schedule of Standard Webhooks 1.0.0 the third attempt would come five minutes after the second, beyond this test."""
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        north.statuses = [500, 500]
        (case,) = await screens(service, 1)
        again = await service.decide(case, service.opening())
        await service.follow(again)
        async with moved(service) as clock:

            async def failed_twice() -> bool:
                clock.now += timedelta(seconds=1)
                return bool((await service.rows())[0]["attempts"] == 2)

            await toy.eventually(failed_twice)
            await say(service, "north", DeliveriesReplayed(partner="north", endpoint="main", first=1, last=1))
            await service.settled("done", "done")
        assert sequences(north) == [1, 1, 1, 2]


async def test_a_replay_that_is_followed_twice_is_done_once(mongo_url: str) -> None:
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        await screens(service, 1)
        async with sending_by(service):
            await service.settled("done")
            replay = DeliveriesReplayed(partner="north", endpoint="main", first=1, last=1)
            commit = await service.decide("partner-north", lambda _state, _context: [replay])
            await service.follow(commit)

            async def again() -> bool:
                return len(north.taken) == 2 and await service.states() == ["done"]

            await toy.eventually(again)
            await service.follow(commit)
            assert await service.states() == ["done"]
            await asyncio.sleep(0.6)
        assert len(north.taken) == 2


async def test_f31_both_secrets_sign_during_a_rotation_and_the_old_one_not_after_it_is_revoked(mongo_url: str) -> None:
    fresh = SharedSecret(b"n" * 32)
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        rotated = EndpointSecretRotated(
            partner="north",
            endpoint="main",
            webhook_secret=SecretStr("whsec_" + base64.b64encode(fresh.key).decode()),
            earlier_until=system_now() + timedelta(hours=24),
        )
        await say(service, "north", rotated)
        await screens(service, 1)
        async with sending_by(service):
            await service.settled("done")  # the stub verifies with the old secret
            (both,) = north.taken
            verify(both.headers, both.body, [fresh], system_now())
            north.secret = fresh
            await say(service, "north", EndpointSecretsRevoked(partner="north", endpoint="main"))
            await screens(service, 1)
            await service.settled("done", "done")
        signature = dict(north.taken[-1].headers)[b"webhook-signature"]
        assert len(signature.split(b" ")) == 1


async def test_an_idle_endpoint_gets_heartbeats_that_say_up_to_where_it_was_sent_something(mongo_url: str) -> None:
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        await screens(service, 2)
        async with moved(service) as clock:
            await service.settled("done", "done")
            clock.now += timedelta(seconds=61)

            async def beaten() -> bool:
                return len(north.taken) == 3

            await toy.eventually(beaten)
            clock.now += timedelta(seconds=30)
            await asyncio.sleep(0.6)
        body = json.loads(north.taken[-1].body)
        assert body["type"] == HEARTBEAT
        assert body["data"] == {"endpoint": "main", "last_sequence": 2}
        assert "sequence" not in body
        assert len(north.taken) == 3


async def test_test_events_go_to_the_endpoint_they_were_asked_for(mongo_url: str) -> None:
    async with partner("north") as north, partner("second") as second, prescriber_on(mongo_url) as service:
        await service.register(north)
        only = ("kapcare.review.assigned",)
        added = EndpointAdded(partner="north", endpoint="second", webhook_url=second.url, events=only, webhook_secret=secret_of(second))
        await say(service, "north", added)
        await say(service, "north", TestEventAsked(partner="north", endpoint="second"))
        await say(service, "north", TestEventAsked(partner="north", endpoint="main", example=True))
        async with sending_by(service):
            await service.settled("done", "done")
        (example,), (test,) = north.taken, second.taken
        assert json.loads(test.body) | {"timestamp": ""} == {
            "type": "kapcare.test",
            "timestamp": "",
            "sequence": 1,
            "data": {"endpoint": "second"},
        }
        assert json.loads(example.body)["data"]["test"] is True


async def test_what_another_instance_wrote_is_sent_too(mongo_url: str) -> None:
    prefix = toy.unique()
    async with (
        partner("north") as north,
        prescriber_on(mongo_url, prefix=prefix) as writing,
        prescriber_on(mongo_url, prefix=prefix) as sending,
    ):
        await writing.register(north)
        await sending.directory.refresh(sending.runtime)
        async with sending_by(sending):
            await screens(writing, 5)
            await sending.settled(*["done"] * 5)
        assert sorted(sequences(north)) == [1, 2, 3, 4, 5]
