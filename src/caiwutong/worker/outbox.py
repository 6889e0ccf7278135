"""The publisher: carries sealed events from PostgreSQL to the broker, packed.

It promises that every sealed event reaches the stream at least once while the broker works, and
that a broker which lost its store (new, wiped, restored from a backup) is filled again from the
slowest consumer's place. It promises nothing about *exactly* once: that is the consumer's cursor.
Read next: ``broker`` (the stream), ``inbox`` (the other end), ``cursors`` (who stands where).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from nats.js import JetStreamContext
from nats.js.errors import NoStreamResponseError

from caiwutong.db.database import Database
from caiwutong.erp.feed import Feed, FeedEvent
from caiwutong.kernel.errors import CaiwutongError
from caiwutong.worker.broker import (
    BROKER_TROUBLE,
    PACK,
    connected,
    ensure_stream,
    pack_of,
    subject_of,
    unavailable,
)
from caiwutong.worker.cursors import PUBLISHER, Cursors

log = logging.getLogger(__name__)

_BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Publisher:
    """Publishes sealed events of all tenants. More than one may run: packs are then sent twice,
    and the broker and the consumers drop what they have."""

    def __init__(
        self, database: Database, feed: Feed, cursors: Cursors, nats_url: str, poll_s: float = 0.2
    ) -> None:
        self._database = database
        self._feed = feed
        self._cursors = cursors
        self._url = nats_url
        self._poll_s = poll_s
        self._news = asyncio.Event()
        self._last_seen = 0
        self._lost = False

    def wake(self) -> None:
        """Something was sealed in this process: publish now instead of at the next look."""
        self._news.set()

    async def run(self) -> None:
        """Publish until cancelled, through restarts of the broker and of the database."""
        failures = 0
        while True:
            try:
                async with connected(self._url, PUBLISHER) as (_, stream):
                    await self._look_at(stream)
                    failures = 0
                    while True:
                        self._news.clear()
                        if not await self.publish_once(stream):
                            with contextlib.suppress(TimeoutError):
                                await asyncio.wait_for(self._news.wait(), self._poll_s)
            except CaiwutongError as error:
                log.warning("events wait: %s", error)
            except BROKER_TROUBLE as error:
                log.warning("events wait: %s", unavailable(error))
            await asyncio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
            failures += 1

    async def publish_once(self, stream: JetStreamContext) -> int:
        """Publish what is sealed and not yet published; how many events that was."""
        async with self._database.transaction() as tx:
            heads = await self._feed.heads(tx)
            places = await self._cursors.all(tx, PUBLISHER)
        published = 0
        for tenant, head in heads.items():
            if places.get(tenant, 0) < head:
                published += await self._publish_tenant(stream, tenant, places.get(tenant, 0))
        return published

    async def _publish_tenant(self, stream: JetStreamContext, tenant: str, after: int) -> int:
        async with self._database.transaction() as tx:
            events = list(await self._feed.read(tx, tenant, after, 10 * PACK))
        for start in range(0, len(events), PACK):
            pack = events[start : start + PACK]
            await self._send(stream, tenant, pack)
        if events:
            async with self._database.transaction() as tx:
                await self._cursors.publish(tx, tenant, events[-1].seq)
        return len(events)

    async def _send(self, stream: JetStreamContext, tenant: str, pack: Sequence[FeedEvent]) -> None:
        try:
            message_id = f"{tenant}:{pack[0].seq}:{pack[-1].seq}"
            ack = await stream.publish(
                subject_of(tenant), pack_of(tenant, pack), headers={"Nats-Msg-Id": message_id}
            )
        except NoStreamResponseError as error:
            # The stream vanished under us. Start over: make it and fill it.
            self._lost = True
            raise unavailable(error) from error
        if not ack.duplicate and ack.seq <= self._last_seen:
            self._lost = True
            raise unavailable(RuntimeError("the stream began anew"))
        self._last_seen = max(self._last_seen, ack.seq)

    async def _look_at(self, stream: JetStreamContext) -> None:
        """Make the stream if it is gone. One that is new, or shorter than what we saw it hold,
        lost its store: publish again from the slowest consumer."""
        made, last = await ensure_stream(stream)
        if self._lost or made or last == 0 or last < self._last_seen:
            async with self._database.transaction() as tx:
                await self._cursors.rewind(tx)
            self._lost = False
            log.info("the event stream is new: published again from the slowest consumer")
        self._last_seen = last
