"""Gathers the calls of a moment into batches: one is a batch of one.

While a batch is being worked on, what arrives waits and becomes the next one, so batches grow with
load by themselves and a lone call waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from caiwutong.kernel.errors import Unavailable

T = TypeVar("T")
R = TypeVar("R")


class Gatherer(Generic[T, R]):
    """Turns ``work(list) → list`` into ``call(item) → result``.

    At most ``in_flight`` batches of at most ``most`` items run at once; more than ``waiting`` items
    in the queue are refused with ``Unavailable`` before memory grows. When ``work`` raises, every
    caller of that batch gets the exception.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        *,
        most: int = 512,
        in_flight: int = 2,
        waiting: int = 20_000,
    ) -> None:
        self._work = work
        self._most = most
        self._in_flight = in_flight
        self._waiting = waiting
        self._queue: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._queue)

    async def call(self, item: T) -> R:
        """The result for this item, once its batch is done."""
        return await self.begin(item)

    def begin(self, item: T) -> asyncio.Future[R]:
        """The same, for who goes on meanwhile."""
        if len(self._queue) >= self._waiting:
            raise Unavailable(
                "overloaded",
                f"{len(self._queue)} requests wait already.",
                "Nothing was done; send it again after a second.",
            )
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._queue.append((item, done))
        if len(self._running) < self._in_flight:
            self._start()
        return done

    def _start(self) -> None:
        task = asyncio.get_running_loop().create_task(self._run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self) -> None:
        # One turn of the loop first: whoever is ready in this moment joins the batch.
        await asyncio.sleep(0)
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(self._most, len(self._queue)))]
            try:
                results = await self._work([item for item, _ in batch])
            except BaseException as error:
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error)
                if not isinstance(error, Exception):
                    raise
                continue
            for (_, done), result in zip(batch, results, strict=True):
                if not done.done():
                    done.set_result(result)
