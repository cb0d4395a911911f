"""Group commit without a timer. Expectations: one item per lane in a batch, order within a lane, and callers that never wait for
what is not theirs (design, section 2)."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.log.batcher import Batcher

Item = tuple[str, int]


async def everybody_had_a_turn() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Recorder:
    """Runs batches, a moment each, and remembers them."""

    def __init__(self) -> None:
        self.batches: list[list[Item]] = []
        self.under_way = 0
        self.most_under_way = 0

    async def __call__(self, items: Sequence[Item]) -> Sequence[Item | Exception]:
        self.batches.append(list(items))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        return list(items)


@given(lanes=st.lists(st.sampled_from("abcde"), max_size=60), limit=st.integers(1, 10), at_once=st.integers(1, 3))
def test_batches_hold_one_item_per_lane_in_order_and_lose_none(lanes: list[str], limit: int, at_once: int) -> None:
    items = [(lane, number) for number, lane in enumerate(lanes)]

    async def submit_all() -> tuple[Recorder, list[Item]]:
        run = Recorder()
        batcher: Batcher[Item, Item] = Batcher(run, lane=lambda item: item[0], limit=limit, at_once=at_once)
        return run, await asyncio.gather(*(batcher.submit(item) for item in items))

    run, results = asyncio.run(submit_all())
    assert results == items  # each caller got its own
    assert all(len({lane for lane, _ in batch}) == len(batch) <= limit for batch in run.batches)
    assert run.most_under_way <= at_once
    by_lane: dict[str, list[int]] = defaultdict(list)
    for batch in run.batches:
        for lane, number in batch:
            by_lane[lane].append(number)
    assert all(numbers == sorted(numbers) for numbers in by_lane.values())
    assert sorted(item for batch in run.batches for item in batch) == sorted(items)


async def test_what_queues_while_a_batch_is_under_way_is_the_next_batch() -> None:
    go_on = asyncio.Event()
    batches: list[list[int]] = []

    async def run(items: Sequence[int]) -> Sequence[int]:
        batches.append(list(items))
        await go_on.wait()
        return items

    batcher: Batcher[int, int] = Batcher(run, at_once=1)
    callers = [asyncio.create_task(batcher.submit(0))]
    await everybody_had_a_turn()
    callers += [asyncio.create_task(batcher.submit(number)) for number in range(1, 6)]
    await everybody_had_a_turn()
    assert batches == [[0]]
    go_on.set()
    assert await asyncio.gather(*callers) == list(range(6))
    assert batches == [[0], [1, 2, 3, 4, 5]]


async def test_an_error_in_an_items_place_is_its_callers_alone_and_a_raised_one_is_everybodys() -> None:
    async def run(items: Sequence[int]) -> Sequence[int | Exception]:
        if 13 in items:
            raise OSError("the whole batch")
        return [ValueError(item) if item % 2 else item for item in items]

    batcher: Batcher[int, int] = Batcher(run)
    results = await asyncio.gather(*(batcher.submit(number) for number in range(4)), return_exceptions=True)
    assert [type(result) for result in results] == [int, ValueError, int, ValueError]
    results = await asyncio.gather(*(batcher.submit(number) for number in (12, 13)), return_exceptions=True)
    assert [type(result) for result in results] == [OSError, OSError]
    assert await batcher.submit(2) == 2  # it goes on


async def test_a_cancelled_caller_leaves_its_batch_alone() -> None:
    done: list[int] = []
    go_on = asyncio.Event()

    async def run(items: Sequence[int]) -> Sequence[int]:
        await go_on.wait()
        done.extend(items)
        return items

    batcher: Batcher[int, int] = Batcher(run)
    callers = [asyncio.create_task(batcher.submit(number)) for number in range(4)]
    await everybody_had_a_turn()
    callers[0].cancel()
    callers[3].cancel()
    go_on.set()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert [result for result in results if isinstance(result, int)] == [1, 2]
    await batcher.drain()
    assert sorted(done) == [0, 1, 2, 3]


async def test_draining_waits_for_everything_submitted() -> None:
    run = Recorder()
    batcher: Batcher[Item, Item] = Batcher(run, lane=lambda item: item[0])
    callers = [asyncio.create_task(batcher.submit(("a", number))) for number in range(20)]
    await asyncio.sleep(0)
    await batcher.drain()
    assert len(run.batches) == 20
    assert await asyncio.wait_for(asyncio.gather(*callers), 1) == [("a", number) for number in range(20)]


async def test_a_result_too_few_is_an_error_and_no_caller_waits_for_ever() -> None:
    async def run(items: Sequence[int]) -> Sequence[int]:
        return items[:-1]

    batcher: Batcher[int, int] = Batcher(run)
    callers = [asyncio.create_task(batcher.submit(number)) for number in range(3)]
    with pytest.raises(ValueError, match="a result for each"):
        await asyncio.wait_for(asyncio.gather(*callers), 1)


async def test_an_item_that_comes_while_the_last_batch_ends_is_not_left_waiting() -> None:
    """The batch wakes another caller and ends; that caller submits before the loop has told anyone that the batch ended."""
    woken = asyncio.Event()

    async def wake(items: Sequence[int]) -> Sequence[int]:
        woken.set()
        return items

    batcher: Batcher[int, int] = Batcher(wake, at_once=1)

    async def late() -> int:
        await woken.wait()
        return await batcher.submit(2)

    later = asyncio.create_task(late())
    await asyncio.sleep(0)
    assert await batcher.submit(1) == 1
    assert await asyncio.wait_for(later, 5) == 2
