"""The relay on the embedded broker: a broker that came back empty is filled again.

Expectations: every commit is published, each stream in order, the sealed bytes untouched, whatever is killed or lost meanwhile;
duplicates on the wire are allowed, losses are not (design, section 3; fault rows F3, F4, F10-F12, F17)."""

from collections.abc import Awaitable, Callable

from tests import toy
from tests.conftest import PrivateBroker
from tests.faults.injected import commits_of
from tests.integration.relay.relayed import leads, lease_of, published, until_place_saved, until_published

StartBroker = Callable[[], Awaitable[PrivateBroker]]


async def test_a_broker_that_was_killed_and_came_back_empty_is_refilled(mongo_url: str, private_broker: StartBroker) -> None:
    """First while commits flow (an acknowledged offset is not above the last one), then while idle (the end offset is below it)."""
    broker = await private_broker()
    async with toy.stage_on(mongo_url, broker.bootstrap) as stage, toy.relaying(stage.intake), toy.consuming(stage.prescriber):
        case = await stage.case("one")
        await stage.ordered(case, "one")
        await until_place_saved(stage)
        await broker.kill()
        await toy.add_fact(stage.intake, case, "two")  # accepted while the broker is away
        await broker.start()
        await toy.make_topics(broker.bootstrap, stage.settings.topic_prefix)
        await stage.ordered(case, "one", "two", seconds=40)
        await toy.eventually(lambda: _all_published(stage, case))  # the new one may have led the way, and made it known
        await until_place_saved(stage)
        await broker.restart()
        await toy.make_topics(broker.bootstrap, stage.settings.topic_prefix)
        await until_published(stage, {case: 3})
        await toy.add_fact(stage.intake, case, "three")
        await stage.ordered(case, "one", "two", "three", seconds=40)
        assert len(await commits_of(stage.prescriber, case)) == 3
        assert await stage.parked() == []


async def _all_published(stage: toy.Stage, case: str) -> bool:
    return set((await published(stage))[case]) == {1, 2, 3}


async def test_a_wipe_that_nobody_saw_is_noticed_at_the_next_start(mongo_url: str, private_broker: StartBroker) -> None:
    broker = await private_broker()
    async with toy.stage_on(mongo_url, broker.bootstrap) as stage:
        cases = [await stage.case("one") for _ in range(4)]
        async with toy.relaying(stage.intake):
            await until_published(stage, dict.fromkeys(cases, 2))
            await until_place_saved(stage)
        await broker.restart()
        await toy.make_topics(broker.bootstrap, stage.settings.topic_prefix)
        async with toy.relaying(stage.intake):
            await until_published(stage, dict.fromkeys(cases, 2))
        assert (await lease_of(stage))["place"]["epoch"] == 2


async def test_a_refill_by_hand_publishes_all_again_and_consumers_drop_it(stage: toy.Stage) -> None:
    async with toy.relaying(stage.intake) as relay, toy.consuming(stage.prescriber):
        await toy.eventually(lambda: leads(relay))
        case = await stage.case("one", "two")
        await stage.ordered(case, "one", "two")
        relay.refill()
        await toy.eventually(lambda: _published_twice(stage, case))
        await toy.add_fact(stage.intake, case, "three")
        await stage.ordered(case, "one", "two", "three")
    assert len(await commits_of(stage.prescriber, case)) == 3
    assert await stage.parked() == []


async def _published_twice(stage: toy.Stage, case: str) -> bool:
    return (await published(stage))[case] == [1, 2, 3, 1, 2, 3]
