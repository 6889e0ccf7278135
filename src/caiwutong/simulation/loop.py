"""An event loop with virtual time: nothing waits, and the seed decides who goes first.

When something is ready, one of the ready callbacks is drawn by the seed; when nothing is, time
jumps to the next timer. No threads, no sockets, no signals: who needs them does not belong in here.
The same seed and the same program give the same run, callback by callback.
"""

from __future__ import annotations

import asyncio
import random
from asyncio import events
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import Any, TypeVar

T = TypeVar("T")


class Stuck(Exception):
    """Nothing is ready and no timer is set: whoever still waits would wait for ever."""


class TooLong(Exception):
    """More callbacks than any good run needs: something turns in a circle."""


class SimLoop(asyncio.AbstractEventLoop):
    """Runs coroutines in virtual seconds, from zero on."""

    def __init__(self, rng: random.Random, *, most_steps: int = 5_000_000) -> None:
        self._random = rng.random
        self._now = 0.0
        self._ready: list[asyncio.Handle] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timers_set = 0
        self._most_steps = most_steps
        self._closed = False
        self._running = False
        self.steps = 0
        self.on_task: Callable[[asyncio.Task[Any], Context], None] = lambda task, context: None
        """Called with every new task and its context: a simulator keeps them by process."""
        self.outside = copy_context()
        """The context of whatever belongs to no simulated process."""

    # Time.

    def time(self) -> float:
        return self._now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers_set += 1
        heappush(self._timers, (when, self._timers_set, timer))
        return timer

    def later(self, delay: float, callback: Callable[..., object], *args: Any) -> None:
        """``call_later`` outside of every process: it happens though its cause has crashed."""
        self.call_at(self._now + delay, callback, *args, context=self.outside)

    def spawn(self, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """``create_task`` outside of every process."""
        return self.create_task(coro, context=self.outside)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer stays in the heap and is passed over: it never moves the time."""

    # Futures and tasks.

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        context = context or copy_context()
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self.on_task(task, context)
        return task

    # Running.

    def run_until_complete(self, future: Coroutine[Any, Any, T]) -> T:  # type: ignore[override]
        """Run until the coroutine ends; its result. Raises ``Stuck`` when it never will."""
        if self._closed or self._running:
            raise RuntimeError("the loop is closed or runs already")
        main = self.create_task(future)
        self._running = True
        events._set_running_loop(self)  # pyright: ignore
        try:
            while not main.done():
                self._step()
        finally:
            events._set_running_loop(None)  # pyright: ignore
            self._running = False
        return main.result()

    def _step(self) -> None:
        ready = self._ready
        if not ready:
            self._jump()
        self.steps += 1
        if self.steps > self._most_steps:
            raise TooLong(f"{self.steps} callbacks at {self._now:.3f} s")
        last = ready.pop()
        if ready:
            place = int(self._random() * (len(ready) + 1))
            if place < len(ready):
                last, ready[place] = ready[place], last
        if not last.cancelled():
            last._run()  # pyright: ignore

    def _jump(self) -> None:
        """Move the time to the next timer, and make ready all that are due then."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heappop(timers)
        if not timers:
            raise Stuck(f"nothing is left to do at {self._now:.3f} s")
        self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            self._ready.append(heappop(timers)[2])

    def end_all(self) -> None:
        """Cancel every task that is left, and let them undo what they hold."""
        events._set_running_loop(self)  # pyright: ignore
        try:
            for task in asyncio.all_tasks(self):
                task.cancel()
            while self._ready:
                self._step()
        finally:
            events._set_running_loop(None)  # pyright: ignore

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Forget whatever was still waiting."""
        self._closed = True
        self._ready.clear()
        self._timers.clear()

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A callback of the simulator itself failed: that is an error of the simulator. What tasks
        raise is theirs to tell; a task nobody asked is told when it is collected, at no certain
        moment, and must not change the run."""
        error = context.get("exception")
        if isinstance(error, Exception) and "handle" in context:
            raise error


class SimClock:
    """Business time as the loop's time; a business second is a second."""

    def __init__(self, loop: SimLoop, start: datetime) -> None:
        self._loop = loop
        self.start = start

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self._loop.time())

    def real_seconds(self, business_seconds: float) -> float:
        return business_seconds

    def at(self, seconds: float) -> datetime:
        """The business time at this moment of the loop."""
        return self.start + timedelta(seconds=seconds)


FIRST_MORNING = datetime(2026, 11, 2, 1, 0, tzinfo=UTC)
"""Monday, 2 November 2026, 09:00 in China: runs begin within a week from here."""
