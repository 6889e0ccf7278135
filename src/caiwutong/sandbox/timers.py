"""Things to do when business time reaches a moment.

A clock that is shared may run faster or jump ahead, so nobody here sleeps for long: a short real
tick asks the clock again. Timers live in memory; what must survive a killed process is found again
in the books (``network.recover``).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable

from caiwutong.kernel.clock import Clock

_TICK_S = 0.01
_log = logging.getLogger("caiwutong.sandbox")


class Timers:
    """Calls functions once their business moment has come."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._ticking: list[Callable[[float], None]] = []

    def after(self, business_s: float, act: Callable[[], None]) -> None:
        """Do it once this much business time has passed."""
        due = self._clock.now().timestamp() + business_s
        heapq.heappush(self._heap, (due, next(self._order), act))

    def every_tick(self, act: Callable[[float], None]) -> None:
        """Do it at each tick; it is told the business time in seconds."""
        self._ticking.append(act)

    def waiting(self) -> int:
        """How many timers lie ahead."""
        return len(self._heap)

    def advance(self) -> None:
        """Do what is due now."""
        now = self._clock.now().timestamp()
        while self._heap and self._heap[0][0] <= now:
            self._guarded(heapq.heappop(self._heap)[2])
        for act in self._ticking:
            self._guarded(lambda act=act: act(now))

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:  # one broken story must not stop the bank
            _log.exception("a timer failed")

    async def sleep(self, business_s: float) -> None:
        """Wait for this much business time, jumps included."""
        done = asyncio.get_running_loop().create_future()
        self.after(business_s, lambda: None if done.done() else done.set_result(None))
        await done

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            self.advance()
            await asyncio.sleep(_TICK_S)
