"""A loop that keeps doing one thing: at once while there is work, soon after it is woken, and with
growing patience while something it needs is away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from caiwutong.kernel.errors import Broken, CaiwutongError

log = logging.getLogger(__name__)

_LONGEST_PAUSE_S = 5.0


async def keep_doing(
    name: str,
    act: Callable[[], Awaitable[int]],
    stop: asyncio.Event,
    *,
    idle_s: float,
    wake: asyncio.Event | None = None,
) -> None:
    """Call ``act`` until ``stop``; it returns how much it did. Zero means: sleep ``idle_s`` real
    seconds, or until woken. An error is logged by its code and tried again later: the work itself
    is kept in the database, so nothing is lost by failing here."""
    pause = idle_s
    while not stop.is_set():
        try:
            done = await act()
            pause = idle_s
        except CaiwutongError as error:
            level = logging.ERROR if isinstance(error, Broken) else logging.WARNING
            log.log(level, "%s: %s", name, error)
            done, pause = 0, min(max(pause * 2, 0.1), _LONGEST_PAUSE_S)
        except Exception:
            log.exception("%s: unexpected", name)
            done, pause = 0, min(max(pause * 2, 0.1), _LONGEST_PAUSE_S)
        if not done:
            await _rest(stop, wake, pause)


async def _rest(stop: asyncio.Event, wake: asyncio.Event | None, seconds: float) -> None:
    waits = [asyncio.ensure_future(stop.wait())]
    if wake is not None:
        wake.clear()
        waits.append(asyncio.ensure_future(wake.wait()))
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def all_of(*loops: Awaitable[None]) -> None:
    """Run loops together; if one ends by an error, the others are ended and the error is raised."""
    tasks = [asyncio.ensure_future(loop) for loop in loops]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
