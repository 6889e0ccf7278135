"""Keeps each tenant's notebook up to date with the sealed log, and gives routing its beliefs.

Promises: ``current`` never waits; an event is learnt from once, because notebook and place in the
log are saved together; a notebook that cannot be read is learnt anew from the log.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

import msgspec

from caiwutong.db.database import Database, Tx
from caiwutong.kernel.clock import Clock
from caiwutong.routing.beliefs import Beliefs
from caiwutong.routing.experience import Happening, Notebook, read, read_on, write
from caiwutong.routing.store import NotebookStore

log = logging.getLogger(__name__)

AT_ONCE = 2_000


class Events(Protocol):
    """The sealed log, as ``erp.feed`` gives it."""

    async def read(
        self, tx: Tx, tenant: str, after_seq: int, limit: int
    ) -> Sequence[Happening]: ...

    async def heads(self, tx: Tx) -> dict[str, int]: ...


class Experience:
    """Learns, and remembers what was learnt."""

    def __init__(
        self, database: Database, store: NotebookStore, events: Events, clock: Clock
    ) -> None:
        self._database = database
        self._store = store
        self._events = events
        self._clock = clock
        self._known: dict[str, Beliefs] = {}

    def current(self, tenant: str) -> Beliefs:
        """What this tenant's payments have taught, as far as this process knows."""
        return self._known.get(tenant) or _NOTHING

    async def run_once(self) -> int:
        """Learn from what was sealed since the last time, in every tenant; how many events."""
        async with self._database.transaction() as tx:
            heads = await self._events.heads(tx)
        return sum([await self.learn(tenant) for tenant in sorted(heads)])

    async def learn(self, tenant: str) -> int:
        """The same for one tenant, up to ``AT_ONCE`` events."""
        async with self._database.transaction() as tx:
            before = _opened(tenant, await self._store.lock(tx, tenant))
            events = await self._events.read(tx, tenant, before.seq, AT_ONCE)
            after = read_on(before, events, self._clock.now())
            if after is not before:
                await self._store.save(tx, tenant, after.seq, write(after))
        self._known[tenant] = after.beliefs
        return len(events)

    async def refresh(self) -> None:
        """Read what other processes have learnt: for one that decides but does not learn."""
        async with self._database.transaction() as tx:
            kept = await self._store.all(tx)
        self._known = {tenant: _opened(tenant, raw).beliefs for tenant, raw in kept.items()}


_NOTHING = Beliefs()


def _opened(tenant: str, raw: bytes) -> Notebook:
    if not raw:
        return Notebook()
    try:
        return read(raw)
    except (msgspec.DecodeError, TypeError, ValueError):
        log.warning("routing: the notebook of %s cannot be read; learning anew", tenant)
        return Notebook()
