"""Group commit: everything written within a few milliseconds becomes durable together.

An answer leaves only after ``durable()`` has returned, so a killed process never forgets an
execution whose answer was sent. Order inside a flush: the banks first (the payer's debit), then the
centre, so that the centre never knows of a payment its payer's bank has forgotten. Where the
centre's decision must come first (netting, revoking), ``network`` flushes and commits it itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol


class Committable(Protocol):
    """Something with an open transaction."""

    dirty: bool

    def commit(self) -> None: ...


class Commits:
    """Collects writers of a moment and commits once for all of them."""

    def __init__(self, stores: Sequence[Committable], window_s: float = 0.003) -> None:
        """``stores`` in the order in which they must become durable; ``window_s`` real seconds."""
        self._stores = stores
        self._window_s = window_s
        self._waiting: list[asyncio.Future[None]] = []
        self._planned = False

    async def durable(self) -> None:
        """Return once everything written so far survives a killed process."""
        if not any(store.dirty for store in self._stores):
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append(future)
        if not self._planned:
            self._planned = True
            loop.call_later(self._window_s, self.flush)
        await future

    def flush(self) -> None:
        """Commit now and let everyone who waits go on."""
        self._planned = False
        for store in self._stores:
            store.commit()
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
