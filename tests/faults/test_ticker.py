"""What falls due. Expectations: each deadline is ticked once; a stream whose tick goes wrong stops with an alarm, and others go on;
care time is one value for all services and never goes back (design, sections 2 and 4)."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
import structlog
from structlog.testing import LogCapture

from shared.clock import MovableCareClock
from shared.events import prescriber
from shared.events.base import EventData
from shared.log.commit import Cause
from shared.log.errors import StoreUnavailable
from shared.pathway.context import Context
from shared.pathway.refusal import Refusal
from shared.service.definition import Origin, StreamKind
from shared.service.runtime import Runtime
from shared.transport.ticker import Ticker
from tests import toy
from tests.faults.injected import commits_of, failing


def tick(state: toy.ToyCase, name: str, context: Context) -> list[EventData]:
    """The toy's tick, with streams whose tick goes wrong in each way; the partner's name says which."""
    match state.order[0] if state.order else "":
        case "defect":
            raise ZeroDivisionError
        case "refuses":
            raise Refusal("not-now", "A tick that refuses.")
        case "does-not-move":
            return [prescriber.ClearanceAnswered(answers=(_clearance("moved-nothing"),), answered_at=context.now)]
        case "again":
            return [prescriber.ReviewAssigned(request=1, partner="in-house", due_at=state.deadlines[name] + timedelta(minutes=10))]
        case _:
            return toy.tick(state, name, context)


def _clearance(item: str) -> prescriber.Clearance:
    return prescriber.Clearance(item=item, cleared=True, note="toy")


DEFINITION = replace(toy.PRESCRIBER, kinds=(StreamKind("case", toy.ToyCase(), toy.evolve, tick),))


@pytest_asyncio.fixture
async def runtime(mongo_url: str) -> AsyncIterator[Runtime]:
    settings = toy.settings_for(mongo_url, "127.0.0.1:1", toy.unique(), care_clock="movable")
    async with toy.runtime_of(DEFINITION, settings) as made:
        yield made


@pytest.fixture
def logged(runtime: Runtime) -> list[Any]:
    capture = LogCapture()
    runtime.log = structlog.wrap_logger(None, processors=[capture])
    entries: list[Any] = capture.entries
    return entries


def ticker_of(runtime: Runtime) -> Ticker:
    return Ticker("prescriber", runtime.database["cases"], runtime.decisions, runtime.clock, runtime.log)


async def due_in(runtime: Runtime, minutes: float, how: str = "") -> str:
    """A case with a deadline so many minutes ahead in care time, in the cache as the relay would have put it."""
    case = f"case-{uuid.uuid4().hex}"

    def decide(_state: toy.ToyCase, context: Context) -> list[EventData]:
        marked: list[EventData] = [prescriber.ClearanceAnswered(answers=(_clearance(how),), answered_at=context.now)] if how else []
        return [*marked, prescriber.ReviewAssigned(request=1, partner="in-house", due_at=context.now + timedelta(minutes=minutes))]

    cause = Cause.http("test", "clinician", uuid.uuid4().hex, b"m" * 32)
    await runtime.decisions.run(case, decide, cause, toy.CLINICIAN, origin=Origin("riverside", "patient-1"))
    await runtime.streams.keep_cache({case: 1_000_000})
    return case


async def move(runtime: Runtime, minutes: float) -> None:
    assert isinstance(runtime.clock, MovableCareClock)
    await runtime.clock.move_to(runtime.clock.now() + timedelta(minutes=minutes))


async def overdue(runtime: Runtime, case: str) -> int:
    count: int = (await runtime.load(case)).state.overdue
    return count


async def test_a_deadline_is_ticked_once_when_it_is_due_and_not_before(runtime: Runtime) -> None:
    case, later = await due_in(runtime, 10), await due_in(runtime, 60)
    ticker = ticker_of(runtime)
    await ticker.tick_due()
    assert await overdue(runtime, case) == 0
    await move(runtime, 11)
    for _ in range(3):
        await ticker.tick_due()
    assert await overdue(runtime, case) == 1
    assert await overdue(runtime, later) == 0
    assert (await commits_of(runtime, case))[-1].cause.startswith("tick:toy/")
    assert await cached_deadline(runtime, case) is None
    await move(runtime, 60)
    await ticker.tick_due()
    assert await overdue(runtime, later) == 1


async def test_two_tickers_at_once_tick_once(runtime: Runtime) -> None:
    cases = [await due_in(runtime, 10) for _ in range(10)]
    await move(runtime, 11)
    another = Runtime(DEFINITION, runtime.settings, runtime.client, runtime.log)
    await another.prepare()
    await asyncio.gather(ticker_of(runtime).tick_due(), ticker_of(another).tick_due())
    assert [await overdue(runtime, case) for case in cases] == [1] * 10


async def test_a_deadline_that_moves_is_ticked_again_at_its_next_time(runtime: Runtime) -> None:
    case = await due_in(runtime, 10, "again")
    ticker = ticker_of(runtime)
    for expected in (2, 3, 4):
        await move(runtime, 11 if expected == 2 else 10)
        await ticker.tick_due()
        await ticker.tick_due()
        assert len(await commits_of(runtime, case)) == expected


@pytest.mark.parametrize("how", ["defect", "refuses", "does-not-move", "broken", "erased"])
async def test_a_stream_whose_tick_goes_wrong_stops_with_an_alarm_and_others_go_on(runtime: Runtime, logged: list[Any], how: str) -> None:
    wrong = await due_in(runtime, 5, how)
    fine = [await due_in(runtime, 10) for _ in range(3)]
    if how == "broken":
        await runtime.database["commits"].update_one({"stream": wrong}, {"$set": {"version": 2, "first_sequence": 9}})
    if how == "erased":
        await runtime.vault.destroy(wrong)
    await move(runtime, 11)
    ticker = ticker_of(runtime)
    for _ in range(3):
        await ticker.tick_due()
    assert [await overdue(runtime, case) for case in fine] == [1, 1, 1]
    alarms = [entry for entry in logged if entry["event"] == "the ticker stopped a stream"]
    assert [(entry["stream"], entry["log_level"]) for entry in alarms] == [(wrong, "error")]
    assert len(await commits_of(runtime, wrong)) == (2 if how == "does-not-move" else 1)


async def cached_deadline(runtime: Runtime, case: str) -> Any:
    entry = await runtime.database["cases"].find_one({"_id": case})
    assert entry is not None
    return entry["last"].get("next_deadline")


async def test_a_cache_that_lags_behind_ticks_nothing_twice(runtime: Runtime) -> None:
    """The index still says due although the tick is stored: deciding again finds nothing due."""
    case = await due_in(runtime, 10)
    before = await runtime.database["cases"].find_one({"_id": case})
    assert before is not None
    await move(runtime, 11)
    await ticker_of(runtime).tick_due()
    await runtime.database["cases"].replace_one({"_id": case}, before)
    await ticker_of(runtime).tick_due()
    assert await overdue(runtime, case) == 1
    assert await cached_deadline(runtime, case) is None


async def test_a_store_that_is_down_at_a_tick_restarts_the_relay_and_not_the_service(
    mongo_url: str, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.log.store.RESEND_SECONDS", 0.3)
    settings = toy.settings_for(mongo_url, kafka_bootstrap, toy.unique(), care_clock="movable")
    await toy.make_topics(kafka_bootstrap, settings.topic_prefix)
    async with toy.runtime_of(DEFINITION, settings) as runtime:
        case = await due_in(runtime, 10)
        unavailable = asyncio.Event()
        append = runtime.store.append

        async def watched(commit: Any) -> Any:
            try:
                return await append(commit)
            except StoreUnavailable:
                unavailable.set()
                raise

        runtime.store.append = watched  # type: ignore[method-assign]
        async with toy.relaying(runtime) as relay:
            await toy.eventually(lambda: _leads(relay))
            async with failing(runtime, ["insert"], errorCode=189):
                await move(runtime, 11)
                await asyncio.wait_for(unavailable.wait(), 20)
            await toy.eventually(lambda: _is_overdue(runtime, case))
    assert unavailable.is_set()


async def _leads(relay: Any) -> bool:
    return bool(relay.caught_up)


async def _is_overdue(runtime: Runtime, case: str) -> bool:
    return await overdue(runtime, case) == 1


async def test_care_time_is_one_for_all_and_never_goes_back(runtime: Runtime) -> None:
    another = Runtime(DEFINITION, runtime.settings, runtime.client, runtime.log)
    one, two = runtime.clock, another.clock
    assert isinstance(one, MovableCareClock)
    assert isinstance(two, MovableCareClock)
    began = two.now()
    following = asyncio.create_task(two.follow(every_seconds=0.02))
    seen: list[datetime] = []
    for days in (1, 7, 3, -5, 0):
        await one.move_to(began + timedelta(days=days))
        await asyncio.sleep(0.1)
        seen += [one.now(), two.now()]
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert seen == sorted(seen)
    assert abs(one.now() - two.now()) < timedelta(seconds=1)
    assert timedelta(days=7) <= two.now() - began < timedelta(days=7, minutes=1)
    await asyncio.gather(*(clock.move_to(began + timedelta(days=days)) for days in range(8, 14) for clock in (one, two)))
    await one.refresh()
    await two.refresh()
    assert one.now() - began >= timedelta(days=13)
    assert two.now() - began >= timedelta(days=13)


async def test_care_time_first_moved_back_stays_system_time(runtime: Runtime) -> None:
    assert isinstance(runtime.clock, MovableCareClock)
    await runtime.clock.move_to(toy.now() - timedelta(days=3))
    await runtime.clock.refresh()
    assert abs(runtime.clock.now() - toy.now()) < timedelta(seconds=1)


async def test_care_time_is_in_whole_milliseconds_wherever_it_was_moved_to(runtime: Runtime) -> None:
    """What the database keeps: otherwise a deadline in a commit and in the index would differ."""
    assert isinstance(runtime.clock, MovableCareClock)
    await runtime.clock.move_to(toy.now() + timedelta(days=1, microseconds=123_457))
    assert all(runtime.clock.now().microsecond % 1000 == 0 for _ in range(20))
