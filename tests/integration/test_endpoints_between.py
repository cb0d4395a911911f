"""Endpoints that change while nobody sends, or whose past is followed again; and what one partner may not do to all."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from services.prescriber.partners.sending import Sender
from shared.clock import system_now
from shared.events.partner import (
    DeliveriesReplayed,
    EndpointAdded,
    EndpointPaused,
    EndpointRemoved,
    EndpointResumed,
    PartnerTermsChanged,
)
from tests import toy
from tests.integration.partner_stub import partner
from tests.integration.test_endpoints import HEARTBEAT, moved, say, screens, secret_of, sequences
from tests.integration.test_partner_deliveries import prescriber_on, sending_by


async def test_an_endpoint_with_the_longest_name_that_takes_one_event_gets_heartbeats_too(mongo_url: str) -> None:
    """Slugs have at most 48 and 64 characters (openapi.json), a webhook id 128 (signing)."""
    slug, name = "n" * 48, "e" * 64
    async with partner(slug) as north, partner("second") as second, prescriber_on(mongo_url) as service:
        await service.register(north)
        only = ("kapcare.review.assigned",)
        added = EndpointAdded(partner=slug, endpoint=name, webhook_url=second.url, events=only, webhook_secret=secret_of(second))
        await say(service, slug, added)
        async with moved(service) as clock:

            async def beaten() -> bool:
                clock.now += timedelta(seconds=61)
                return any(json.loads(taken.body)["type"] == HEARTBEAT for taken in second.taken)

            await toy.eventually(beaten)
        assert json.loads(second.taken[0].body)["data"] == {"endpoint": name, "last_sequence": 0}


async def test_what_is_due_to_an_endpoint_that_was_removed_while_nobody_sent_is_given_up(mongo_url: str) -> None:
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        await screens(service, 2)
        await say(service, "north", EndpointRemoved(partner="north", endpoint="main"))
        async with sending_by(service):
            await service.settled("dead", "dead")
        assert north.taken == []
        assert await service.deliveries.pending() == 0


async def test_an_endpoint_that_was_resumed_while_nobody_sent_is_tried_at_once(mongo_url: str) -> None:
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        north.statuses = [500]
        await screens(service, 1)
        async with moved(service) as clock:
            await service.attempted()
            await say(service, "north", EndpointPaused(partner="north", endpoint="main"))

            async def held() -> Any:
                kept = await service.deliveries.health.find_one({"_id": "north/main"})
                return kept and kept.get("held")

            await toy.eventually(held)
            clock.now += timedelta(days=6)  # what is not tried does not fail, so it is not disabled
            await asyncio.sleep(0.6)
        await say(service, "north", EndpointResumed(partner="north", endpoint="main"))
        await service.deliveries.rows.update_many({}, {"$set": {"next_at": system_now() + timedelta(days=1)}})
        service.sender = Sender(service.runtime, service.directory, service.deliveries)
        async with sending_by(service):
            await service.settled("done")
        entry = (await service.runtime.load("partner-north")).state.entry
        assert entry.endpoint("main").status == "active"


async def test_a_delivery_that_waits_is_sent_again_when_it_is_asked_for(mongo_url: str) -> None:
    """Its next attempt is five seconds to five minutes off; the clock stands."""
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        north.statuses = [500]
        await screens(service, 1)
        async with moved(service):
            await service.attempted()
            await say(service, "north", DeliveriesReplayed(partner="north", endpoint="main", first=1, last=1))
            await service.settled("done")
        assert sequences(north) == [1, 1]


async def test_replays_that_overlap_are_each_done_once_however_often_they_are_followed(mongo_url: str) -> None:
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        await screens(service, 2)
        async with sending_by(service):
            await service.settled("done", "done")
            commits = []
            for times in (1, 2):
                replay = DeliveriesReplayed(partner="north", endpoint="main", first=1, last=2)
                commits.append(await service.decide("partner-north", lambda _state, _context, event=replay: [event]))
                await service.follow(commits[-1])

                async def again(count: int = 2 + 2 * times) -> bool:
                    return len(north.taken) == count and await service.states() == ["done", "done"]

                await toy.eventually(again)
            await service.follow(*commits)  # as the relay does that lost its place
            assert await service.states() == ["done", "done"]


async def test_a_new_endpoint_is_not_told_of_the_past_when_all_commits_are_followed_again(mongo_url: str) -> None:
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        _, before = await service.screen()
        await service.follow(*before)
        later = system_now() + timedelta(minutes=5)
        added = EndpointAdded(partner="north", endpoint="new", webhook_url=north.url, webhook_secret=secret_of(north), added_at=later)
        await say(service, "north", added)
        await service.follow(*before)  # as the relay does for a broker that forgot
        assert [row["endpoint"] for row in await service.rows()] == ["north/main"]


async def test_a_sender_ends_also_if_the_driver_swallows_its_cancellation(mongo_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with prescriber_on(mongo_url) as service:
        looking, swallowed = asyncio.Event(), asyncio.Event()

        async def look(*_: Any) -> None:
            looking.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if swallowed.is_set():
                    raise
                swallowed.set()

        monkeypatch.setattr(service.sender, "_look", look)
        task = asyncio.create_task(service.sender.run())
        await asyncio.wait_for(looking.wait(), 10)
        await service.sender.stop()
        done, _ = await asyncio.wait([task], timeout=10)
        if not done:
            await toy.kill(task)
        assert done


async def test_the_directory_never_goes_back(mongo_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        await service.decide("partner-north", lambda _state, _context: [PartnerTermsChanged(partner="north", capacity=1)])
        load_many = service.runtime.streams.load_many
        read, go_on = asyncio.Event(), asyncio.Event()

        async def slow(streams: Any) -> Any:
            found = await load_many(streams)
            read.set()
            await go_on.wait()
            return found

        monkeypatch.setattr(service.runtime.streams, "load_many", slow)
        late = asyncio.create_task(service.directory.refresh(service.runtime))
        await read.wait()
        monkeypatch.setattr(service.runtime.streams, "load_many", load_many)
        await service.decide("partner-north", lambda _state, _context: [PartnerTermsChanged(partner="north", capacity=2)])
        await service.directory.refresh(service.runtime)
        go_on.set()
        await late
        found = service.directory.find("north")
        assert found is not None
        assert found.capacity == 2


async def test_a_partner_whose_record_has_a_hole_keeps_nobody_from_the_others(mongo_url: str) -> None:
    prefix = toy.unique()
    async with (
        partner("north") as north,
        partner("south") as south,
        prescriber_on(mongo_url, prefix=prefix) as one,
        prescriber_on(mongo_url, prefix=prefix) as other,
    ):
        await one.register(north)
        for capacity in (1, 2):
            terms = PartnerTermsChanged(partner="north", capacity=capacity)
            await one.decide("partner-north", lambda _state, _context, event=terms: [event])
        await one.register(south)
        await one.runtime.database["commits"].delete_one({"stream": "partner-north", "version": 2})
        await other.directory.refresh(other.runtime)
        assert [found.slug for found in other.directory.partners()] == ["south"]
