"""What attempts make of deliveries: written together where it is the same, each once, also where the store answers badly."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from services.prescriber.partners.deliveries import Result, Try
from services.prescriber.partners.endpoint_health import EndpointHealth
from services.prescriber.partners.results import Results
from shared.webhooks.dispatch import Delivery
from tests.faults.injected import failing
from tests.integration.partner_stub import partner
from tests.integration.test_endpoints import screens
from tests.integration.test_partner_deliveries import Prescriber, prescriber_on

AT = datetime(2026, 11, 27, 12, 0, 0, 999_999, tzinfo=UTC)
TAKEN = Try.noted(AT, 204, 0.0149)
REFUSED = Try.noted(AT, 503, 0.02)


async def due(service: Prescriber) -> list[Delivery]:
    return [delivery async for delivery in service.deliveries.due("north/main")]


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [(0.0, 0.0), (0.0049, 0.0), (0.0051, 0.01), (0.0149, 0.01), (0.0151, 0.02), (14.999, 15.0)],
)
def test_how_long_an_attempt_took_is_kept_to_a_hundredth(seconds: float, kept: float) -> None:
    assert Try.noted(AT, 204, seconds).seconds == kept


@pytest.mark.parametrize(("microsecond", "kept"), [(0, 0), (99_999, 0), (100_000, 100_000), (999_999, 900_000)])
def test_when_an_attempt_was_is_kept_to_a_tenth(microsecond: int, kept: int) -> None:
    assert Try.noted(AT.replace(microsecond=microsecond), 204, 0.1).at == AT.replace(microsecond=kept)


async def test_what_ended_alike_is_one_update_and_what_did_not_is_another(mongo_url: str) -> None:
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        await screens(service, 7)
        first, second, third, late, refused, gone, untouched = await due(service)
        written = []
        bulk_write = service.deliveries.rows.bulk_write

        async def count(updates: list[Any], **how: Any) -> None:
            written.append(len(updates))
            await bulk_write(updates, **how)

        service.deliveries.rows.bulk_write = count  # type: ignore[method-assign, assignment]
        slow = Try.noted(AT, 204, 1.5)
        again = refused._replace(attempts=1, not_before=AT)
        alike = Try.noted(AT - timedelta(milliseconds=50), 204, 0.0051)  # the same to a tenth and a hundredth
        await service.deliveries.record(
            [
                *((one, Result("done", 1, None, tried)) for one, tried in ((first, TAKEN), (second, TAKEN), (third, alike), (late, slow))),
                (again, Result("due", 1, AT, REFUSED)),
                (gone, Result("dead", 1, None, REFUSED)),
            ]
        )
        assert written == [4]
        rows = {row["_id"]: row for row in await service.rows()}
        for one in (first, second, third, late):
            row = rows[one.id]
            assert (row["state"], row["attempts"], row["next_at"]) == ("done", 1, None)
            assert row["settled_at"] is not None
        assert [rows[one.id]["tries"][0]["seconds"] for one in (first, second, third, late)] == [0.01, 0.01, 0.01, 1.5]
        assert (rows[again.id]["state"], rows[again.id]["attempts"], rows[again.id]["settled_at"]) == ("due", 1, None)
        assert rows[again.id]["next_at"] == AT.replace(microsecond=999_000)
        assert (rows[gone.id]["state"], rows[gone.id]["tries"][0]["outcome"]) == ("dead", 503)
        assert (rows[untouched.id]["state"], rows[untouched.id]["tries"]) == ("due", [])


@pytest.mark.parametrize("fault", [{"closeConnection": True}, {"writeConcernError": {"code": 91, "errmsg": "shutting down"}}])
async def test_a_result_whose_writing_is_not_confirmed_is_written_again_and_noted_once(mongo_url: str, fault: dict[str, Any]) -> None:
    """The first fault loses the write, the second one its confirmation alone."""
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        await screens(service, 2)
        taken, refused = await due(service)
        results = [(taken, Result("done", 1, None, TAKEN)), (refused, Result("due", 1, AT, REFUSED))]
        async with failing(service.runtime, ["update"], times=1, **fault):
            await service.deliveries.record(results)
        rows = {row["_id"]: row for row in await service.rows()}
        assert [tried["outcome"] for tried in rows[taken.id]["tries"]] == [204]
        assert [tried["outcome"] for tried in rows[refused.id]["tries"]] == [503]
        assert [rows[one.id]["state"] for one in (taken, refused)] == ["done", "due"]


async def test_what_many_attempts_find_out_of_an_endpoint_at_once_is_written_once(mongo_url: str) -> None:
    async with prescriber_on(mongo_url) as service:
        health = EndpointHealth(service.deliveries.health)
        written = []
        update_one = service.deliveries.health.update_one

        async def count(*what: Any, **how: Any) -> None:
            written.append(what)
            await update_one(*what, **how)

        service.deliveries.health.update_one = count  # type: ignore[method-assign, assignment]
        await asyncio.gather(*(health.took("north/main", AT) for _ in range(5)))
        await asyncio.gather(*(health.failed("north/main", 503, AT) for _ in range(5)))
        await asyncio.gather(*(health.took("north/main", AT) for _ in range(5)))
        assert len(written) == 3
        kept = await service.deliveries.health.find_one({"_id": "north/main"})
        assert kept is not None
        assert kept["failing_since"] is None


class Recording:
    """Deliveries whose recording waits until it is let go."""

    def __init__(self) -> None:
        self.written: list[list[str]] = []
        self.go_on = asyncio.Event()

    async def record(self, results: list[tuple[Delivery, Result]]) -> None:
        self.written.append([delivery.id for delivery, _ in results])
        await self.go_on.wait()


def one(number: int) -> Delivery:
    return Delivery(f"d{number}", "north/main", f"case-{number}", number, f"id-{number}", b"{}")


async def test_what_ends_while_a_write_is_under_way_is_the_next_write_and_nothing_is_told_before_it_is_durable() -> None:
    recording, told = Recording(), []
    results = Results(recording, lambda delivery, _: told.append(delivery.id))  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        group.create_task(results.keep())
        results.note(one(1), Result("done", 1, None, TAKEN))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for number in (2, 3):
            results.note(one(number), Result("done", 1, None, TAKEN))
        results.end()
        await asyncio.sleep(0)
        assert (recording.written, told) == ([["d1"]], [])
        recording.go_on.set()
    assert (recording.written, told) == ([["d1"], ["d2", "d3"]], ["d1", "d2", "d3"])


async def test_keeping_ends_when_nothing_is_noted() -> None:
    results = Results(Recording(), lambda *_: None)  # type: ignore[arg-type]
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(results.keep())
        await asyncio.sleep(0)
        results.end()


async def test_what_cannot_be_recorded_ends_the_keeping_and_is_told_to_nobody() -> None:
    told: list[str] = []

    class Failing(Recording):
        async def record(self, results: list[tuple[Delivery, Result]]) -> None:
            raise AutoReconnect

    results = Results(Failing(), lambda delivery, _: told.append(delivery.id))  # type: ignore[arg-type]
    results.note(one(1), Result("done", 1, None, TAKEN))
    with pytest.raises(AutoReconnect):
        await results.keep()
    assert told == []


async def test_keeping_ends_though_the_driver_swallows_the_cancellation() -> None:
    class Swallowing(Recording):
        async def record(self, results: list[tuple[Delivery, Result]]) -> None:
            with suppress(asyncio.CancelledError):
                await super().record(results)

    recording, told = Swallowing(), []
    results = Results(recording, lambda delivery, _: told.append(delivery.id))  # type: ignore[arg-type]
    results.note(one(1), Result("done", 1, None, TAKEN))
    keeping = asyncio.create_task(results.keep())
    await asyncio.sleep(0.01)
    keeping.cancel()
    await asyncio.wait_for(asyncio.wait([keeping]), 5)
    assert (recording.written, told) == ([["d1"]], ["d1"])


async def test_what_was_under_way_when_the_keeping_was_cut_short_is_recorded_with_the_rest() -> None:
    recording, told = Recording(), []
    results = Results(recording, lambda delivery, _: told.append(delivery.id))  # type: ignore[arg-type]
    results.note(one(1), Result("done", 1, None, TAKEN))
    keeping = asyncio.create_task(results.keep())
    await asyncio.sleep(0.01)
    results.note(one(2), Result("done", 1, None, TAKEN))
    keeping.cancel()
    await asyncio.wait([keeping])
    assert (recording.written, told) == ([["d1"]], [])
    recording.go_on.set()
    await results.rest()
    assert (recording.written, told) == ([["d1"], ["d1", "d2"]], ["d1", "d2"])


async def test_what_a_store_that_is_away_does_not_take_is_left() -> None:
    class Failing(Recording):
        async def record(self, results: list[tuple[Delivery, Result]]) -> None:
            self.written.append([])
            raise AutoReconnect

    recording = Failing()
    results = Results(recording, lambda *_: None)  # type: ignore[arg-type]
    results.note(one(1), Result("done", 1, None, TAKEN))
    await results.rest()
    assert recording.written == [[]]


async def test_of_one_delivery_the_failure_is_written_before_what_came_after_it(mongo_url: str) -> None:
    async with partner("north") as north, prescriber_on(mongo_url) as service:
        await service.register(north)
        await screens(service, 2)
        first, second = await due(service)
        failed, taken = Result("due", 1, AT, REFUSED), Result("done", 2, None, TAKEN)
        await service.deliveries.record([(first, taken), (second, failed), (second, taken)])
        rows = {row["_id"]: row for row in await service.rows()}
        assert [tried["outcome"] for tried in rows[second.id]["tries"]] == [503, 204]
        assert rows[second.id]["state"] == "done"
