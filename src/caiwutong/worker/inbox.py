"""The consumer: hands sealed events to a handler, in order, with exactly-once effect.

The broker wakes the consumer and usually brings the events; what it does not bring (lost, wiped,
out of order) is read from the sealed log itself. The cursor moves in the handler's transaction.
So the broker may lose, repeat or reorder anything, and the effect is the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import nats.errors
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from caiwutong.db.database import Database, Tx
from caiwutong.erp.feed import Feed, FeedEvent
from caiwutong.kernel.errors import CaiwutongError
from caiwutong.worker.broker import (
    BROKER_TROUBLE,
    PACK,
    STREAM,
    SUBJECTS,
    Pack,
    connected,
    ensure_stream,
    open_pack,
    unavailable,
)
from caiwutong.worker.cursors import Cursors

log = logging.getLogger(__name__)

Handler = Callable[[Tx, str, Sequence[FeedEvent]], Awaitable[None]]
"""``handler(tx, tenant, events)``: events in order without gaps, up to a pack. What it writes
through ``tx`` is kept together with the cursor, or not at all."""

_BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_FETCH_S = 1.0


def each(
    handler: Callable[[Tx, str, int, FeedEvent], Awaitable[None]],
) -> Handler:
    """A handler of packs from a handler of single events."""

    async def of_pack(tx: Tx, tenant: str, events: Sequence[FeedEvent]) -> None:
        for event in events:
            await handler(tx, tenant, event.seq, event)

    return of_pack


class Consumer:
    """One named consumer of all tenants' events. Several processes may run the same one."""

    def __init__(
        self,
        name: str,
        handler: Handler,
        database: Database,
        feed: Feed,
        cursors: Cursors,
        nats_url: str,
        sweep_s: float = 2.0,
    ) -> None:
        """``sweep_s``: how often it looks into the log itself, broker or not."""
        self.name = name
        self._handler = handler
        self._database = database
        self._feed = feed
        self._cursors = cursors
        self._url = nats_url
        self._sweep_s = sweep_s

    async def run(self) -> None:
        """Consume until cancelled. Without the broker events still come, within ``sweep_s``."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._sweep())

    async def take(self, pack: Pack) -> int:
        """Handle what is new in a pack; how many events that was."""
        first, last = pack.events[0].seq, pack.events[-1].seq
        handled = 0
        while True:
            async with self._database.transaction() as tx:
                place = await self._cursors.lock(tx, pack.tenant, self.name)
                if place >= last:
                    return handled
                if place + 1 >= first:
                    events: Sequence[FeedEvent] = pack.events[place + 1 - first :]
                else:
                    missing = min(PACK, first - 1 - place)
                    events = await self._feed.read(tx, pack.tenant, place, missing)
                handled += await self._handle(tx, pack.tenant, place, events)

    async def catch_up(self, tenant: str) -> int:
        """Handle everything sealed that was not handled yet, straight from the log."""
        handled = 0
        while True:
            async with self._database.transaction() as tx:
                place = await self._cursors.lock(tx, tenant, self.name)
                events = await self._feed.read(tx, tenant, place, PACK)
                if not events:
                    return handled
                handled += await self._handle(tx, tenant, place, events)

    async def sweep_once(self) -> int:
        """Catch up in every tenant that has news; how many events that was."""
        async with self._database.transaction() as tx:
            heads = await self._feed.heads(tx)
            places = await self._cursors.all(tx, self.name)
        behind = [tenant for tenant, head in heads.items() if places.get(tenant, 0) < head]
        return sum([await self.catch_up(tenant) for tenant in behind])

    async def _handle(self, tx: Tx, tenant: str, place: int, events: Sequence[FeedEvent]) -> int:
        if not events or events[0].seq != place + 1:
            raise unavailable(RuntimeError(f"event {place + 1} of {tenant} is not sealed yet"))
        await self._handler(tx, tenant, events)
        await self._cursors.move(tx, tenant, self.name, events[-1].seq)
        return len(events)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._sweep_s)
            try:
                await self.sweep_once()
            except CaiwutongError as error:
                log.warning("%s waits: %s", self.name, error)
            except Exception:
                log.exception("%s: the handler failed; it is tried again", self.name)

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                async with connected(self._url, self.name) as (_, stream):
                    await ensure_stream(stream)
                    subscription = await stream.pull_subscribe(
                        f"{SUBJECTS}.*", durable=self.name, stream=STREAM, config=self._config()
                    )
                    failures = 0
                    while True:
                        await self._fetch(subscription)
            except CaiwutongError as error:
                log.debug("%s: %s", self.name, error)
            except BROKER_TROUBLE as error:
                log.debug("%s: %s", self.name, unavailable(error))
            await asyncio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
            failures += 1

    async def _fetch(self, subscription: Any) -> None:
        try:
            messages = await subscription.fetch(16, timeout=_FETCH_S)
        except nats.errors.TimeoutError:
            # Nothing came: either all is quiet, or the stream is gone. This call tells.
            await subscription.consumer_info()
            return
        for message in messages:
            pack = open_pack(message.data)
            try:
                if pack is not None and pack.events:
                    await self.take(pack)
            except Exception as error:
                if not isinstance(error, CaiwutongError):
                    log.exception("%s: the handler failed; the pack comes again", self.name)
                await message.nak(delay=1)
            else:
                with contextlib.suppress(nats.errors.Error):
                    await message.ack()

    def _config(self) -> ConsumerConfig:
        return ConsumerConfig(
            durable_name=self.name,
            ack_policy=AckPolicy.EXPLICIT,
            deliver_policy=DeliverPolicy.ALL,
            ack_wait=30,
            max_ack_pending=64,
        )
