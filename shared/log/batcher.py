"""Group commit without a timer: what queued while the last batch was under way is the next batch."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar, cast

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Hands items that wait together to one call of `run`, at most one item per lane in a batch.

    Items of one lane keep their order. Cancelling a caller never cancels a batch. An exception that `run` raises
    reaches every caller of the batch; one that it returns in an item's place reaches that caller alone.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        lane: Callable[[Item], Hashable] | None = None,
        limit: int = 500,
        at_once: int = 2,
    ) -> None:
        self._run = run
        self._lane = lane
        self._limit = limit
        self._at_once = at_once
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def submit(self, item: Item) -> Result:
        """Return what `run` made of the item."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._start()
        return await asyncio.shield(future)

    async def drain(self) -> None:
        """Wait until everything submitted so far has its outcome."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _start(self) -> None:
        if len(self._under_way) < self._at_once:
            self._under_way.add(asyncio.get_running_loop().create_task(self._until_none_wait()))

    async def _until_none_wait(self) -> None:
        task = asyncio.current_task()
        try:
            while self._waiting:
                await self._flush()
        finally:
            # In the step that saw nothing waiting: a done callback would leave what is submitted before it to nobody.
            self._under_way.discard(cast("asyncio.Task[None]", task))

    async def _flush(self) -> None:
        batch = self._take()
        try:
            results = await self._run([item for item, _ in batch])
            if len(results) != len(batch):
                raise ValueError("a batch must have a result for each item")
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers are told
            results = [error] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
                future.exception()  # the caller may be gone; asyncio need not report it then
            else:
                future.set_result(result)

    def _take(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        if self._lane is None:
            batch, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
            return batch
        batch = []
        later = []
        lanes: set[Hashable] = set()
        for entry in self._waiting:
            lane = self._lane(entry[0])
            if lane in lanes or len(batch) >= self._limit:
                later.append(entry)
            else:
                batch.append(entry)
            lanes.add(lane)
        self._waiting = later
        return batch
